"""Carries what is known of some frames of a motion into the others."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ..representation.rotations import quaternion_rotate


class Spread:
    """Carries values of known frames into the unknown ones around them, smoothly, with their slopes.

    Args:
        known (`torch.Tensor`): (batch, frames, channels) bool.
        fade (`int`): Frames over which slopes, and without `bridge` values, run out.
        bridge (`bool`, defaults to `False`): Values lead from one known frame to the next, and beyond the last stay.
    """

    def __init__(self, known: Tensor, fade: int, bridge: bool = False) -> None:
        count = known.shape[1]
        frame = torch.arange(count, device=known.device)[:, None].expand_as(known)
        left = torch.where(known, frame, -1).cummax(1).values
        right = torch.where(known, frame, count).flip(1).cummin(1).values.flip(1)
        has_left, has_right = left >= 0, right < count
        between = has_left & has_right & ~known
        self.bridges = bool(between.any())
        gap = torch.where(between, right - left, 2 * count)
        window = gap.clamp_max(fade)
        weights, index = [], []
        for near, far, inside, has, other in ((left, left - 1, frame - left, has_left, has_right),
                                              (right, right + 1, right - frame, has_right, has_left)):  # fmt: skip
            near, share = near.clamp(0, count - 1), (inside / window).clamp(0, 1)
            sloped = has & (far >= 0) & (far < count)
            far = far.clamp(0, count - 1)
            slope = torch.where(sloped & known.gather(1, far), window * share * (1 - share) ** 2, 0)
            run = torch.where(other, inside / gap, 0) if bridge else share
            value = torch.where(has, 1 - run * run * (3 - 2 * run), 0)
            weights += [value + slope, -slope]
            index += [near, far]
        weights[2] = torch.where(known, 0, weights[2])
        self._weights, self._index = weights, index
        self._nearest = torch.where(has_left, index[0], index[2])

    def __call__(self, values: Tensor) -> Tensor:
        """(batch, frames, channels, n); values of unknown frames do not count, those of known ones come back as they are."""
        total = torch.zeros_like(values)
        for weight, index in zip(self._weights, self._index, strict=True):
            total = total + weight[..., None] * values.gather(1, index[..., None].expand_as(values))
        return total

    def unwrap(self, angles: Tensor) -> Tensor:
        """Angles (batch, frames, channels) of known frames, each within half a turn of the known one before."""
        held = angles.gather(1, self._nearest)
        turns = torch.round((held[:, 1:] - held[:, :-1]) / (2 * math.pi)).cumsum(1)
        return held - 2 * math.pi * F.pad(turns, (0, 0, 1, 0))


def turn_vectors(yaw: Tensor, vectors: Tensor) -> Tensor:
    """Turn vectors (..., 3) about the vertical axis by angles (...)."""
    zero = torch.zeros_like(yaw)
    return quaternion_rotate(torch.stack(((yaw / 2).cos(), zero, (yaw / 2).sin(), zero), dim=-1), vectors)
