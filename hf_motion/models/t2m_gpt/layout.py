"""Codes of one stream as token ids, and what may follow what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import LogitsProcessor


@dataclass(frozen=True)
class OneStream:
    """Codes of one book as token ids: a code is its own number, and the end is `codebook_size`. A motion of full length needs no end.

    Args:
        codebook_size (`int`): Codes of the book.

    Example:
        >>> import torch
        >>> layout = OneStream(codebook_size=10)
        >>> layout.write(torch.tensor([[1, 2]])).tolist()
        [1, 2, 10]
        >>> layout.read(torch.tensor([1, 2, 10])).tolist()
        [[1, 2]]
    """

    codebook_size: int

    def count(self, steps: int) -> int:
        """Tokens that have to be generated for a motion of so many steps."""
        return steps

    def write(self, codes: Tensor) -> Tensor:
        """Codes (1, steps) to ids (steps + 1,), the end included."""
        return torch.cat((codes[0], codes.new_tensor([self.codebook_size])))

    def read(self, ids: Tensor) -> Tensor:
        """Generated ids (tokens,), with or without an end and padding, to codes (1, steps)."""
        return ids[ids < self.codebook_size][None]

    def books(self, ids: Tensor) -> Tensor:
        """The first id of the book that each id (tokens,) is of, which is 0; -1 for the end."""
        return torch.where(ids < self.codebook_size, 0, -1)

    def processor(self, max_steps: int, counts: Sequence[int] | None = None) -> EndAt:
        """See `EndAt`; the longest motion needs none, as generation stops there."""
        return EndAt(self.codebook_size, counts)


class EndAt(LogitsProcessor):
    """Forbids the end before the wanted number of tokens, and as the very first token: a motion has at least one.

    Args:
        eos_token_id (`int`): The end.
        counts (`list[int]`, *optional*): Tokens that each row shall have; by default it ends where it wants to.
    """

    def __init__(self, eos_token_id: int, counts: Sequence[int] | None) -> None:
        self.eos_token_id, self.counts = eos_token_id, counts

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """(rows, tokens) logits, those of what must not follow at minus infinity."""
        made = input_ids.shape[1] - 1
        wanted = torch.tensor(self.counts or [1] * len(scores), device=scores.device)
        scores = scores.clone()
        scores[made < wanted, self.eos_token_id] = -torch.inf
        if self.counts is not None:
            finished = made >= wanted
            scores[finished] = -torch.inf
            scores[finished, self.eos_token_id] = 0.0
        return scores
