"""`Motion`: what every part of the library takes and gives, as PIL images are for diffusers."""

from __future__ import annotations

import math
import os
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from .skeletons import HUMANML3D_22, Skeleton, get_skeleton
from .utils.files import atomic_path
from .utils.text import tidy_text

# What numpy and zipfile raise on damaged files; NotImplementedError and RuntimeError for odd compression and encryption flags.
_UNREADABLE = (
    OSError, ValueError, EOFError, TypeError, AttributeError, NotImplementedError, RuntimeError, zlib.error, zipfile.BadZipFile,
)  # fmt: skip


@dataclass(eq=False)
class Motion:
    """Joint positions over time.

    Args:
        joints (`numpy.ndarray` or `torch.Tensor`): World positions, (frames, joints, 3), metres, Y up, Z forward, +X to the
            left of a character that faces +Z. Kept as a C-contiguous float32 array.
        fps (`float`, defaults to 20.0): Frames per second.
        skeleton (`Skeleton` or `str`, defaults to `"humanml3d-22"`): The joints' hierarchy, or its name.
        text (`str`, *optional*): The sentence that describes the motion, see `hf_motion.utils.text.tidy_text`.

    Raises:
        ValueError: If the array is not (frames >= 1, joints, 3), holds NaN or infinity, has another number of joints than the
            skeleton, or `fps` is not a positive number.

    Example:
    >>> import numpy as np
    >>> from hf_motion import Motion
    >>> motion = Motion(np.zeros((40, 22, 3)), fps=20, text="a person stands")
    >>> len(motion), motion.duration, len(motion[10:30])
    (40, 2.0, 20)
    """

    joints: np.ndarray
    fps: float = 20.0
    skeleton: Skeleton = field(default=HUMANML3D_22)
    text: str | None = None

    def __post_init__(self) -> None:
        self.skeleton = get_skeleton(self.skeleton)
        self.joints = _checked_joints(self.joints, self.skeleton)
        self.fps = check_fps(self.fps)
        self.text = tidy_text(self.text) or None if self.text else None

    def __len__(self) -> int:
        return len(self.joints)

    def __repr__(self) -> str:
        text = f", text={self.text!r}" if self.text else ""
        return f"Motion({len(self)} frames at {self.fps:g} fps, {self.duration:.2f} s, {self.skeleton.name}{text})"

    def __getitem__(self, frames: slice) -> Motion:
        """A part of the motion: `motion[20:60]`, `motion[::2]` (the frame rate follows the step).

        Raises:
            TypeError: If `frames` is not a slice.
            ValueError: If the slice is empty.
        """
        if not isinstance(frames, slice):
            raise TypeError(f"A motion is cut with a slice of frames such as motion[10:50], got {frames!r}; poses are in motion.joints.")
        joints = self.joints[frames]
        if not len(joints):
            raise ValueError(f"Slice {frames} of a motion of {len(self)} frames is empty.")
        return replace(self, joints=joints.copy(), fps=self.fps / abs(frames.step or 1))

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return len(self) / self.fps

    def resample(self, fps: float) -> Motion:
        """The same motion at another frame rate, positions interpolated linearly between frames.

        Args:
            fps (`float`): Wanted frames per second.

        Returns:
            `Motion`: From the first to the last frame of this one; never beyond it.

        Raises:
            ValueError: If `fps` is not positive.
        """
        fps = check_fps(fps)
        if fps == self.fps or len(self) == 1:
            return replace(self, fps=fps)
        left, weight = resampling_weights(len(self), self.fps, fps)
        weight = weight[:, None, None]
        return replace(self, joints=self.joints[left] * (1 - weight) + self.joints[left + 1] * weight, fps=fps)

    def in_place(self) -> Motion:
        """The same motion without its travel over the floor, for engines that move the character themselves.

        The root stays above the point where it starts; heights, turns and everything relative to the root are kept. The travel that
        was taken out is `motion.joints[:, 0] - motion.in_place().joints[:, 0]`, (frames, 3), metres, to drive the character with.

        Example:
        >>> import numpy as np
        >>> from hf_motion import Motion
        >>> walking = Motion(np.zeros((3, 22, 3)) + [[[0, 1, 5]], [[0, 1, 6]], [[0, 2, 7]]])
        >>> walking.in_place().joints[:, 0].tolist()
        [[0.0, 1.0, 5.0], [0.0, 1.0, 5.0], [0.0, 2.0, 5.0]]
        """
        travel = (self.joints[:, :1] - self.joints[:1, :1]) * np.array([1, 0, 1], np.float32)
        return replace(self, joints=self.joints - travel)

    def save(self, path: str | os.PathLike, **options: Any) -> Path:
        """Write the motion in the format that the suffix of `path` names.

        | suffix | what is written | options |
        |---|---|---|
        | .bvh | skeleton animation for Blender, Maya, Unity, Unreal | see `hf_motion.export.write_bvh` |
        | .glb | skeleton animation with a simple body, glTF 2.0 | see `hf_motion.export.write_glb` |
        | .npz | joints, fps, skeleton and text, lossless; or SMPL-H poses | `layout="amass"`: see `hf_motion.export.write_amass` |
        | .csv | joint positions, one row per frame | see `hf_motion.export.write_csv` |
        | .mp4 .gif | video | see `hf_motion.rendering.save_video` |
        | .png | contact sheet of poses over time | see `hf_motion.rendering.save_contact_sheet` |
        | .html | self-contained player | see `hf_motion.rendering.save_player` |

        Args:
            path (`str` or `os.PathLike`): File to write; missing folders are made. It appears whole or not at all.
            **options: Passed to the writer.

        Returns:
            `pathlib.Path`: The written file.

        Raises:
            ValueError: If the suffix is unknown.
            OSError: If the folder is not writable or the disk is full; nothing half-written stays behind.
        """
        path = Path(path)
        writers = _writers()
        if path.suffix.lower() not in writers:
            raise ValueError(f"Cannot save a motion as {path.suffix or path.name!r}. Use one of: {', '.join(writers)}.")
        try:
            writers[path.suffix.lower()](self, path, **options)
        except OSError as error:
            if error.strerror is None:
                raise
            raise OSError(
                f"Cannot write {str(path)!r}: {error.strerror}. Nothing half-written was left; make room or choose another folder."
            ) from error
        return path

    @classmethod
    def load(cls, path: str | os.PathLike) -> Motion:
        """Read a motion from a `.npz` written by `save` or from a `.bvh` file.

        A BVH file that carries one of our skeletons is read back onto it; any other keeps its own joints. `hf_motion.data.read.read_motion`
        reads more formats, and puts any known rig onto our joints.

        Raises:
            ValueError: If the suffix is unknown or the file is truncated or malformed.
            FileNotFoundError: If there is no such file.
        """
        path = Path(path)
        readers: dict[str, Callable[[Path], Motion]] = {".bvh": _read_bvh, ".npz": _read_npz}
        if path.suffix.lower() not in readers:
            raise ValueError(f"Cannot load a motion from {path.suffix or path.name!r}. Use one of: {', '.join(readers)}.")
        if not path.is_file():
            raise FileNotFoundError(f"No motion file at {str(path)!r}.")
        return readers[path.suffix.lower()](path)

    def _repr_html_(self) -> str:
        from .rendering import player_html

        return player_html([self])


def check_fps(fps: Any) -> float:
    """A frame rate as a float.

    Raises:
        ValueError: If it is not a positive finite number.
    """
    if isinstance(fps, bool) or not isinstance(fps, Real) or not (math.isfinite(fps) and fps > 0):
        raise ValueError(f"fps must be a positive number of frames per second, got {fps!r}.")
    return float(fps)


def resampling_weights(frames: int, source_fps: float, target_fps: float) -> tuple[np.ndarray, np.ndarray]:
    """Where the frames of a resampled clip lie between those of the original.

    Args:
        frames (`int`): Frames of the original, at least two.
        source_fps (`float`): Its frame rate.
        target_fps (`float`): The wanted one.

    Returns:
        `tuple[numpy.ndarray, numpy.ndarray]`: Index of the frame to the left (int64), and weight of the next one (float32).
    """
    last = frames - 1
    times = np.arange(int(np.floor(last * target_fps / source_fps + 1e-6)) + 1) * (source_fps / target_fps)
    left = np.minimum(times.astype(int), last - 1)
    return left, (times - left).astype(np.float32)


def _checked_joints(joints: Any, skeleton: Skeleton) -> np.ndarray:
    if hasattr(joints, "detach"):
        joints = joints.detach().cpu().float().numpy()
    try:
        joints = np.require(joints, np.float32, ["C", "W"])
    except (TypeError, ValueError) as error:
        raise ValueError(f"joints must be an array of numbers of shape (frames, joints, 3): {error}.") from error
    if joints.ndim != 3 or joints.shape[-1] != 3 or not len(joints):
        raise ValueError(f"joints must have shape (frames, joints, 3) with at least one frame, got {joints.shape}.")
    if joints.shape[1] != len(skeleton):
        raise ValueError(
            f"joints has {joints.shape[1]} joints but skeleton {skeleton.name!r} has {len(skeleton)}. "
            "Pass the skeleton that the joints belong to as `skeleton=`."
        )
    finite = np.isfinite(joints).all(axis=(1, 2))
    if not finite.all():
        frames = np.flatnonzero(~finite)
        raise ValueError(
            f"joints holds NaN or infinity in {len(frames)} of {len(joints)} frames, first in frame {frames[0]}. "
            "Repair or drop these frames first."
        )
    return joints


def _writers() -> dict[str, Callable[..., None]]:
    from .export import write_bvh, write_csv, write_glb
    from .rendering import save_contact_sheet, save_player, save_video

    return {
        ".bvh": write_bvh, ".npz": _write_npz, ".mp4": save_video, ".gif": save_video, ".png": save_contact_sheet,
        ".html": save_player, ".glb": write_glb, ".csv": write_csv,
    }  # fmt: skip


def _write_npz(motion: Motion, path: Path, *, layout: str = "hf_motion", **options: Any) -> None:
    if layout == "amass":
        from .export import write_amass

        write_amass(motion, path, **options)
        return
    if layout != "hf_motion" or options:
        given = f"layout={layout!r}" if layout != "hf_motion" else ", ".join(options)
        raise ValueError(f"Cannot write .npz with {given}: layout is 'hf_motion' (joints, no options) or 'amass' (SMPL-H poses).")
    skeleton = motion.skeleton
    with atomic_path(path) as temporary:
        np.savez_compressed(
            temporary, joints=motion.joints, fps=motion.fps, skeleton=skeleton.name, joint_names=np.array(skeleton.joint_names),
            parents=np.array(skeleton.parents), text=motion.text or "",
        )  # fmt: skip


def _read_npz(path: Path) -> Motion:
    try:
        with np.load(path, allow_pickle=False) as file:
            values = {name: file[name] for name in file.files}
        joints, fps, name = values["joints"], float(values["fps"]), str(values["skeleton"])
        names, parents = tuple(map(str, values["joint_names"])), tuple(map(int, values["parents"]))
        text = str(values["text"]) or None
    except KeyError as error:
        raise ValueError(
            f"{str(path)!r} has no array {error}; a motion file holds joints, fps, skeleton, joint_names, parents and text. "
            "Files of bare arrays are read with numpy and wrapped: Motion(numpy.load(path), fps=20)."
        ) from error
    except _UNREADABLE as error:
        raise ValueError(f"{str(path)!r} is not a readable motion file (truncated or another format): {error}.") from error
    try:
        known = get_skeleton(name)
    except ValueError:
        known = None
    same = known is not None and (known.joint_names, known.parents) == (names, parents)
    return Motion(joints, fps=fps, skeleton=known if same else Skeleton(name, names, parents), text=text)


def _read_bvh(path: Path) -> Motion:
    from .data.bvh import read_bvh

    return read_bvh(path)
