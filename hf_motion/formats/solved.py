"""A motion as an animated skeleton: what every rotation-based format is written from."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import torch

from ..kinematics import constant_bone_lengths, forward_kinematics, solve_rotations
from ..motion import Motion
from ..pose import place_joints, without_jumps
from ..representation.fixed_bones import fixed_bones
from ..skeletons import Skeleton
from .rigs import rigged

logger = logging.getLogger("hf_motion")

_TOLERANCE = 0.01
_EXACT_TOLERANCE = 0.0005
# A motion is on its skeleton's body if it misses it by less than this in the mean and in the worst joint (metres): between the frames of
# a generated motion, where resampling puts new ones, bones are a little shorter.
_ON_BODY, _ON_BODY_WORST = 0.001, 0.03


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


def solve(
    motion: Motion,
    rig: str | None = None,
    tolerance: float | str | None = "auto",
    constant_bones: bool = True,
    keep_proportions: bool = False,
    root_motion: bool = False,
) -> SolvedMotion:
    """Bones of one length each and the rotations that put the joints where they are: the motion's own, or solved ones.

    A motion with rotations keeps them, and rests as its `rest_offsets` say. Any other motion on the body of its skeleton, as checkpoints
    make them, is written on `Skeleton.body_offsets`, which are the same for all of them; else bones have the median of their lengths over
    the motion.

    Args:
        motion (`Motion`): The motion, on any skeleton.
        rig (`str`, *optional*): A preset of `hf_motion.formats.WRITTEN_RIGS`.
        tolerance (`float` or `str`, *optional*, defaults to `"auto"`): See `write_bvh`.
        constant_bones (`bool`, defaults to `True`): See `write_bvh`.
        keep_proportions (`bool`, defaults to `False`): See `write_bvh`.
        root_motion (`bool`, defaults to `False`): See `write_bvh`.

    Returns:
        `SolvedMotion`: The animation.

    Raises:
        ValueError: If the rig is unknown or does not fit the skeleton, or `tolerance` is not one of those.
    """
    usable = tolerance in ("auto", None) or (not isinstance(tolerance, str) and tolerance >= 0)
    if not usable:
        raise ValueError(
            f"tolerance must be a distance in metres, 0 or more, None for rotations alone, or 'auto' for {_TOLERANCE} with "
            f"keep_proportions and rotations alone without; got {tolerance!r}."
        )
    if tolerance == "auto":
        tolerance = (_TOLERANCE if constant_bones else _EXACT_TOLERANCE) if keep_proportions or not constant_bones else None
    skeleton, source = rigged(motion.skeleton, rig)
    with torch.no_grad():
        own, offsets, root = _recorded(motion, tolerance) if motion.rotations is not None else _solved(motion, tolerance, constant_bones)
    kept = [index for index, joint in enumerate(source) if joint >= 0]
    rotations = np.zeros((len(motion), len(skeleton), 4))
    rotations[..., 0] = 1
    rotations[:, kept] = own
    translations = np.zeros((len(motion), len(skeleton), 3))
    translations[:, kept] = offsets
    moving = np.abs(translations - translations[:1]).max(axis=(0, 2)) > 0
    moving[0] = True
    rest = np.where(moving[:, None], translations.mean(axis=0), translations[0])
    rest[0] = 0
    translations[:, 0] = root
    solved = SolvedMotion(skeleton, source, rotations, translations, rest, moving)
    return _under_root(solved) if root_motion else solved


def _under_root(solved: SolvedMotion) -> SolvedMotion:
    """The same hanging on a joint of its own that stands on the floor below it, and carries the travel."""
    below, frames = solved.skeleton, len(solved.rotations)
    name = "root" if "root" not in below.joint_names else "root_motion"
    skeleton = Skeleton(f"{below.name}-{name}", (name, *below.joint_names), (-1, *(parent + 1 for parent in below.parents)))
    still, way = np.zeros((frames, 1, 4)), solved.translations[:, :1] * [1, 0, 1]
    still[..., 0] = 1
    translations = np.concatenate((way, solved.translations), axis=1)
    translations[:, 1] -= way[:, 0]
    rest = np.concatenate((np.zeros((1, 3)), translations[:, 1].mean(axis=0, keepdims=True), solved.rest[1:]))
    return SolvedMotion(
        skeleton,
        [-1, *solved.source],
        np.concatenate((still, solved.rotations), axis=1),
        translations,
        rest,
        np.append(True, solved.moving),
    )


def _recorded(motion: Motion, tolerance: float | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The rotations that the motion has, its offsets and its root; bones that change their lengths by less than `tolerance` get one."""
    rotations, offsets = without_jumps(motion.rotations.astype(np.float64)), motion.rest_offsets.astype(np.float64)
    root = motion.joints[:, 0].astype(np.float64)
    if offsets.ndim == 3:
        mean = offsets.mean(axis=0)
        off = np.linalg.norm(offsets - mean, axis=-1).max(axis=0)
        limits = _carried(motion.skeleton) if tolerance is None else tolerance
        moves = np.zeros(len(off), bool) if limits is None else off > np.asarray(limits)
        offsets = np.where(moves[:, None], offsets, mean)
        if tolerance is None:
            _warn_of_misses(torch.from_numpy(motion.joints), torch.from_numpy(place_joints(rotations, root, offsets, motion.skeleton)))
    return rotations, offsets, root


def _solved(motion: Motion, tolerance: float | None, constant_bones: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rotations by inverse kinematics, with the offsets and the root that go with them."""
    joints = torch.from_numpy(motion.joints).double()
    body = _on_body(joints, motion.skeleton) if constant_bones else None
    if body is not None:
        targets, offsets, tolerance = body, torch.from_numpy(motion.skeleton.body_offsets), None
    else:
        targets = constant_bone_lengths(joints, motion.skeleton, _lengths(joints, motion.skeleton)) if constant_bones else joints
        offsets = None
    limits = _carried(motion.skeleton) if tolerance is None else tolerance
    rotations, root, offsets = solve_rotations(targets, motion.skeleton, offsets, tolerance=limits)
    if tolerance is None:
        _warn_of_misses(joints, forward_kinematics(rotations, root, offsets, motion.skeleton))
    return rotations.numpy(), offsets.numpy(), root.numpy()


def _on_body(joints: torch.Tensor, skeleton: Skeleton) -> torch.Tensor | None:
    """The joints exactly on the body of their skeleton, or None if they are not on it."""
    if skeleton.body_offsets is None:
        return None
    body = fixed_bones(joints, skeleton)
    misses = (body - joints).norm(dim=-1)
    return body if misses.mean() < _ON_BODY and misses.max() < _ON_BODY_WORST else None


def _carried(skeleton: Skeleton) -> torch.Tensor | None:
    """Tolerances for rotations alone. A root with a single child carries the character, which may then move away from it."""
    if len(skeleton.children[0]) != 1:
        return None
    limits = torch.full((len(skeleton),), torch.inf, dtype=torch.float64)
    limits[skeleton.children[0][0]] = _TOLERANCE
    return limits


def _warn_of_misses(joints: torch.Tensor, written: torch.Tensor) -> None:
    worst = float((joints - written).norm(dim=-1).max())
    if worst > _TOLERANCE:
        logger.warning(
            "Rotations of bones of one length put a joint up to %.1f cm from where the motion has it; keep_proportions=True "
            "(--keep-proportions) moves such joints too.",
            100 * worst,
        )


def _lengths(joints: torch.Tensor, skeleton: Skeleton) -> torch.Tensor | None:
    """None for the median lengths, unless the root only carries its single child, which may then move away from it."""
    if len(skeleton.children[0]) != 1:
        return None
    bones = (joints - joints[:, [max(parent, 0) for parent in skeleton.parents]]).norm(dim=-1)
    lengths = bones.median(dim=0, keepdim=True).values.expand_as(bones).clone()
    lengths[:, skeleton.children[0][0]] = bones[:, skeleton.children[0][0]]
    return lengths
