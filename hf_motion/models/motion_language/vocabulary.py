"""Where the motion tokens are in the vocabulary of a language model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import AddedToken, PreTrainedTokenizerBase

from ...tokenization.motion_formats import motion_tokens, motiongpt_tokens
from ...tokenization.motion_tokenizer import MotionTokenizer

TOKEN_FORMATS = ("motion", "motiongpt")
"""Formats that have tokens of their own."""

CONTINUOUS = "continuous"
"""The layout in which latents stand in the place of tokens, with start and end around them."""

LATENT_TOKENS = ("<motion_latent>", "<motion_start>", "<motion_end>")

_WAY_OUT = (
    "Load the tokenizer that was saved with the model, or extend the base's again (MotionLanguageModel.from_base) and train the new rows."
)


@dataclass(frozen=True)
class MotionVocabulary:
    """Ids of motion tokens, which follow each other: the codes of the first book, start, end and others, the codes of further books.

    Args:
        first (`int`): Id of code 0.
        size (`int`): Number of ids.
        codebook_size (`int`): Codes per book.
        num_quantizers (`int`): Books.
        format (`str`): `"motion"`, `"motiongpt"`, or `"continuous"`, whose only code stands for any latent.

    Example:
        >>> vocabulary = MotionVocabulary(first=1000, size=516, codebook_size=512, num_quantizers=1, format="motion")
        >>> vocabulary.start, vocabulary.end, vocabulary.ids(torch.tensor([[3, 7]]))
        (1512, 1513, [1512, 1003, 1007, 1513])
        >>> vocabulary.codes([1003, 1007, 1513])
        tensor([[3, 7]])
    """

    first: int
    size: int
    codebook_size: int
    num_quantizers: int
    format: str

    @classmethod
    def find(
        cls, text_tokenizer: PreTrainedTokenizerBase, motion_tokenizer: MotionTokenizer, format: str, first: int | None = None
    ) -> MotionVocabulary:
        """Those of a tokenizer.

        Args:
            text_tokenizer (`PreTrainedTokenizerBase`): The language model's.
            motion_tokenizer (`MotionTokenizer`): Says which tokens there have to be.
            format (`str`): `"motion"`, `"motiongpt"` or `"continuous"`.
            first (`int`, *optional*): The id that code 0 had when the model learned it.

        Raises:
            ValueError: If tokens are missing, or have other ids than they had.
        """
        size, books = motion_tokenizer.codebook_size, motion_tokenizer.num_quantizers
        if format == CONTINUOUS:
            size = books = 1  # all latents stand under one token
        tokens = [*_tokens_of(format, size, books)]
        vocab = text_tokenizer.get_vocab()
        missing = [token for token in tokens if token not in vocab]
        if missing:
            raise ValueError(
                f"{len(missing)} of the {len(tokens)} motion tokens of format {format!r} are not in this {type(text_tokenizer).__name__}, "
                f"such as {missing[0]!r}. {_WAY_OUT}"
            )
        start = vocab[tokens[0]] if first is None else first
        moved = next((place for place, token in enumerate(tokens) if vocab[token] != start + place), None)
        if moved is not None:
            raise ValueError(
                f"The motion tokens have moved: {tokens[moved]!r} has id {vocab[tokens[moved]]} in this {type(text_tokenizer).__name__}, "
                f"the model has learned it as {start + moved}. {_WAY_OUT}"
            )
        return cls(start, len(tokens), size, books, format)

    @property
    def start(self) -> int:
        """Id of the token that begins a motion."""
        return self.first + self.codebook_size

    @property
    def end(self) -> int:
        """Id of the token that ends one."""
        return self.start + 1

    def book(self, number: int) -> tuple[int, int]:
        """First id of a book, and the one behind its last."""
        first = self.first + (number * self.codebook_size + self.size - self.num_quantizers * self.codebook_size if number else 0)
        return first, first + self.codebook_size

    def ids(self, codes: Tensor, delimiters: bool = True) -> list[int]:
        """Ids of a motion.

        Args:
            codes (`torch.Tensor`): (quantizers, tokens).
            delimiters (`bool`, defaults to `True`): With start and end.

        Raises:
            ValueError: If the number of books is another one, or a code is out of range.
        """
        if codes.ndim != 2 or len(codes) != self.num_quantizers:
            raise ValueError(f"codes must be ({self.num_quantizers} quantizers, tokens), got shape {tuple(codes.shape)}.")
        if codes.numel() and not 0 <= int(codes.min()) <= int(codes.max()) < self.codebook_size:
            raise ValueError(f"codes are 0 to {self.codebook_size - 1}, got {int(codes.min())} to {int(codes.max())}.")
        starts = torch.tensor([self.book(number)[0] for number in range(self.num_quantizers)], device=codes.device)
        inner = (codes + starts[:, None]).T.reshape(-1).tolist()
        return [self.start, *inner, self.end] if delimiters else inner

    def codes(self, ids: Sequence[int]) -> Tensor:
        """Codes of ids up to the end, (quantizers, tokens) int64; a start before them does not count.

        Raises:
            ValueError: If an id is no code, or of another book than its place is for.
        """
        found: list[int] = []
        for place, index in enumerate(ids):
            if index == self.end:
                break
            if index == self.start and not found:
                continue
            low, high = self.book(len(found) % self.num_quantizers)
            if not low <= index < high:
                raise ValueError(f"At token {place}, {index} is no motion code; those are {low} to {high - 1} here.")
            found.append(index - low)
        whole = len(found) // self.num_quantizers * self.num_quantizers
        return torch.tensor(found[:whole], dtype=torch.long).reshape(-1, self.num_quantizers).T


def add_latent_tokens(text_tokenizer: PreTrainedTokenizerBase) -> int:
    """Add the tokens of the layout `"continuous"` to a text tokenizer.

    Args:
        text_tokenizer (`PreTrainedTokenizerBase`): It is changed.

    Returns:
        `int`: Id of the first, in whose place latents stand.
    """
    text_tokenizer.add_tokens([AddedToken(token, normalized=False) for token in LATENT_TOKENS])
    return int(text_tokenizer.convert_tokens_to_ids(LATENT_TOKENS[0]))


def latent_text(count: int) -> str:
    """How so many latents are written.

    Example:
        >>> latent_text(2)
        '<motion_start><motion_latent><motion_latent><motion_end>'
    """
    latent, start, end = LATENT_TOKENS
    return f"{start}{latent * count}{end}"


def _tokens_of(format: str, size: int, books: int) -> Iterable[str]:
    if format == CONTINUOUS:
        return LATENT_TOKENS
    return motion_tokens(size, books) if format == "motion" else motiongpt_tokens(size)
