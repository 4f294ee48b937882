"""The transformers of TEMOS and what came of it: a sequence to a Gaussian, and a latent to a sequence (Petrovich et al., ECCV 2022)."""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import initialization as init

from .attention import SelfAttention, feed_forward, key_padding_mask
from .gaussian import Gaussian


class Sizes(Protocol):
    """What a configuration has to say of these networks."""

    num_features: int
    hidden_size: int
    num_layers: int
    num_attention_heads: int
    intermediate_size: int
    dropout: float


class GaussianEncoder(nn.Module):
    """A sequence to a Gaussian, in the way of ACTOR (Petrovich et al., ICCV 2021).

    Args:
        config (`Sizes`): Configuration of the model.
        num_inputs (`int`): Width of the sequence.
    """

    def __init__(self, config: Sizes, num_inputs: int) -> None:
        super().__init__()
        self.distribution_tokens = nn.Parameter(torch.empty(2, config.hidden_size))
        self.input_projection = nn.Linear(num_inputs, config.hidden_size)
        self.blocks = nn.ModuleList(LatentBlock(config) for _ in range(config.num_layers))
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, states: Tensor, attention_mask: Tensor | None, positions: Tensor) -> Gaussian:
        """(batch, steps, num_inputs) to a Gaussian; `positions` is (steps + 2, hidden_size)."""
        hidden = self.states(states, attention_mask, positions)
        return Gaussian(hidden[:, 0], hidden[:, 1])

    def states(self, states: Tensor, attention_mask: Tensor | None, positions: Tensor) -> Tensor:
        """(batch, steps, num_inputs) to (batch, steps + 2, hidden_size), the Gaussian's two first."""
        hidden = torch.cat((self.distribution_tokens.expand(len(states), -1, -1), self.input_projection(states)), dim=1)
        hidden = self.dropout(hidden + positions)
        mask = None if attention_mask is None else key_padding_mask(F.pad(attention_mask, (2, 0), value=1), hidden.dtype)
        for block in self.blocks:
            hidden = block(hidden, mask)
        return hidden


class LatentDecoder(nn.Module):
    """A latent to a motion: positions ask, the latent answers.

    Args:
        config (`Sizes`): Configuration of the model.
    """

    def __init__(self, config: Sizes) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(LatentBlock(config, reads_latent=True) for _ in range(config.num_layers))
        self.output_projection = nn.Linear(config.hidden_size, config.num_features)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, latents: Tensor, attention_mask: Tensor, positions: Tensor) -> Tensor:
        """(batch, hidden_size) to (batch, frames, num_features); `positions` is (frames, hidden_size)."""
        hidden = self.dropout(positions.expand(len(latents), -1, -1))
        mask = key_padding_mask(attention_mask, hidden.dtype)
        for block in self.blocks:
            hidden = block(hidden, mask, latents)
        return self.output_projection(hidden) * attention_mask[..., None].to(hidden.dtype)


class LatentBlock(nn.Module):
    """Transformer block with normalisation after each residual sum.

    The decoder attends to one latent. A softmax over one key is one whatever the query, so that what every frame receives is the latent's
    value: query and key weights, which published checkpoints hold, would change nothing.
    """

    def __init__(self, config: Sizes, reads_latent: bool = False) -> None:
        super().__init__()
        width = config.hidden_size
        self.self_attention = SelfAttention(width, config.num_attention_heads, config.dropout)
        self.self_attention_norm = nn.LayerNorm(width)
        self.latent_value = nn.Linear(width, width) if reads_latent else None
        self.latent_out = nn.Linear(width, width) if reads_latent else None
        self.latent_norm = nn.LayerNorm(width) if reads_latent else None
        self.mlp = feed_forward(width, config.intermediate_size, config.dropout)
        self.mlp_norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(config.dropout)

    @property
    def attentions(self) -> list[tuple[nn.Linear, nn.Linear]]:
        """First and last layer of each attention."""
        own = [(self.self_attention.qkv, self.self_attention.out)]
        return own if self.latent_value is None else [*own, (self.latent_value, self.latent_out)]

    def forward(self, hidden: Tensor, mask: Tensor | None, latents: Tensor | None = None) -> Tensor:
        """(batch, steps, hidden_size) in and out; `mask` is additive, (batch, 1, 1, steps); `latents` is (batch, hidden_size)."""
        hidden = self.self_attention_norm(hidden + self.dropout(self.self_attention(hidden, mask)))
        if self.latent_value is not None:
            read = self.latent_out(self.latent_value(latents))[:, None].expand_as(hidden)
            hidden = self.latent_norm(hidden + self.dropout(read))
        return self.mlp_norm(hidden + self.dropout(self.mlp(hidden)))


def init_temos_weights(module: nn.Module, whole: bool) -> None:
    """PyTorch's own initial values, as published, for `PreTrainedModel._init_weights`.

    Args:
        module (`torch.nn.Module`): A part of a model, or the model.
        whole (`bool`): Whether it is the model: blocks are initialised from there, since modules without weights of their own are skipped.
    """
    if isinstance(module, GaussianEncoder):
        init.normal_(module.distribution_tokens)
    elif isinstance(module, nn.LayerNorm):
        init.ones_(module.weight)
        init.zeros_(module.bias)
    elif isinstance(module, nn.Linear):
        bound = 1 / math.sqrt(module.in_features)
        init.uniform_(module.weight, -bound, bound)
        init.uniform_(module.bias, -bound, bound)
    elif whole:
        for block in (block for block in module.modules() if isinstance(block, LatentBlock)):
            for inputs, output in block.attentions:
                bound = math.sqrt(6 / (4 * inputs.in_features))  # Xavier's, of query, key and value as one matrix.
                init.uniform_(inputs.weight, -bound, bound)
                init.zeros_(inputs.bias)
                init.zeros_(output.bias)


def frame_loss(prediction: Tensor, target: Tensor, attention_mask: Tensor) -> Tensor:
    """Smooth L1, mean over features and real frames and then over clips.

    Args:
        prediction (`torch.Tensor`): (batch, frames, num_features).
        target (`torch.Tensor`): The same.
        attention_mask (`torch.Tensor`): (batch, frames), 1 on real frames.

    Returns:
        `torch.Tensor`: Scalar.
    """
    error = F.smooth_l1_loss(prediction, target, reduction="none").mean(-1) * attention_mask
    return (error.sum(1) / attention_mask.sum(1).clamp(min=1)).mean()


def divergence(first: Gaussian, second: Gaussian) -> Tensor:
    """KL(first || second) of diagonal Gaussians, mean over examples and dimensions."""
    log_ratio = first.log_variance - second.log_variance
    distance = (second.mean - first.mean).square() / second.log_variance.exp()
    return 0.5 * (log_ratio.exp() + distance - 1 - log_ratio).mean()
