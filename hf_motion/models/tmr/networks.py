"""The transformers of TMR."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...nn.attention import SelfAttention, key_padding_mask
from ...nn.gaussian import Gaussian
from .configuration_tmr import TMRConfig


class TMREncoder(nn.Module):
    """A sequence to a Gaussian, in the way of ACTOR (Petrovich et al., ICCV 2021).

    Args:
        config (`TMRConfig`): Configuration.
        num_inputs (`int`): Width of the sequence.
    """

    def __init__(self, config: TMRConfig, num_inputs: int) -> None:
        super().__init__()
        self.distribution_tokens = nn.Parameter(torch.empty(2, config.hidden_size))
        self.input_projection = nn.Linear(num_inputs, config.hidden_size)
        self.blocks = nn.ModuleList(TMRBlock(config) for _ in range(config.num_layers))
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


class TMRDecoder(nn.Module):
    """A latent to a motion: positions ask, the latent answers.

    Args:
        config (`TMRConfig`): Configuration.
    """

    def __init__(self, config: TMRConfig) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(TMRBlock(config, reads_latent=True) for _ in range(config.num_layers))
        self.output_projection = nn.Linear(config.hidden_size, config.num_features)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, latents: Tensor, attention_mask: Tensor, positions: Tensor) -> Tensor:
        """(batch, hidden_size) to (batch, frames, num_features); `positions` is (frames, hidden_size)."""
        hidden = self.dropout(positions.expand(len(latents), -1, -1))
        mask = key_padding_mask(attention_mask, hidden.dtype)
        for block in self.blocks:
            hidden = block(hidden, mask, latents)
        return self.output_projection(hidden) * attention_mask[..., None].to(hidden.dtype)


class TMRBlock(nn.Module):
    """Transformer block with normalisation after each residual sum.

    The decoder attends to one latent. A softmax over one key is one whatever the query, so that what every frame receives is the latent's
    value: query and key weights, which published checkpoints hold, would change nothing.
    """

    def __init__(self, config: TMRConfig, reads_latent: bool = False) -> None:
        super().__init__()
        width = config.hidden_size
        self.self_attention = SelfAttention(width, config.num_attention_heads, config.dropout)
        self.self_attention_norm = nn.LayerNorm(width)
        self.latent_value = nn.Linear(width, width) if reads_latent else None
        self.latent_out = nn.Linear(width, width) if reads_latent else None
        self.latent_norm = nn.LayerNorm(width) if reads_latent else None
        self.mlp = nn.Sequential(
            nn.Linear(width, config.intermediate_size), nn.GELU(), nn.Dropout(config.dropout), nn.Linear(config.intermediate_size, width)
        )
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
