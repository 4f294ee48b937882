"""What is left out of edited motions: parts that did not move, others that did, broken bodies, and what a judge does not see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..cleanup import foot_slide
from ..motion import Motion
from ..skeletons import HUMANML3D_22
from .limbs import clip_of
from .measure import measure_change
from .triplet import Change

# Least change of each kind that counts; of ratios, by how much they must differ from 1.
_LEAST = {
    "height": 0.04, "width": 0.04, "reach": 0.04, "bend": 4.0, "lean": 3.5, "turn": 6.0, "amplitude": 0.08, "speed": 0.06, "stride": 0.06,
    "timing": 0.05,
}  # fmt: skip
_RATIOS = ("amplitude", "speed", "stride")
_FALLING = ("slower", "less")
# A head is one joint near its base: it moves so much less.
_HEAD = 0.5


@dataclass(frozen=True)
class FilterSettings:
    """Where lines are drawn.

    Args:
        min_move (`float`, defaults to 0.03): Metres that the joints of the part move against the root, mean over joints, in some frame.
        max_rest (`float`, defaults to 0.06): Metres that any other joint moves against root and heading, mean over the frames.
        max_sink (`float`, defaults to 0.06): Metres that a joint comes below the lowest of the source.
        max_jerk (`float`, defaults to 0.09): Second difference of a joint, metres per frame and frame at 20 frames per second, unless the
            source has as much; allowed is twice the source's.
        max_slide (`float`, defaults to 0.25): Metres per second by which feet slide faster than the source's.
        min_gain (`float`, *optional*): By how much a judge's cosine with the sentence must rise from source to target; None does not ask.
    """

    min_move: float = 0.03
    max_rest: float = 0.06
    max_sink: float = 0.06
    max_jerk: float = 0.09
    max_slide: float = 0.25
    min_gain: float | None = None


def fault(
    source: Motion, target: Motion, change: Change, mask: Sequence[str], exact: bool, settings: FilterSettings | None = None,
    span: tuple[int, int] | None = None,
) -> str | None:  # fmt: skip
    """Why a triplet is left out, or None.

    Args:
        source (`Motion`): What was done.
        target (`Motion`): What an editor made of it.
        change (`Change`): What was asked for.
        mask (`Sequence[str]`): Body parts that were to be made anew.
        exact (`bool`): Whether it is an exact edit, which did what it says, and moves what hangs on its part.
        settings (`FilterSettings`, *optional*): Where lines are drawn.
        span (`tuple[int, int]`, *optional*): Frames of the change.

    Returns:
        `str`, *optional*: The reason, the same for all with that fault.
    """
    settings = settings or FilterSettings()
    if not np.isfinite(target.joints).all():
        return "not finite"
    if target.joints[..., 1].min() < min(source.joints[..., 1].min(), 0.0) - settings.max_sink:
        return "below the floor"
    rough, before = (float(np.linalg.norm(np.diff(motion.joints, 2, axis=0), axis=-1).max()) for motion in (target, source))
    if rough > max(settings.max_jerk, 2.2 * before):
        return "jerks"
    if foot_slide(target) > foot_slide(source) + settings.max_slide:
        return "feet slide"
    amount = None if exact else measure_change(source, target, change, span)
    if amount is not None:
        least = _LEAST[change.kind]
        done = (amount - 1) * (-1 if change.direction in _FALLING else 1) if change.kind in _RATIOS else amount
        if done < least:
            return "goes the other way" if done < -least else "changes too little"
    if len(source) != len(target):
        return None
    joints = {joint for part in mask for joint in HUMANML3D_22.body_parts[part]}
    moved = np.linalg.norm(_placed(target) - _placed(source), axis=-1)
    least = _HEAD * settings.min_move if change.part == "head" else settings.min_move
    if change.kind not in ("speed", "stride") and joints and moved[:, sorted(joints)].mean(1).max() < least:
        return "the part hardly moves"
    rest = [joint for joint in range(1, len(HUMANML3D_22)) if joint not in joints]
    if not exact and rest and moved[:, rest].mean(0).max() > settings.max_rest:
        return "other parts move"
    return None


def _placed(motion: Motion) -> np.ndarray:
    """Joints against the root and where the body faces, (frames, joints, 3)."""
    clip = clip_of(motion, None)
    axes = np.stack((clip.left, np.broadcast_to([0.0, 1.0, 0.0], clip.left.shape), clip.forward), axis=1)
    return np.einsum("tij,tkj->tki", axes, clip.joints - clip.joints[:, :1])


def agreement(judge: Any, sources: Sequence[Motion], targets: Sequence[Motion], sentences: Sequence[str]) -> np.ndarray:
    """How much nearer targets are to their sentences than sources are, in the eyes of a judge, (motions,); NaN where it cannot tell.

    Args:
        judge (`Reward`): Such as `hf_motion.rewards.TMRReward`.
        sources (`list[Motion]`): Motions before.
        targets (`list[Motion]`): Motions after.
        sentences (`list[str]`): What was asked for.
    """
    scores = np.asarray(judge([*sources, *targets], [*sentences, *sentences]))
    return scores[len(sources) :] - scores[: len(sources)]
