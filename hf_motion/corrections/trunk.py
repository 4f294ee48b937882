"""Exact edits of torso, head and tempo."""

from __future__ import annotations

import numpy as np

from ..skeletons import HUMANML3D_22
from .limbs import UP, Clip, NotApplicable, rotate, unit
from .triplet import Change

_NAMES = {
    "torso": ("spine1", "spine2", "spine3", "neck", "head", *(f"{side}_{part}" for side in ("left", "right") for part in
              ("collar", "shoulder", "elbow", "wrist"))),
    "head": ("head",),
}  # fmt: skip
_BASE = {"torso": ("pelvis", "neck"), "head": ("neck", "head")}
# Degrees from upright between which a torso or a head may be, forward and sideways, before and after.
_UPRIGHT = 70.0
_FORWARD = {"torso": (-25.0, 85.0), "head": (-45.0, 95.0)}
_SIDEWAYS = 45.0
# Degrees between shoulders and hips, at most; metres of a head that is ahead of its neck, at least, for its turn to be seen.
_TWIST = 70.0
_AHEAD = 0.03
_MOVES = 0.15


def lean_part(clip: Clip, change: Change, amount: float) -> tuple[np.ndarray, float]:
    """Torso (with head and arms) or head leaned by `amount` degrees about its base, as a whole.

    Returns:
        `tuple[numpy.ndarray, float]`: Joints and the degrees, which are what was asked for.

    Raises:
        NotApplicable: If the part is not upright, or would lean farther than a body can.
    """
    forward, sideways = lean_angles(clip, change.part)
    if np.abs(np.stack((forward, sideways))).max() > _UPRIGHT:
        raise NotApplicable(f"the {change.part} is not upright", f"{np.abs(np.stack((forward, sideways))).max():.0f} degrees")
    sign = 1 if change.direction in ("forward", "left") else -1
    turn = sign * amount * clip.weight
    if change.direction in ("forward", "backward"):
        low, high = _FORWARD[change.part]
        after, axis, way = forward + turn, clip.left, 1.0
    else:
        low, high, after, axis, way = -_SIDEWAYS, _SIDEWAYS, sideways + turn, clip.forward, -1.0
    moving = clip.weight > 1e-3
    if (after[moving] < low).any() or (after[moving] > high).any():
        raise NotApplicable(f"the {change.part} cannot lean further {change.direction}", f"up to {np.abs(after[moving]).max():.0f} degrees")
    return _turned(clip, change.part, axis, np.radians(way * turn)), amount


def lean_angles(clip: Clip, part: str, axes: Clip | None = None) -> tuple[np.ndarray, np.ndarray]:
    """How far torso or head lean from upright, to the front and to the left (of `axes`), (frames,) each, degrees."""
    axes = clip if axes is None else axes
    base, top = _BASE[part]
    line = clip.joint(top) - clip.joint(base)
    up = line[:, 1]
    forward, left = (line * axes.forward).sum(-1), (line * axes.left).sum(-1)
    return np.degrees(np.arctan2(forward, up)), np.degrees(np.arctan2(left, up))


def turn_part(clip: Clip, change: Change, amount: float) -> tuple[np.ndarray, float]:
    """Torso (with head and arms) or head turned by `amount` degrees about the vertical through its base.

    Returns:
        `tuple[numpy.ndarray, float]`: Joints and the degrees, which are what was asked for.

    Raises:
        NotApplicable: If the torso would twist too far, or the head is so upright that a turn moves no joint.
    """
    turn = (1 if change.direction == "left" else -1) * amount * clip.weight
    if change.part == "torso":
        twist = twist_angle(clip) + turn
        if np.abs(twist[clip.weight > 1e-3]).max() > _TWIST:
            raise NotApplicable(f"the torso cannot turn further {change.direction}", f"{np.abs(twist).max():.0f} degrees")
    else:
        ahead = np.linalg.norm((clip.joint("head") - clip.joint("neck"))[:, [0, 2]], axis=-1)
        if ahead[clip.full].min() < _AHEAD:
            raise NotApplicable("a turn of the head would not be seen", f"{ahead[clip.full].min():.3f} m ahead of the neck")
    return _turned(clip, change.part, np.broadcast_to(UP, clip.left.shape), np.radians(turn)), amount


def twist_angle(clip: Clip) -> np.ndarray:
    """How far the shoulders are turned to the left against the hips, (frames,), degrees."""
    hips, shoulders = (clip.joint(f"left_{name}") - clip.joint(f"right_{name}") for name in ("hip", "shoulder"))
    sine = hips[:, 2] * shoulders[:, 0] - hips[:, 0] * shoulders[:, 2]
    return np.degrees(np.arctan2(sine, (hips * shoulders)[:, [0, 2]].sum(-1)))


def _turned(clip: Clip, part: str, axis: np.ndarray, angle: np.ndarray) -> np.ndarray:
    joints = clip.joints.copy()
    moved = [HUMANML3D_22.joint(name) for name in _NAMES[part]]
    base = clip.joint(_BASE[part][0])[:, None]
    joints[:, moved] = base + rotate(joints[:, moved] - base, axis, angle)
    lowest = joints[:, moved, 1].min()
    if lowest < min(clip.joints[..., 1].min() + 0.02, clip.joints[:, moved, 1].min()):
        raise NotApplicable("a hand would be in the floor")
    return joints


def change_speed(clip: Clip, amount: float, max_frames: int | None = None) -> tuple[np.ndarray, float]:
    """The clip `amount` times as fast: joints between frames by cubic curves, bones as long as before.

    Args:
        clip (`Clip`): The clip.
        amount (`float`): Above 1 is faster.
        max_frames (`int`, *optional*): Longest clip that may come out.

    Returns:
        `tuple[numpy.ndarray, float]`: Joints of another number of frames, and the factor reached: the last frame is still the last.

    Raises:
        NotApplicable: If hardly anything moves, or the clip would be too short or too long.
    """
    spread = float(np.linalg.norm(clip.joints - clip.joints.mean(0), axis=-1).max())
    if spread < _MOVES:
        raise NotApplicable("the clip hardly moves", f"{spread:.3f} m")
    steps = round((len(clip) - 1) / amount)
    if steps < 8:
        raise NotApplicable("the clip would be too short", f"{steps + 1} frames")
    if max_frames is not None and steps + 1 > max_frames:
        raise NotApplicable("the clip would be too long", f"{steps + 1} frames of {max_frames}")
    places = np.linspace(0, len(clip) - 1, steps + 1)
    joints = _curves(clip.joints, places)
    lengths = _curves(np.linalg.norm(_bones(clip.joints), axis=-1)[..., None], places, straight=True)
    bones = unit(_bones(joints)) * lengths
    for parent, joint in HUMANML3D_22.bones:
        joints[:, joint] = joints[:, parent] + bones[:, joint]
    return joints, (len(clip) - 1) / steps


def _bones(joints: np.ndarray) -> np.ndarray:
    return joints - joints[:, [max(parent, 0) for parent in HUMANML3D_22.parents]]


def _curves(values: np.ndarray, places: np.ndarray, straight: bool = False) -> np.ndarray:
    """Values (frames, ...) at places between frames, by Catmull-Rom splines or straight lines."""
    last = len(values) - 1
    left = np.minimum(places.astype(int), last - 1)
    share = (places - left).reshape(-1, *[1] * (values.ndim - 1))
    one, two = values[left], values[left + 1]
    if straight:
        return one + share * (two - one)
    before = np.where(left.reshape(share.shape) > 0, values[left - 1], 2 * one - two)
    after = np.where(left.reshape(share.shape) + 1 < last, values[np.minimum(left + 2, last)], 2 * two - one)
    return 0.5 * (
        2 * one + (two - before) * share + (2 * before - 5 * one + 4 * two - after) * share**2
        + (3 * one - before - 3 * two + after) * share**3
    )  # fmt: skip
