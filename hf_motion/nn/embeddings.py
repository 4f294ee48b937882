"""Positions as vectors."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def sinusoids(positions: Tensor, width: int) -> Tensor:
    """Sine and cosine of position times frequency, interleaved (Vaswani et al. 2017): (n,) to (n, width) float32."""
    # The dtype is spelled out: while a checkpoint is loaded in bf16, that is torch's default.
    frequencies = torch.exp(torch.arange(0, width, 2, dtype=torch.float32, device=positions.device) * (-math.log(10000.0) / width))
    angles = positions.to(torch.float32)[:, None] * frequencies
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1)


def sinusoidal_table(positions: int, width: int) -> Tensor:
    """`sinusoids` of 0, 1, 2, ..., (positions, width) float32."""
    return sinusoids(torch.arange(positions, dtype=torch.float32), width)


def cosines_and_sines(positions: Tensor, width: int) -> Tensor:
    """All cosines, then all sines, of position times frequency, as diffusers' `Timesteps` gives them: (n,) to (n, width) float32."""
    half = width // 2
    frequencies = torch.exp(torch.arange(half, dtype=torch.float32, device=positions.device) * (-math.log(10000.0) / half))
    angles = positions.to(torch.float32)[:, None] * frequencies
    return torch.cat((angles.cos(), angles.sin()), dim=-1)
