"""Decoding that cannot go wrong: what a language model may say where a motion is asked for, and where words are."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from ...nn.sampling import GumbelLogitsProcessor
from .vocabulary import MotionVocabulary


def sampling(temperature: float, top_k: int | None, top_p: float | None, generators: Sequence[torch.Generator]) -> list[LogitsProcessor]:
    """Processors that make greedy decoding a draw, each row with its own generator; none at temperature 0.

    Raises:
        ValueError: If a value is out of range.
    """
    if not temperature >= 0:
        raise ValueError(f"temperature must be 0 or more, got {temperature}.")
    if not temperature:
        return []
    return [
        TemperatureLogitsWarper(float(temperature)),
        *([TopKLogitsWarper(top_k)] if top_k else []),
        *([TopPLogitsWarper(top_p)] if top_p else []),
        GumbelLogitsProcessor(generators),
    ]


class MotionGrammar(LogitsProcessor):
    """Behind the start of a motion: codes, in the order of their books, then the end, after at least one whole token.

    All rows are at the same place, since padding is on the left. Everything else of the vocabulary is cut off first, so that temperature,
    top-k, top-p and noise are computed over a few hundred numbers rather than over the whole vocabulary.

    Args:
        vocabulary (`MotionVocabulary`): Where the motion tokens are.
        most (`Sequence[int]`): Tokens at which each row ends at the latest.
        counts (`Sequence[int]`, *optional*): Tokens of each row, exactly.
        warpers (`Sequence[LogitsProcessor]`, defaults to `()`): What the allowed scores go through, see `sampling`.

    Example:
        >>> vocabulary = MotionVocabulary(first=4, size=8, codebook_size=4, num_quantizers=1, format="motion")
        >>> grammar = MotionGrammar(vocabulary, most=[2])
        >>> prompt = torch.tensor([[0, 1, vocabulary.start]])
        >>> allowed = grammar(prompt, torch.zeros(1, 13)).isfinite().nonzero()[:, 1]
        >>> allowed
        tensor([4, 5, 6, 7])
        >>> grammar(torch.tensor([[0, 1, vocabulary.start, 5]]), torch.zeros(1, 13)).isfinite().nonzero()[:, 1]
        tensor([4, 5, 6, 7, 9])
    """

    def __init__(
        self,
        vocabulary: MotionVocabulary,
        most: Sequence[int],
        counts: Sequence[int] | None = None,
        warpers: Sequence[LogitsProcessor] = (),
    ) -> None:
        self.vocabulary, self.most, self.counts = vocabulary, most, counts
        self.warpers = LogitsProcessorList(warpers)
        self.prompt: int | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """(rows, vocabulary) scores: minus infinity for all that may not come."""
        vocabulary = self.vocabulary
        if self.prompt is None:
            self.prompt = input_ids.shape[1]
        tokens, book = divmod(input_ids.shape[1] - self.prompt, vocabulary.num_quantizers)
        first, behind = vocabulary.first, vocabulary.first + vocabulary.size
        low, high = (index - first for index in vocabulary.book(book))
        narrow = scores[:, first:behind].float()
        allowed = torch.full_like(narrow, -torch.inf)
        full = torch.tensor(self.most if self.counts is None else self.counts, device=scores.device) <= tokens
        if book or not bool(full.all()):
            allowed[:, low:high] = narrow[:, low:high]
        if book == 0:
            end = vocabulary.end - first
            allowed[:, low:high].masked_fill_(full[:, None], -torch.inf)
            may_end = full if self.counts is not None else full | (tokens >= 1)
            allowed[:, end] = narrow[:, end].masked_fill(~may_end, -torch.inf)
        result = torch.full_like(scores, -torch.inf)
        result[:, first:behind] = self.warpers(input_ids, allowed)
        return result


class WordsOnly(LogitsProcessor):
    """Forbids motion tokens, and the end as the very first token.

    Args:
        vocabulary (`MotionVocabulary`, *optional*): Where the motion tokens are, if there are any.
        ends (`Sequence[int]`): Ids that end an answer.
    """

    def __init__(self, vocabulary: MotionVocabulary | None, ends: Sequence[int]) -> None:
        self.vocabulary, self.ends = vocabulary, list(ends)
        self.prompt: int | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """(rows, vocabulary) scores."""
        if self.prompt is None:
            self.prompt = input_ids.shape[1]
        scores = scores.clone()
        if self.vocabulary is not None:
            scores[:, self.vocabulary.first : self.vocabulary.first + self.vocabulary.size] = -torch.inf
        if input_ids.shape[1] == self.prompt:
            scores[:, self.ends] = -torch.inf
        return scores
