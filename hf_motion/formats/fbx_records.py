"""The records of binary FBX files, looked through before Blender is started over one: cut-off, foreign and exploding files end here.

The layout is that which Blender's developers describe: https://code.blender.org/2013/08/fbx-binary-file-format-specification/
"""

from __future__ import annotations

import mmap
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..utils.limits import MAX_ARRAY_BYTES, MAX_FRAMES, check_bytes, read_bytes

_MAGIC = b"Kaydara FBX Binary  \x00"
_START, _VERSION = 27, 23  # where records begin, and where the version stands
_WIDE = 7500  # from this version on, offsets have 64 bits
_VERSIONS = range(6000, 8000)
_PLAIN = {b"Y": 2, b"C": 1, b"B": 1, b"I": 4, b"F": 4, b"D": 8, b"L": 8}
_ARRAYS = {b"f": 4, b"d": 8, b"l": 8, b"i": 4, b"b": 1, b"c": 1}
_DEEPEST, _MOST = 64, 5_000_000
# Blender makes a key for every frame of every curve before anything else can be asked of it.
_SECOND, _SLOWEST, _MOST_KEYS = 46_186_158_000, 24, 50_000_000
_RATE = b"CustomFrameRate"
_TEXT_RATE = re.compile(rb'"CustomFrameRate"[^\n]*,\s*([-+\d.]+(?:[eE][-+]?\d+)?)')
_TEXT_KEYS = re.compile(rb"KeyTime:[^{}\n]*(?:\{\s*a:)?([-+\d,\s]*)")


def check_fbx(path: Path) -> None:
    """Refuse what is no FBX file, is cut off, or says that it holds more, or lasts longer, than is read.

    Args:
        path (`pathlib.Path`): The file, binary or text; of a text only the beginning and the times of its keys are looked at.

    Raises:
        ValueError: If so; the message names the file.
    """
    check_bytes(path, path.stat().st_size)
    with path.open("rb") as file:
        head = file.read(4096)
        if not head.startswith(_MAGIC):
            if b"FBXHeaderExtension" not in head and not head.lstrip().startswith(b"; FBX"):
                raise ValueError(f"{str(path)!r} is no FBX file: it begins with {head[:12]!r}. Export it again as FBX or .glb.")
            text = read_bytes(path)
            spans, rates = list(_text_spans(text)), [float(rate) for rate in _TEXT_RATE.findall(text)]
        else:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                try:
                    spans, rates = _records(data)
                except (struct.error, zlib.error) as error:
                    raise _damaged(path, "it ends in the middle of a record, or an array of it cannot be unpacked") from error
                except _Damage as error:
                    raise _damaged(path, str(error)) from error
    longest, rate = max(spans, default=0.0), max((rate for rate in rates if rate > _SLOWEST), default=_SLOWEST)
    if longest * rate > MAX_FRAMES or sum(spans) * rate > _MOST_KEYS:
        raise ValueError(
            f"{str(path)!r} has {len(spans):,} curves of up to {longest:,.3g} s, at {rate:g} frames per second or more; that is more than "
            "Blender can be given at once. Cut the clip into shorter ones, or export its time in the right unit."
        )


class _Damage(Exception):
    """What is wrong with a record."""


def _damaged(path: Path, reason: str) -> ValueError:
    return ValueError(f"{str(path)!r} is a damaged FBX file: {reason}. Copy or export it again.")


def _records(data: mmap.mmap) -> tuple[list[float], list[float]]:
    """Walk over all records: each must end within the one that it stands in, after its values and the records that it holds.

    Gives the seconds from the first to the last key of each curve, and the frame rates that are said in numbers.
    """
    (version,) = struct.unpack_from("<I", data, _VERSION)
    if version not in _VERSIONS:
        raise _Damage(f"its version is {version}, not one from {_VERSIONS[0] / 1000:g} to {_VERSIONS[-1] // 1000:g}")
    layout = struct.Struct("<QQQB" if version >= _WIDE else "<IIIB")
    at, ends, held, count = _START, [len(data)], 0, 0
    spans: list[float] = []
    rates: list[float] = []
    while True:
        end, values, size, name = layout.unpack_from(data, at)
        count += 1
        if count > _MOST:
            raise _Damage(f"it has more than {_MOST:,} records")
        if not end:  # the record that closes a list of them
            if len(ends) == 1:
                return spans, rates
            at = ends.pop()
            continue
        first = at + layout.size + name
        inside = first + size
        if not inside <= end <= ends[-1]:
            raise _Damage(f"the record at byte {at:,} does not fit into the file")
        held += _check_values(data, first, inside, values)
        if values == 1 and data[first - name : first] == b"KeyTime" and data[first : first + 1] == b"l":
            spans.append(_span(_unpacked(data, first + 1)))
        if data[first + 5 : first + 5 + len(_RATE)] == _RATE and data[inside - 9 : inside - 8] == b"D":
            rates += struct.unpack_from("<d", data, inside - 8)
        if held > MAX_ARRAY_BYTES:
            raise _Damage(f"it says that its arrays take more than {MAX_ARRAY_BYTES / 2**30:g} GiB")
        if inside == end:
            at = end
        elif len(ends) < _DEEPEST:
            ends.append(end)
            at = inside
        else:
            raise _Damage(f"its records stand in each other more than {_DEEPEST} deep")


def _check_values(data: mmap.mmap, at: int, end: int, count: int) -> int:
    """Bytes that the arrays of a record take, unpacked."""
    held, begin = 0, at
    for _ in range(min(count, end - at + 1)):
        kind = data[at : at + 1]
        at += 1
        if kind in _PLAIN:
            at += _PLAIN[kind]
        elif kind in (b"S", b"R"):
            at += 4 + struct.unpack_from("<I", data, at)[0]
        elif kind in _ARRAYS:
            items, _, packed = struct.unpack_from("<III", data, at)
            at += 12 + packed
            held += items * _ARRAYS[kind]
        else:
            raise _Damage(f"the record whose values begin at byte {begin:,} has one of unknown kind {kind!r}")
        if at > end:
            break
    if at != end:
        raise _Damage(f"the values that begin at byte {begin:,} do not end with their record")
    return held


def _unpacked(data: mmap.mmap, at: int) -> np.ndarray:
    """An array of whole numbers of 64 bits."""
    items, packing, packed = struct.unpack_from("<III", data, at)
    content = data[at + 12 : at + 12 + packed]
    if packing:
        content = zlib.decompressobj().decompress(content, 8 * items + 1)
    if len(content) != 8 * items:
        raise _Damage(f"the array at byte {at:,} does not hold the {items:,} numbers that it says")
    return np.frombuffer(content, "<i8")


def _text_spans(data: bytes) -> Iterator[float]:
    for match in _TEXT_KEYS.finditer(data):
        numbers = [int(number) for number in re.findall(rb"[-+]?\d+", match[1])]
        yield (max(numbers) - min(numbers)) / _SECOND if numbers else 0.0


def _span(times: np.ndarray) -> float:
    return (int(times.max()) - int(times.min())) / _SECOND if len(times) else 0.0
