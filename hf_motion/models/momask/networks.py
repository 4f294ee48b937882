"""The three networks of MoMask."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...nn.attention import PostNormBlock, key_padding_mask
from ...nn.embeddings import sinusoidal_table
from .configuration_momask import MoMaskConfig

_MAX_POSITIONS = 5000


class MaskedTransformer(nn.Module):
    """Predicts masked codes of the first book."""

    def __init__(self, config: MoMaskConfig) -> None:
        super().__init__()
        size = config.vq_config.codebook_size
        self.token_embedding = nn.Embedding(size + 2, config.token_dim)
        self.trunk = TokenTrunk(config)
        self.text_projection = nn.Linear(config.text_dim, config.hidden_size)
        self.head = TokenHead(config.hidden_size, size)

    def forward(self, ids: Tensor, text: Tensor, real: Tensor) -> Tensor:
        """(batch, tokens) ids, (batch, text_dim) text, zero for none, and (batch, tokens) bool to logits (batch, tokens, codes)."""
        prefix = self.text_projection(text.to(self.text_projection.weight.dtype))[:, None]
        return self.head(self.trunk(self.token_embedding(ids), prefix, real))


class ResidualTransformer(nn.Module):
    """Predicts the codes of a book from the sum of those before it. Its tables of inner books serve as input and as output."""

    def __init__(self, config: MoMaskConfig) -> None:
        super().__init__()
        books, rows, width = config.vq_config.num_quantizers, config.vq_config.codebook_size + 1, config.token_dim
        self.share_weights, self.double_logits = config.share_weights, config.double_logits
        self.num_inner = books - 2
        inner = self.num_inner if config.share_weights else 2 * self.num_inner
        self.first_table = nn.Parameter(torch.empty(1, rows, width))
        self.inner_tables = nn.Parameter(torch.empty(inner, rows, width))
        self.last_table = nn.Parameter(torch.empty(1, rows, width))
        self.output_bias = None if config.share_weights else nn.Parameter(torch.zeros(books - 1, rows))
        self.trunk = TokenTrunk(config)
        self.text_projection = nn.Linear(config.text_dim, config.hidden_size)
        self.layer_embedding = nn.Linear(books, config.hidden_size)
        self.head = TokenHead(config.hidden_size, width)

    def input_table(self, book: int) -> Tensor:
        """(codes + 1, token_dim), of a book that others are predicted from."""
        return self.inner_tables[book - 1] if book else self.first_table[0]

    def output_table(self, book: int) -> Tensor:
        """(codes + 1, token_dim), of a book that is predicted: from 1."""
        if book - 1 == self.num_inner:
            return self.last_table[0]
        return self.inner_tables[book - 1 + (0 if self.share_weights else self.num_inner)]

    def embed(self, codes: Tensor, book: int) -> Tensor:
        """(batch, tokens) codes of a book, -1 for none, to (batch, tokens, token_dim)."""
        table = self.input_table(book)
        return F.embedding(torch.where(codes < 0, len(table) - 1, codes), table)

    def sum_below(self, codes: Tensor, layers: Tensor) -> Tensor:
        """Sum of the embeddings of all books before `layers`, (batch, tokens, token_dim)."""
        total = 0
        for book in range(codes.shape[1] - 1):
            total = total + self.embed(codes[:, book], book) * (book < layers)[:, None, None]
        return total

    def forward(self, below: Tensor, layers: Tensor | int, text: Tensor, real: Tensor) -> Tensor:
        """Logits of a book.

        Args:
            below (`torch.Tensor`): (batch, tokens, token_dim), see `sum_below`.
            layers (`torch.Tensor` or `int`): The book, from 1: one for all, or (batch,).
            text (`torch.Tensor`): (batch, text_dim), zero for none.
            real (`torch.Tensor`): (batch, tokens) bool.

        Returns:
            `torch.Tensor`: (batch, tokens, codes + 1); the last is the padding's.
        """
        dtype, books = self.text_projection.weight.dtype, self.layer_embedding.in_features
        each = torch.full((len(below),), layers, device=below.device) if isinstance(layers, int) else layers
        prefix = self.text_projection(text.to(dtype)), self.layer_embedding(F.one_hot(each, books).to(dtype))
        hidden = self.head(self.trunk(below, torch.stack(prefix, dim=1), real))
        if isinstance(layers, int):
            return self._project(hidden, layers)
        # A product per book, rather than a copy of a table per example.
        logits = hidden.new_zeros((*hidden.shape[:2], self.first_table.shape[1]))
        for layer in range(1, books):
            rows = (layers == layer).nonzero()[:, 0]
            logits = logits.index_put((rows,), self._project(hidden[rows], layer).to(logits.dtype))
        return logits

    def _project(self, hidden: Tensor, layer: int) -> Tensor:
        logits = hidden @ self.output_table(layer).T.to(hidden.dtype)
        if self.output_bias is None:
            return logits
        return (2 if self.double_logits else 1) * logits + self.output_bias[layer - 1].to(logits.dtype)


class TokenTrunk(nn.Module):
    """Transformer over token vectors behind a prefix; only the tokens have positions."""

    def __init__(self, config: MoMaskConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.input_projection = nn.Linear(config.token_dim, width)
        self.blocks = nn.ModuleList(
            PostNormBlock(width, config.num_attention_heads, config.intermediate_size, config.dropout)
            for _ in range(config.num_hidden_layers)
        )
        self.dropout = nn.Dropout(config.dropout)
        self.register_buffer("positions", sinusoidal_table(_MAX_POSITIONS, width), persistent=False)

    def forward(self, tokens: Tensor, prefix: Tensor, real: Tensor) -> Tensor:
        """(batch, tokens, token_dim), (batch, n, hidden_size) and (batch, tokens) bool to (batch, tokens, hidden_size)."""
        hidden = self.input_projection(tokens.to(self.input_projection.weight.dtype))
        hidden = self.dropout(hidden + self.positions[: hidden.shape[1]].to(hidden.dtype))
        hidden = torch.cat((prefix.to(hidden.dtype), hidden), dim=1)
        mask = key_padding_mask(F.pad(real, (prefix.shape[1], 0), value=True), hidden.dtype)
        for block in self.blocks:
            hidden = block(hidden, mask)
        return hidden[:, prefix.shape[1] :]


class TokenHead(nn.Module):
    """Two layers with a normalisation between them, as BERT's."""

    def __init__(self, hidden_size: int, outputs: int) -> None:
        super().__init__()
        self.dense = nn.Linear(hidden_size, hidden_size)
        self.norm = nn.LayerNorm(hidden_size, eps=1e-12)
        self.out = nn.Linear(hidden_size, outputs)

    def forward(self, hidden: Tensor) -> Tensor:
        """(..., hidden_size) to (..., outputs)."""
        return self.out(self.norm(F.gelu(self.dense(hidden))))


class LengthEstimator(nn.Module):
    """How many tokens a text takes, from its vector; as published, counts are classes."""

    def __init__(self, text_dim: int, classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(text_dim, 512), nn.LayerNorm(512), nn.LeakyReLU(0.2), nn.Dropout(0.2),
            nn.Linear(512, 256), nn.LayerNorm(256), nn.LeakyReLU(0.2), nn.Dropout(0.2),
            nn.Linear(256, 128), nn.LayerNorm(128), nn.LeakyReLU(0.2),
            nn.Linear(128, classes),
        )  # fmt: skip

    def forward(self, text: Tensor) -> Tensor:
        """(batch, text_dim) to (batch, classes)."""
        return self.layers(text.to(self.layers[0].weight.dtype))
