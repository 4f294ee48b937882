"""Binary glTF 2.0 (.glb) files, which Blender, three.js, Unity, Unreal, Godot and the 3D viewers of Windows and macOS open."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np

from ..motion import Motion
from ..rendering.figure import LEFT, MIDDLE, RIGHT
from ..utils.files import atomic_path
from .body import Body, build_body
from .glb_face import face_mesh
from .solved import SolvedMotion, solve

# Numbers of the glTF 2.0 specification: component types, buffer targets, chunk types.
_FLOAT, _USHORT, _UINT, _UBYTE = 5126, 5123, 5125, 5121
_VERTICES, _INDICES = 34962, 34963
_MAGIC, _JSON, _BIN = 0x46546C67, 0x4E4F534A, 0x004E4942
_TYPES = {1: "SCALAR", 3: "VEC3", 4: "VEC4", 16: "MAT4"}
_COMPONENTS = {_FLOAT: np.dtype("<f4"), _USHORT: np.dtype("<u2"), _UINT: np.dtype("<u4"), _UBYTE: np.dtype("u1")}
_MATERIALS = ((0, "middle", MIDDLE), (1, "left", LEFT), (-1, "right", RIGHT))


def write_glb(
    motion: Motion,
    path: str | os.PathLike,
    *,
    rig: str | None = None,
    tolerance: float | str | None = "auto",
    keep_proportions: bool = False,
) -> Path:
    """Write a motion as a binary glTF file: an animated skeleton with a simple skinned body.

    The skeleton is that of `write_bvh`, solved in the same way, in metres, Y up, with a T-pose facing +Z as its rest pose and no
    rotation in it. The body is a rounded tube per bone, blue on the character's left, orange on its right. The text is the
    animation's name. A face is a simple head with one morph target per coefficient, called as those (`extras.targetNames`), and their
    weights over time. Blender: File > Import > glTF 2.0, all defaults.

    Args:
        motion (`Motion`): The motion, on any skeleton.
        path (`str` or `os.PathLike`): File to write; missing folders are made. It appears whole or not at all.
        rig (`str`, *optional*): Write the joint names of a rig of `hf_motion.formats.WRITTEN_RIGS`: `"smpl"`, `"mixamo"`, `"cmu"`,
            `"unity"` or `"unreal"`. Needs a motion on `humanml3d-22`. By default the joints keep their names.
        tolerance (`float` or `str`, *optional*, defaults to `"auto"`): As in `write_bvh`: in metres, how far rotations alone may
            miss before a joint is also moved; None never moves any but the root. `"auto"` is None, or 0.01 with `keep_proportions`.
        keep_proportions (`bool`, defaults to `False`): As in `write_bvh`.

    Returns:
        `pathlib.Path`: The written file.

    Raises:
        ValueError: If `rig` or `tolerance` is not one of the above.
        OSError: If the file cannot be written.

    Example:
    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> from hf_motion import Motion
    >>> from hf_motion.formats import write_glb
    >>> joints = np.random.default_rng(0).random((40, 22, 3))
    >>> write_glb(Motion(joints), pathlib.Path(tempfile.mkdtemp()) / "noise.glb").read_bytes()[:4]
    b'glTF'
    """
    solved = solve(motion, rig, tolerance, keep_proportions=keep_proportions)
    place = _rest_positions(solved)
    kept = [index for index, joint in enumerate(solved.source) if joint >= 0]
    body = build_body(motion, place[kept], solved.moving[kept])
    file = _File()
    count = len(solved.skeleton)
    primitives = _primitives(file, body, kept)
    materials = [_material(name, colour) for side, name, colour in _MATERIALS if side in body.triangles]
    face = None if motion.face is None else face_mesh(file, motion, place[kept], kept, len(materials))
    extra = [] if face is None else [{"name": "face", "mesh": 1, "skin": 0}]
    if face is not None:
        materials += [_material(f"face {number}", colour) for number, colour in enumerate(face.colours)]
    document = {
        "asset": {"version": "2.0", "generator": "hf_motion"},
        "scene": 0,
        "scenes": [{"nodes": [0, *range(count, count + 1 + len(extra))]}],
        "nodes": [*_nodes(solved, place[0]), {"name": "body", "mesh": 0, "skin": 0}, *extra],
        "meshes": [{"name": "body", "primitives": primitives}, *([] if face is None else [face.mesh])],
        "materials": materials,
        "skins": [{"joints": list(range(count)), "skeleton": 0, "inverseBindMatrices": _inverse_binds(file, place)}],
        "animations": [_animation(file, solved, motion, None if face is None else (count + 1, face.weights))],
        "accessors": file.accessors,
        "bufferViews": file.views,
    }
    data = file.data()
    document["buffers"] = [{"byteLength": len(data)}]
    with atomic_path(path) as temporary:
        temporary.write_bytes(_container(document, data))
    return Path(path)


class _File:
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


def _rest_positions(solved: SolvedMotion) -> np.ndarray:
    """World positions of the rest pose, (joints, 3), standing on the floor at the origin."""
    place = np.zeros_like(solved.rest)
    for joint, parent in enumerate(solved.skeleton.parents):
        if joint:
            place[joint] = place[parent] + solved.rest[joint]
    return place - [0, place[:, 1].min(), 0]


def _nodes(solved: SolvedMotion, root: np.ndarray) -> list[dict[str, Any]]:
    """One node per joint, in the order of the skeleton, in the rest pose."""
    skeleton = solved.skeleton
    nodes = []
    for joint, name in enumerate(skeleton.joint_names):
        node = {"name": name, "translation": _numbers(solved.rest[joint] if joint else root)}
        if skeleton.children[joint]:
            node["children"] = list(skeleton.children[joint])
        nodes.append(node)
    return nodes


def _primitives(file: _File, body: Body, kept: list[int]) -> list[dict[str, Any]]:
    """One per colour, all on the same vertices."""
    weights = np.round(body.weights * 255).astype(int)
    weights[np.arange(len(weights)), body.weights.argmax(axis=1)] += 255 - weights.sum(axis=1)
    joints = np.where(weights > 0, np.asarray(kept)[body.joints], 0)
    attributes = {
        "POSITION": file.add(body.vertices, _FLOAT, target=_VERTICES, bounds=True),
        "NORMAL": file.add(body.normals, _FLOAT, target=_VERTICES),
        "JOINTS_0": file.add(joints, _UBYTE if len(kept) < 200 else _USHORT, target=_VERTICES),
        "WEIGHTS_0": file.add(weights, _UBYTE, target=_VERTICES, normalized=True),
    }
    component = _USHORT if len(body.vertices) < 65535 else _UINT
    shown = [side for side, _, _ in _MATERIALS if side in body.triangles]
    return [
        {
            "attributes": attributes, "material": material,
            "indices": file.add(body.triangles[side].ravel(), component, target=_INDICES),
        }
        for material, side in enumerate(shown)
    ]  # fmt: skip


def _material(name: str, colour: tuple[int, int, int]) -> dict[str, Any]:
    """A dull surface; glTF counts colours in linear light."""
    share = np.array(colour) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    surface = {"baseColorFactor": [*_numbers(linear), 1.0], "metallicFactor": 0.0, "roughnessFactor": 0.75}
    return {"name": name, "pbrMetallicRoughness": surface}


def _inverse_binds(file: _File, place: np.ndarray) -> int:
    """Matrices from the world to each joint in the rest pose, by columns."""
    matrices = np.tile(np.eye(4), (len(place), 1, 1))
    matrices[:, 3, :3] = -place
    return file.add(matrices.reshape(-1, 16), _FLOAT)


def _animation(file: _File, solved: SolvedMotion, motion: Motion, weights: tuple[int, int] | None = None) -> dict[str, Any]:
    """Of the joints, and of the face: its node and the accessor of its weights."""
    times = file.add(np.arange(len(motion)) / motion.fps, _FLOAT, bounds=True)
    turning = np.abs(solved.rotations[..., 1:]).max(axis=(0, 2)) > 1e-7
    turning[0] = True
    channels, samplers = [], []
    for path, chosen, values in (
        ("translation", solved.moving, solved.translations), ("rotation", turning, solved.rotations[..., [1, 2, 3, 0]]),
    ):  # fmt: skip
        for joint in np.flatnonzero(chosen).tolist():
            channels.append({"sampler": len(samplers), "target": {"node": joint, "path": path}})
            samplers.append({"input": times, "output": file.add(values[:, joint], _FLOAT), "interpolation": "LINEAR"})
    if weights is not None:
        channels.append({"sampler": len(samplers), "target": {"node": weights[0], "path": "weights"}})
        samplers.append({"input": times, "output": weights[1], "interpolation": "LINEAR"})
    return {"name": motion.text or "motion", "channels": channels, "samplers": samplers}


def _numbers(values: np.ndarray) -> list[float]:
    return [float(np.float32(value)) for value in values]


def _container(document: dict[str, Any], data: bytes) -> bytes:
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 4)
    size = 12 + 8 + len(text) + 8 + len(data)
    head = struct.pack("<III", _MAGIC, 2, size)
    return head + struct.pack("<II", len(text), _JSON) + text + struct.pack("<II", len(data), _BIN) + data
