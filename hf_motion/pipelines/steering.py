"""Brings joints to where a control asks for them, and keeps feet standing while the body is led elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..skeletons import Skeleton
from .control import Targets
from .spread import Spread, smoothed, turn_vectors
from .way import ON_FLOOR

_REACH = 0.97
"""Share of a limb's length that it is stretched to at most before the body goes after it."""

_COMFORT = 0.1
"""Metres over the floor that a limb is moved by before the body, smoothly, goes along."""

_SWING = 0.1
"""Weight of the steps of feet in the air beside those of feet on the floor, which are to be none."""

_BELOW_BODY = 0.004
"""Weight of a foot's place below the body, so small that a foot stands for a second before the body draws it along."""

_LIMBS = {f"{side}_{end}": f"{side}_{start}" for side in ("left", "right") for end, start in (("wrist", "shoulder"), ("ankle", "hip"))}
_FOLLOWS = {f"{side}_foot": f"{side}_ankle" for side in ("left", "right")}


class Steering:
    """Places of joints, beside those of the root over the floor, that a batch of motions has to hit.

    Hands and feet move within their reach, and the body goes after what is out of it, or belongs to its trunk. Rises and sinkings of the
    body leave feet where they are: legs stretch and bend.

    Args:
        targets (`list[Targets]`): One per motion.
        skeleton (`Skeleton`): Of the features.
        scale (`torch.Tensor`): Units of the features in a metre of the result, (batch, frames, 1).
        real (`torch.Tensor`): Frames that there are, (batch, frames, 1) bool.
        fade (`int`): Frames over which what is moved goes back.
        repeats (`int`): How often each stands in the batch, in a row.
        held (`torch.Tensor`): Frames whose body stays where it is, (batch, frames) bool.
    """

    def __init__(
        self, targets: Sequence[Targets], skeleton: Skeleton, scale: Tensor, real: Tensor, fade: int, repeats: int, held: Tensor
    ) -> None:
        self._skeleton, self._names, self._scale, self._real = skeleton, skeleton.joint_names, scale, real
        columns = [padded([getattr(one, name) for one in targets], scale.shape[1]) for name in ("places", "asked", "heading", "turned")]
        self.places, self.asked, self.heading, self.turned = (one.repeat_interleave(repeats, dim=0).to(scale.device) for one in columns)
        self.places, self.heading = self.places.float(), self.heading.float()
        self.placed = self.asked[..., 0, [0, 2]].all(-1)
        """Where the root's place over the floor is asked for, (batch, frames) bool."""
        feet = [joint for _, joints in _feet(skeleton) for joint in joints]
        self._lifts = torch.ones(len(self._names), 1, device=scale.device)
        self._lifts[feet] = 0
        self.asks_feet = self.asked[..., feet, :].flatten(1).any(1)
        """Whether a motion's feet have places of their own, (batch,) bool."""
        self._prepare(fade, self.placed | held)

    def _prepare(self, fade: int, held: Tensor) -> None:
        self._raised = Spread(self.asked[..., 0, 1:2], fade)
        whole = self.asked.all(-1)
        limbs = [self._names.index(end) for end in _LIMBS if end in self._names]
        self._limbs = torch.zeros(len(self._names), dtype=torch.bool, device=whole.device)
        self._limbs[limbs] = True
        self._fade = fade
        others = [joint for joint in range(1, len(self._names)) if joint not in limbs]
        # A joint of the trunk takes the body with it, unless the body has a place of its own in that frame.
        free = ~held[..., None]
        self._body, self._stretched = torch.zeros_like(whole), torch.zeros_like(whole)
        self._body[..., others] = whole[..., others] & free
        self._stretched[..., limbs] = whole[..., limbs] & free
        self._local = whole.clone()
        self._local[..., others] &= ~free
        self._local[..., 0] = False
        self._moved = Spread(self._local, fade)
        pulled = (self._body | self._stretched).any(-1)
        # Limbs raise it also where it stays over its place on the floor, unless its height is asked for too.
        self._raising = self._body.clone()
        self._raising[..., limbs] = whole[..., limbs] & ~self.asked[..., 0, 1:2]
        raised = self._raising.any(-1)
        self._pulls = bool((pulled | raised).any())
        self._pulled_up = Spread(raised[..., None], fade)
        anchors = held.clone()
        anchors[:, 0] = True
        self._anchored = Spread(anchors[..., None], fade)
        self._pulled = Spread((pulled | anchors)[..., None], fade, bridge=True)

    def reach(self, yaw: Tensor, root: Tensor, local: Tensor) -> tuple[Tensor, Tensor]:
        """Roots and joints that hit what is asked.

        Args:
            yaw (`torch.Tensor`): Headings, (batch, frames).
            root (`torch.Tensor`): Roots on their way, (batch, frames, 3), metres.
            local (`torch.Tensor`): Joints relative to both but for heights, (batch, frames, joints, 3), metres.

        Returns:
            `tuple[torch.Tensor, torch.Tensor]`: Roots and joints, the same shapes.
        """
        rise = self._raised((self.places[..., 0, 1] - root[..., 1])[..., None, None])[..., 0, 0]
        root, local = self._lifted(root, local, rise)
        root, local = self._pull(yaw, root, local)
        shift = self._moved(self.places - in_world(yaw, root, local))
        for follower, leader in _FOLLOWS.items():
            if follower in self._names and leader in self._names:
                one, other = self._names.index(follower), self._names.index(leader)
                asked = self._local[..., one].any(1)[:, None, None]
                shift[..., one, :] = torch.where(asked, shift[..., one, :], shift[..., other, :])
        return root, local + turn_vectors(-yaw[..., None], shift)

    def _lifted(self, root: Tensor, local: Tensor, rise: Tensor) -> tuple[Tensor, Tensor]:
        up = torch.stack((torch.zeros_like(rise), rise, torch.zeros_like(rise)), dim=-1)
        return root + up, local + up[..., None, :] * self._lifts

    def _pull(self, yaw: Tensor, root: Tensor, local: Tensor) -> tuple[Tensor, Tensor]:
        """The body moved after joints that it must take along, or that are out of its reach."""
        if not self._pulls:
            return root, local
        # First it goes, smoothly, where limbs have not far to go ...
        misses = (self.places - in_world(yaw, root, local)) * self.places.new_tensor(ON_FLOOR)
        near = _mean(torch.where(self._limbs[:, None], _beyond(misses, _COMFORT), misses), self._body | self._stretched)
        near = smoothed(self._pulled(near[..., None, :])[..., 0, :], self._real, self._fade // 2)
        root = root + near - self._anchored(near[..., None, :])[..., 0, :]
        # ... and then as far as it takes.
        joints = in_world(yaw, root, local)
        misses = self.places - joints
        for end, start in _LIMBS.items():
            if end in self._names:
                tip, base = self._names.index(end), self._names.index(start)
                reach = _REACH * self._limb(tip, base) / self._scale
                misses[..., tip, :] = _beyond(self.places[..., tip, :] - joints[..., base, :], reach)
        ground = _mean(misses * misses.new_tensor(ON_FLOOR), self._body | self._stretched)
        rise = self._pulled_up(_mean(misses[..., 1:2], self._raising)[..., None, :])[..., 0, 0]
        return self._lifted(root + self._pulled(ground[..., None, :])[..., 0, :], local, rise)

    def _limb(self, tip: int, base: int) -> float:
        """Length in the unit of the features."""
        default = (300.0 if self._skeleton.unit == "mm" else 0.3,) * len(self._skeleton)
        lengths, total, joint = self._skeleton.rest_lengths or default, 0.0, tip
        while joint != base:
            total += lengths[joint]
            joint = self._skeleton.parents[joint]
        return total


def _beyond(vectors: Tensor, limit: Tensor | float) -> Tensor:
    """What is left of vectors (..., 3) that are shortened by so much."""
    size = vectors.norm(dim=-1, keepdim=True)
    return vectors * ((size - limit).clamp(min=0) / size.clamp(min=1e-6))


def _mean(values: Tensor, counted: Tensor) -> Tensor:
    """Of the joints that count, (batch, frames, n)."""
    share = counted[..., None].to(values)
    return (values * share).sum(-2) / share.sum(-2).clamp(min=1)


def in_world(yaw: Tensor, root: Tensor, local: Tensor) -> Tensor:
    """Joints (batch, frames, joints, 3) of headings, roots, and joints relative to both but for heights."""
    return turn_vectors(yaw[..., None], local) + (root * root.new_tensor(ON_FLOOR))[..., None, :]


def plant_feet(yaw: Tensor, root: Tensor, local: Tensor, contacts: Tensor, going: Tensor, skeleton: Skeleton) -> Tensor:
    """Joints whose feet stand while they touch the floor, whatever way the body is led: steps become longer, shorter, or other ones.

    The shifts of each foot over the floor are the least squares of its steps while it touches, and of what becomes of its other steps, with
    a little of the shift itself: a band of equations.

    Args:
        yaw (`torch.Tensor`): Headings, (batch, frames).
        root (`torch.Tensor`): Roots, (batch, frames, 3), metres.
        local (`torch.Tensor`): Joints relative to both but for heights, (batch, frames, joints, 3), metres.
        contacts (`torch.Tensor`): The features' contacts: ankle and toe, left, then right, (batch, frames, 4).
        going (`torch.Tensor`): Frames that another one follows, (batch, frames, 1) bool.
        skeleton (`Skeleton`): The joints'.

    Returns:
        `torch.Tensor`: As `local`.
    """
    toes = list(skeleton.feet[1::2])
    places = in_world(yaw, root, local[..., toes, :])[..., [0, 2]]
    stands = (contacts.unflatten(-1, (2, 2)).amax(-1).clamp(0, 1) * going)[:, :-1]
    weights = ((stands + _SWING * (1 - stands)) * going[:, :-1]).mT
    wanted = (-stands[..., None] * (places[:, 1:] - places[:, :-1])).transpose(1, 2)
    diagonal = _BELOW_BODY + F.pad(weights, (1, 0)) + F.pad(weights, (0, 1))
    right = F.pad(wanted, (0, 0, 1, 0)) - F.pad(wanted, (0, 0, 0, 1))
    shift = _solve_band(diagonal[..., None], -weights[..., None], right).transpose(1, 2)
    shift = turn_vectors(-yaw[..., None], torch.stack((shift[..., 0], torch.zeros_like(shift[..., 0]), shift[..., 1]), dim=-1))
    moved = local.clone()
    for side, (knee, foot) in enumerate(_feet(skeleton)):
        moved[..., foot, :] += shift[..., side, None, :]
        moved[..., knee, :] += shift[..., side, :] / 2
    return moved


def _solve_band(diagonal: Tensor, beside: Tensor, right: Tensor) -> Tensor:
    """Solution (..., n, k) of symmetric equations with one entry beside the diagonal, by cyclic reduction (Hockney 1965).

    Every round doubles how far apart the unknowns are that equations connect, so that time and memory grow hardly more than with n.
    """
    count, apart = right.shape[-2], 1
    below, above = F.pad(beside, (0, 0, 1, 0)), F.pad(beside, (0, 0, 0, 1))

    def before(values: Tensor, outside: float = 0.0) -> Tensor:
        return F.pad(values, (0, 0, apart, 0), value=outside)[..., :count, :]

    def behind(values: Tensor, outside: float = 0.0) -> Tensor:
        return F.pad(values, (0, 0, 0, apart), value=outside)[..., apart:, :]

    while apart < count:
        down, up = -below / before(diagonal, 1.0), -above / behind(diagonal, 1.0)
        diagonal = diagonal + down * before(above) + up * behind(below)
        right = right + down * before(right) + up * behind(right)
        below, above = down * before(below), up * behind(above)
        apart *= 2
    return right / diagonal


def _feet(skeleton: Skeleton) -> list[tuple[int, list[int]]]:
    """Knee, and ankle with all below it, of the left and the right leg."""
    ankles = [skeleton.parents[toe] for toe in skeleton.feet[1::2]]
    return [(skeleton.parents[ankle], [ankle, *skeleton.children[ankle]]) for ankle in ankles]


def padded(values: Sequence[np.ndarray | Tensor], frames: int) -> Tensor:
    """(batch, frames, ...), zero behind each end."""
    values = [torch.as_tensor(value) for value in values]
    batch = values[0].new_zeros(len(values), frames, *values[0].shape[1:])
    for row, value in zip(batch, values, strict=True):
        row[: len(value)] = value
    return batch
