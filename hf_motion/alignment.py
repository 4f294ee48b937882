"""Two motions on one time line: dynamic time warping of poses, whatever the lengths, frame rates, places, headings and body sizes.

Dynamic time warping: Sakoe & Chiba, "Dynamic Programming Algorithm Optimization for Spoken Word Recognition" (1978), without a window.
CigTime (its section 5) takes motions of equal length only, and names that as a limit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from .motion import Motion, check_fps
from .pose import resized_offsets
from .skeletons import Skeleton

MAX_SECONDS = 120.0
"""Longest motion that is aligned: the work grows with the product of both lengths."""

_FPS = 20.0
_SIDESTEP = 0.005  # metres that waiting for the other motion costs a frame: where nothing moves, both go on together
_WAITING = 0.5  # seconds of being apart that waiting costs for what the other does meanwhile: or a low kick would wait out a high one
_SMOOTHING = 0.25  # seconds over which the warp is averaged: a path of whole frames would jerk
_MIRRORED_SHARE, _MIRRORED_LEAST = 0.4, 0.03
_SAME_BONES = 0.01


@dataclass(frozen=True, eq=False)
class Alignment:
    """Two motions and the warp between them.

    Args:
        source (`Motion`): The first motion at the common frame rate, from the origin, facing +Z in its first frame.
        target (`Motion`): The second, likewise, on the body of the first.
        path (`numpy.ndarray`): (steps, 2) int64, frames of source and target that belong together, from both first to both last frames,
            never going back. It was found with the target stretched to the length of the source.
        mapping (`numpy.ndarray`): (frames of the source,) float64, where each frame of the source is in the target, in frames: the path
            averaged over a quarter of a second, never going back.
        cost (`float`): Mean over the path of the distance between the two poses (root mean square over joints), metres.
        mirrored_cost (`float`): The same against the mirror image of the second motion.
    """

    source: Motion
    target: Motion
    path: np.ndarray
    mapping: np.ndarray
    cost: float
    mirrored_cost: float

    @cached_property
    def warped(self) -> Motion:
        """The target on the time line of the source: as many frames, poses interpolated linearly."""
        face = None if self.target.face is None else self.target.face.at(self.mapping)
        return replace(self.target, joints=_at(self.target.joints, self.mapping), face=face)

    @property
    def tempo(self) -> float:
        """How many times as long as the source the target takes."""
        return max(len(self.target) - 1, 1) / max(len(self.source) - 1, 1)

    @property
    def lag(self) -> np.ndarray:
        """(frames of the source,) float64, seconds that the target comes to each pose later, differences of the tempo taken out."""
        own = np.linspace(0, len(self.target) - 1, len(self.source))
        return (self.mapping - own) / self.target.fps

    @property
    def mirrored(self) -> bool:
        """Whether the second motion looks like the mirror image of the first, rather than like the first."""
        return self.cost > _MIRRORED_LEAST and self.mirrored_cost < _MIRRORED_SHARE * self.cost


def align_motions(
    source: Motion, target: Motion, *, fps: float = _FPS, mirror: bool = False, max_seconds: float = MAX_SECONDS
) -> Alignment:
    """Find which moments of two motions belong together.

    Poses are compared around their root and turned to face forward each, the second on the body of the first: neither place, heading,
    size nor pace counts. Where nothing moves, one may wait for the other; where something does, waiting costs what is missed meanwhile,
    so that a small movement is put beside the whole of a large one rather than beside its beginning and its end.

    Args:
        source (`Motion`): The first motion, on a skeleton that says what its hips and shoulders are (`Skeleton.facing`).
        target (`Motion`): The second, on the same joints, of any length, at any frame rate.
        fps (`float`, defaults to 20.0): The common frame rate.
        mirror (`bool`, defaults to `False`): Take the mirror image of the second motion in its place.
        max_seconds (`float`, defaults to 120.0): Refuse longer motions.

    Returns:
        `Alignment`: The motions at one rate, and the warp.

    Raises:
        ValueError: If joints differ, hips and shoulders are not known, a motion has a single frame, or one is too long.

    Example:
        >>> import numpy as np
        >>> from hf_motion import Motion
        >>> from hf_motion.alignment import align_motions
        >>> from hf_motion.skeletons import HUMANML3D_22
        >>> body = HUMANML3D_22.body_joints + np.sin(np.linspace(0, 3, 40))[:, None, None] * np.eye(22)[20][:, None] * 0.3
        >>> alignment = align_motions(Motion(body), Motion(np.repeat(body, 2, axis=0)))
        >>> round(alignment.tempo, 1), len(alignment.warped), round(alignment.cost, 3)
        (2.0, 40, 0.0)
    """
    _check(source, target, max_seconds)
    one, two = (start_forward(motion.resample(check_fps(fps))) for motion in (source, target))
    two = on_body_of(two.mirror() if mirror else two, one)
    # In as many frames as the source: what is left to find are differences of pace within the motions.
    stretched = replace(two, joints=_at(two.joints, np.linspace(0, len(two) - 1, len(one))), face=None)
    poses, wanted = body_poses(one), body_poses(stretched)
    path, cost = _warp(poses, wanted, one.fps)
    _, mirrored_cost = _warp(poses, wanted[:, list(two.skeleton.mirror)] * [-1, 1, 1], one.fps)
    scale = (len(two) - 1) / (len(one) - 1)
    mapping = _mapping(path, len(one), one.fps) * scale
    path[:, 1] = np.round(path[:, 1] * scale)
    return Alignment(one, two, path, mapping, cost, mirrored_cost)


def warp_path(cost: np.ndarray, one: np.ndarray | float = _SIDESTEP, two: np.ndarray | float = _SIDESTEP) -> np.ndarray:
    """The cheapest way from the first frames of two sequences to the last, each step by one frame in one of them or in both.

    Costs add up along antidiagonals, each of which is computed at once.

    Args:
        cost (`numpy.ndarray`): (n, m), what it costs to put frame i of one and frame j of the other together.
        one (`numpy.ndarray` or `float`, defaults to 0.005): (n,), what it costs besides to go on to a frame of one alone.
        two (`numpy.ndarray` or `float`, defaults to 0.005): (m,), the same for the other.

    Returns:
        `numpy.ndarray`: (steps, 2) int64, from (0, 0) to (n - 1, m - 1). Of equal ways the one that goes on in both.

    Example:
        >>> import numpy as np
        >>> cost = np.abs(np.array([0.0, 1, 2])[:, None] - np.array([0.0, 1, 1, 2]))
        >>> warp_path(cost).tolist()
        [[0, 0], [1, 1], [1, 2], [2, 3]]
    """
    n, m = cost.shape
    if min(n, m) == 1:
        return np.stack(np.broadcast_arrays(np.arange(n) if n > 1 else 0, np.arange(m) if m > 1 else 0), axis=-1).reshape(-1, 2)
    flat, one, two = np.ascontiguousarray(cost, dtype=np.float64).ravel(), np.broadcast_to(one, n), np.broadcast_to(two, m)[::-1]
    choices = np.zeros((n + m - 1, n), dtype=np.int8)
    # One place more in front, so that the frame before the first is infinitely far. Three rows take turns.
    rows = np.full((3, n + 1), np.inf)
    rows[0, 1] = flat[0]
    for diagonal in range(1, n + m - 1):
        low, high = max(0, diagonal - m + 1), min(n - 1, diagonal)
        now, last, before = rows[diagonal % 3], rows[(diagonal - 1) % 3], rows[(diagonal - 2) % 3]
        both, first = before[low : high + 1], last[low : high + 1] + one[low : high + 1]
        second = last[low + 1 : high + 2] + two[m - 1 - diagonal + low : m - diagonal + high]
        aside = np.minimum(first, second)
        choices[diagonal, low : high + 1] = np.where(both <= aside, 0, np.where(first <= second, 1, 2))
        now[:] = np.inf
        now[low + 1 : high + 2] = np.minimum(both, aside) + flat[diagonal + low * (m - 1) : diagonal + high * (m - 1) + 1 : m - 1]
    i, j = n - 1, m - 1
    path = [(i, j)]
    while i or j:
        choice = choices[i + j, i]
        i, j = i - (choice != 2), j - (choice != 1)
        path.append((int(i), int(j)))
    return np.array(path[::-1], dtype=np.int64)


def pose_distances(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Root mean square distance of joints between every two poses.

    Args:
        one (`numpy.ndarray`): (n, joints, 3).
        two (`numpy.ndarray`): (m, joints, 3).

    Returns:
        `numpy.ndarray`: (n, m) float64, in the unit of the poses.
    """
    a, b = one.reshape(len(one), -1), two.reshape(len(two), -1)
    squares = np.square(a).sum(1)[:, None] + np.square(b).sum(1) - 2 * a @ b.T
    return np.sqrt(np.maximum(squares, 0) / one.shape[1])


def body_poses(motion: Motion) -> np.ndarray:
    """Joints around the root, each frame turned to face +Z, (frames, joints, 3) float64, metres."""
    joints = motion.joints.astype(np.float64)
    return turned(joints - joints[:, :1], headings(joints, motion.skeleton))


def headings(joints: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Angle about the vertical from +Z to where each pose faces, (frames,) float64, radians; see `hf_motion.canonical.face_forward`.

    A pose that does not say, such as one that lies on its side, faces where the one before it does.
    """
    right_hip, left_hip, right_shoulder, left_shoulder = np.moveaxis(joints[:, list(skeleton.facing or ())], 1, 0)
    across = (right_hip - left_hip + right_shoulder - left_shoulder)[:, [0, 2]]
    known = np.linalg.norm(across, axis=-1) > 1e-6
    latest = np.maximum.accumulate(np.where(known, np.arange(len(joints)), -1))
    angles = np.where(known, np.arctan2(across[:, 1], -across[:, 0]), 0.0)
    return np.where(latest < 0, 0.0, angles[np.maximum(latest, 0)])


def turned(joints: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Joints (frames, joints, 3) turned about the vertical by minus these angles, (frames,)."""
    sine, cosine = np.sin(angles)[:, None], np.cos(angles)[:, None]
    x, y, z = np.moveaxis(joints, -1, 0)
    return np.stack((cosine * x - sine * z, y, sine * x + cosine * z), axis=-1)


def start_forward(motion: Motion) -> Motion:
    """The whole motion moved so that its root starts above the origin, and turned so that it faces +Z in its first frame."""
    start = motion.joints[0, 0].astype(np.float64) * [1, 0, 1]
    turned = motion.turn(-float(headings(motion.joints[:1].astype(np.float64), motion.skeleton)[0]), about=start)
    return replace(turned, joints=turned.joints - start)


def on_body_of(motion: Motion, body: Motion) -> Motion:
    """The motion with the bone lengths of another one: directions stay, the way of the root is scaled with the legs.

    Bones that have the same length to 1 % stay as they are, all of them: recordings measure no better.

    Args:
        motion (`Motion`): What moves.
        body (`Motion`): Whose bone lengths, medians over its frames.
    """
    bones = np.array(motion.skeleton.bones)
    joints, other = motion.joints.astype(np.float64), body.joints.astype(np.float64)
    offsets = joints[:, bones[:, 1]] - joints[:, bones[:, 0]]
    own = np.median(np.linalg.norm(offsets, axis=-1), axis=0)
    wanted = np.median(np.linalg.norm(other[:, bones[:, 1]] - other[:, bones[:, 0]], axis=-1), axis=0)
    ratios = np.where(own > 1e-4, wanted / np.maximum(own, 1e-4), 1.0)
    if np.abs(ratios - 1).max() < _SAME_BONES:
        return motion
    places = {child: place for place, (_, child) in enumerate(motion.skeleton.bones)}
    legs = [places[joint] for joint in motion.skeleton.leg or () if joint in places]
    size = wanted[legs].sum() / max(own[legs].sum(), 1e-4) if legs else float(np.median(ratios))
    result = np.empty_like(joints)
    result[:, 0] = joints[:, 0] * size
    for place, (parent, child) in enumerate(motion.skeleton.bones):
        result[:, child] = result[:, parent] + offsets[:, place] * ratios[place]
    rest = motion.rest_offsets if motion.rest_offsets is None else resized_offsets(motion.rest_offsets, joints, result, motion.skeleton)
    return replace(motion, joints=result, rest_offsets=rest)


def _warp(poses: np.ndarray, wanted: np.ndarray, fps: float) -> tuple[np.ndarray, float]:
    """The path between as many poses, and its mean cost."""
    cost = pose_distances(poses, wanted)
    waits = [
        _SIDESTEP + _WAITING * fps * np.sqrt(np.square(np.diff(side, axis=0, prepend=side[:1])).sum(-1).mean(-1))
        for side in (poses, wanted)
    ]
    path = warp_path(cost, *waits)
    return path, float(cost[path[:, 0], path[:, 1]].mean())


def _mapping(path: np.ndarray, frames: int, fps: float) -> np.ndarray:
    straight = np.arange(frames)
    apart = np.bincount(path[:, 0], path[:, 1], frames) / np.bincount(path[:, 0], minlength=frames) - straight
    width = max(1, round(_SMOOTHING * fps)) | 1
    smooth = straight + np.convolve(np.pad(apart, width // 2, mode="edge"), np.full(width, 1 / width), mode="valid")
    return np.maximum.accumulate(np.clip(smooth, 0, frames - 1))


def _at(joints: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Joints at these places between frames."""
    left = np.minimum(places.astype(int), max(len(joints) - 2, 0))
    weight = (places - left)[:, None, None]
    return joints[left] * (1 - weight) + joints[np.minimum(left + 1, len(joints) - 1)] * weight


def _check(source: Motion, target: Motion, max_seconds: float) -> None:
    if (source.skeleton.joint_names, source.skeleton.parents) != (target.skeleton.joint_names, target.skeleton.parents):
        raise ValueError(
            f"The first motion is on skeleton {source.skeleton.name!r}, the second on {target.skeleton.name!r}; both must have the same "
            "joints. Read files with hf_motion.read_motion, which maps the joints of known rigs to 'humanml3d-22'."
        )
    if source.skeleton.facing is None:
        raise ValueError(
            f"Skeleton {source.skeleton.name!r} does not say what its hips and shoulders are. Read the file with read_motion, which maps "
            "its joints to 'humanml3d-22', or give the skeleton `facing`."
        )
    for name, motion in (("first", source), ("second", target)):
        if len(motion) < 2:
            raise ValueError(f"The {name} motion is a single pose; two motions are compared over time. Take at least two frames.")
        if motion.duration > max_seconds:
            raise ValueError(
                f"The {name} motion takes {motion.duration:.0f} s, and at most {max_seconds:g} s are compared. Cut it to the exercise that "
                f"is meant: motion[a:b] takes frames a to b, at {motion.fps:g} a second."
            )
