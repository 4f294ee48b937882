"""Where the floor of a clip is, told by the feet that stand on it rather than by the lowest joint of all frames."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .motion import Motion

# A foot that bears the body: its toe is slow (metres per second) and hardly above the lowest joint (metres).
_SLOW, _NEAR = 0.4, 0.04
# The floor is so low (a quantile) among the heights at which feet stand, once those are left out that are so much (metres) above what is
# about the lowest (another quantile): steps and stairs. Along a clip it is followed as far as this from there (metres).
_SHARE, _STEP, _LOWEST, _BAND = 0.2, 0.1, 0.05, 0.06
# Seconds over which the height of the floor may drift, and metres below it that a joint may come without lifting the body.
_DRIFT, _SINK = 1.0, 0.01
# Seconds over which the body is lifted where a joint comes farther below, and most metres below that a settled clip keeps.
_LIFT, _SUNK = 0.3, 0.02
# What is above the estimate weighs so much less than what is below: heels and toes come up while a foot rolls, and never go down.
_ABOVE = 0.2


def floor_height(motion: Motion) -> float:
    """Height at which the feet of a clip stand on the floor, in metres.

    Toes count that are slow and hardly above the lowest joint of their frame, so that flights do not, and of their heights a low one,
    so that steps and stairs do not. Where no toe stands in any frame, it is the height that the lowest joint seldom falls below.

    Args:
        motion (`Motion`): On a skeleton with joints called left_foot and right_foot.

    Returns:
        `float`: To be subtracted from all heights.

    Raises:
        ValueError: If the skeleton has no such joints.

    Example:
    >>> import numpy as np
    >>> from hf_motion import Motion
    >>> from hf_motion.floor import floor_height
    >>> joints = np.ones((40, 22, 3))
    >>> joints[:, [10, 11], 1] = 0.3
    >>> joints[20, 20, 1] = 0  # one hand in one frame
    >>> round(floor_height(Motion(joints)), 3)
    0.3
    """
    return _floor_height(*_standing(motion))


def level_floor(motion: Motion) -> Motion:
    """The clip with feet that stand on the floor at height 0 in all of it, for recordings that drift, tilt or dip.

    `put_on_floor`, and HumanML3D's features after it, take the lowest joint of all frames for the floor: one dip of a toe, a tilted
    recording room, or hands that reach lower on another body make a clip float. Here the height of the floor is followed along the clip by
    the feet that stand, over about a second, within 6 cm; whatever else they stand on is a step or stairs and stays as high above the
    floor as it was. Flights keep their height. Where a joint still is more than 1 cm below, the body is lifted for that moment.

    Apply it after `uniform_skeleton`, since other bones put the feet elsewhere.

    Args:
        motion (`Motion`): On a skeleton with joints called left_foot and right_foot.

    Returns:
        `Motion`: With other heights; each frame is shifted as a whole.

    Raises:
        ValueError: If the skeleton has no such joints.

    Example:
    >>> import numpy as np
    >>> from hf_motion import Motion
    >>> from hf_motion.floor import level_floor
    >>> joints = np.ones((100, 22, 3))
    >>> joints[:, [10, 11], 1] = np.linspace(0, 0.05, 100)[:, None]  # the floor rises by 5 cm in 5 seconds
    >>> bool(np.abs(level_floor(Motion(joints)).joints[:, [10, 11], 1]).max() < 0.012)
    True
    """
    heights, standing, lowest = _standing(motion)
    base = _floor_height(heights, standing, lowest)
    on_floor = standing & (np.abs(heights - base) < _BAND)
    floor = np.full(len(motion), base)
    if on_floor.any():
        at = np.flatnonzero(on_floor)
        frames = np.arange(len(motion))
        near = np.exp(-0.5 * ((frames[:, None] - at) / (_DRIFT * motion.fps)) ** 2) + 1e-9
        for _ in range(3):
            weight = near * np.where(heights[at] > floor[at] + 1e-6, _ABOVE, 1.0)
            floor = (weight * heights[at]).sum(1) / weight.sum(1)
    below = np.maximum(floor - lowest - _SINK, 0)
    shift = _covering(below, max(1, round(_LIFT * motion.fps))) - floor
    return replace(motion, joints=motion.joints + (shift[:, None, None] * np.array([0, 1, 0])).astype(np.float32))


def settle_on_floor(motion: Motion) -> Motion:
    """The whole clip raised or lowered by one amount, so that feet stand on the floor at height 0: for generated motions.

    The amount is `floor_height`, or less where a joint would end more than 2 cm below the floor. Jumps and stairs keep their height.

    Args:
        motion (`Motion`): On a skeleton with joints called left_foot and right_foot.

    Returns:
        `Motion`: With other heights.

    Raises:
        ValueError: If the skeleton has no such joints.

    Example:
    >>> import numpy as np
    >>> from hf_motion import Motion
    >>> from hf_motion.floor import settle_on_floor
    >>> settle_on_floor(Motion(np.full((2, 22, 3), 0.5))).joints[..., 1].max().item()
    0.0
    """
    heights, standing, lowest = _standing(motion)
    height = min(_floor_height(heights, standing, lowest), lowest.min() + _SUNK)
    return replace(motion, joints=motion.joints - np.array([0, height, 0], np.float32))


def _standing(motion: Motion) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Height of the lower toe that stands, whether one does, and height of the lowest joint, each (frames,)."""
    names = motion.skeleton.joint_names
    if "left_foot" not in names or "right_foot" not in names:
        raise ValueError(
            f"Skeleton {motion.skeleton.name!r} has no joints left_foot and right_foot, which tell where the floor is. "
            "Map the motion to 'humanml3d-22' first."
        )
    joints = motion.joints.astype(np.float64)
    toes = joints[:, [names.index("left_foot"), names.index("right_foot")]]
    lowest = joints[..., 1].min(1)
    speed = np.linalg.norm(np.gradient(toes, axis=0), axis=-1) * motion.fps if len(toes) > 1 else np.zeros(toes.shape[:2])
    stands = (speed < _SLOW) & (toes[..., 1] < lowest[:, None] + _NEAR)
    heights = np.where(stands, toes[..., 1], np.inf).min(1)
    return heights, stands.any(1), lowest


def _floor_height(heights: np.ndarray, standing: np.ndarray, lowest: np.ndarray) -> float:
    heights = heights[standing] if standing.any() else lowest
    return float(np.quantile(heights[heights < np.quantile(heights, _LOWEST) + _STEP], _SHARE))


def _covering(values: np.ndarray, width: int) -> np.ndarray:
    """A smooth curve that is nowhere below `values` (frames,): the largest of the neighbours, averaged over as many."""
    padded = np.pad(values, width, mode="edge")
    largest = np.lib.stride_tricks.sliding_window_view(padded, 2 * width + 1).max(-1)
    window = np.hanning(2 * width + 3)[1:-1]
    return np.convolve(np.pad(largest, width, mode="edge"), window / window.sum(), mode="valid")
