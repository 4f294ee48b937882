"""How much of a change there is between two motions, measured in their joints, whoever made the second."""

from __future__ import annotations

import numpy as np

from ..metrics import events
from ..motion import Motion
from .arms import elbow_bend, swings_of
from .limbs import SIDES, Clip, clip_of, sides_of
from .triplet import Change
from .trunk import lean_angles, twist_angle

# Frames behind the ends of a clip that are left out of what is measured by a shift in time.
_LONGEST_SHIFT = 16


def measure_change(source: Motion, target: Motion, change: Change, span: tuple[int, int] | None = None) -> float | None:
    """How far the target goes the way that a change says, from the source.

    Args:
        source (`Motion`): On `humanml3d-22`.
        target (`Motion`): As long, but for a change of speed.
        change (`Change`): Its part, kind and direction are read, its amount is not.
        span (`tuple[int, int]`, *optional*): Frames to look at.

    Returns:
        `float`, *optional*: In the unit of the kind, mean over the frames (of feet's height, where it differs most): metres, degrees,
        seconds; negative where the target goes the other way. For `amplitude`, `stride` and `speed` it is the target's over the
        source's. None where there is nothing to measure: an action.

    Raises:
        ValueError: If the motions differ in length, but for a change of speed.
    """
    if change.kind == "action":
        return None
    if change.kind == "speed":
        return (len(source) - 1) / max(len(target) - 1, 1) if change.part == "whole body" else _pace(source, target, change)
    if len(source) != len(target):
        raise ValueError(f"The motions to compare have {len(source)} and {len(target)} frames; they must have as many.")
    one, other = clip_of(source, None), clip_of(target, None)
    part = slice(*span) if span is not None else slice(None)
    if change.kind == "timing":
        return float(np.mean([_shift(one, other, side, change) for side in sides_of(change.part)]))
    if change.kind == "amplitude":
        spreads = [[_spread(clip, side, change) for side in sides_of(change.part)] for clip in (one, other)]
        return float(np.mean(np.divide(spreads[1], np.maximum(spreads[0], 1e-3))))
    if change.kind == "stride":
        return _way(other) / max(_way(one), 1e-3)
    if change.kind == "height" and "leg" in change.part:
        rises = [(other.joint(f"{side}_ankle") - one.joint(f"{side}_ankle"))[part, 1] for side in sides_of(change.part)]
        rise = float(np.mean([values[np.abs(values).argmax()] for values in rises]))
        return rise if change.direction == "up" else -rise
    difference = _measure(other, change, one)[part] - _measure(one, change, one)[part]
    back = change.direction in ("down", "in", "backward", "less") or (change.kind in ("lean", "turn") and change.direction == "right")
    return float((-1 if back else 1) * difference.mean())


def _measure(clip: Clip, change: Change, axes: Clip) -> np.ndarray:
    """What a change is of, frame by frame, (frames,), leaning seen along the axes of another clip."""
    if change.kind == "lean":
        angles = lean_angles(clip, "head" if change.part == "head" else "torso", axes)
        return angles[0] if change.direction in ("forward", "backward") else angles[1]
    if change.kind == "turn":
        return _head_turn(clip) if change.part == "head" else twist_angle(clip)
    motion = Motion(clip.joints, clip.fps)
    limb = "arm" if "arm" in change.part or change.part == "upper body" else "leg"
    sides = sides_of(change.part)
    if change.kind == "bend":
        return np.mean([elbow_bend(clip.chain(side, limb)) for side in sides], axis=0)
    size = events.arm_length(motion) if limb == "arm" else events.leg_length(motion)
    place = events.wrist_place if limb == "arm" else events.ankle_place
    index = {"width": 0, "height": 1, "reach": 2}[change.kind]
    return size * np.mean([place(motion, side)[:, index] for side in sides], axis=0)


def _head_turn(clip: Clip) -> np.ndarray:
    line = clip.joint("head") - clip.joint("neck")
    return np.degrees(np.unwrap(np.arctan2((line * clip.left).sum(-1), (line * clip.forward).sum(-1))))


def _course(clip: Clip, side: str, change: Change) -> np.ndarray:
    """Way of a hand from its shoulder, or a foot from its hip, against the body, (frames, 3), metres."""
    first, _, third = clip.chain(side, "leg" if "leg" in change.part else "arm")
    place = third - first
    return np.stack(((place * clip.left).sum(-1), place[:, 1], (place * clip.forward).sum(-1)), axis=-1)


def _spread(clip: Clip, side: str, change: Change) -> float:
    """Swing of a hand or foot about its mean direction, radians."""
    return float(np.sqrt((swings_of(_course(clip, side, change))[1] ** 2).sum(-1).mean()))


def _shift(one: Clip, other: Clip, side: str, change: Change) -> float:
    """Seconds by which the other clip's limb is ahead (earlier) or behind (later), by the best fit of a shift, weighed by its speed."""
    first, second = (_course(clip, side, change) for clip in (one, other))
    most = min(_LONGEST_SHIFT, len(first) // 4)
    weight = np.linalg.norm(np.gradient(first, axis=0), axis=-1)[most : len(first) - most] + 1e-6
    sign = 1 if change.direction == "later" else -1
    misses = []
    for shift in range(-most, most + 1):
        moved = second[most + shift : len(second) - most + shift]
        misses.append((weight * np.linalg.norm(moved - first[most : len(first) - most], axis=-1)).sum())
    return float(sign * (int(np.argmin(misses)) - most) / one.fps)


def _way(clip: Clip) -> float:
    root = clip.joint("pelvis")[:, [0, 2]]
    return float(np.linalg.norm(root[-1] - root[0]))


def _pace(source: Motion, target: Motion, change: Change) -> float:
    """Mean speed of the ends of limbs against the pelvis, the target's over the source's."""
    names = [f"{side}_{name}" for side in (sides_of(change.part) if change.side else SIDES) for name in _ends(change.part)]
    speeds = []
    for motion in (source, target):
        places = motion.joints[:, [motion.skeleton.joint(name) for name in names]] - motion.joints[:, :1]
        speeds.append(float(np.linalg.norm(np.diff(places, axis=0), axis=-1).mean() * motion.fps))
    return speeds[1] / max(speeds[0], 1e-3)


def _ends(part: str) -> tuple[str, ...]:
    return ("ankle",) if "leg" in part or part == "lower body" else ("wrist",)
