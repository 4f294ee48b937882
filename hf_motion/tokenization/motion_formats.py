"""How texts write motion codes: the named formats, and reading them out of what a language model answers.

Text and ids are cut into `Piece`s, and `gather_codes` reads the codes from these. So every format has the same strictness and messages.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch

FORMATS = ("motion", "motiongpt", "integers", "list")
"""Names of the formats; see `MotionTokenizer`."""

SPECIAL_TOKENS = {"start": "<motion_start>", "end": "<motion_end>", "mask": "<motion_mask>", "pad": "<motion_pad>"}
"""Special tokens of the format `"motion"`, in the order of their ids."""

_MOTION_LIKE = re.compile(r"<motion_[^<>\s]*>?")
_INTEGER = re.compile(r"-?[0-9]+", re.ASCII)
_RUN = re.compile(r"[^\s,]+(?:\s*,\s*[^\s,]*)*")
_LIST = re.compile(r"\[([^\[\]]*)(\]?)")
_BEFORE_RUN = re.compile(r"\S*[:=(\[\"'{`>](?=[-0-9])")
_AFTER_RUN = ".;:!?)\"']}`"


@dataclass(frozen=True, eq=False)
class DecodedMotion:
    """Codes that were read from a text or from ids.

    Args:
        codes (`torch.Tensor` or `np.ndarray`): Whole numbers of shape `(tokens,)`, or `(num_quantizers, tokens)` if there are several
            quantizers.
        dropped (`int`, defaults to 0): How many pieces (tokens, numbers, stretches of other text) were left out; 0 after strict reading.
        truncated (`bool`, defaults to `False`): The end was missing; False after strict reading.
    """

    codes: Any
    dropped: int = 0
    truncated: bool = False


class Meaning(NamedTuple):
    """What a token stands for: `kind` is `"start"`, `"end"`, `"mask"`, `"pad"` or `"code"`, the last one with its codebook."""

    kind: str
    book: int = 0
    code: int = 0


class Piece(NamedTuple):
    """A part of a text or one id; `kind` may also be `"text"` (no token) or `"bad"` (a token that does not exist)."""

    where: str
    shown: str
    kind: str
    book: int = 0
    code: int = 0


def motion_tokens(codebook_size: int, num_quantizers: int = 1) -> dict[str, Meaning]:
    """Tokens of the format `"motion"`, in the order of their ids.

    Args:
        codebook_size (`int`): Codes per book.
        num_quantizers (`int`, defaults to 1): Codebooks. The tokens of further books follow all others, so that no id moves.

    Returns:
        `dict[str, Meaning]`: What each token means.
    """
    tokens = {f"<motion_{code}>": Meaning("code", 0, code) for code in range(codebook_size)}
    tokens.update({token: Meaning(kind) for kind, token in SPECIAL_TOKENS.items()})
    for book in range(1, num_quantizers):
        tokens.update({f"<motion_{book}_{code}>": Meaning("code", book, code) for code in range(codebook_size)})
    return tokens


def motiongpt_tokens(codebook_size: int) -> dict[str, Meaning]:
    """Tokens that MotionGPT adds to its text tokenizer, in that order: the codes, then start, end and mask with the next numbers.

    Source: Jiang et al., MotionGPT (NeurIPS 2023), and its published code.

    Args:
        codebook_size (`int`): Codes of the book, 512 as published.

    Returns:
        `dict[str, Meaning]`: What each token means.
    """
    meanings = [*(Meaning("code", 0, code) for code in range(codebook_size)), Meaning("start"), Meaning("end"), Meaning("mask")]
    return {f"<motion_id_{number}>": meaning for number, meaning in enumerate(meanings)}


def token_pieces(text: str, tokens: Mapping[str, Meaning]) -> list[Piece]:
    """Cut a text at everything that looks like a motion token.

    Args:
        text (`str`): Any text.
        tokens (`Mapping[str, Meaning]`): The tokens that exist.

    Returns:
        `list[Piece]`: In the order of the text; white space between tokens is none.
    """
    pieces, end = [], 0
    for match in [*_MOTION_LIKE.finditer(text), None]:
        start = len(text) if match is None else match.start()
        gap = text[end:start]
        if gap.strip():
            pieces.append(Piece(_character(end + len(gap) - len(gap.lstrip())), gap.strip(), "text"))
        if match is not None:
            end = match.end()
            pieces.append(Piece(_character(start), match[0], *tokens.get(match[0], ("bad",))))
    return pieces


def integer_pieces(text: str, codebook_size: int, books: Sequence[int] = (0,)) -> list[Piece]:
    """Find comma-separated integers, the format `"integers"`; other words may stand around them.

    Args:
        text (`str`): Any text.
        codebook_size (`int`): Codes per book.
        books (`Sequence[int]`, defaults to `(0,)`): The book of each code of a step, in order.

    Returns:
        `list[Piece]`: Those of the longest run, between a start and, unless it breaks off after a comma, an end. Codes of another run
        that could be meant too are outside of these.
    """
    runs = []
    for match in _RUN.finditer(text):
        start = match.start()
        if before := _BEFORE_RUN.match(match[0].split(",")[0]):
            start += before.end()
        content = _without_ending(text[start : match.end()])
        runs.append(_run(content, start, codebook_size, books, closed=not content.endswith(",")))
    return _longest_run(runs)


def _without_ending(content: str) -> str:
    """A run of integers without the punctuation and the tokens, such as `</s>`, that follow it at once."""
    while True:
        shorter = content.rstrip(_AFTER_RUN)
        if shorter.endswith(">") and "<" in shorter:
            shorter = shorter[: shorter.rindex("<")]
        if shorter == content:
            return content
        content = shorter


def list_pieces(text: str, codebook_size: int, books: Sequence[int] = (0,)) -> list[Piece]:
    """Find a list in square brackets, the format `"list"`; other words may stand around it.

    Args:
        text (`str`): Any text.
        codebook_size (`int`): Codes per book.
        books (`Sequence[int]`, defaults to `(0,)`): The book of each code of a step, in order.

    Returns:
        `list[Piece]`: As from `integer_pieces`; without a closing bracket there is no end.
    """
    return _longest_run([_run(match[1], match.start(1), codebook_size, books, closed=bool(match[2])) for match in _LIST.finditer(text)])


def gather_codes(
    pieces: Iterable[Piece], codebook_size: int, books: Sequence[int], strict: bool, layout: str, end: str, delimiters: bool = True
) -> tuple[np.ndarray, int, bool]:
    """Read the codes of one motion from pieces.

    Args:
        pieces (`Iterable[Piece]`): Start, codes, end, and whatever else there was. Padding around them does not count.
        codebook_size (`int`): Codes per book, for messages.
        books (`Sequence[int]`): The book of each code of a step, in order.
        strict (`bool`): Whether anything that does not fit is an error; otherwise it is left out and counted.
        layout (`str`): Name of the format, or words for it, for messages.
        end (`str`): Where the text ends, for messages.
        delimiters (`bool`, defaults to `True`): Whether start and end are around the codes.

    Returns:
        `tuple[np.ndarray, int, bool]`: Codes of shape `(codes of a step, tokens)`, the number of pieces left out, and whether the end was
        missing.

    Raises:
        ValueError: If `strict` and a piece does not fit, the start or the end is missing, or there are no codes.
    """
    kept = list(pieces)
    while kept and kept[-1].kind == "pad":
        kept.pop()
    if not delimiters:
        first = next((index for index, piece in enumerate(kept) if piece.kind != "pad"), len(kept))
        kept = [Piece("", "", "start"), *kept[first:], Piece(end, "", "end")]
    reader = _Reader(books, has_start=any(piece.kind == "start" for piece in kept))
    for piece in kept:
        reader.read(piece)
    truncated = reader.state == "inside"
    if truncated:
        reader.finish_step(end)
        reader.problems.append(f"{end}, the end of the motion is missing; it may have been cut off")
    if strict and (reader.problems or not reader.steps):
        problem = reader.problems[0] if reader.problems else f"{end}, all is read and there was no code"
        sample = np.tile(np.arange(min(2, codebook_size)), (len(books), 1))
        wanted = f"such as {codes_to_text(sample, layout, codebook_size, books)}" if layout in FORMATS else f"as {layout}"
        raise ValueError(
            f"{problem}. A motion must be written {wanted}, with codes 0 to {codebook_size - 1}. "
            "Pass strict=False to leave out what does not fit and count it."
        )
    codes = np.array(reader.steps, dtype=np.int64).reshape(-1, len(books)).T
    return np.ascontiguousarray(codes), reader.dropped, truncated


class _Reader:
    def __init__(self, books: Sequence[int], has_start: bool) -> None:
        self.books, self.has_start = books, has_start
        self.state = "before"
        self.steps: list[list[int]] = []
        self.step: list[int] = []
        self.problems: list[str] = []
        self.dropped = 0

    def read(self, piece: Piece) -> None:
        if self.state != "inside" and piece.kind in ("text", "pad"):
            return
        if self.state == "before" and piece.kind == "start":
            self.state = "inside"
        elif self.state == "before" and piece.kind == "code" and not self.has_start:
            self.problems.append(f"{piece.where}, {piece.shown!r} is a code, but no start of a motion is before it")
            self.state = "inside"
            self._read_code(piece)
        elif self.state == "inside" and piece.kind == "code":
            self._read_code(piece)
        elif self.state == "inside" and piece.kind == "end":
            self.finish_step(piece.where)
            self.state = "after"
        else:
            self._drop(piece, self._complaint(piece))

    def _read_code(self, piece: Piece) -> None:
        expected = self.books[len(self.step)]
        if piece.book == expected:
            self.step.append(piece.code)
        elif piece.book == self.books[0]:
            self.finish_step(piece.where)
            self.step.append(piece.code)
        else:
            self._drop(piece, f"is of quantizer {piece.book}, but one of quantizer {expected} must come here")
        if len(self.step) == len(self.books):
            self.steps.append(self.step)
            self.step = []

    def finish_step(self, where: str) -> None:
        if self.step:
            self.problems.append(f"{where}, step {len(self.steps)} is over with {len(self.step)} of {len(self.books)} codes")
            self.dropped += len(self.step)
            self.step = []

    def _drop(self, piece: Piece, complaint: str) -> None:
        self.problems.append(f"{piece.where}, {piece.shown!r} {complaint}")
        self.dropped += 1

    def _complaint(self, piece: Piece) -> str:
        if piece.kind == "bad":
            cut = piece.shown.startswith("<") and not piece.shown.endswith(">")
            return "is cut off or malformed" if cut else "is malformed, out of range or of another format"
        if self.state == "before":
            return "is outside of the motion, before it"
        if self.state == "after":
            return "is outside of the motion, after it; decode a text with several motions in parts"
        return "is text between codes" if piece.kind == "text" else f"is no code but a {piece.kind} inside of the motion"


class _Run(NamedTuple):
    pieces: list[Piece]
    integers: int
    closed: bool


def _run(content: str, offset: int, codebook_size: int, books: Sequence[int], closed: bool) -> _Run:
    pieces, integers = [], 0
    items = content.split(",")
    for index, item in enumerate(items):
        word = item.strip()
        where = _character(offset + len(item) - len(item.lstrip()))
        offset += len(item) + 1
        if not word and index == len(items) - 1 and (not closed or len(items) == 1):
            continue
        integers += bool(_INTEGER.fullmatch(word))
        digits = word.lstrip("0") or "0"
        in_range = _INTEGER.fullmatch(word) and not word.startswith("-") and len(digits) < 10 and int(digits) < codebook_size
        pieces.append(Piece(where, word, "code", books[index % len(books)], int(digits)) if in_range else Piece(where, word, "bad"))
    return _Run(pieces, integers, closed)


def _longest_run(runs: Sequence[_Run]) -> list[Piece]:
    most = max((run.integers for run in runs), default=0)
    if not most:
        return []
    best = next(run for run in runs if run.integers == most)
    pieces: list[Piece] = []
    for run in runs:
        if run is best:
            ends = [Piece("", "", "end")] if run.closed else []
            pieces += [Piece("", "", "start"), *run.pieces, *ends]
        elif run.integers >= min(most, 2):
            pieces += [piece for piece in run.pieces if piece.kind == "code"]
    return pieces


def codes_to_text(codes: np.ndarray, layout: str, codebook_size: int, books: Sequence[int]) -> str:
    """Write codes in a format.

    Args:
        codes (`np.ndarray`): Shape `(codes of a step, tokens)`, checked.
        layout (`str`): One of `FORMATS`; `"motiongpt"` takes a single quantizer. Codes of a time step stand together.
        codebook_size (`int`): Codes per book.
        books (`Sequence[int]`): The book of each row.

    Returns:
        `str`: The text, such as `<motion_start><motion_0><motion_end>`.
    """
    if layout == "motion":
        pairs = ((book, code) for step in codes.T.tolist() for book, code in zip(books, step, strict=True))
        steps = (f"<motion_{book}_{code}>" if book else f"<motion_{code}>" for book, code in pairs)
        return "".join([SPECIAL_TOKENS["start"], *steps, SPECIAL_TOKENS["end"]])
    numbers = codes.T.reshape(-1).tolist()
    if layout == "motiongpt":
        return "".join(f"<motion_id_{number}>" for number in (codebook_size, *numbers, codebook_size + 1))
    return ",".join(map(str, numbers)) if layout == "integers" else str(numbers)


def check_codes(codes: Any, codebook_size: int, rows: int, valid: np.ndarray | None = None, name: str = "codes") -> np.ndarray:
    """Bring the codes of one motion into one shape and check them.

    Args:
        codes (`torch.Tensor`, `np.ndarray` or nested lists): Integers of shape `(rows, tokens)`, or `(tokens,)` if there is one row.
        codebook_size (`int`): Codes per book.
        rows (`int`): Codes of a step: one for each quantizer, unless there are two streams.
        valid (`np.ndarray`, *optional*): Booleans of shape `(tokens,)`; the other positions are left out, whatever they hold.
        name (`str`, defaults to `"codes"`): For messages.

    Returns:
        `np.ndarray`: Shape `(rows, tokens)`, `int64`.

    Raises:
        ValueError: If they are no integers, out of range, empty, or of another shape.
    """
    array = to_array(codes, name)
    if array.ndim == 1 and rows == 1:
        array = array[None]
    if array.ndim != 2 or array.shape[0] != rows:
        wanted = "(tokens,) or (1, tokens)" if rows == 1 else f"({rows}, tokens)"
        raise ValueError(
            f"{name} must have shape {wanted} for {rows} quantizer(s), got {array.shape}. Choose quantizers with "
            "codes[:num_quantizers], or make the tokenizer with another num_quantizers."
        )
    places = np.arange(array.shape[1]) if valid is None else np.flatnonzero(valid)
    array = array[:, places]
    if not array.size:
        raise ValueError(f"{name} holds no codes; a motion has at least one.")
    wrong = np.argwhere((array < 0) | (array >= codebook_size))
    if len(wrong):
        book, place = wrong[0]
        raise ValueError(
            f"{name}: {array[book, place]} at position {places[place]} of quantizer {book} is no code; codes are 0 to {codebook_size - 1}. "
            "Leave out padding with attention_mask of codes_to_ids, or make the tokenizer with another codebook_size."
        )
    return array.astype(np.int64)


def to_array(values: Any, name: str) -> np.ndarray:
    """Integers as a numpy array.

    Args:
        values (`torch.Tensor`, `np.ndarray` or nested lists): Integers.
        name (`str`): For messages.

    Returns:
        `np.ndarray`: The same numbers.

    Raises:
        ValueError: If they are no integers, or the rows differ in length.
    """
    try:
        array = values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name} must be an array of integers, got {type(values).__name__}: {error}") from error
    if array.size and not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"{name} must be integers, got {array.dtype}. Convert whole numbers with .long() or .astype(int).")
    return array


def _character(position: int) -> str:
    return f"At character {position}"
