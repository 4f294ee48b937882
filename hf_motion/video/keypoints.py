"""Keypoints of one person in the order of Human3.6M, which MotionBERT and with it video retrieval read."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..utils.arrays import load_arrays
from ..utils.faults import reading
from ..utils.files import atomic_path
from .frames import frame_count

H36M_JOINTS = (
    "root", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "belly", "neck", "nose", "head",
    "left_shoulder", "left_elbow", "left_wrist", "right_shoulder", "right_elbow", "right_wrist",
)  # fmt: skip
"""Names of the 17 keypoints."""

H36M_BONES = (
    (0, 1), (1, 2), (2, 3), (0, 4), (4, 5), (5, 6), (0, 7), (7, 8), (8, 9), (9, 10), (8, 11), (11, 12), (12, 13), (8, 14), (14, 15),
    (15, 16),
)  # fmt: skip
"""Pairs of keypoints that a skeleton is drawn of."""

LAYOUTS = {"h36m-17": 17, "coco-17": 17, "halpe-26": 26, "blazepose-33": 33}
"""Orders of keypoints that detectors give, and how many there are in each."""

_COCO_OF_BLAZEPOSE = [0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28]
_H36M_OF_COCO = {1: 12, 2: 14, 3: 16, 4: 11, 5: 13, 6: 15, 9: 0, 11: 5, 12: 7, 13: 9, 14: 6, 15: 8, 16: 10}
_LEAST_SEEN = 4


@dataclass
class Keypoints:
    """Where one person's joints are in some frames of a video.

    Args:
        points (`numpy.ndarray`): (frames, 17, 3) float32: x and y in pixels, y down, and confidence from 0 to 1; all zero where nobody was
            found. Joints are `H36M_JOINTS`.
        times (`numpy.ndarray`): (frames,) float64, seconds.
        size (`tuple[int, int]`): Width and height of the frames, pixels.
        people (`numpy.ndarray`): (frames,) int64, how many people were found.
        detector (`str`, defaults to `""`): What found them.
        duration (`float`, defaults to 0.0): Seconds of the video.

    Raises:
        ValueError: If a shape is wrong or a number is not finite.

    Example:
        >>> keypoints = Keypoints(np.zeros((2, 17, 3)), np.arange(2), (640, 480), np.zeros(2))
        >>> keypoints.found.tolist()
        [False, False]
    """

    points: np.ndarray
    times: np.ndarray
    size: tuple[int, int]
    people: np.ndarray = field(repr=False)
    detector: str = ""
    duration: float = 0.0

    def __post_init__(self) -> None:
        self.points = np.asarray(self.points, dtype=np.float32)
        self.times, self.people = np.asarray(self.times, dtype=np.float64), np.asarray(self.people, dtype=np.int64)
        self.size = (int(self.size[0]), int(self.size[1]))
        if self.points.ndim != 3 or self.points.shape[1:] != (17, 3):
            raise ValueError(f"points must be (frames, 17, 3), as `to_h36m` gives them, got {self.points.shape}.")
        for name in ("times", "people"):
            if getattr(self, name).shape != self.points.shape[:1]:
                raise ValueError(f"{name} must be ({len(self.points)},), one for each frame, got {getattr(self, name).shape}.")
        if not np.isfinite(self.points).all():
            raise ValueError("points must be finite: put zeros, confidence included, where a joint is not seen.")

    def __len__(self) -> int:
        return len(self.points)

    @property
    def found(self) -> np.ndarray:
        """In which frames the person is, (frames,) bool."""
        return self.points[..., 2].max(axis=1) > 0

    def check_people(self, least: float = 0.5) -> None:
        """Refuse a video that hardly shows anybody, as the published database does.

        Args:
            least (`float`, defaults to 0.5): Share of frames in which the person must be.

        Raises:
            ValueError: If there are fewer.
        """
        share = float(self.found.mean()) if len(self) else 0.0
        if share == 0 or share < least:
            raise ValueError(
                f"It shows a person in {int(self.found.sum())} of {len(self)} frames, and at least {least:.0%} are wanted. "
                "Leave the video out, or lower the share."
            )

    def sample(self, num_frames: int | None = 16, sampling: str = "uniform") -> Keypoints:
        """Some of the frames, as `read_frames` would take them; all where there are no more.

        Args:
            num_frames (`int`, *optional*, defaults to 16): As for `read_frames`.
            sampling (`str`, defaults to `"uniform"`): As for `read_frames`.

        Raises:
            ValueError: If the sampling is unknown.
        """
        if num_frames is None or not len(self):
            return self
        wanted = frame_count(self.duration or float(np.ptp(self.times)), num_frames, sampling)
        if len(self) <= wanted:
            return self
        chosen = np.linspace(0, len(self) - 1, wanted).round().astype(int)
        return Keypoints(self.points[chosen], self.times[chosen], self.size, self.people[chosen], self.detector, self.duration)

    def crop_scale(self) -> np.ndarray:
        """What networks read: `crop_scale` of the points, (frames, 17, 3) float32."""
        return crop_scale(self.points)

    def save(self, path: str | os.PathLike, **more: Any) -> Path:
        """Write an `.npz` file, whole or not at all.

        Args:
            path (`str` or `os.PathLike`): The file.
            **more: What else to keep, as JSON takes it; `load` ignores it.

        Raises:
            ValueError: If the suffix is another one.
            OSError: If the file cannot be written.
        """
        path = Path(path)
        if path.suffix.lower() != ".npz":
            raise ValueError(f"Keypoints are written as .npz, not as {path.suffix or path.name!r}. Use another suffix.")
        about = json.dumps({"size": self.size, "detector": self.detector, "duration": self.duration, "joints": H36M_JOINTS, **more})
        with atomic_path(path) as temporary:
            np.savez(temporary, points=self.points, times=self.times, people=self.people, about=np.frombuffer(about.encode(), np.uint8))
        return path

    @classmethod
    def load(cls, path: str | os.PathLike) -> Keypoints:
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it holds something else.
        """
        return load_keypoints(path)[0]


def load_keypoints(path: str | os.PathLike) -> tuple[Keypoints, dict[str, Any]]:
    """Keypoints of a file, and all that is said about them; see `Keypoints.load`."""
    arrays = load_arrays(path)
    with reading(path, "a file of keypoints, as `hf-motion video pose` writes them"):
        about = json.loads(bytes(arrays["about"]))
        options = {"size": tuple(about["size"]), "detector": about["detector"], "duration": about["duration"]}
        return Keypoints(arrays["points"], arrays["times"], people=arrays["people"], **options), about


def to_h36m(points: np.ndarray, layout: str) -> np.ndarray:
    """Keypoints of another order as Human3.6M's 17.

    Root, neck and belly are means where the order has none of its own, the head of COCO's is the mean of the eyes; so are their
    confidences. As published with MotionBERT (`halpe2h36m`, `coco2h36m`); BlazePose's go by way of COCO's.

    Args:
        points (`numpy.ndarray`): (..., joints, channels), channels such as x, y and confidence.
        layout (`str`): `"coco-17"`, `"halpe-26"`, `"blazepose-33"`, or `"h36m-17"`, which stays as it is.

    Returns:
        `numpy.ndarray`: (..., 17, channels), of the same type.

    Raises:
        ValueError: If the layout is unknown or has another number of joints.

    Example:
        >>> to_h36m(np.zeros((5, 33, 3)), "blazepose-33").shape
        (5, 17, 3)
    """
    if layout not in LAYOUTS:
        raise ValueError(f"layout must be one of {', '.join(map(repr, LAYOUTS))}, got {layout!r}.")
    if points.ndim < 2 or points.shape[-2] != LAYOUTS[layout]:
        raise ValueError(f"Points of {layout!r} must be (..., {LAYOUTS[layout]}, channels), got {points.shape}.")
    if layout == "h36m-17":
        return points.copy()
    coco = points[..., _COCO_OF_BLAZEPOSE, :] if layout == "blazepose-33" else points
    result = np.zeros((*points.shape[:-2], 17, points.shape[-1]), dtype=points.dtype)
    for ours, theirs in _H36M_OF_COCO.items():
        result[..., ours, :] = coco[..., theirs, :]
    if layout == "halpe-26":
        result[..., 10, :], result[..., 8, :], result[..., 0, :] = points[..., 17, :], points[..., 18, :], points[..., 19, :]
    else:
        result[..., 0, :] = (coco[..., 11, :] + coco[..., 12, :]) / 2
        result[..., 8, :] = (coco[..., 5, :] + coco[..., 6, :]) / 2
        result[..., 10, :] = (coco[..., 1, :] + coco[..., 2, :]) / 2
    result[..., 7, :] = (result[..., 0, :] + result[..., 8, :]) / 2
    return result


def crop_scale(points: np.ndarray) -> np.ndarray:
    """Move and scale a clip so that one square around all its seen points becomes [-1, 1] both ways, as MotionBERT reads it.

    Args:
        points (`numpy.ndarray`): (frames, joints, 3): x, y, confidence. What has no confidence does not count for the square.

    Returns:
        `numpy.ndarray`: The same shape, float32, clipped to [-1, 1]; zeros if fewer than four points are seen or they are one place.

    Example:
        >>> crop_scale(np.array([[[0.0, 0, 1], [4, 0, 1], [4, 2, 1], [0, 2, 1]]]))[0, :, :2].tolist()
        [[-1.0, -0.5], [1.0, -0.5], [1.0, 0.5], [-1.0, 0.5]]
    """
    seen = points[points[..., 2] != 0][:, :2]
    result = np.zeros(points.shape, dtype=np.float32)
    side = float(np.ptp(seen, axis=0).max()) if len(seen) >= _LEAST_SEEN else 0.0
    if side == 0:
        return result
    corner = (seen.min(axis=0) + seen.max(axis=0) - side) / 2
    result[..., :2] = ((points[..., :2] - corner) / side - 0.5) * 2
    result[..., 2] = points[..., 2]
    return np.clip(result, -1, 1)
