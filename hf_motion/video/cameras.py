"""Motions seen by cameras: keypoints as a detector of poses would find them, to train retrieval without any video.

MotionBERT (Zhu et al., ICCV 2023, section 3.3) learns from motion capture in the same way: projected, with noise and missing joints.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..motion import Motion
from .frames import frame_count
from .keypoints import H36M_JOINTS, Keypoints

_SIZE = (640, 480)
_FILL = 0.8
_NOSE, _EYES = (0.03, 0.11), (0.07, 0.09)  # metres above and in front of the head's joint
_JOINTS = {
    "right_hip": "right_hip", "right_knee": "right_knee", "right_ankle": "right_ankle", "left_hip": "left_hip", "left_knee": "left_knee",
    "left_ankle": "left_ankle", "left_shoulder": "left_shoulder", "left_elbow": "left_elbow", "left_wrist": "left_wrist",
    "right_shoulder": "right_shoulder", "right_elbow": "right_elbow", "right_wrist": "right_wrist",
}  # fmt: skip


@dataclass(frozen=True)
class CameraRange:
    """What cameras are drawn from, evenly.

    Args:
        turn (`tuple[float, float]`, defaults to `(-180.0, 180.0)`): Degrees around the body; 0 looks at its front.
        height (`tuple[float, float]`, defaults to `(-10.0, 30.0)`): Degrees that the camera looks down.
        distance (`tuple[float, float]`, defaults to `(2.5, 8.0)`): Metres from the mean place of the root.
        noise (`float`, defaults to 0.01): Standard deviation of a joint's error, in heights of the body in the picture.
        missing (`float`, defaults to 0.02): Share of joints that are not seen.
    """

    turn: tuple[float, float] = (-180.0, 180.0)
    height: tuple[float, float] = (-10.0, 30.0)
    distance: tuple[float, float] = (2.5, 8.0)
    noise: float = 0.01
    missing: float = 0.02


_PLAIN = CameraRange((30.0, 30.0), (10.0, 10.0), (4.0, 4.0), noise=0.0, missing=0.0)  # somewhat from the side, where arms and legs show


def h36m_joints(motion: Motion) -> np.ndarray:
    """Places of the 17 joints that `to_h36m` makes of a detector's keypoints: root, neck and belly are means, nose and eyes on the head.

    Args:
        motion (`Motion`): On a skeleton with the joints of `"humanml3d-22"`.

    Returns:
        `numpy.ndarray`: (frames, 17, 3) float64, metres.

    Raises:
        ValueError: If the skeleton lacks a joint.
    """
    joints = motion.joints.astype(np.float64)
    place = {ours: joints[:, motion.skeleton.joint(theirs)] for ours, theirs in _JOINTS.items()}
    head, below = joints[:, motion.skeleton.joint("head")], joints[:, motion.skeleton.joint("neck")]
    left, up = place["left_shoulder"] - place["right_shoulder"], head - below
    up /= np.maximum(np.linalg.norm(up, axis=-1, keepdims=True), 1e-6)
    ahead = np.cross(left, up)
    ahead /= np.maximum(np.linalg.norm(ahead, axis=-1, keepdims=True), 1e-6)
    place["nose"], place["head"] = (head + rise * up + front * ahead for rise, front in (_NOSE, _EYES))
    place["root"] = (place["left_hip"] + place["right_hip"]) / 2
    place["neck"] = (place["left_shoulder"] + place["right_shoulder"]) / 2
    place["belly"] = (place["root"] + place["neck"]) / 2
    return np.stack([place[name] for name in H36M_JOINTS], axis=1)


def film_motion(
    motion: Motion, generator: np.random.Generator, num_frames: int = 16, sampling: str = "vimorag", cameras: CameraRange | None = None
) -> Keypoints:
    """Keypoints of a motion as one camera sees it, drawn at random.

    Args:
        motion (`Motion`): On a skeleton with the joints of `"humanml3d-22"`.
        generator (`numpy.random.Generator`): Decides camera, noise and missing joints.
        num_frames (`int`, defaults to 16): Frames, as `read_frames` takes them.
        sampling (`str`, defaults to `"vimorag"`): As for `read_frames`.
        cameras (`CameraRange`, *optional*): What cameras are drawn from.

    Returns:
        `Keypoints`: In pixels of a picture of 640 x 480 that the clip fills.

    Raises:
        ValueError: If the skeleton lacks a joint or the sampling is unknown.

    Example:
        >>> motion = Motion(np.random.default_rng(0).normal(size=(40, 22, 3)), fps=20)
        >>> film_motion(motion, np.random.default_rng(1)).points.shape
        (8, 17, 3)
    """
    cameras = cameras or CameraRange()
    count = frame_count(motion.duration, num_frames, sampling)
    frames = np.unique(np.linspace(0, len(motion) - 1, min(count, len(motion))).round().astype(int))
    joints = h36m_joints(motion)[frames]
    turn, height, distance = (generator.uniform(*bounds) for bounds in (cameras.turn, cameras.height, cameras.distance))
    flat = _project(joints, np.radians(turn), np.radians(height), distance)
    low, high = flat.min(axis=(0, 1)), flat.max(axis=(0, 1))
    scale = _FILL * float((np.array(_SIZE) / np.maximum(high - low, 1e-6)).min())
    points = (flat - (low + high) / 2) * scale + np.array(_SIZE) / 2
    tall = float(np.ptp(points[..., 1], axis=1).max())
    points += generator.normal(scale=cameras.noise * tall, size=points.shape)
    confidence = generator.uniform(0.7, 1.0, points.shape[:2])
    confidence[generator.random(points.shape[:2]) < cameras.missing] = 0
    filmed = np.concatenate([points, confidence[..., None]], axis=-1)
    filmed[confidence == 0] = 0
    return Keypoints(filmed, frames / motion.fps, _SIZE, np.ones(len(frames)), "cameras", motion.duration)


def film_plainly(motion: Motion, num_frames: int = 16, sampling: str = "vimorag") -> Keypoints:
    """Keypoints of a motion as a camera in front of it sees it, without noise: how a motion looks for videos like it.

    Args:
        motion (`Motion`): As for `film_motion`, as are the others.
        num_frames (`int`, defaults to 16): The same.
        sampling (`str`, defaults to `"vimorag"`): The same.
    """
    return film_motion(motion, np.random.default_rng(0), num_frames, sampling, _PLAIN)


def _project(joints: np.ndarray, turn: float, height: float, distance: float) -> np.ndarray:
    """(frames, 17, 2), x to the right and y down, of a camera that looks at the mean place of the root, y up in the room."""
    ahead = np.cross(joints[0, 4] - joints[0, 1], np.array([0.0, 1.0, 0.0]))
    front = np.arctan2(ahead[0], ahead[2])
    angle = front + turn
    toward = np.array([np.sin(angle) * np.cos(height), np.sin(height), np.cos(angle) * np.cos(height)])
    right = np.array([np.cos(angle), 0.0, -np.sin(angle)])
    up = np.cross(toward, right)
    places = joints - joints[:, 0].mean(axis=0)
    reach = float(np.linalg.norm(places, axis=-1).max())
    depth = np.maximum(distance, 1.2 * reach + 0.5) - places @ toward
    return np.stack([places @ right, -(places @ up)], axis=-1) / depth[..., None]
