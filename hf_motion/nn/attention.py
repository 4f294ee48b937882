"""Scaled dot-product attention with one switch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

AttentionImplementation = Literal["auto", "sdpa", "eager"]


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    dropout: float = 0.0,
    implementation: AttentionImplementation = "auto",
) -> Tensor:
    """softmax(Q K^T / sqrt(d)) V.

    Args:
        query (`torch.Tensor`): (batch, heads, queries, d).
        key (`torch.Tensor`): (batch, heads, keys, d).
        value (`torch.Tensor`): (batch, heads, keys, d).
        mask (`torch.Tensor`, *optional*): Added to the scores; (batch, 1, 1, keys), same dtype as `query`, a large negative number where
            a key must not be seen.
        dropout (`float`, defaults to 0.0): Dropout of the attention weights.
        implementation (`str`, defaults to `"auto"`): `"sdpa"` is fused, `"eager"` writes the scores out, `"auto"` takes the faster one: on
            CPUs fused attention loses in bf16 and in its backward pass, elsewhere it wins.

    Returns:
        `torch.Tensor`: (batch, heads, queries, d).
    """
    if implementation == "auto":
        slow_when_fused = query.device.type == "cpu" and (query.dtype == torch.bfloat16 or torch.is_grad_enabled())
        implementation = "eager" if slow_when_fused else "sdpa"
    if implementation == "sdpa":
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout)
    batch, heads, _, width = query.shape
    if mask is None:
        bias, beta = query.new_zeros(1, 1, 1), 0.0
    else:
        bias, beta = mask.expand(batch, heads, 1, -1).reshape(batch * heads, 1, -1), 1.0
    scores = torch.baddbmm(bias, query.flatten(0, 1), key.flatten(0, 1).transpose(1, 2), beta=beta, alpha=width**-0.5)
    weights = scores.softmax(-1)
    weights = F.dropout(weights, dropout) if dropout else weights
    return torch.bmm(weights, value.flatten(0, 1)).unflatten(0, (batch, heads))


def split_heads(num_heads: int, *tensors: Tensor) -> Iterator[Tensor]:
    """Each (batch, steps, heads * d) as (batch, heads, steps, d)."""
    return (tensor.unflatten(-1, (num_heads, -1)).transpose(1, 2) for tensor in tensors)


def key_padding_mask(attention_mask: Tensor, dtype: torch.dtype) -> Tensor:
    """(batch, 1, 1, keys) additive mask of an (batch, keys) mask that is 1 on real keys."""
    hidden = torch.zeros(attention_mask.shape, dtype=dtype, device=attention_mask.device)
    return hidden.masked_fill(~attention_mask.bool(), torch.finfo(dtype).min)[:, None, None, :]


class SelfAttention(nn.Module):
    """Multi-head attention of a sequence to itself.

    Args:
        hidden_size (`int`): Width.
        num_heads (`int`): Heads; must divide `hidden_size`.
        dropout (`float`): Dropout of the attention weights.
    """

    def __init__(self, hidden_size: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads, self.dropout = num_heads, dropout
        self.qkv = nn.Linear(hidden_size, 3 * hidden_size)
        self.out = nn.Linear(hidden_size, hidden_size)

    def forward(self, hidden: Tensor, mask: Tensor | None, implementation: AttentionImplementation = "auto") -> Tensor:
        """(batch, steps, hidden_size) in and out; `mask` is additive, (batch, 1, 1, steps)."""
        query, key, value = self.qkv(hidden).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        dropout = self.dropout if self.training else 0.0
        return self.out(attend(query, key, value, mask, dropout, implementation).transpose(1, 2).flatten(2))


class CrossAttention(nn.Module):
    """Multi-head attention of a sequence to another one, of which keys and values are made apart: once for many calls.

    Args:
        hidden_size (`int`): Width.
        num_heads (`int`): Heads; must divide `hidden_size`.
        dropout (`float`): Dropout of the attention weights.
    """

    def __init__(self, hidden_size: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads, self.dropout = num_heads, dropout
        self.q = nn.Linear(hidden_size, hidden_size)
        self.kv = nn.Linear(hidden_size, 2 * hidden_size)
        self.out = nn.Linear(hidden_size, hidden_size)

    def keys_values(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of the other sequence, each (batch, tokens, hidden_size)."""
        return self.kv(states).chunk(2, dim=-1)

    def attend_to(
        self, hidden: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, implementation: AttentionImplementation = "auto"
    ) -> Tensor:
        """(batch, steps, hidden_size) in and out; `mask` is additive, (batch, 1, 1, tokens)."""
        query, key, value = split_heads(self.num_heads, self.q(hidden), keys, values)
        dropout = self.dropout if self.training else 0.0
        return self.out(attend(query, key, value, mask, dropout, implementation).transpose(1, 2).flatten(2))


def feed_forward(hidden_size: int, intermediate_size: int, dropout: float) -> nn.Sequential:
    """The feed-forward layers of a transformer block, with dropout between them."""
    return nn.Sequential(
        nn.Linear(hidden_size, intermediate_size), nn.GELU(), nn.Dropout(dropout), nn.Linear(intermediate_size, hidden_size)
    )


class PostNormBlock(nn.Module):
    """Transformer block with normalisation after each residual sum, as `torch.nn.TransformerEncoderLayer` has it by default.

    Args:
        hidden_size (`int`): Width.
        num_heads (`int`): Heads.
        intermediate_size (`int`): Width of the feed-forward layer.
        dropout (`float`): Dropout, of attention weights too.
    """

    def __init__(self, hidden_size: int, num_heads: int, intermediate_size: int, dropout: float) -> None:
        super().__init__()
        self.self_attention = SelfAttention(hidden_size, num_heads, dropout)
        self.self_attention_norm = nn.LayerNorm(hidden_size)
        self.mlp = feed_forward(hidden_size, intermediate_size, dropout)
        self.mlp_norm = nn.LayerNorm(hidden_size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Tensor, mask: Tensor | None, implementation: AttentionImplementation = "auto") -> Tensor:
        """(batch, steps, hidden_size) in and out; `mask` is additive, (batch, 1, 1, steps)."""
        hidden = self.self_attention_norm(hidden + self.dropout(self.self_attention(hidden, mask, implementation)))
        return self.mlp_norm(hidden + self.dropout(self.mlp(hidden)))
