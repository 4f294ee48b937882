"""The block of models that make one token after another."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import Cache


class CausalBlock(nn.Module):
    """Transformer block with normalisation before each residual branch, whose steps see those before them."""

    def __init__(self, hidden_size: int, num_heads: int, intermediate_size: int, dropout: float) -> None:
        super().__init__()
        self.num_heads, self.attention_dropout = num_heads, dropout
        self.attention_norm = nn.LayerNorm(hidden_size)
        self.qkv = nn.Linear(hidden_size, 3 * hidden_size)
        self.out = nn.Linear(hidden_size, hidden_size)
        self.mlp_norm = nn.LayerNorm(hidden_size)
        self.mlp = nn.Sequential(nn.Linear(hidden_size, intermediate_size), nn.GELU(), nn.Linear(intermediate_size, hidden_size))
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Tensor, cache: Cache | None, layer: int) -> Tensor:
        """(batch, steps, hidden_size) in and out; the cache takes the new keys and values."""
        query, key, value = self.qkv(self.attention_norm(hidden)).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        past = 0
        if cache is not None:
            past = cache.get_seq_length(layer)
            key, value = cache.update(key, value, layer)
        steps = query.shape[2]
        # One new step sees everything; several behind a past see it too, and each other causally.
        mask = None
        if past and steps > 1:
            mask = torch.ones(steps, past + steps, dtype=torch.bool, device=hidden.device).tril(past)
        dropout = self.attention_dropout if self.training else 0.0
        attended = F.scaled_dot_product_attention(query, key, value, mask, dropout, is_causal=not past and steps > 1)
        hidden = hidden + self.dropout(self.out(attended.transpose(1, 2).flatten(2)))
        return hidden + self.dropout(self.mlp(self.mlp_norm(hidden)))
