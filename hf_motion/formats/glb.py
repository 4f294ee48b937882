"""Binary glTF 2.0 (.glb) files, which Blender, three.js, Unity, Unreal, Godot and the 3D viewers of Windows and macOS open."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from ..motion import Motion
from ..rendering.figure import LEFT, MIDDLE, RIGHT
from ..utils.files import atomic_path
from .body import Body, build_body
from .glb_face import face_mesh
from .gltf.binary import FLOAT, INDICES, UBYTE, UINT, USHORT, VERTICES, BinaryFile, container, rounded
from .solved import SolvedMotion, solve

MATERIALS = ((0, "middle", MIDDLE), (1, "left", LEFT), (-1, "right", RIGHT))


def write_glb(
    motion: Motion,
    path: str | os.PathLike,
    *,
    rig: str | None = None,
    tolerance: float | str | None = "auto",
    keep_proportions: bool = False,
    root_motion: bool = False,
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
        root_motion (`bool`, defaults to `False`): As in `write_bvh`.

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
    solved = solve(motion, rig, tolerance, keep_proportions=keep_proportions, root_motion=root_motion)
    place = rest_positions(solved)
    kept = [index for index, joint in enumerate(solved.source) if joint >= 0]
    body = build_body(motion, place[kept], solved.moving[kept])
    file = BinaryFile()
    count = len(solved.skeleton)
    primitives = _primitives(file, body, kept)
    materials = [_material(name, colour) for side, name, colour in MATERIALS if side in body.triangles]
    face = None if motion.face is None else face_mesh(file, motion, place[kept], kept, len(materials))
    extra = [] if face is None else [{"name": "face", "mesh": 1, "skin": 0}]
    if face is not None:
        materials += [_material(f"face {number}", colour) for number, colour in enumerate(face.colours)]
    document = {
        "asset": {"version": "2.0", "generator": "hf_motion"},
        "scene": 0,
        "scenes": [{"nodes": [0, *range(count, count + 1 + len(extra))]}],
        "nodes": [*joint_nodes(solved, place[0]), {"name": "body", "mesh": 0, "skin": 0}, *extra],
        "meshes": [{"name": "body", "primitives": primitives}, *([] if face is None else [face.mesh])],
        "materials": materials,
        "skins": [{"joints": list(range(count)), "skeleton": 0, "inverseBindMatrices": _inverse_binds(file, place)}],
        "animations": [animation(file, solved, motion, None if face is None else (count + 1, face.weights))],
        "accessors": file.accessors,
        "bufferViews": file.views,
    }
    data = file.data()
    document["buffers"] = [{"byteLength": len(data)}]
    with atomic_path(path) as temporary:
        temporary.write_bytes(container(document, data))
    return Path(path)


def rest_positions(solved: SolvedMotion) -> np.ndarray:
    """World positions of the rest pose, (joints, 3), standing on the floor at the origin."""
    place = np.zeros_like(solved.rest)
    for joint, parent in enumerate(solved.skeleton.parents):
        if joint:
            place[joint] = place[parent] + solved.rest[joint]
    return place - [0, place[:, 1].min(), 0]


def joint_nodes(solved: SolvedMotion, root: np.ndarray) -> list[dict[str, Any]]:
    """One node per joint, in the order of the skeleton, in the rest pose."""
    skeleton = solved.skeleton
    nodes = []
    for joint, name in enumerate(skeleton.joint_names):
        node = {"name": name, "translation": rounded(solved.rest[joint] if joint else root)}
        if skeleton.children[joint]:
            node["children"] = list(skeleton.children[joint])
        nodes.append(node)
    return nodes


def _primitives(file: BinaryFile, body: Body, kept: list[int]) -> list[dict[str, Any]]:
    """One per colour, all on the same vertices."""
    weights = np.round(body.weights * 255).astype(int)
    weights[np.arange(len(weights)), body.weights.argmax(axis=1)] += 255 - weights.sum(axis=1)
    joints = np.where(weights > 0, np.asarray(kept)[body.joints], 0)
    attributes = {
        "POSITION": file.add(body.vertices, FLOAT, target=VERTICES, bounds=True),
        "NORMAL": file.add(body.normals, FLOAT, target=VERTICES),
        "JOINTS_0": file.add(joints, UBYTE if len(kept) < 200 else USHORT, target=VERTICES),
        "WEIGHTS_0": file.add(weights, UBYTE, target=VERTICES, normalized=True),
    }
    component = USHORT if len(body.vertices) < 65535 else UINT
    shown = [side for side, _, _ in MATERIALS if side in body.triangles]
    return [
        {
            "attributes": attributes, "material": material,
            "indices": file.add(body.triangles[side].ravel(), component, target=INDICES),
        }
        for material, side in enumerate(shown)
    ]  # fmt: skip


def _material(name: str, colour: tuple[int, int, int]) -> dict[str, Any]:
    """A dull surface."""
    surface = {"baseColorFactor": [*rounded(linear_light(colour)), 1.0], "metallicFactor": 0.0, "roughnessFactor": 0.75}
    return {"name": name, "pbrMetallicRoughness": surface}


def linear_light(colour: tuple[int, int, int]) -> np.ndarray:
    """A colour of a screen (0 to 255) as shares of linear light, as glTF and USD count."""
    share = np.array(colour) / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def _inverse_binds(file: BinaryFile, place: np.ndarray) -> int:
    """Matrices from the world to each joint in the rest pose, by columns."""
    matrices = np.tile(np.eye(4), (len(place), 1, 1))
    matrices[:, 3, :3] = -place
    return file.add(matrices.reshape(-1, 16), FLOAT)


def animation(file: BinaryFile, solved: SolvedMotion, motion: Motion, weights: tuple[int, int] | None = None) -> dict[str, Any]:
    """Curves of all joints that move or turn, the first nodes of the file; `weights` are a face's node and the accessor of its weights."""
    times = file.add(np.arange(len(motion)) / motion.fps, FLOAT, bounds=True)
    turning = np.abs(solved.rotations[..., 1:]).max(axis=(0, 2)) > 1e-7
    turning[0] = True
    channels, samplers = [], []
    for path, chosen, values in (
        ("translation", solved.moving, solved.translations), ("rotation", turning, solved.rotations[..., [1, 2, 3, 0]]),
    ):  # fmt: skip
        for joint in np.flatnonzero(chosen).tolist():
            channels.append({"sampler": len(samplers), "target": {"node": joint, "path": path}})
            samplers.append({"input": times, "output": file.add(values[:, joint], FLOAT), "interpolation": "LINEAR"})
    if weights is not None:
        channels.append({"sampler": len(samplers), "target": {"node": weights[0], "path": "weights"}})
        samplers.append({"input": times, "output": weights[1], "interpolation": "LINEAR"})
    return {"name": motion.text or "motion", "channels": channels, "samplers": samplers}
