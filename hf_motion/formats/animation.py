"""Rotations over time and the joint positions that they make, at any frame rate: shared by the file readers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..kinematics import forward_kinematics
from ..motion import resampling_weights
from ..pose import multiply, slerp
from ..representation.rotations import quaternion_multiply
from ..skeletons import SKELETONS, Skeleton
from ..utils.limits import check_clip

_FRAMES_AT_ONCE = 4096
_STILL = 1e-6  # share of the longest bone by which a bone may change and still count as rigid
_TO_Y_UP = np.array([2**-0.5, -(2**-0.5), 0, 0], np.float32)

LocalPose = Callable[[np.ndarray], tuple[Tensor, Tensor]]


@dataclass(frozen=True, eq=False)
class Animation:
    """Joints over time in a file's own units and axes, with the rotations that make them where the file has them.

    Args:
        joints (`numpy.ndarray`): World positions, (frames, joints, 3) float64.
        rotations (`numpy.ndarray`, *optional*): Local unit quaternions, (frames, joints, 4) float32, real part first.
        rest_offsets (`numpy.ndarray`, *optional*): From each joint's parent in the rest pose, (joints, 3), or (frames, joints, 3) where
            they change; the root's is zero.
        rests_upright (`bool`, defaults to `False`): Whether the rest pose has Y up whatever the file's up axis is, as SMPL's has.
    """

    joints: np.ndarray
    rotations: np.ndarray | None = None
    rest_offsets: np.ndarray | None = None
    rests_upright: bool = False

    def first(self, count: int) -> Animation:
        """The first joints alone."""
        if self.rotations is None or self.rest_offsets is None:
            return Animation(self.joints[:, :count])
        return replace(
            self, joints=self.joints[:, :count], rotations=self.rotations[:, :count], rest_offsets=self.rest_offsets[..., :count, :]
        )

    def on_known(self, skeleton: Skeleton) -> tuple[Animation, Skeleton]:
        """The joints in the order of the skeleton of ours that has the same as `skeleton`, and that; as they are where none has."""
        known = next((known for known in SKELETONS.values() if same_joints(skeleton, known)), None)
        if known is None:
            return self, skeleton
        order = [skeleton.joint(name) for name in known.joint_names]
        if self.rotations is None or self.rest_offsets is None:
            return Animation(self.joints[:, order]), known
        rotations, offsets = self.rotations[:, order], self.rest_offsets[..., order, :]
        return replace(self, joints=self.joints[:, order], rotations=rotations, rest_offsets=offsets), known

    def in_metres(self, units: float, up: str) -> Animation:
        """Divided by `units` per metre, and with Y up: (x, y, z) as (x, z, -y) where `up` is `"z"`, the rest pose too."""
        joints = self.joints / units if up == "y" else _y_up(self.joints / units)
        if self.rotations is None or self.rest_offsets is None:
            return Animation(joints)
        rotations, offsets = self.rotations, self.rest_offsets / units
        if up == "z" and self.rests_upright:
            rotations = np.concatenate((multiply(_TO_Y_UP, rotations[:, :1]), rotations[:, 1:]), axis=1)
        elif up == "z":
            rotations, offsets = np.concatenate((rotations[..., :1], _y_up(rotations[..., 1:])), axis=-1), _y_up(offsets)
        return Animation(joints, rotations, offsets)


def same_joints(one: Skeleton, other: Skeleton) -> bool:
    """Whether two skeletons have the same joints on the same parents, in any order."""
    links = [{(s.joint_names[joint], s.joint_names[parent]) for parent, joint in s.bones} for s in (one, other)]
    return len(one) == len(other) and one.joint_names[0] == other.joint_names[0] and links[0] == links[1]


def sample(local_pose: LocalPose, skeleton: Skeleton, frames: int, source_fps: float, fps: float | None = None) -> Animation:
    """An animation, resampled if need be: rotations by slerp, offsets and the root's path linearly.

    Args:
        local_pose (`Callable`): Takes frame numbers (int64 array) and returns local unit quaternions (frames, joints, 4) and
            offsets from each joint's parent (frames, joints, 3), the root's being its position; float64 tensors.
        skeleton (`Skeleton`): The joints' hierarchy.
        frames (`int`): Frames there are.
        source_fps (`float`): Their rate.
        fps (`float`, *optional*): Wanted rate, by default the same.

    Returns:
        `Animation`: From the first frame to the last, never beyond it.

    Raises:
        ValueError: If there would be too many frames (`hf_motion.utils.limits`), as a damaged frame rate makes.
    """
    resampled = fps is not None and fps != source_fps and frames > 1
    check_clip(frames, len(skeleton))
    if resampled:
        hint = f"Is the file's frame rate of {source_fps:g} fps right for a result at {fps:g}? Say it with `source_fps=`."
        check_clip(int((frames - 1) * fps / source_fps) + 1, len(skeleton), hint)
    left, weight = resampling_weights(frames, source_fps, fps) if resampled else (np.arange(frames), np.zeros(frames, np.float32))
    parts: tuple[list[np.ndarray], ...] = ([], [], [])
    for start in range(0, len(left), _FRAMES_AT_ONCE):
        here, share = left[start : start + _FRAMES_AT_ONCE], weight[start : start + _FRAMES_AT_ONCE]
        rotations, offsets = local_pose(here)
        if share.any():
            next_rotations, next_offsets = local_pose(here + 1)
            share = torch.from_numpy(share).double()[:, None, None]
            rotations = torch.from_numpy(slerp(rotations.numpy(), next_rotations.numpy(), share.numpy()))
            offsets = offsets * (1 - share) + next_offsets * share
        joints = forward_kinematics(rotations, offsets[:, 0], offsets, skeleton)
        offsets[:, 0] = 0
        for part, values in zip(parts, (joints, rotations.float(), offsets), strict=True):
            part.append(values.numpy())
    joints, rotations, offsets = map(np.concatenate, parts)
    rest = offsets[0]
    return Animation(joints, rotations, rest if np.abs(offsets - rest).max() <= _STILL * max(np.abs(rest).max(), 1e-9) else offsets)


def _y_up(vectors: np.ndarray) -> np.ndarray:
    return np.stack((vectors[..., 0], vectors[..., 2], -vectors[..., 1]), axis=-1)


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
