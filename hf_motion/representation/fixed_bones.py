"""Joints on a body whose bones have one length: where decoding ends, since models give each joint a place of its own."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..skeletons import FINGERS, Skeleton, get_skeleton

_AIM = 0.5
"""How much of what a bone's base was moved by its far end makes up for, by turning."""

_STARTS = ("left_hip", "right_hip", "left_shoulder", "right_shoulder")
_MIDDLES = ("left_knee", "right_knee", "left_elbow", "right_elbow")
_ENDS = ("left_ankle", "right_ankle", "left_wrist", "right_wrist")


def fixed_bones(joints: Tensor, skeleton: str | Skeleton = "humanml3d-22") -> Tensor:
    """The motion on the reference body of a skeleton (`Skeleton.body_offsets`), hands and feet where they were. Differentiable.

    Pelvis and chest are rigid and turned as the joints around them are, and hips keep their middle. Spine, head and shoulders point half
    as they pointed, half to where they were. Legs reach for the ankles by two-bone inverse kinematics in the plane that they bend in, so
    that toes stay where they are, arms for the wrists. A limb that is too short is straightened. Palms are rigid and turn as the knuckles
    around them do, fingers point as they pointed. Every frame is looked at on its own: the
    result depends neither on other frames nor on other clips of a batch, bit for bit.

    Args:
        joints (`torch.Tensor`): Positions, (..., joints, 3), Y up, in the skeleton's unit.
        skeleton (`str` or `Skeleton`, defaults to `"humanml3d-22"`): With `body_offsets` and the joint names of `humanml3d-22` or
            `smplx-52`.

    Returns:
        `torch.Tensor`: Same shape and dtype.

    Raises:
        ValueError: If the skeleton has no such body, or the joints are not its.

    Example:
    >>> import torch
    >>> from hf_motion.representation.fixed_bones import fixed_bones
    >>> from hf_motion.skeletons import HUMANML3D_22
    >>> placed = fixed_bones(torch.rand(40, 22, 3, dtype=torch.float64))
    >>> bones = placed[:, 1:] - placed[:, list(HUMANML3D_22.parents[1:])]
    >>> torch.allclose(bones.norm(dim=-1), torch.tensor(HUMANML3D_22.rest_lengths[1:]).double())
    True
    """
    skeleton = get_skeleton(skeleton)
    if skeleton.body_offsets is None:
        raise ValueError(f"Skeleton {skeleton.name!r} has no body of its own; motions can be put on that of 'humanml3d-22'.")
    if joints.shape[-2:] != (len(skeleton), 3):
        raise ValueError(f"joints must have shape (..., {len(skeleton)}, 3) for skeleton {skeleton.name!r}, got {tuple(joints.shape)}.")
    rest, lengths = torch.from_numpy(skeleton.body_joints).to(joints), joints.new_tensor(skeleton.rest_lengths)
    was, rest, length = (
        dict(zip(skeleton.joint_names, values.unbind(axis), strict=True)) for values, axis in ((joints, -2), (rest, -2), (lengths, -1))
    )
    new = _torso(was, rest, length)
    _limbs(was, new, length)
    if "hands" in skeleton.groups:
        _hands(was, new, rest, length)
    return torch.stack([new[name] for name in skeleton.joint_names], dim=-2)


def two_bones(
    start: Tensor, bend: Tensor, wanted: Tensor, ahead: Tensor, upper: Tensor, lower: Tensor, longest: Tensor
) -> tuple[Tensor, Tensor]:
    """Middle and end of limbs that reach for `wanted` and bend to the side that `bend` says.

    Args:
        start (`torch.Tensor`): Where they begin, (..., 3).
        bend (`torch.Tensor`): From the start to where the middle was, (..., 3), turned along with the limb, see `turned`.
        wanted (`torch.Tensor`): Where they shall end, (..., 3).
        ahead (`torch.Tensor`): Where a straight limb that must get shorter bends to, (..., 3).
        upper (`torch.Tensor`): Length of the first bone, (..., 1).
        lower (`torch.Tensor`): Length of the second bone, (..., 1).
        longest (`torch.Tensor`): How far they reach, (..., 1).

    Returns:
        `tuple[torch.Tensor, torch.Tensor]`: Middle and end, each (..., 3).
    """
    new, distance = _unit(wanted - start), _length(wanted - start)
    shortest = torch.minimum((upper - lower).abs() + 1e-3, longest)
    distance = torch.minimum(torch.maximum(distance, shortest), longest)
    along = (upper * upper - lower * lower + distance * distance) / (2 * distance).clamp_min(1e-9)
    along = torch.minimum(torch.maximum(along, -upper), upper)
    height = (upper * upper - along * along).clamp_min(1e-18).sqrt()
    bend, ahead = (vector - _dot(vector, new) * new for vector in (bend, ahead))
    more = (height - _length(bend) - 1e-6).clamp_min(0)
    return start + along * new + height * _unit(bend + more * _unit(ahead)), start + distance * new


def turned(vectors: Tensor, old: Tensor, new: Tensor) -> Tensor:
    """Vectors turned as the directions `old` turn into `new` the short way (Rodrigues), all (..., 3)."""
    old, new = _unit(old), _unit(new)
    axis = _cross(old, new)
    cosine = _dot(old, new)
    return vectors * cosine + _cross(axis, vectors) + axis * _dot(axis, vectors) / (1 + cosine).clamp_min(1e-6)


def _torso(was: dict[str, Tensor], rest: dict[str, Tensor], length: dict[str, Tensor]) -> dict[str, Tensor]:
    """Everything but arms and legs, shoulders and hips included."""
    middle, rest_middle = ((joints["left_hip"] + joints["right_hip"]) / 2 for joints in (was, rest))
    pelvis = _turn(was, rest, "left_hip", "right_hip", middle, rest_middle)
    new = {"pelvis": middle - pelvis(rest_middle - rest["pelvis"])}
    for name in ("left_hip", "right_hip", "spine1"):
        new[name] = new["pelvis"] + pelvis(rest[name] - rest["pelvis"])

    def directed(name: str, base: str) -> None:
        new[name] = new[base] + length[name] * _unit(was[name] - was[base] - _AIM * (new[base] - was[base]))

    directed("spine2", "spine1")
    directed("spine3", "spine2")
    chest = _turn(was, rest, "left_collar", "right_collar", was["spine3"], rest["spine3"])
    for name in ("neck", "left_collar", "right_collar"):
        new[name] = new["spine3"] + chest(rest[name] - rest["spine3"])
    directed("head", "neck")
    directed("left_shoulder", "left_collar")
    directed("right_shoulder", "right_collar")
    return new


def _limbs(was: dict[str, Tensor], new: dict[str, Tensor], length: dict[str, Tensor]) -> None:
    """Arms and legs, all four at once; feet by their direction, ankles where that leaves the toes."""
    soles = {side: length[f"{side}_foot"] * _unit(was[f"{side}_foot"] - was[f"{side}_ankle"]) for side in ("left", "right")}
    ankles = [was[f"{side}_foot"] - soles[side] for side in ("left", "right")]
    wrists = [was["left_wrist"], was["right_wrist"]]
    # Straight knees bend to where the toes point, straight elbows to the back.
    left, up = new["left_shoulder"] - new["right_shoulder"], new["neck"] - new["spine3"]
    back = _cross(up, left)
    ahead = torch.stack([soles["left"], soles["right"], back, back], dim=-2)
    old_start, old_middle, old_end = (torch.stack([was[name] for name in names], dim=-2) for names in (_STARTS, _MIDDLES, _ENDS))
    start, wanted = torch.stack([new[name] for name in _STARTS], dim=-2), torch.stack(ankles + wrists, dim=-2)
    upper, lower = (torch.stack([length[name] for name in names])[:, None] for names in (_MIDDLES, _ENDS))
    bend = turned(old_middle - old_start, old_end - old_start, wanted - start)
    middle, end = two_bones(start, bend, wanted, ahead, upper, lower, upper + lower)
    for index, (middle_name, end_name) in enumerate(zip(_MIDDLES, _ENDS, strict=True)):
        new[middle_name], new[end_name] = middle[..., index, :], end[..., index, :]
    for side in ("left", "right"):
        new[f"{side}_foot"] = new[f"{side}_ankle"] + soles[side]


def _hands(was: dict[str, Tensor], new: dict[str, Tensor], rest: dict[str, Tensor], length: dict[str, Tensor]) -> None:
    """Both hands at once, from the wrists outwards."""
    names = [[[f"{side}_{finger}{number}" for finger in FINGERS] for side in ("left", "right")] for number in (1, 2, 3)]
    wrists = ["left_wrist", "right_wrist"]

    def gather(joints: dict[str, Tensor], level: list[list[str]]) -> Tensor:
        return torch.stack([torch.stack([joints[name] for name in row], dim=-2) for row in level], dim=-3)

    def axes(joints: dict[str, Tensor]) -> tuple[Tensor, ...]:
        knuckles, wrist = gather(joints, names[0]), torch.stack([joints[name] for name in wrists], dim=-2)
        index, middle, pinky = (knuckles[..., FINGERS.index(finger), :] for finger in ("index", "middle", "pinky"))
        return tuple(axis[..., None, :] for axis in _axes(index - pinky, middle - wrist))

    hands = zip(axes(rest), axes(was), strict=True)
    vectors = gather(rest, names[0]) - torch.stack([rest[name] for name in wrists], dim=-2)[..., None, :]
    ends = torch.stack([new[name] for name in wrists], dim=-2)[..., None, :] + sum(_dot(axis, vectors) * image for axis, image in hands)
    for number, level in enumerate(names):
        if number:
            bones = gather(was, level) - gather(was, names[number - 1])
            sizes = torch.stack([torch.stack([length[name] for name in row]) for row in level])[..., None]
            ends = ends + sizes * _unit(bones)
        for row, hand in zip(level, ends.unbind(-3), strict=True):
            new.update(zip(row, hand.unbind(-2), strict=True))


def _turn(
    was: dict[str, Tensor], rest: dict[str, Tensor], left: str, right: str, base: Tensor, rest_base: Tensor
) -> Callable[[Tensor], Tensor]:
    """How a rigid part turns vectors of its rest pose: its left to right goes with the joints', its up as near as can be."""
    top = "spine1" if left == "left_hip" else "neck"
    now, before = (_axes(j[left] - j[right], j[top] - b) for j, b in ((was, base), (rest, rest_base)))
    return lambda vector: sum(_dot(axis, vector) * image for axis, image in zip(before, now, strict=True))


def _axes(left: Tensor, up: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Unit vectors to the left, up and forward, each (..., 3); any that fit where the two have no length or are parallel."""
    left = _unit(left, left.new_tensor((1.0, 0.0, 0.0)))
    # One of the axes of space is far from parallel to any vector.
    aside = torch.where(left[..., 1:2].abs() < 0.9, left.new_tensor((0.0, 1.0, 0.0)), left.new_tensor((0.0, 0.0, 1.0)))
    up, aside = (vector - _dot(vector, left) * left for vector in (up, aside))
    up = _unit(up, _unit(aside))
    return left, up, _cross(left, up)


def _dot(one: Tensor, other: Tensor) -> Tensor:
    # Written out, since sums over an axis may be taken in another order for another number of rows.
    product = one * other
    return product[..., 0:1] + product[..., 1:2] + product[..., 2:3]


def _cross(one: Tensor, other: Tensor) -> Tensor:
    return torch.linalg.cross(*torch.broadcast_tensors(one, other))


def _length(vector: Tensor) -> Tensor:
    return (_dot(vector, vector) + 1e-30).sqrt()


def _unit(vector: Tensor, instead: Tensor | None = None) -> Tensor:
    """Unit vectors (..., 3); downwards or `instead` where there is no direction."""
    length = _length(vector)
    unit = vector / length.clamp_min(1e-9)
    return torch.where(length > 1e-9, unit, vector.new_tensor((0.0, -1.0, 0.0)) if instead is None else instead)
