"""Convolutions along time."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class MovementEncoder(nn.Module):
    """One vector for every four frames: two convolutions of stride two and a linear layer (Guo et al., CVPR 2022).

    A vector sees its own four frames, three before and three behind them.

    Args:
        num_features (`int`): Width of a frame.
        hidden_size (`int`): Width between the convolutions.
        output_size (`int`): Width of a vector.
        dropout (`float`, defaults to 0.2): Dropout behind each convolution.
    """

    unit = 4
    """Frames per vector."""

    def __init__(self, num_features: int, hidden_size: int, output_size: int, dropout: float = 0.2) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(num_features, hidden_size, kernel_size=4, stride=2, padding=1),
            nn.Dropout(dropout),
            nn.LeakyReLU(0.2),
            nn.Conv1d(hidden_size, output_size, kernel_size=4, stride=2, padding=1),
            nn.Dropout(dropout),
            nn.LeakyReLU(0.2),
        )
        self.output_projection = nn.Linear(output_size, output_size)

    def forward(self, features: Tensor) -> Tensor:
        """(batch, frames, num_features) to (batch, frames // 4, output_size)."""
        return self.output_projection(self.layers(features.transpose(1, 2)).transpose(1, 2))


def zero_behind(features: Tensor, lengths: Tensor, frames: int) -> Tensor:
    """Cut or fill to `frames`, with zeros behind each row's length.

    Args:
        features (`torch.Tensor`): (batch, any, num_features).
        lengths (`torch.Tensor`): (batch,) real frames, which come first.
        frames (`int`): Frames of the result.

    Returns:
        `torch.Tensor`: (batch, frames, num_features). Whatever lay behind a length gets no gradient.
    """
    features = F.pad(features, (0, 0, 0, frames - features.shape[1]))
    padding = torch.arange(frames, device=features.device) >= lengths[:, None]
    return features.masked_fill(padding[..., None], 0)
