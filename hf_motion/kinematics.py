"""Between joint positions and joint rotations: forward and inverse kinematics, bones of constant length.

Rotations are local: a joint's rotation relative to its parent's, so that a bone in world space is
`global_rotation(parent) @ offset(child)`. In the rest pose every rotation is the identity.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .representation.rotations import matrix_to_quaternion, quaternion_between, quaternion_to_matrix
from .skeletons import Skeleton, get_skeleton

# Below this sine of the bend (14 degrees) an elbow or knee is too straight to tell how the limb is twisted.
_BENT = 0.25
# How much a paired child (hip, collar) weighs against one on the midline when both cannot be met: feet and hands hang on pairs.
_PAIR_WEIGHT = 10.0
# Pull towards the parent's rotation; it decides only where the children's positions do not (all on one line).
_PRIOR_WEIGHT = 1e-5
_FIT_FRAMES = 64


def forward_kinematics(rotations: Tensor, root_positions: Tensor, offsets: Tensor, skeleton: str | Skeleton) -> Tensor:
    """Joint positions of rotations. Differentiable.

    Args:
        rotations (`torch.Tensor`): Local rotations, as unit quaternions (..., joints, 4), real part first, or matrices
            (..., joints, 3, 3).
        root_positions (`torch.Tensor`): World position of the root, (..., 3).
        offsets (`torch.Tensor`): Rest-pose vector from each joint's parent to the joint, broadcastable to (..., joints, 3).
            The root's is not used. The unit is that of `root_positions`.
        skeleton (`str` or `Skeleton`): The joints' hierarchy, or its name.

    Returns:
        `torch.Tensor`: World positions, (..., joints, 3).

    Raises:
        ValueError: If `rotations` is neither of the two forms, or has another number of joints than the skeleton.

    Example:
    >>> import torch
    >>> from hf_motion.kinematics import forward_kinematics
    >>> from hf_motion.skeletons import HUMANML3D_22
    >>> rest = torch.tensor([1.0, 0, 0, 0]).expand(8, 22, 4)
    >>> forward_kinematics(rest, torch.zeros(8, 3), torch.from_numpy(HUMANML3D_22.rest_offsets), "humanml3d-22").shape
    torch.Size([8, 22, 3])
    """
    skeleton = get_skeleton(skeleton)
    matrices = rotations if rotations.shape[-1] == 3 else quaternion_to_matrix(rotations) if rotations.shape[-1] == 4 else None
    if matrices is None or matrices.ndim < 3 or matrices.shape[-3:] != (len(skeleton), 3, 3):
        raise ValueError(
            f"rotations must be quaternions (..., {len(skeleton)}, 4) or matrices (..., {len(skeleton)}, 3, 3) for the joints of "
            f"skeleton {skeleton.name!r}, got {tuple(rotations.shape)}."
        )
    leading = np.broadcast_shapes(matrices.shape[:-3], root_positions.shape[:-1], offsets.shape[:-2])
    globals_, positions = [matrices[..., :1, :, :]], [root_positions.expand(*leading, 3)[..., None, :]]
    for level, parents in _levels(skeleton):
        parent_rotation = globals_[-1][..., parents, :, :]
        bone = (parent_rotation @ offsets[..., level, :, None]).squeeze(-1)
        positions.append(positions[-1][..., parents, :] + bone)
        globals_.append(parent_rotation @ matrices[..., level, :, :])
    return _in_joint_order(positions, skeleton)


def constant_bone_lengths(joints: Tensor, skeleton: str | Skeleton, lengths: Tensor | None = None) -> Tensor:
    """Give every bone one length over the clip and keep its direction; the root stays where it is.

    Args:
        joints (`torch.Tensor`): Positions, (..., frames, joints, 3).
        skeleton (`str` or `Skeleton`): The joints' hierarchy, or its name.
        lengths (`torch.Tensor`, *optional*): Length of the bone that ends in each joint, broadcastable to
            (..., frames, joints); the root's is not used. Defaults to the median over the frames of each clip.

    Returns:
        `torch.Tensor`: Positions, (..., frames, joints, 3). A bone that has no length in some frame takes its mean direction
        over the clip there.

    Raises:
        ValueError: If `joints` has another shape.

    Example:
    >>> import torch
    >>> from hf_motion import Skeleton
    >>> from hf_motion.kinematics import constant_bone_lengths
    >>> joints = torch.tensor([[[0.0, 1, 0], [0, 3, 0]], [[0, 1, 0], [2, 1, 0]], [[0, 1, 0], [5, 1, 0]]])
    >>> constant_bone_lengths(joints, Skeleton("stick", ("root", "tip"), (-1, 0)))[:, 1].tolist()
    [[0.0, 3.0, 0.0], [2.0, 1.0, 0.0], [2.0, 1.0, 0.0]]
    """
    skeleton = get_skeleton(skeleton)
    bones = _bones(joints, skeleton)
    if lengths is None:
        lengths = bones.norm(dim=-1).median(dim=-2, keepdim=True).values
    directions = F.normalize(bones, dim=-1, eps=1e-9)
    directions = torch.where(directions.any(-1, keepdim=True), directions, F.normalize(directions.mean(-3, keepdim=True), dim=-1))
    bones = directions * lengths[..., None]
    positions = [joints[..., :1, :]]
    for level, parents in _levels(skeleton):
        positions.append(positions[-1][..., parents, :] + bones[..., level, :])
    return _in_joint_order(positions, skeleton)


def solve_rotations(
    joints: Tensor, skeleton: str | Skeleton, offsets: Tensor | None = None, *, tolerance: float | Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Local rotations that put the joints where they are: analytic inverse kinematics, root outwards, batched.

    Joints with several children (pelvis, chest, wrists with fingers) are fitted to all. Other joints point their bone at the child, aiming
    from where the forward kinematics has put them, with no twist against their parent; shoulders and hips twist so that elbow
    and knee bend about their hinge, and keep a smooth course through frames where the limb is straight. Joints without
    children keep their parent's rotation. Zero-length, collinear and reversed bones give finite rotations.

    The rest pose of the named skeletons is a T-pose: facing +Z, left arm along +X, legs down, feet forward, spine and head up, hands flat
    with the palms down.
    Any other skeleton rests near its first frame.

    Args:
        joints (`torch.Tensor`): Positions, (..., frames, joints, 3), float32 or float64.
        skeleton (`str` or `Skeleton`): The joints' hierarchy, or its name.
        offsets (`torch.Tensor`, *optional*): Rest pose to use, broadcastable to (..., 1, joints, 3). By default it is the one
            above with the median bone lengths of each clip.
        tolerance (`float` or `torch.Tensor`, *optional*): Distance, in the unit of `joints`, beyond which a joint is not left to its
            bone; one for all, or (joints,). A chest that slides over the pelvis cannot be followed by rotations alone; with a tolerance,
            a joint that misses by more in any frame gets offsets of its own in each frame and lands exactly. By default no joint does.

    Returns:
        `tuple[torch.Tensor, torch.Tensor, torch.Tensor]`: Local unit quaternions (..., frames, joints, 4), real part first,
        without sign jumps over the frames; root positions (..., frames, 3); offsets (..., 1, joints, 3), or
        (..., frames, joints, 3) with `tolerance`. `forward_kinematics` takes the three as they are.

    Raises:
        ValueError: If `joints` has another shape.

    Example:
    >>> import torch
    >>> from hf_motion.kinematics import forward_kinematics, solve_rotations
    >>> from hf_motion.skeletons import HUMANML3D_22
    >>> rest = torch.tensor([1.0, 0, 0, 0]).expand(8, 22, 4)
    >>> joints = forward_kinematics(rest, torch.rand(8, 3), torch.from_numpy(HUMANML3D_22.rest_offsets), "humanml3d-22")
    >>> rotations, root, offsets = solve_rotations(joints, "humanml3d-22")
    >>> rotations.shape, root.shape, offsets.shape
    (torch.Size([8, 22, 4]), torch.Size([8, 3]), torch.Size([1, 22, 3]))
    >>> torch.allclose(forward_kinematics(rotations, root, offsets, "humanml3d-22"), joints, atol=1e-4)
    True
    """
    skeleton = get_skeleton(skeleton)
    lengths = _bones(joints, skeleton).norm(dim=-1).median(dim=-2, keepdim=True).values
    directions = _t_pose(skeleton, joints)
    rest: list[Tensor | None] = [None] * len(skeleton)
    if offsets is not None:
        lengths, rest = offsets.to(joints).norm(dim=-1), list(offsets.to(joints).unbind(-2))
    ends = _bone_ends(skeleton, lengths)
    turned: list[Tensor] = []
    placed = {0: joints[..., 0, :]}
    bones = {0: joints.new_zeros(3)}
    for joint, parent in enumerate(skeleton.parents):
        inherited = turned[parent] if joint else torch.eye(3).to(joints).expand(*joints.shape[:-2], 3, 3)
        aims = joints[..., ends[joint], :] - placed[joint][..., None, :]
        _complete_rest(rest, skeleton, ends[joint], aims, inherited, lengths, directions)
        turned.append(_orient(skeleton, joint, ends[joint], aims, inherited, rest, joints))
        for child in skeleton.children[joint]:
            bones[child] = joints.new_zeros(3) if rest[child] is None else rest[child]
            reached, wanted = _rotate(turned[joint], bones[child]), joints[..., child, :] - placed[joint]
            if tolerance is not None:
                limit = tolerance[child] if isinstance(tolerance, Tensor) else tolerance
                misses = ((wanted - reached).norm(dim=-1) > limit).any(-1)[..., None, None]
                bones[child] = torch.where(misses, _rotate(turned[joint].mT, wanted), bones[child])
                reached = torch.where(misses, wanted, reached)
            placed[child] = placed[joint] + reached
    shape = (*joints.shape[:-2], 3) if tolerance is not None else (*joints.shape[:-3], 1, 3)
    rest_offsets = torch.stack([bones[joint].expand(shape) for joint in range(len(skeleton))], dim=-2)
    return _local_quaternions(turned, skeleton), joints[..., 0, :], rest_offsets


def _levels(skeleton: Skeleton) -> Iterator[tuple[list[int], list[int]]]:
    """Joints of each level below the root, and where their parents stand in the level above."""
    for above, level in itertools.pairwise(skeleton.levels):
        yield list(level), [above.index(skeleton.parents[joint]) for joint in level]


def _in_joint_order(levels: list[Tensor], skeleton: Skeleton) -> Tensor:
    order = list(itertools.chain.from_iterable(skeleton.levels))
    return torch.cat(levels, dim=-2)[..., [order.index(joint) for joint in range(len(order))], :]


def _bones(joints: Tensor, skeleton: Skeleton) -> Tensor:
    if joints.ndim < 3 or joints.shape[-2:] != (len(skeleton), 3) or not joints.shape[-3]:
        raise ValueError(
            f"joints must have shape (..., frames, {len(skeleton)}, 3) with at least one frame for skeleton {skeleton.name!r}, "
            f"got {tuple(joints.shape)}. Pass the skeleton that the joints belong to."
        )
    return joints - joints[..., [max(parent, 0) for parent in skeleton.parents], :]


def _rotate(matrix: Tensor, vector: Tensor) -> Tensor:
    return (matrix @ vector[..., None]).squeeze(-1)


def _t_pose(skeleton: Skeleton, like: Tensor) -> Tensor | None:
    """Unit direction of each bone in the T-pose, (joints, 3), or None where nothing is known about the skeleton."""
    if skeleton.rest_directions is None:
        return None
    directions = like.new_tensor(skeleton.rest_directions)
    for joint, name in enumerate(skeleton.joint_names):
        side, _, part = name.partition("_")
        if part in ("shoulder", "elbow", "wrist"):
            directions[joint] = like.new_tensor((1.0 if side == "left" else -1.0, 0.0, 0.0))
        elif name == "head":
            directions[joint] = like.new_tensor((0.0, 1.0, 0.0))
    hands = list(skeleton.groups.get("hands", ()))
    if hands and skeleton.body_directions is not None:
        directions[hands] = F.normalize(like.new_tensor([skeleton.body_directions[joint] for joint in hands]), dim=-1)
    return directions


def _hinge(skeleton: Skeleton, joint: int) -> tuple[tuple[float, float, float], tuple[float, float, float]] | None:
    """Direction of a bone that ends in an elbow or knee and axis about which that bends, in the T-pose; None for others."""
    side, _, part = skeleton.joint_names[joint].partition("_")
    if skeleton.rest_directions is None or len(skeleton.children[joint]) != 1 or part not in ("elbow", "knee"):
        return None
    if part == "knee":
        return (0.0, -1.0, 0.0), (1.0, 0.0, 0.0)
    return ((1.0, 0.0, 0.0), (0.0, -1.0, 0.0)) if side == "left" else ((-1.0, 0.0, 0.0), (0.0, 1.0, 0.0))


def _bone_ends(skeleton: Skeleton, lengths: Tensor) -> list[list[int]]:
    """Joints that each joint's rotation moves next: its children, or beyond a child in the same place, that one's."""
    longest = lengths.reshape(-1, len(skeleton)).amax(0)
    long_enough = (longest > 1e-5 * longest.max()).tolist()
    ends: list[list[int]] = [[] for _ in range(len(skeleton))]
    for joint in reversed(range(1, len(skeleton))):
        ends[skeleton.parents[joint]][:0] = [joint] if long_enough[joint] else ends[joint]
    return ends


def _complete_rest(
    rest: list[Tensor | None], skeleton: Skeleton, ends: list[int], aims: Tensor, inherited: Tensor, lengths: Tensor,
    directions: Tensor | None,
) -> None:  # fmt: skip
    """Fill in the rest vectors (..., 1, 3) of the bones to `ends` from the clip, where they are not yet known."""
    if not ends or all(rest[end] is not None for end in ends):
        return
    local = (inherited.mT @ aims.mT).mT
    size = lengths[..., ends, None]
    if directions is not None:
        template = directions[ends] * size
    elif len(ends) == 1:
        mean = F.normalize(local, dim=-1).mean(dim=-3, keepdim=True)
        template = torch.where(mean.norm(dim=-1, keepdim=True) > 1e-3, F.normalize(mean, dim=-1), local[..., :1, :, :]) * size
    else:
        template = F.normalize(local[..., :1, :, :], dim=-1) * size
    if len(ends) > 1:
        template = _fit_rest(template, aims, _weights(skeleton, ends, aims))
        if directions is not None:
            template = _upright(template, [skeleton.mirror[end] == end for end in ends])
    for end, vector in zip(ends, template.unbind(-2), strict=True):
        rest[end] = vector


def _fit_rest(template: Tensor, aims: Tensor, weights: Tensor) -> Tensor:
    """Rigid shape (..., 1, ends, 3) nearest to the vectors `aims` of all frames, turned like `template`; its lengths stay."""
    step = math.ceil(aims.shape[-3] / _FIT_FRAMES)
    size = template.norm(dim=-1, keepdim=True)
    aims = F.normalize(aims[..., ::step, :, :], dim=-1) * size
    shape = template
    for _ in range(4):
        rotation = _fit_rotation(shape, aims, weights)
        shape = F.normalize((aims @ rotation).mean(dim=-3, keepdim=True), dim=-1) * size
    return shape @ _fit_rotation(template, shape, weights)


def _upright(shape: Tensor, midline: list[bool]) -> Tensor:
    """A pelvis or chest (..., 1, ends, 3) turned about X so that its bone on the midline ends straight above (or below) the pair."""
    if all(midline) or not any(midline):
        return shape
    centre = shape[..., midline, :].mean(-2) - shape[..., [not value for value in midline], :].mean(-2)
    centre = torch.where(centre[..., 1:2] < 0, -centre, centre)
    size = centre[..., 1:].norm(dim=-1).clamp_min(1e-9)
    cosine, sine = (centre[..., 1] / size)[..., None], (centre[..., 2] / size)[..., None]
    x, y, z = shape.unbind(-1)
    return torch.stack((x, cosine * y + sine * z, cosine * z - sine * y), dim=-1)


def _weights(skeleton: Skeleton, ends: list[int], like: Tensor) -> Tensor:
    return like.new_tensor([1.0 if skeleton.mirror[end] == end else _PAIR_WEIGHT for end in ends])


def _fit_rotation(rest: Tensor, aims: Tensor, weights: Tensor, prior: Tensor | None = None) -> Tensor:
    """Rotations (..., 3, 3) that bring the vectors `rest` (..., ends, 3) closest to `aims` (Kabsch 1976)."""
    moment = aims.mT @ (weights[:, None] * rest)
    moment = moment / moment.flatten(-2).norm(dim=-1).clamp_min(1e-12)[..., None, None]
    if prior is not None:
        moment = moment + _PRIOR_WEIGHT * prior
    left, _, right = torch.linalg.svd(moment)
    sign = torch.det(left @ right).sign()
    return torch.cat((left[..., :2], left[..., 2:] * sign[..., None, None]), dim=-1) @ right


def _orient(
    skeleton: Skeleton, joint: int, ends: list[int], aims: Tensor, inherited: Tensor, rest: list[Tensor | None], joints: Tensor
) -> Tensor:
    """Global rotation (..., frames, 3, 3) of one joint."""
    if not ends:
        return inherited
    vectors = torch.stack([rest[end] for end in ends], dim=-2)
    longest = 0 if len(ends) == 1 else int(vectors.norm(dim=-1).reshape(-1, len(ends)).amax(0).argmax())
    swing = quaternion_between(_rotate(inherited, vectors[..., longest, :]), aims[..., longest, :])
    swung = quaternion_to_matrix(swing) @ inherited
    if len(ends) > 1:
        return _fit_rotation(vectors, aims, _weights(skeleton, ends, aims), prior=swung)
    hinge = _hinge(skeleton, ends[0])
    return swung if hinge is None else swung @ _hinge_twist(hinge, skeleton, ends[0], vectors[..., 0, :], swung, joints)


def _hinge_twist(hinge: tuple, skeleton: Skeleton, middle: int, vector: Tensor, swung: Tensor, joints: Tensor) -> Tensor:
    """Turn about the bone `vector` that ends in the elbow or knee `middle`, so that its axis is the one it bends about."""
    direction, axis = joints.new_tensor(hinge).unbind(0)
    bone = F.normalize(vector, dim=-1)
    axis = _rotate(quaternion_to_matrix(quaternion_between(direction, bone)), axis)
    upper = F.normalize(joints[..., middle, :] - joints[..., skeleton.parents[middle], :], dim=-1)
    lower = F.normalize(joints[..., skeleton.children[middle][0], :] - joints[..., middle, :], dim=-1)
    bend = _rotate(swung.mT, torch.linalg.cross(upper, lower))
    third = torch.linalg.cross(bone, axis)
    angle = torch.atan2((bend * third).sum(-1), (bend * axis).sum(-1))
    angle = _bridge(angle, bend.norm(dim=-1) > _BENT) / 2
    return quaternion_to_matrix(torch.cat((angle.cos()[..., None], angle.sin()[..., None] * bone), dim=-1))


def _bridge(angle: Tensor, known: Tensor) -> Tensor:
    """Angles (..., frames) unwrapped over the known frames and interpolated linearly between them; 0 where none is known."""
    count = angle.shape[-1]
    frame = torch.arange(count, device=angle.device).expand_as(angle)
    left = torch.where(known, frame, -1).cummax(-1).values
    right = torch.where(known, frame, count).flip(-1).cummin(-1).values.flip(-1)
    before = F.pad(left, (1, 0), value=-1)[..., :-1]
    turn = angle - angle.gather(-1, before.clamp_min(0))
    turn = turn - 2 * math.pi * torch.round(turn / (2 * math.pi))
    course = torch.where(known, torch.where(before < 0, angle, turn), 0).cumsum(-1)
    from_left, to_right = course.gather(-1, left.clamp_min(0)), course.gather(-1, right.clamp_max(count - 1))
    share = (frame - left) / (right - left).clamp_min(1)
    between = from_left + share * (to_right - from_left)
    return torch.where(
        left < 0, torch.where(right == count, torch.zeros_like(angle), to_right), torch.where(right == count, from_left, between)
    )


def _local_quaternions(turned: list[Tensor], skeleton: Skeleton) -> Tensor:
    matrices = torch.stack(turned, dim=-3)
    above = matrices[..., [max(parent, 0) for parent in skeleton.parents], :, :].mT
    above = torch.cat((torch.eye(3).to(matrices).expand_as(above[..., :1, :, :]), above[..., 1:, :, :]), dim=-3)
    quaternions = matrix_to_quaternion(above @ matrices)
    same_side = (quaternions[..., 1:, :, :] * quaternions[..., :-1, :, :]).sum(-1) >= 0
    sign = torch.where(same_side, 1, -1).cumprod(-2)
    return torch.cat((quaternions[..., :1, :, :], quaternions[..., 1:, :, :] * sign[..., None]), dim=-3)
