"""The convolutional networks of motion tokenizers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .configuration_motion_vq import MotionVQConfig


class ConvEncoder(nn.Module):
    """Frames to latents, one for every few frames.

    Args:
        config (`MotionVQConfig`): Sizes.
        num_features (`int`): Width of a frame.
        strides (`list[int]`): How much each stage shortens time.
    """

    def __init__(self, config: MotionVQConfig, num_features: int, strides: Sequence[int]) -> None:
        super().__init__()
        width = config.hidden_size
        self.strides = list(strides)
        self.input = nn.Conv1d(num_features, width, 3, padding=1)
        # A kernel of 4 halves an even length exactly.
        self.shorten = nn.ModuleList(nn.Conv1d(width, width, 4 if s == 2 else 3, stride=s, padding=1) for s in strides)
        self.blocks = nn.ModuleList(_residual_blocks(config) for _ in strides)
        self.output = nn.Conv1d(width, config.code_dim, 3, padding=1)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """(batch, frames, num_features) and (batch,) frames per clip to (batch, tokens, code_dim)."""
        hidden, mask = features.transpose(1, 2), _mask(features.shape[1], lengths)
        hidden = self.input(hidden * mask).relu() * mask
        for stride, shorten, blocks in zip(self.strides, self.shorten, self.blocks, strict=True):
            lengths = lengths // stride
            hidden = shorten(hidden)
            mask = _mask(hidden.shape[-1], lengths)
            hidden = hidden * mask
            for block in blocks:
                hidden = block(hidden, mask)
        return (self.output(hidden) * mask).transpose(1, 2)


class TwoStreamEncoder(nn.Module):
    """Frames to latents of two streams: the hands' features and the rest have an encoder each (HumanTOMATO, section 2.2).

    Args:
        config (`MotionVQConfig`): With `hand_features`.
    """

    def __init__(self, config: MotionVQConfig) -> None:
        super().__init__()
        self.hand_features = config.hand_features
        self.body_features = sorted(set(range(config.num_features)) - set(config.hand_features))
        self.codes = config.body_codes
        self.body = ConvEncoder(config, len(self.body_features), config.body_strides)
        self.hands = ConvEncoder(config, len(self.hand_features), config.strides)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """(batch, frames, num_features) and (batch,) frames per clip to (batch, steps, (body_codes + 1) * code_dim).

        A step has the body's latents, one after the other, and then the hands'.
        """
        body = self.body(features[..., self.body_features], lengths)
        hands = self.hands(features[..., self.hand_features], lengths)
        return torch.cat((body.unflatten(1, (-1, self.codes)).flatten(2), hands), dim=-1)


class ConvDecoder(nn.Module):
    """Latents to frames.

    Args:
        config (`MotionVQConfig`): Sizes.
        code_dim (`int`): Width of a latent.
        strides (`list[int]`): How much the encoder's stages shortened time; they are undone in reverse.
    """

    def __init__(self, config: MotionVQConfig, code_dim: int, strides: Sequence[int]) -> None:
        super().__init__()
        width = config.hidden_size
        self.strides = list(strides)[::-1]
        self.input = nn.Conv1d(code_dim, width, 3, padding=1)
        self.blocks = nn.ModuleList(_residual_blocks(config) for _ in strides)
        self.lengthen = nn.ModuleList(nn.Conv1d(width, width, 3, padding=1) for _ in strides)
        self.hidden = nn.Conv1d(width, width, 3, padding=1)
        self.output = nn.Conv1d(width, config.num_features, 3, padding=1)

    def forward(self, latents: Tensor, lengths: Tensor) -> Tensor:
        """(batch, tokens, code_dim), (batch,) frames per clip to (batch, frames, num_features); zero behind each clip's end."""
        unit = 1
        for stride in self.strides:
            unit *= stride
        lengths = lengths // unit
        mask = _mask(latents.shape[1], lengths)
        hidden = self.input(latents.transpose(1, 2) * mask).relu() * mask
        for stride, blocks, lengthen in zip(self.strides, self.blocks, self.lengthen, strict=True):
            for block in blocks:
                hidden = block(hidden, mask)
            lengths = lengths * stride
            hidden = hidden.repeat_interleave(stride, dim=-1) if stride > 1 else hidden
            mask = _mask(hidden.shape[-1], lengths)
            hidden = lengthen(hidden) * mask
        hidden = self.hidden(hidden).relu() * mask
        return (self.output(hidden) * mask).transpose(1, 2)

    @property
    def reach(self) -> int:
        """Tokens on either side that a token's frames depend on."""
        frames, rate = 1.0, 1  # in tokens: the first convolution; then finer and finer steps
        for stride, blocks in zip(self.strides, self.blocks, strict=True):
            frames += sum(block.dilated.dilation[0] for block in blocks) / rate
            rate *= stride
            frames += 1 / rate
        return math.ceil(frames + 2 / rate)


class ResidualBlock(nn.Module):
    """A dilated and a pointwise convolution beside a shortcut."""

    def __init__(self, width: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.dilated = nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation)
        self.pointwise = nn.Conv1d(width, width, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """(batch, width, steps) in and out; `mask` is (batch, 1, steps), 0 behind each clip's end."""
        return hidden + self.dropout(self.pointwise(self.dilated(hidden.relu()).relu())) * mask


def _residual_blocks(config: MotionVQConfig) -> nn.ModuleList:
    """The largest dilation comes first, in the encoder too: the published code reverses its list by default."""
    dilations = [config.dilation_growth**depth for depth in reversed(range(config.residual_depth))]
    return nn.ModuleList(ResidualBlock(config.hidden_size, dilation, config.dropout) for dilation in dilations)


def _mask(steps: int, lengths: Tensor) -> Tensor:
    """(batch, 1, steps), 1 on real steps: with zeros behind its end a clip sees what it would see alone."""
    return (torch.arange(steps, device=lengths.device) < lengths[:, None])[:, None]
