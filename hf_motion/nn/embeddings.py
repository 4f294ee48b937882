"""Positions as vectors."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def sinusoidal_table(positions: int, width: int) -> Tensor:
    """Sine and cosine of position times frequency, interleaved (Vaswani et al. 2017), (positions, width) float32."""
    angles = torch.arange(positions)[:, None] * torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1)
