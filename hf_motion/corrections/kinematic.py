"""Edits whose truth is exact: one change of a real clip, made by kinematics."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..motion import Motion
from ..skeletons import HUMANML3D_22
from . import arms, legs, trunk
from .limbs import NotApplicable, clip_of
from .triplet import Change

FPS = 20.0
"""Frames per second of triplets."""

_BONES = 1e-3
# Metres per frame and frame at 20 fps: a joint that jerks more than this, and more than twice as much as any did, has been thrown about.
_JERK, _JERKIER = 0.05, 2.2

_DEFAULTS: dict[str, tuple[float, str]] = {
    "height": (0.2, "m"), "width": (0.15, "m"), "reach": (0.15, "m"), "amplitude": (1.4, "ratio"), "speed": (1.3, "ratio"),
    "timing": (0.3, "s"), "bend": (25.0, "deg"), "stride": (1.25, "ratio"), "lean": (15.0, "deg"), "turn": (25.0, "deg"),
}  # fmt: skip
_ARMS = ("left arm", "right arm", "both arms")
_LEGS = ("left leg", "right leg", "both legs")
_WHOLE_CLIP = ("amplitude", "speed", "timing", "stride")
_HAND_MOVES = ("height", "width", "reach")


@dataclass(frozen=True)
class KinematicEdit:
    """A clip with one change.

    Args:
        motion (`Motion`): The clip.
        change (`Change`): With the amount that was reached.
        span (`tuple[int, int]`): First frame of the change and the frame behind its last.
    """

    motion: Motion
    change: Change
    span: tuple[int, int]


def can_edit(change: Change) -> bool:
    """Whether there is an exact edit for a change.

    Example:
    >>> from hf_motion.corrections import Change
    >>> from hf_motion.corrections.kinematic import can_edit
    >>> can_edit(Change("left arm", "height", "up")), can_edit(Change("left leg", "bend", "more"))
    (True, False)
    """
    part, kind = change.part, change.kind
    if part in _ARMS:
        return kind in (*_HAND_MOVES, "bend", "amplitude", "timing")
    if part in _LEGS:
        return kind == "height" or (part == "both legs" and kind in ("bend", "stride"))
    return kind in ("lean", "turn") if part in ("torso", "head") else (part, kind) == ("whole body", "speed")


def default_amount(change: Change) -> tuple[float, str]:
    """A typical amount of a change and its unit: 20 cm, 25 degrees, by 40 %, ...

    Raises:
        NotApplicable: If the change is an action.
    """
    if change.kind not in _DEFAULTS:
        raise NotApplicable("an action has no exact edit")
    amount, unit = _DEFAULTS[change.kind]
    if change.part in _LEGS and change.kind == "height":
        amount = 0.1
    return (1 / amount if unit == "ratio" and change.direction in ("less", "slower") else amount), unit


def edit_motion(motion: Motion, change: Change, span: tuple[int, int] | None = None, max_frames: int | None = None) -> KinematicEdit:
    """Make one change of a clip, exactly.

    | kind | of | what is done | unit |
    |---|---|---|---|
    | `height`, `width`, `reach` | arms | hands go up/down, out/in, forward/backward, by two-bone inverse kinematics | m |
    | `height` | legs | a foot that leaves the floor is lifted more or less; the amount is that of its highest place | m |
    | `bend` | arms, both legs | elbows, hands on their line from the shoulder; for knees the pelvis sinks, feet stay | deg |
    | `amplitude` | arms | the hand's angles about its mean direction from the shoulder are scaled, elbows stay | ratio |
    | `timing` | arms | what the arm does against the chest comes earlier or later | s |
    | `stride` | both legs | way and steps are scaled along a straight way; feet stand where they land | ratio |
    | `lean`, `turn` | torso, head | the part turns about its base, as a whole | deg |
    | `speed` | whole body | time is scaled | ratio |

    All bones keep their lengths, and joints of other parts keep their places, but for those that hang on the part.

    Args:
        motion (`Motion`): On `humanml3d-22`, feet on the floor; brought to 20 frames per second.
        change (`Change`): What to change; without an amount, by a typical one.
        span (`tuple[int, int]`, *optional*): First frame of the change and the frame behind its last, at 20 frames per second: it comes
            and goes softly within. The whole clip by default, and always for `amplitude`, `speed`, `timing` and `stride`.
        max_frames (`int`, *optional*): Longest clip that may come out of a change of speed.

    Returns:
        `KinematicEdit`: The clip, and the change with the amount that was reached: less than asked for, down to 60 %, where a limb's length
        ends, never more.

    Raises:
        NotApplicable: If the change has no meaning for the clip (a stride of one who stands, a hand that cannot be higher), or would
            break the body. A `ValueError`, whose `reason` is short enough to be counted.
        ValueError: If the clip is of another skeleton, or the span is outside of it.

    Example:
    >>> import numpy as np
    >>> from hf_motion import Motion
    >>> from hf_motion.corrections import Change, edit_motion
    >>> from hf_motion.skeletons import HUMANML3D_22
    >>> pose = np.zeros((22, 3))
    >>> for parent, joint in HUMANML3D_22.bones:
    ...     pose[joint] = pose[parent] + HUMANML3D_22.rest_offsets[joint]
    >>> standing = Motion(np.tile(pose - [0, pose[:, 1].min(), 0], (40, 1, 1)))
    >>> edit = edit_motion(standing, Change("left arm", "height", "up", 0.2, "m"))
    >>> round(float(edit.motion.joints[0, 20, 1] - standing.joints[0, 20, 1]), 3), edit.change.amount
    (0.2, 0.2)
    """
    if motion.skeleton != HUMANML3D_22:
        raise ValueError(f"Exact edits are made on 'humanml3d-22', got {motion.skeleton.name!r}. Map the motion with read_motion first.")
    if not can_edit(change):
        raise NotApplicable("there is no exact edit of this kind", f"{change.kind} of {change.part}")
    motion = motion.resample(FPS)
    if span is not None and not 0 <= span[0] < span[1] <= len(motion):
        raise ValueError(f"span must be frames from 0 to {len(motion)}, the first before the last, got {span}.")
    if len(motion) < 10:
        raise NotApplicable("the clip is too short", f"{len(motion)} frames")
    span = None if change.kind in _WHOLE_CLIP else span
    amount, unit = (change.amount, change.unit) if change.amount is not None else default_amount(change)
    if unit != _DEFAULTS[change.kind][1]:
        raise ValueError(f"The amount of a change of {change.kind} is in {_DEFAULTS[change.kind][1]!r}, got {unit!r}.")
    joints, reached = _edited(motion, change, float(amount), span, max_frames)
    face = None if motion.face is None else motion.face.at(np.linspace(0, len(motion) - 1, len(joints)))
    made = replace(motion, joints=joints, face=face)
    _check_body(motion, made, change)
    return KinematicEdit(made, replace(change, amount=reached, unit=unit), span or (0, len(made)))


def _edited(
    motion: Motion, change: Change, amount: float, span: tuple[int, int] | None, max_frames: int | None
) -> tuple[np.ndarray, float]:
    clip, part, kind = clip_of(motion, span), change.part, change.kind
    if kind == "speed":
        return trunk.change_speed(clip, amount, max_frames)
    if part in ("torso", "head"):
        return (trunk.lean_part if kind == "lean" else trunk.turn_part)(clip, change, amount)
    if part in _LEGS:
        return {"height": legs.lift_feet, "bend": legs.bend_knees, "stride": legs.scale_steps}[kind](clip, change, amount)
    if kind in _HAND_MOVES:
        return arms.move_hands(clip, change, amount)
    return {"bend": arms.bend_elbows, "amplitude": arms.scale_swing, "timing": arms.shift_arms}[kind](clip, change, amount)


def _check_body(source: Motion, made: Motion, change: Change) -> None:
    """Refuse what came out with other bones, or thrown about."""
    if change.kind == "speed":
        return
    before, after = (_bone_lengths(motion.joints) for motion in (source, made))
    if np.abs(after - before).max() > _BONES:
        raise NotApplicable("bones would change their lengths", f"{np.abs(after - before).max():.4f} m")
    rough, smooth = (_jerk(motion.joints) for motion in (made, source))
    if rough > max(_JERK, _JERKIER * smooth):
        raise NotApplicable("the body would jerk", f"{rough:.3f} m per frame and frame")


def _bone_lengths(joints: np.ndarray) -> np.ndarray:
    return np.stack([np.linalg.norm(joints[:, joint] - joints[:, parent], axis=-1) for parent, joint in HUMANML3D_22.bones], axis=-1)


def _jerk(joints: np.ndarray) -> float:
    return float(np.linalg.norm(np.diff(joints, 2, axis=0), axis=-1).max())
