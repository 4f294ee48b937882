"""Reading .npy and .npz files from anywhere: no pickles, no surprises, one kind of error."""

from __future__ import annotations

import io
import os
import struct
import zipfile
from pathlib import Path

import numpy as np

from .faults import reading
from .limits import check_bytes

_MAX_HEADER_BYTES = 10_000


def load_array(path: str | os.PathLike) -> np.ndarray:
    """The array of a .npy file.

    Args:
        path (`str` or `os.PathLike`): The file.

    Raises:
        ValueError: If the file is truncated, no .npy file, larger than `hf_motion.utils.limits` allow, or holds Python objects; the
            message names it.
        FileNotFoundError: If there is no such file.
    """
    path = _checked(path)
    with reading(path, "a readable .npy file"):
        # Mapped, not read: a header that promises more than the file holds is refused before anything is allocated.
        array = np.lib.format.open_memmap(path, mode="r")
        check_bytes(path, array.nbytes)
        return np.array(array)


def array_names(path: str | os.PathLike) -> tuple[str, ...]:
    """Keys of a .npz file; see `load_arrays` for the errors."""
    path = _checked(path)
    with reading(path, "a readable .npz file"), zipfile.ZipFile(path) as archive:
        return tuple(_members(archive))


def load_arrays(path: str | os.PathLike, names: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
    """Arrays of a .npz file.

    Args:
        path (`str` or `os.PathLike`): The file.
        names (`tuple[str, ...]`, defaults to `()`): The arrays to read, those that the file has; all by default.

    Returns:
        `dict[str, numpy.ndarray]`: The arrays.

    Raises:
        ValueError: If the file is truncated, no .npz file, or a wanted array holds Python objects, is damaged or too large; the
            message names the file and the key.
        FileNotFoundError: If there is no such file.
    """
    path = _checked(path)
    with reading(path, "a readable .npz file"), zipfile.ZipFile(path) as archive:
        members, arrays = _members(archive), {}
        for key in names or members:
            if key in members:
                with reading(path, f"a readable .npz file: key {key!r}"), archive.open(members[key]) as stream:
                    arrays[key] = _read(path, stream, members[key].file_size, sum(array.nbytes for array in arrays.values()))
    return arrays


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
    for key in members:
        if key.startswith(("/", "\\")) or ".." in key.replace("\\", "/").split("/") or ":" in key:
            raise ValueError(f"the entry {key!r} points out of the archive")
    return members


def _checked(path: str | os.PathLike) -> Path:
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"No file at {str(path)!r}.")
    return path


def _read(path: Path, stream: zipfile.ZipExtFile, size: int, before: int) -> np.ndarray:
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"format version {version} of an array")
    count = stream.read(2 * version[0])
    (promised,) = struct.unpack("<H" if version == (1, 0) else "<I", count)
    if promised > _MAX_HEADER_BYTES:  # numpy looks at this only after it has read that much
        raise ValueError(f"its header promises {promised:,} bytes, and at most {_MAX_HEADER_BYTES:,} are read")
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = header(io.BytesIO(count + stream.read(promised)))
    if dtype.hasobject:
        raise ValueError("it holds pickled Python objects, which are not read; save it again as plain numbers or text")
    length = dtype.itemsize * int(np.prod([int(side) for side in shape], dtype=object))
    if not 0 <= length <= size:
        raise ValueError(f"it promises {length:,} bytes and holds at most {size:,}")
    check_bytes(path, before + length)
    data = stream.read(length)
    if len(data) < length:
        raise ValueError(f"it promises {length:,} bytes and holds {len(data):,}")
    return np.frombuffer(data, dtype=dtype).reshape(shape, order="F" if fortran else "C").copy()
