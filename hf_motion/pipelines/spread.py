"""Carries what is known of some frames of a motion into the others."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

FADE_SECONDS = 0.5
"""Over so long what is changed at a frame goes over into its neighbours."""


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
        near_left, near_right = left.clamp(min=0), right.clamp(max=count - 1)
        # The known frame behind each nearest one, seen from the gap.
        before = F.pad(left[:, :-1], (0, 0, 1, 0), value=-1).gather(1, near_left)
        behind = F.pad(right[:, 1:], (0, 0, 0, 1), value=count).gather(1, near_right)
        weights, index = [], []
        for near, far, other, inside, has, both in ((near_left, before, near_right, frame - left, has_left, has_right),
                                                    (near_right, behind, near_left, right - frame, has_right, has_left)):  # fmt: skip
            share = (inside / window).clamp(0, 1)
            run = torch.where(both, inside / gap, 0) if bridge else share
            value = torch.where(has, 1 - run * run * (3 - 2 * run), 0)
            # Slopes are those of the parabola through three known frames, or of two neighbours where the next one is far.
            behind_by, ahead_by = (near - far).abs(), torch.where(gap <= fade, gap, 0)
            sloped = has & (far >= 0) & (far < count) & ((behind_by == 1) | (behind_by <= fade) & (ahead_by > 0))
            bend = torch.where(sloped & ~known, window * share * (1 - share) ** 2, 0)
            ahead = torch.where(ahead_by > 0, behind_by / (ahead_by * (behind_by + ahead_by)).clamp(min=1), 0)
            back = torch.where(ahead_by > 0, ahead_by / (behind_by * (behind_by + ahead_by)).clamp(min=1), 1 / behind_by.clamp(min=1))
            weights += [value + bend * (back - ahead), -bend * back, bend * ahead]
            index += [near, far.clamp(0, count - 1), other]
        weights[3] = torch.where(known, 0, weights[3])
        self._weights, self._index = weights, index
        self._nearest = torch.where(has_left, near_left, near_right)

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


def smoothed(values: Tensor, real: Tensor, radius: int) -> Tensor:
    """Means over so many frames on either side of each, of those that are real.

    Args:
        values (`torch.Tensor`): (batch, frames, n).
        real (`torch.Tensor`): Frames that count, (batch, frames, 1) bool.
        radius (`int`): Frames.
    """
    real = real.to(values)
    kernel = values.new_ones(1, 1, 2 * radius + 1)
    rows = (values * real).mT.reshape(-1, 1, values.shape[1])
    total = F.conv1d(rows, kernel, padding=radius).reshape(values.shape[0], values.shape[2], values.shape[1]).mT
    return total / F.conv1d(real.mT, kernel, padding=radius).mT.clamp(min=1)


def turn_vectors(yaw: Tensor, vectors: Tensor) -> Tensor:
    """Turn vectors (..., 3) about the vertical axis by angles (...)."""
    sine, cosine = yaw.sin(), yaw.cos()
    x, y, z = vectors.unbind(-1)
    across = cosine * x + sine * z
    return torch.stack((across, y.expand_as(across), cosine * z - sine * x), dim=-1)
