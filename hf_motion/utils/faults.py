"""Borders to other libraries: whatever they raise over a damaged file or a full disk comes out as one kind of error."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# safetensors and torch write by themselves and tell of a full disk in words only; those of torch do not even say that.
_WAY_OUT = "Make room; then the same command goes on."
_NO_ROOM_WORDS = re.compile(
    rf"os error ({'|'.join(map(str, _NO_ROOM))})\b|No space left|Disk quota exceeded|basic_ios::clear|iostream error|"
    r"PytorchStreamWriter failed writing|file write failed|unexpected pos \d+ vs \d+"
)


@contextmanager
def reading(path: str | os.PathLike, expected: str) -> Iterator[None]:
    """Make every error over a file's content a `ValueError` that names the file.

    What numpy, zipfile, json, torch and others raise on damaged files is a long list; all of it means one thing here. Errors that name the
    file already, missing packages and files that are not there pass.

    Args:
        path (`str` or `os.PathLike`): The file.
        expected (`str`): What it should be, such as `"a readable .npy file"`.

    Raises:
        ValueError: If the block fails otherwise.

    Example:
        >>> with reading("a.json", "a mapping"):
        ...     {}["joints"]
        Traceback (most recent call last):
        ...
        ValueError: 'a.json' is not a mapping: KeyError: 'joints'.
    """
    try:
        yield
    except (ImportError, FileNotFoundError):
        raise
    except Exception as error:
        if isinstance(error, (ValueError, OSError)) and str(path) in str(error):
            raise
        raise ValueError(f"{str(path)!r} is not {expected}: {reason(error)}") from error


def reason(error: Exception) -> str:
    """One line of an error, with its kind where its words alone say little; ends with a full stop."""
    words = " ".join(str(error).split())
    words = words if len(words) <= 400 else words[:397] + "..."
    plain = isinstance(error, (ValueError, OSError)) and words
    return (words if plain else f"{type(error).__name__}: {words}" if words else type(error).__name__).rstrip(".") + "."


def out_of_room(error: BaseException) -> bool:
    """Whether an error, or what caused it, is that a disk is full or a quota used up."""
    return any(
        (isinstance(found, OSError) and found.errno in _NO_ROOM) or _NO_ROOM_WORDS.search(str(found)) is not None for found in _chain(error)
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__


class NoRoomError(OSError):
    """A full disk, said with the path and the way out."""


def no_room(path: str | os.PathLike, error: BaseException, way_out: str = _WAY_OUT) -> NoRoomError:
    """The error that says so of another one; see `writing`."""
    number = next((found.errno for found in _chain(error) if isinstance(found, OSError) and found.errno in _NO_ROOM), errno.ENOSPC)
    return NoRoomError(number, f"Cannot write {str(path)!r}: {os.strerror(number)}. {way_out}")


@contextmanager
def writing(path: str | os.PathLike, way_out: str = _WAY_OUT) -> Iterator[None]:
    """Make every way in which a full disk shows an `OSError` that names what was to be written.

    Args:
        path (`str` or `os.PathLike`): File or folder.
        way_out (`str`): What to do, a sentence.

    Raises:
        OSError: With `errno` set, if the block fails for want of room. Other errors pass.

    Example:
        >>> with writing("model.safetensors"):
        ...     raise RuntimeError("basic_ios::clear: iostream error")
        Traceback (most recent call last):
        ...
        hf_motion.utils.faults.NoRoomError: [Errno 28] Cannot write 'model.safetensors': No space left on device. Make room; ...
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, NoRoomError) or not out_of_room(error):
            raise
        raise no_room(path, error, way_out) from error
