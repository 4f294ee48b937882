"""From rotations over time to joint positions, at any frame rate and in bounded memory: shared by the file readers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..kinematics import forward_kinematics
from ..motion import resampling_weights
from ..representation.rotations import quaternion_multiply
from ..skeletons import Skeleton
from ..utils.limits import check_clip

_FRAMES_AT_ONCE = 4096

LocalPose = Callable[[np.ndarray], tuple[Tensor, Tensor]]


def slerp(one: Tensor, other: Tensor, weight: Tensor) -> Tensor:
    """Rotations between two, the short way round, at constant speed (Shoemake 1985).

    Args:
        one (`torch.Tensor`): Unit quaternions, (..., 4), real part first.
        other (`torch.Tensor`): The same shape.
        weight (`torch.Tensor`): How far from `one` to `other`, 0 to 1, broadcastable to (..., 1).

    Returns:
        `torch.Tensor`: Unit quaternions, (..., 4).

    Example:
    >>> import torch
    >>> from hf_motion.formats.animation import slerp
    >>> slerp(torch.tensor([1.0, 0, 0, 0]), torch.tensor([0.0, 0, 1, 0]), torch.tensor([0.5]))
    tensor([0.7071, 0.0000, 0.7071, 0.0000])
    """
    cosine = (one * other).sum(-1, keepdim=True)
    other = torch.where(cosine < 0, -other, other)
    cosine = cosine.abs().clamp(max=1.0)
    angle = cosine.acos()
    sine = angle.sin()
    near = sine < 1e-6  # the formula divides by it; so close, the chord is the arc
    sine = torch.where(near, torch.ones_like(sine), sine)
    left = torch.where(near, 1 - weight, ((1 - weight) * angle).sin() / sine)
    right = torch.where(near, weight + 0 * angle, (weight * angle).sin() / sine)
    return F.normalize(left * one + right * other, dim=-1)


def sample_joints(local_pose: LocalPose, skeleton: Skeleton, frames: int, source_fps: float, fps: float | None = None) -> np.ndarray:
    """World positions of an animation, resampled if need be: rotations by slerp, offsets and the root's path linearly.

    Args:
        local_pose (`Callable`): Takes frame numbers (int64 array) and returns local unit quaternions (frames, joints, 4) and
            offsets from each joint's parent (frames, joints, 3), the root's being its position; float64 tensors.
        skeleton (`Skeleton`): The joints' hierarchy.
        frames (`int`): Frames there are.
        source_fps (`float`): Their rate.
        fps (`float`, *optional*): Wanted rate, by default the same.

    Returns:
        `numpy.ndarray`: Positions, (frames, joints, 3) float64, from the first frame to the last, never beyond it.

    Raises:
        ValueError: If there would be too many frames (`hf_motion.utils.limits`), as a damaged frame rate makes.
    """
    resampled = fps is not None and fps != source_fps and frames > 1
    check_clip(frames, len(skeleton))
    if resampled:
        hint = f"Is the file's frame rate of {source_fps:g} fps right for a result at {fps:g}? Say it with `source_fps=`."
        check_clip(int((frames - 1) * fps / source_fps) + 1, len(skeleton), hint)
    left, weight = resampling_weights(frames, source_fps, fps) if resampled else (np.arange(frames), np.zeros(frames, np.float32))
    parts = []
    for start in range(0, len(left), _FRAMES_AT_ONCE):
        here, share = left[start : start + _FRAMES_AT_ONCE], weight[start : start + _FRAMES_AT_ONCE]
        rotations, offsets = local_pose(here)
        if share.any():
            next_rotations, next_offsets = local_pose(here + 1)
            share = torch.from_numpy(share).double()[:, None, None]
            rotations, offsets = slerp(rotations, next_rotations, share), offsets * (1 - share) + next_offsets * share
        parts.append(forward_kinematics(rotations, offsets[:, 0], offsets, skeleton).numpy())
    return np.concatenate(parts)


def euler_quaternions(angles: Tensor, axes: Tensor) -> Tensor:
    """Product of turns about coordinate axes, from left to right.

    Args:
        angles (`torch.Tensor`): In radians, (..., turns).
        axes (`torch.Tensor`): Unit vectors, (..., turns, 3), broadcastable. An angle of zero makes no turn.

    Returns:
        `torch.Tensor`: Unit quaternions, (..., 4).
    """
    half = angles[..., None] / 2
    turns = torch.cat((half.cos(), half.sin() * axes), dim=-1)
    product = turns[..., 0, :]
    for turn in range(1, turns.shape[-2]):
        product = quaternion_multiply(product, turns[..., turn, :])
    return product
