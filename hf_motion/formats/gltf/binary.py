"""The binary part of a glTF 2.0 file, and the container around it and the JSON."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np

# Numbers of the glTF 2.0 specification: component types, buffer targets, chunk types.
FLOAT, USHORT, UINT, UBYTE = 5126, 5123, 5125, 5121
VERTICES, INDICES = 34962, 34963
_MAGIC, _JSON, _BIN = 0x46546C67, 0x4E4F534A, 0x004E4942
_TYPES = {1: "SCALAR", 3: "VEC3", 4: "VEC4", 16: "MAT4"}
_COMPONENTS = {FLOAT: np.dtype("<f4"), USHORT: np.dtype("<u2"), UINT: np.dtype("<u4"), UBYTE: np.dtype("u1")}


class BinaryFile:
    """The binary part of a file and the accessors that describe it."""

    def __init__(self) -> None:
        self.accessors: list[dict[str, Any]] = []
        self.views: list[dict[str, Any]] = []
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, values: np.ndarray, component: int, *, target: int | None = None, bounds: bool = False, normalized: bool = False) -> int:
        """Store (count, width) values, or (count,) scalars; returns the index of their accessor."""
        values = np.ascontiguousarray(values, dtype=_COMPONENTS[component])
        flat = values.reshape(len(values), -1)
        part = values.tobytes()
        view = {"buffer": 0, "byteOffset": self._size, "byteLength": len(part)} | ({"target": target} if target else {})
        accessor = {"bufferView": len(self.views), "componentType": component, "count": len(flat), "type": _TYPES[flat.shape[1]]}
        if bounds:
            accessor |= {"min": flat.min(axis=0).tolist(), "max": flat.max(axis=0).tolist()}
        if normalized:
            accessor["normalized"] = True
        self.views.append(view)
        self.accessors.append(accessor)
        self._parts.append(part + bytes(-len(part) % 4))
        self._size += len(self._parts[-1])
        return len(self.accessors) - 1

    def data(self) -> bytes:
        """All that was added."""
        return b"".join(self._parts)


def rounded(values: np.ndarray) -> list[float]:
    """The values as they are in float32."""
    return [float(np.float32(value)) for value in values]


def container(document: dict[str, Any], data: bytes) -> bytes:
    """A .glb file of a document, whose buffer is the data."""
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 4)
    size = 12 + 8 + len(text) + 8 + len(data)
    head = struct.pack("<III", _MAGIC, 2, size)
    return head + struct.pack("<II", len(text), _JSON) + text + struct.pack("<II", len(data), _BIN) + data
