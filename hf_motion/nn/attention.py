"""Scaled dot-product attention with one switch."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

AttentionImplementation = Literal["sdpa", "eager"]


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    dropout: float = 0.0,
    implementation: AttentionImplementation = "sdpa",
) -> Tensor:
    """softmax(Q K^T / sqrt(d)) V.

    Args:
        query (`torch.Tensor`): (batch, heads, queries, d).
        key (`torch.Tensor`): (batch, heads, keys, d).
        value (`torch.Tensor`): (batch, heads, keys, d).
        mask (`torch.Tensor`, *optional*): Added to the scores; broadcastable to (batch, heads, queries, keys), same dtype as
            `query`, a large negative number where a key must not be seen.
        dropout (`float`, defaults to 0.0): Dropout of the attention weights.
        implementation (`str`, defaults to `"sdpa"`): `"sdpa"` is fused; `"eager"` writes the scores out, which trains faster on CPUs,
            where the fused backward pass is the slow part.

    Returns:
        `torch.Tensor`: (batch, heads, queries, d).
    """
    if implementation == "sdpa":
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout)
    scores = torch.matmul(query, key.transpose(-1, -2)) / math.sqrt(query.shape[-1])
    weights = (scores if mask is None else scores + mask).softmax(-1).to(value.dtype)
    return torch.matmul(F.dropout(weights, dropout) if dropout else weights, value)


def key_padding_mask(attention_mask: Tensor, dtype: torch.dtype) -> Tensor:
    """(batch, 1, 1, keys) additive mask of an (batch, keys) mask that is 1 on real keys."""
    hidden = torch.zeros(attention_mask.shape, dtype=dtype, device=attention_mask.device)
    return hidden.masked_fill(~attention_mask.bool(), torch.finfo(dtype).min)[:, None, None, :]
