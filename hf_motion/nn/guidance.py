"""Guidance: away from what is said without a text, or its strength as an input of a denoiser, in the place of a second pass."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def guided(unconditional: Tensor, conditional: Tensor, scale: float) -> Tensor:
    """Classifier-free guidance (Ho and Salimans 2022): from what a model says without a text towards, and past, what it says with it."""
    return unconditional + scale * (conditional - unconditional)


def guidance_embedding(weights: Tensor, width: int) -> Tensor:
    """Strengths of guidance as latent consistency models read them (Luo et al. 2023; diffusers' `get_guidance_scale_embedding`).

    Args:
        weights (`torch.Tensor`): Guidance scales less 1, (n,).
        width (`int`): Width of the result; even, at least 4.

    Returns:
        `torch.Tensor`: (n, width) float32, all sines, then all cosines.
    """
    half = width // 2
    frequencies = torch.exp(torch.arange(half, dtype=torch.float32, device=weights.device) * (-math.log(10000.0) / (half - 1)))
    angles = 1000 * weights.to(torch.float32)[:, None] * frequencies
    return torch.cat((angles.sin(), angles.cos()), dim=-1)


class GuidanceProjection(nn.Linear):
    """From `guidance_embedding` to what is added to the embedding of the diffusion step. It begins as zero, which changes nothing.

    Args:
        width (`int`): Of the embedding; even, at least 4.
        hidden_size (`int`): Of the step's.

    Raises:
        ValueError: If the width is odd or smaller.
    """

    def __init__(self, width: int, hidden_size: int) -> None:
        if width < 4 or width % 2:
            raise ValueError(f"time_cond_proj_dim must be even and at least 4, got {width}.")
        super().__init__(width, hidden_size, bias=False)

    def reset_parameters(self) -> None:
        """Zeros."""
        nn.init.zeros_(self.weight)


def add_guidance(time: Tensor, timestep_cond: Tensor | None, projection: GuidanceProjection | None) -> Tensor:
    """The step's embedding (batch, hidden_size) with that of the guidance scale.

    Raises:
        ValueError: If one of the two is there without the other.
    """
    if (timestep_cond is None) != (projection is None):
        raise ValueError(
            "This denoiser reads its guidance scale: pass timestep_cond=guidance_embedding(scale - 1, time_cond_proj_dim)."
            if timestep_cond is None
            else "This denoiser does not read a guidance scale (time_cond_proj_dim is not set); leave timestep_cond out."
        )
    return time if projection is None or timestep_cond is None else time + projection(timestep_cond.to(time))
