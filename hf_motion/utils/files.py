"""Writing files so that a failure leaves nothing half-written."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


@contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path next to `path` that replaces it when the block ends well, and vanishes when it does not.

    The temporary file keeps the suffix, since many writers choose their format by it. Missing parent folders are made.

    Args:
        path (`str` or `os.PathLike`): The file to write.

    Raises:
        OSError: If the folder cannot be made or written to; the message names it.

    Example:
    >>> import tempfile, pathlib
    >>> target = pathlib.Path(tempfile.mkdtemp()) / "a.txt"
    >>> with atomic_path(target) as temporary:
    ...     _ = temporary.write_text("done")
    >>> target.read_text()
    'done'
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError("it is a folder")
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=path.suffix, dir=path.parent)
    except OSError as error:
        raise OSError(f"Cannot write {str(path)!r}: {error}. Choose a folder that exists or can be made, and is writable.") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def check_writable(folder: str | os.PathLike) -> None:
    """Make a folder if need be and find out whether files can be written into it: before minutes of work, not after.

    Args:
        folder (`str` or `os.PathLike`): The folder.

    Raises:
        OSError: If it cannot be made or written to.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(f"Cannot write into {str(folder)!r}: {error}. Choose another output folder.") from error


@contextmanager
def output_folder(folder: str | os.PathLike) -> Iterator[None]:
    """`check_writable`, and when the block fails, folders that were made here and are still empty vanish again.

    Args:
        folder (`str` or `os.PathLike`): The folder.

    Raises:
        OSError: If it cannot be made or written to.
    """
    made = [path for path in (Path(folder), *Path(folder).parents) if not path.exists()]
    try:
        check_writable(folder)
        yield
    except BaseException:
        with suppress(OSError):  # the first that is not empty
            for path in made:
                path.rmdir()
        raise


def write_json(path: str | os.PathLike, content: dict[str, Any]) -> None:
    """Write a JSON file, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
