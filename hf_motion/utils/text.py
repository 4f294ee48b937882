"""Text at the border: one way to read files of it, one cleaning, and a word about what a model does not read."""

from __future__ import annotations

import codecs
import logging
import os
import re
import string
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from .limits import read_bytes

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

logger = logging.getLogger("hf_motion")

# The mark of UTF-32 begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_KINDS = {"Cc": "control character", "Cf": "invisible character", "Cs": "half of a character"}
_JOINERS = "\u200c\u200d"  # part of Persian and Indic spelling, and of emoji
_MARKS_IN_TEXT = {"", *string.punctuation, *_JOINERS, "\ufe0f"}
_WORD = re.compile(r"\S+")
_SHOWN = 5
_said: ContextVar[dict[str, list[str]] | None] = ContextVar("said", default=None)


def read_text(path: str | os.PathLike) -> str:
    r"""The text of a file: UTF-8, with a byte order mark or without, or what another such mark says. Lines end in `\n`.

    Args:
        path (`str` or `os.PathLike`): The file.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is of another encoding (the message names file and line), or longer than `hf_motion.utils.limits` allow.
    """
    content = read_bytes(path)
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
        if encoding == "utf-8" and content.count(0) > len(content) // 4:
            raise UnicodeDecodeError("utf-8", content, content.index(0), content.index(0) + 1, "it looks like UTF-16 without its mark")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ValueError(
            f"{str(path)!r}, line {line}: this is not {encoding.removesuffix('-sig').upper()} text (byte 0x{content[error.start]:02x}: "
            f"{error.reason}). Save the file as UTF-8."
        ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_lines(path: str | os.PathLike) -> Iterator[tuple[int, str]]:
    """Lines of a text file that are not blank, stripped, with their numbers from 1; see `read_text`."""
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if line.strip():
            yield number, line.strip()


def clean_text(text: str, name: str = "text") -> str:
    r"""A sentence as every model takes it and every file can hold it.

    Characters are composed (NFC), white space becomes single spaces. Control characters, byte order marks, other invisible
    characters and halves of surrogate pairs are left out, and one warning says so.

    Args:
        text (`str`): A sentence.
        name (`str`, defaults to `"text"`): What an error calls it.

    Raises:
        ValueError: If nothing is left.

    Example:
        >>> clean_text(" a person \n walks "), clean_text("cafe\u0301") == "caf\u00e9"
        ('a person walks', True)
    """
    cleaned = tidy_text(text)
    if not cleaned:
        raise ValueError(f"{name} is empty, got {text!r}. Say what happens, such as 'a person walks forward'.")
    return cleaned


def tidy_text(text: str) -> str:
    """`clean_text` where nothing may be left."""
    if not (text.isascii() and text.isprintable()):
        dropped = dict.fromkeys(character for character in text if _is_junk(character))
        if dropped:
            text = "".join(character for character in text if character not in dropped)
            names = ", ".join(f"U+{ord(character):04X} ({_kind(character)})" for character in dropped)
            say(f"Left out of {quoted(' '.join(text.split()))}: {names}.", "had characters that were left out")
        text = unicodedata.normalize("NFC", text)
    return " ".join(text.split())


def _is_junk(character: str) -> bool:
    return unicodedata.category(character) in _KINDS and character not in _JOINERS and not character.isspace()


def _kind(character: str) -> str:
    return "byte order mark" if character == "\ufeff" else _KINDS[unicodedata.category(character)]


@contextmanager
def say_once() -> Iterator[None]:
    """Within it, the warnings of this module come once each, and from the sixth of a kind on only their number is told."""
    if _said.get() is not None:
        yield
        return
    said: dict[str, list[str]] = {}
    token = _said.set(said)
    try:
        yield
    finally:
        _said.reset(token)
        for kind, messages in said.items():
            if len(messages) > _SHOWN:
                logger.warning("%d more sentences %s.", len(messages) - _SHOWN, kind)


def say(message: str, kind: str) -> None:
    """Warn, within `say_once` not twice of the same.

    Args:
        message (`str`): The warning.
        kind (`str`): What many sentences with such warnings have in common, as in "6 more sentences <kind>."
    """
    with say_once():
        messages = _said.get().setdefault(kind, [])
        if message not in messages:
            messages.append(message)
            if len(messages) <= _SHOWN:
                logger.warning("%s", message)


def warn_of_unread(
    texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, limit: int | None, tags: Mapping[str, str] | None = None
) -> None:
    """Say which words of sentences a model does not see: those behind its limit, and those that its tokenizer has no pieces for.

    Args:
        texts (`list[str]`): Sentences; each distinct one is looked at once.
        tokenizer (`PreTrainedTokenizerBase`): The model's.
        limit (`int`, *optional*): Tokens that are read.
        tags (`Mapping[str, str]`, *optional*): The `word/POS` form of sentences, for tokenizers that read it.
    """
    with say_once():
        for text in dict.fromkeys(texts):
            if hasattr(tokenizer, "unread_words"):
                cut, unknown = tokenizer.unread_words(text, (tags or {}).get(text))
                unit, limit = "words", tokenizer.max_text_len
            else:
                (cut, unknown), unit = _unread(text, tokenizer, limit), "tokens"
            if cut:
                say(
                    f"These words were left out of {quoted(text)}: {quoted(cut, 300)}. The model reads {limit} {unit} at most.",
                    "were longer than the model reads, and were cut",
                )
            if unknown:
                shown = ", ".join(unknown[:20]) + (f" and {len(unknown) - 20} more" if len(unknown) > 20 else "")
                say(
                    f"The model does not know {shown} in {quoted(text)}: what that means is lost, and what follows may be. Use the words "
                    "that it learned, which are plain English for most models.",
                    "had words or letters that the model does not know",
                )


def _unread(text: str, tokenizer: PreTrainedTokenizerBase, limit: int | None) -> tuple[str, list[str]]:
    """What is cut off, in whole words, and quoted words with characters that have no token of their own: unknown ones, and those that
    are spelled out in bytes. Punctuation does not count.
    """
    whole = tokenizer(text, verbose=False, return_offsets_mapping=tokenizer.is_fast)
    ids = whole["input_ids"]
    long = limit is not None and len(ids) > limit
    kept = tokenizer(text, truncation=True, max_length=limit, verbose=False, return_offsets_mapping=tokenizer.is_fast) if long else whole
    if not tokenizer.is_fast:
        rest = ids[limit - tokenizer.num_special_tokens_to_add() :] if long else []
        return tokenizer.decode(rest, skip_special_tokens=True), []
    spans = [(*span, token) for span, token in zip(kept["offset_mapping"], kept["input_ids"], strict=True) if span[1] > span[0]]
    words = [(match.start(), match[0]) for match in _WORD.finditer(text)]
    unknown: dict[str, None] = {}
    for index, (start, stop, token) in enumerate(spans):
        # Pieces of one character share its place.
        in_bytes = stop - start == 1 and index + 1 < len(spans) and spans[index + 1][:2] == (start, stop)
        if (token == tokenizer.unk_token_id or in_bytes) and text[start:stop].strip() not in _MARKS_IN_TEXT:
            unknown |= {f"'{word}'": None for begin, word in words if begin < stop and start < begin + len(word)}
    end = max((stop for _, stop, _ in spans), default=0)
    cut = next((begin for begin, word in words if begin + len(word) > end), len(text))
    return text[cut:] if long else "", list(unknown)


def quoted(text: str, most: int = 60) -> str:
    """Its quotation, the middle left out where it is long."""
    return f"'{text if len(text) <= most else f'{text[: most - 20]} ... {text[-15:]}'}'"


def check_prompts(prompt: str | Sequence[str]) -> list[str]:
    """A list of at least one sentence, each as `clean_text` makes it.

    Raises:
        ValueError: If the list is empty, holds something else, or a sentence is empty.
    """
    prompts = [prompt] if isinstance(prompt, str) else prompt
    if not isinstance(prompts, (list, tuple)) or not prompts:
        raise ValueError(f"prompt must be a sentence or a list of at least one, got {prompt!r}.")
    for index, text in enumerate(prompts):
        if not isinstance(text, str):
            raise ValueError(f"prompt[{index}] must be a string, got {text!r} of type {type(text).__name__}.")
    return [clean_text(text, f"prompt[{index}]") for index, text in enumerate(prompts)]
