"""What a glTF 2.0 file holds: its JSON, its buffers, and the numbers that accessors point at (Khronos, glTF 2.0 specification, 2021).

PyPI's pygltflib reads the JSON alone, and trimesh neither skins nor animations; hence a reader of our own, of what animations need: meshes
and images are never touched.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import struct
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np

from ...utils import limits

_MAGIC, _JSON_CHUNK, _BIN_CHUNK = 0x46546C67, 0x4E4F534A, 0x004E4942
_COMPONENTS = {
    5120: np.dtype("i1"), 5121: np.dtype("u1"), 5122: np.dtype("<i2"), 5123: np.dtype("<u2"), 5125: np.dtype("<u4"), 5126: np.dtype("<f4"),
}  # fmt: skip
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
_MAX_ITEMS = 1_000_000  # nodes, accessors, channels and the like of one file
_COMPRESSED = "EXT_meshopt_compression"


class Document:
    """An open glTF file.

    Args:
        path (`pathlib.Path`): A .gltf file with its buffers beside it or inside, a .glb, .vrm or .vrma file.

    Raises:
        ValueError: If it is damaged, of another version, too large (`hf_motion.utils.limits`), or points outside its own folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        limits.check_bytes(path, path.stat().st_size)
        data = path.read_bytes()
        text, self._binary = _chunks(data) if data[:4] == b"glTF" else (data, None)
        limits.check_bytes(path, len(text), limits.MAX_TEXT_BYTES)
        try:
            self.content = json.loads(text.decode("utf-8-sig"))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"its JSON is not readable: {error}") from error
        version = as_object(as_object(self.content, "the file").get("asset"), "asset").get("version")
        if not str(version).startswith("2."):
            raise ValueError(f"it is glTF of version {version!r}, and 2 is read; open it in Blender and export it again.")
        self._buffers: dict[int, bytes] = {}
        self._unpacked = 0

    def items(self, name: str) -> list[dict[str, Any]]:
        """One of the lists at the top of the file, such as `"nodes"`; empty where there is none."""
        return objects(self.content.get(name, []), name)

    def extension(self, name: str) -> dict[str, Any] | None:
        """What an extension says at the top of the file; None where it says nothing."""
        found = as_object(self.content.get("extensions", {}), "extensions").get(name)
        return None if found is None else as_object(found, name)

    def accessor(self, index: Any) -> np.ndarray:
        """The numbers of an accessor, (count, width) float64; integers that are normalized come as shares of their range.

        Raises:
            ValueError: If they lie outside of their buffer, are more than `hf_motion.utils.limits` allows, not finite or compressed.
        """
        accessor = pick(self.items("accessors"), index, "accessor")
        width, count = _WIDTHS.get(accessor.get("type", "")), whole(accessor.get("count"), "count of an accessor")
        if width is None:
            raise ValueError(f"accessor {index} is of type {accessor.get('type')!r}; expected one of {', '.join(_WIDTHS)}.")
        kind = _component(accessor.get("componentType"))
        self._unpacked += 8 * width * count
        limits.check_bytes(self.path, self._unpacked)
        values = np.zeros((count, width), kind)
        if "bufferView" in accessor:
            values = self._view(accessor["bufferView"], accessor.get("byteOffset", 0), kind, count, width)
        if "sparse" in accessor:
            values = self._sparse(values, as_object(accessor["sparse"], "sparse"), kind)
        result = values.astype(np.float64)
        if accessor.get("normalized") is True and kind.kind != "f":
            result = np.maximum(result / np.iinfo(kind).max, -1.0)
        if not np.isfinite(result).all():
            raise ValueError(f"accessor {index} holds NaN or infinity.")
        return result

    def _sparse(self, values: np.ndarray, sparse: dict[str, Any], kind: np.dtype) -> np.ndarray:
        count = whole(sparse.get("count"), "count of a sparse accessor")
        where, what = as_object(sparse.get("indices"), "indices"), as_object(sparse.get("values"), "values")
        limits.check_bytes(self.path, 8 * count * values.shape[1])
        index = self._view(where.get("bufferView"), where.get("byteOffset", 0), _component(where.get("componentType")), count, 1)[:, 0]
        replaced = self._view(what.get("bufferView"), what.get("byteOffset", 0), kind, count, values.shape[1])
        if index.dtype.kind not in "u" or (count and index.max() >= len(values)):
            raise ValueError(f"a sparse accessor of {len(values)} values replaces others than these.")
        values = values.copy()
        values[index] = replaced
        return values

    def _view(self, index: Any, start: Any, kind: np.dtype, count: int, width: int) -> np.ndarray:
        view = pick(self.items("bufferViews"), index, "buffer view")
        if _COMPRESSED in as_object(view.get("extensions", {}), "extensions"):
            raise ValueError(
                f"it is compressed ({_COMPRESSED}); open it in a tool that unpacks it, such as gltfpack or Blender, and save it."
            )
        data = self._buffer(view.get("buffer"))
        offset, length = (whole(view.get(name, default), name) for name, default in (("byteOffset", 0), ("byteLength", None)))
        start, row = whole(start, "byteOffset"), kind.itemsize * width
        step = whole(view.get("byteStride", row), "byteStride")
        needed = start + (step * (count - 1) + row if count else 0)
        if step < row or offset + length > len(data) or needed > length:
            raise ValueError(f"buffer view {index} of {length:,} bytes does not hold {count:,} values of {row} bytes from {start:,} on.")
        shape, strides = (count, width), (step, kind.itemsize)
        return np.ndarray(shape, kind, data, offset + start, strides) if count else np.zeros(shape, kind)

    def _buffer(self, index: Any) -> bytes:
        buffer = pick(self.items("buffers"), index, "buffer")
        if index not in self._buffers:
            size = whole(buffer.get("byteLength"), "byteLength of a buffer")
            limits.check_bytes(self.path, size)
            data = self._bytes_of(buffer.get("uri"), index)
            if len(data) < size:
                raise ValueError(f"buffer {index} has {len(data):,} bytes of the {size:,} that it says; the file is cut off.")
            self._buffers[index] = data
        return self._buffers[index]

    def _bytes_of(self, uri: Any, index: int) -> bytes:
        if uri is None:
            if self._binary is None or index:
                raise ValueError(f"buffer {index} says neither a file nor is it in this one.")
            return self._binary
        if not isinstance(uri, str):
            raise ValueError(f"buffer {index} has the uri {uri!r}; expected a text.")
        if uri.startswith("data:"):
            head, _, encoded = uri.partition(",")
            if not head.endswith(";base64"):
                raise ValueError(f"buffer {index} is data of another encoding than base64.")
            try:
                return base64.b64decode(encoded, validate=True)
            except (binascii.Error, ValueError) as error:
                raise ValueError(f"buffer {index} is not base64: {error}.") from error
        return self._file_beside(unquote(uri), index)

    def _file_beside(self, name: str, index: int) -> bytes:
        """A file of the same folder or below it: what a motion file names is opened nowhere else."""
        folder = self.path.parent.resolve()
        try:
            path = (folder / name).resolve()
            inside = path.is_relative_to(folder)
            there = inside and path.is_file()
        except (OSError, ValueError, RuntimeError) as error:
            raise ValueError(f"buffer {index} is in the file {name[:200]!r}, which is no name of one: {error}.") from error
        if not inside:
            raise ValueError(
                f"buffer {index} is in the file {name[:200]!r}, outside of the folder of {self.path.name!r}; put it beside that."
            )
        if not there:
            raise ValueError(f"buffer {index} is in the file {name[:200]!r}, which is not there; put it beside {self.path.name!r}.")
        limits.check_bytes(path, path.stat().st_size)
        return path.read_bytes()


def _chunks(data: bytes) -> tuple[bytes, bytes | None]:
    """JSON and binary part of a .glb file."""
    if len(data) < 20:
        raise ValueError(f"it ends after {len(data)} bytes, within its head.")
    _, version, size = struct.unpack_from("<III", data)
    if version != 2:
        raise ValueError(f"it is binary glTF of version {version}, and 2 is read; open it in Blender and export it again.")
    if size > len(data):
        raise ValueError(f"it has {len(data):,} bytes of the {size:,} that it says; the file is cut off.")
    parts: dict[int, bytes] = {}
    at = 12
    while at + 8 <= size:
        length, kind = struct.unpack_from("<II", data, at)
        if at + 8 + length > size:
            raise ValueError(f"a part of {length:,} bytes does not fit into the {size:,} of the file.")
        parts.setdefault(kind, data[at + 8 : at + 8 + length])
        at += 8 + length + (-length % 4)
    if _JSON_CHUNK not in parts:
        raise ValueError("it has no JSON part.")
    return parts[_JSON_CHUNK], parts.get(_BIN_CHUNK)


def _component(number: Any) -> np.dtype:
    if not isinstance(number, int) or number not in _COMPONENTS:
        raise ValueError(f"componentType is {number!r}; expected one of {', '.join(map(str, _COMPONENTS))}.")
    return _COMPONENTS[number]


def as_object(value: Any, name: str) -> dict[str, Any]:
    """`value`, if it is a JSON object.

    Raises:
        ValueError: If it is not; so do the others below.
    """
    if not isinstance(value, dict):
        raise ValueError(f"{name} is {_short(value)}; expected an object.")
    return value


def objects(value: Any, name: str) -> list[dict[str, Any]]:
    """`value`, if it is a list of JSON objects."""
    if not isinstance(value, list) or len(value) > _MAX_ITEMS or not all(isinstance(item, dict) for item in value):
        raise ValueError(f"{name} is {_short(value)}; expected a list of at most {_MAX_ITEMS:,} objects.")
    return value


def whole(value: Any, name: str) -> int:
    """`value`, if it is a whole number from 0 to 2^40."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 2**40:
        raise ValueError(f"{name} is {_short(value)}; expected a whole number, 0 or more.")
    return value


def pick(values: list[Any], index: Any, name: str) -> Any:
    """The item of that number."""
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(values):
        raise ValueError(f"{name} {_short(index)} is named, and there are {len(values)}.")
    return values[index]


def numbers(value: Any, count: int, name: str) -> np.ndarray:
    """`value`, if it is a list of that many finite numbers, float64."""
    real = isinstance(value, list) and all(isinstance(item, (int, float)) and not isinstance(item, bool) for item in value)
    if not real or len(value) != count or not all(abs(item) < 1e30 and math.isfinite(item) for item in value):
        raise ValueError(f"{name} is {_short(value)}; expected {count} finite numbers.")
    return np.array(value, dtype=np.float64)


def _short(value: Any) -> str:
    text = repr(value) if not isinstance(value, (list, dict)) else f"a {type(value).__name__} of {len(value)}"
    return text if len(text) <= 80 else text[:77] + "..."
