"""Scaled dot-product attention with one switch."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
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


def key_padding_mask(attention_mask: Tensor, dtype: torch.dtype) -> Tensor:
    """(batch, 1, 1, keys) additive mask of an (batch, keys) mask that is 1 on real keys."""
    hidden = torch.zeros(attention_mask.shape, dtype=dtype, device=attention_mask.device)
    return hidden.masked_fill(~attention_mask.bool(), torch.finfo(dtype).min)[:, None, None, :]
