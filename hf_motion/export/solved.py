"""A motion as an animated skeleton: what every rotation-based format is written from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ..kinematics import constant_bone_lengths, solve_rotations
from ..motion import Motion
from ..skeletons import Skeleton
from .rigs import rigged

_TOLERANCE = 0.01
_EXACT_TOLERANCE = 0.0005


@dataclass(frozen=True, eq=False)
class SolvedMotion:
    """Local rotations and translations of a skeleton over time, metres, Y up.

    Args:
        skeleton (`Skeleton`): Hierarchy, with the names of the rig.
        source (`list[int]`): For each joint, that of the motion in whose place it stands; -1 for a joint that only the rig has.
        rotations (`numpy.ndarray`): Local unit quaternions, (frames, joints, 4) float64, real part first, no sign jumps.
        translations (`numpy.ndarray`): Position of each joint in its parent's frame, (frames, joints, 3) float64; the root's is
            in the world.
        rest (`numpy.ndarray`): The same in the rest pose, in which no joint is turned, (joints, 3); the root's is zero.
        moving (`numpy.ndarray`): Joints whose translation changes over time, (joints,) bool; the root always counts.
    """

    skeleton: Skeleton
    source: list[int]
    rotations: np.ndarray
    translations: np.ndarray
    rest: np.ndarray
    moving: np.ndarray


def solve(motion: Motion, rig: str | None = None, tolerance: float | str | None = "auto", constant_bones: bool = True) -> SolvedMotion:
    """Bones of one length each (their median over the motion) and the rotations that put the joints where they are.

    Args:
        motion (`Motion`): The motion, on any skeleton.
        rig (`str`, *optional*): A preset of `hf_motion.export.RIGS`.
        tolerance (`float` or `str`, *optional*, defaults to `"auto"`): See `write_bvh`.
        constant_bones (`bool`, defaults to `True`): See `write_bvh`.

    Returns:
        `SolvedMotion`: The animation.

    Raises:
        ValueError: If the rig is unknown or does not fit the skeleton, or `tolerance` is not one of those.
    """
    usable = tolerance in ("auto", None) or (not isinstance(tolerance, str) and tolerance >= 0)
    if not usable:
        raise ValueError(
            f"tolerance must be a distance in metres, 0 or more, None for rotations alone, or 'auto' for {_TOLERANCE} without a rig "
            f"and rotations alone with one; got {tolerance!r}."
        )
    if tolerance == "auto":
        tolerance = None if rig is not None else _TOLERANCE if constant_bones else _EXACT_TOLERANCE
    skeleton, source = rigged(motion.skeleton, rig)
    joints = torch.from_numpy(motion.joints).double()
    with torch.no_grad():
        targets = constant_bone_lengths(joints, motion.skeleton, _lengths(joints, motion.skeleton)) if constant_bones else joints
        solved, root, offsets = (values.numpy() for values in solve_rotations(targets, motion.skeleton, tolerance=tolerance))
    kept = [index for index, joint in enumerate(source) if joint >= 0]
    rotations = np.zeros((len(motion), len(skeleton), 4))
    rotations[..., 0] = 1
    rotations[:, kept] = solved
    translations = np.zeros((len(motion), len(skeleton), 3))
    translations[:, kept] = offsets
    moving = np.abs(translations - translations[:1]).max(axis=(0, 2)) > 0
    moving[0] = True
    rest = translations.mean(axis=0)
    rest[0] = 0
    translations[:, 0] = root
    return SolvedMotion(skeleton, source, rotations, translations, rest, moving)


def _lengths(joints: torch.Tensor, skeleton: Skeleton) -> torch.Tensor | None:
    """None for the median lengths, unless the root only carries its single child, which may then move away from it."""
    if len(skeleton.children[0]) != 1:
        return None
    bones = (joints - joints[:, [max(parent, 0) for parent in skeleton.parents]]).norm(dim=-1)
    lengths = bones.median(dim=0, keepdim=True).values.expand_as(bones).clone()
    lengths[:, skeleton.children[0][0]] = bones[:, skeleton.children[0][0]]
    return lengths
