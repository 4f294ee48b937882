"""Motions as numbers in plain text (the formats `"integers"` and `"list"`), for language models without motion tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList, PreTrainedTokenizerBase

if TYPE_CHECKING:
    from ..vimorag.processing_vimorag import ShownVideo
    from .modeling_motion_language import MotionLanguageModel

_LETTERS = frozenset("0123456789,[] ")
_SHAPES = {"integers": ("", ",", ""), "list": ("[", ", ", "]")}


class SpelledGrammar(LogitsProcessor):
    """Numbers below the size of the book, in one way of writing, then the end.

    Every token whose text is made of digits, commas, brackets and spaces is tried against what the row has said so far, whatever pieces
    the tokenizer cuts numbers into.

    Args:
        tokenizer (`PreTrainedTokenizerBase`): Any.
        format (`str`): `"integers"` or `"list"`.
        codebook_size (`int`): Codes are below it.
        most (`Sequence[int]`): Time steps at which each row ends at the latest.
        counts (`Sequence[int]`, *optional*): Time steps of each row, exactly.
        warpers (`Sequence[LogitsProcessor]`, defaults to `()`): What the allowed scores go through.
        num_quantizers (`int`, defaults to 1): Numbers of a time step.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        format: str,
        codebook_size: int,
        most: Sequence[int],
        counts: Sequence[int] | None = None,
        warpers: Sequence[LogitsProcessor] = (),
        num_quantizers: int = 1,
    ) -> None:
        self.begin, self.comma, self.finish = _SHAPES[format]
        self.size, self.counts, self.books = codebook_size, counts, num_quantizers
        self.most = [steps * num_quantizers for steps in (most if counts is None else counts)]
        self.eos, self.warpers = tokenizer.eos_token_id, LogitsProcessorList(warpers)
        self.pieces = _pieces(tokenizer)
        self.prompt: int | None = None
        self._known: dict[tuple[str, bool, bool], list[int]] = {}

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """(rows, vocabulary) scores: minus infinity for all that may not come."""
        if self.prompt is None:
            self.prompt = input_ids.shape[1]
        allowed = torch.full_like(scores, -torch.inf)
        for row, ids in enumerate(input_ids[:, self.prompt :].tolist()):
            text = "".join(self.pieces.get(index, "") for index in ids)
            choice = [self.eos] if self.eos in ids else self._choices(text, row)
            allowed[row, choice] = scores[row, choice]
        return self.warpers(input_ids, allowed)

    def _choices(self, text: str, row: int) -> list[int]:
        """Depends on the number that is being written, and on whether there may be more and must be more, alone."""
        numbers = text.removeprefix(self.begin).split(self.comma)
        made = len(numbers)
        tail = text if text.startswith(self.begin) is False or made == 1 else self.begin + numbers[-1]
        may_go_on = made < self.most[row]
        may_end = made % self.books == 0 and (self.counts is None or not may_go_on)
        key = (tail, may_go_on, may_end)
        if key not in self._known:
            found = [index for index, piece in self.pieces.items() if self._fits(tail + piece, may_go_on, may_end, self.most[row] - made)]
            ends = [self.eos] if may_end and self._whole(tail) else []
            self._known[key] = [*found, *ends]
        return self._known[key]

    def _fits(self, text: str, may_go_on: bool, may_end: bool, left: int) -> bool:
        """Whether a text can still become a motion."""
        if len(text) <= len(self.begin):
            return self.begin.startswith(text)
        if not text.startswith(self.begin):
            return False
        inner = text[len(self.begin) :]
        if self.finish and inner.endswith(self.finish):
            return may_end and self.comma not in inner and self._number(inner.removesuffix(self.finish))
        open_comma = next((inner[-cut:] for cut in range(len(self.comma) - 1, 0, -1) if inner.endswith(self.comma[:cut])), "")
        parts = inner.removesuffix(open_comma).split(self.comma)
        # One number at a time: what follows a comma depends on how many there are.
        if len(parts) > 2 or (len(parts) > 1 and (left < 1 or open_comma)) or (open_comma and not may_go_on):
            return False
        whole = parts if open_comma else parts[:-1]
        return all(map(self._number, whole)) and (bool(open_comma) or parts[-1] == "" or self._number(parts[-1]))

    def _number(self, text: str) -> bool:
        return text.isdecimal() and str(int(text)) == text and int(text) < self.size

    def _whole(self, tail: str) -> bool:
        inner = tail.removeprefix(self.begin)
        return self._number(inner.removesuffix(self.finish)) and inner.endswith(self.finish)


def make_spelled_motions(
    model: MotionLanguageModel,
    questions: list[str],
    counts: list[int] | None,
    most: list[int],
    warpers: Sequence[LogitsProcessor],
    shown: list[ShownVideo] | None = None,
) -> list[Tensor]:
    """Codes that answer questions, written in numbers.

    Args:
        model (`MotionLanguageModel`): With one of these formats.
        questions (`list[str]`): Questions.
        counts (`list[int]`, *optional*): Codes of each, exactly.
        most (`list[int]`): Codes of each at most.
        warpers (`Sequence[LogitsProcessor]`): How to draw.
        shown (`list[ShownVideo]`, *optional*): A video for each, where videos are shown.

    Returns:
        `list[torch.Tensor]`: (quantizers, tokens) each.
    """
    format, size, books = model.config.motion["format"], model.motion_tokenizer.codebook_size, len(model.motion_tokenizer.step_books)
    grammar = SpelledGrammar(model.tokenizer, format, size, most, counts, warpers, books)
    steps = max(counts or most) * books * (len(str(size - 1)) + 2) + 3
    rows = model._generate(questions, [], steps, [grammar], model.tokenizer.eos_token_id, shown)
    texts = ["".join(grammar.pieces.get(index, "") for index in row) for row in rows]
    codes = [model.motion_tokenizer.decode_motion(text, format=format).codes for text in texts]
    return [clip.reshape(books, -1).to(model.device) for clip in codes]


def _pieces(tokenizer: PreTrainedTokenizerBase) -> dict[int, str]:
    """Tokens that are made of nothing but the letters that numbers need."""
    special = set(tokenizer.all_special_ids)
    found = {}
    for token, index in tokenizer.get_vocab().items():
        text = token.replace("Ġ", " ").replace("▁", " ")
        if index not in special and text and set(text) <= _LETTERS:
            found[index] = text
    return found
