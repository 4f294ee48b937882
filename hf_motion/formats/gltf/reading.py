"""The animation of a glTF 2.0 file (.glb, .gltf), of a VRM character or a VRM animation (.vrm, .vrma)."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ...motion import Motion
from ...utils.limits import MAX_JOINTS, check_clip
from ..nodes import NodeClip, ancestors, joint_tree, read_clip, unique_names
from .curves import Curve, frame_rate, read_curves
from .document import Document, as_object, numbers, objects, pick
from .faces import read_face

_TURN, _SIZE, _PLACE = "rotation", "scale", "translation"
_FARTHEST = 1e7  # metres from the origin
_HUMANOIDS = ("VRMC_vrm", "VRM", "VRMC_vrm_animation")


def read_gltf(path: str | os.PathLike, *, source_fps: float | None = None) -> Motion:
    """Read the first animation of a .glb, .gltf, .vrm or .vrma file with all of its joints, in metres, Y up, and its face.

    A file whose joints have the names and parents of one of our skeletons comes back on that skeleton, any other on one of its own. What
    was guessed or left out is said by the logger `hf_motion`; see `open_gltf` for how joints and frame rate are found.

    Args:
        path (`str` or `os.PathLike`): The file.
        source_fps (`float`, *optional*): Frames per second to read.

    Returns:
        `Motion`: The animation.

    Raises:
        ValueError: If the file is damaged, too large, compressed, or moves no joint; the message names it.
        FileNotFoundError: If there is no such file.

    Example:
    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> from hf_motion import Motion
    >>> from hf_motion.formats.gltf import read_gltf
    >>> path = Motion(np.random.default_rng(0).random((8, 22, 3)), fps=30).save(pathlib.Path(tempfile.mkdtemp()) / "noise.glb")
    >>> read_gltf(path)
    Motion(8 frames at 30 fps, 0.27 s, humanml3d-22, with rotations)
    """
    return read_clip(path, "a readable glTF file", lambda found: open_gltf(found, source_fps))


def open_gltf(path: Path, source_fps: float | None = None) -> NodeClip:
    """The first animation of a file and the joints that it moves, in metres, Y up.

    Joints are those of the skin that the animation moves, with all skins of the same skeleton; without a skin, every node from the first
    common one of those that move, meshes and cameras left out. VRM files say which of them are whose bones, and these get the names of
    VRM's humanoid (`leftUpperArm`). The rest pose is that of the nodes without animation.

    glTF has keys at any time and no frame rate. Taken is the rate on whose frames all keys lie: the one that their spacing makes, if that
    is 10 or more, or one in use from 24 on; 30 where none fits.

    Args:
        path (`pathlib.Path`): The file.
        source_fps (`float`, *optional*): Frames per second to read, by default as above.

    Returns:
        `NodeClip`: The animation; its curves are evaluated as they are asked for.

    Raises:
        ValueError: If the file is damaged, too large, compressed, or moves no joint.
    """
    scene = _Scene(Document(path))
    curves, name, notes = _first_animation(scene)
    nodes, parents, left = _joints(scene, curves)
    needed = sorted({node for joint in nodes for node in ancestors(joint, scene.parents)}, key=lambda node: scene.depth(node))
    if len(needed) > 2 * MAX_JOINTS:
        raise ValueError(f"its joints hang below {len(needed):,} nodes, and at most {2 * MAX_JOINTS:,} are taken.")
    moving = {(node, kind): curve for (node, kind), curve in curves.items() if node in set(needed)}
    if not moving:
        raise ValueError("its animation moves none of the joints of its skin; export the animation of the armature.")
    bent = sorted({node for node, _ in moving if scene.matrices[node] is not None})
    if bent:
        raise ValueError(f"node {scene.name(bent[0])!r} is moved and has a matrix, which glTF does not allow; export it again.")
    names, repeated = unique_names([scene.name(node) for node in nodes])
    keys = np.unique(np.concatenate([curve.times for curve in moving.values()]))
    fps, said = (source_fps, None) if source_fps else frame_rate(keys)
    frames = int(np.floor((keys[-1] - keys[0]) * fps + 0.02)) + 1
    check_clip(frames, len(nodes), "Is its time in seconds? Cut the clip into shorter ones.")
    turned = sum(curve.repaired for curve in moving.values())
    notes += [f"{turned:,} rotations are not of length 1 and are made so"] if turned else []
    notes += [f"{repeated} joints have the name of another and get a number"] if repeated else []
    pose = _Pose(scene, needed, nodes, moving, keys[0], fps)
    animation = scene.document.items("animations")[0]
    face, more = read_face(scene.document, animation, keys[0] + np.arange(frames) / fps, fps)
    own = as_object(scene.document.content["asset"], "asset").get("generator") == "hf_motion"
    return NodeClip(
        names, tuple(parents), pose.rest(), pose.worlds, fps, frames, name if own and name != "motion" else None,
        (*notes, *left, *more, *([said] if said else [])), face,
    )  # fmt: skip


class _Scene:
    """The nodes of a file: how they hang together, and where they are without animation."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.nodes = document.items("nodes")
        self.parents = [-1] * len(self.nodes)
        self.children: list[list[int]] = [[] for _ in self.nodes]
        for index, node in enumerate(self.nodes):
            listed = node.get("children", [])
            for child in listed if isinstance(listed, list) else [listed]:
                pick(self.nodes, child, "node")
                if self.parents[child] != -1:
                    raise ValueError(f"node {child} hangs on two others, {self.parents[child]} and {index}.")
                self.parents[child] = index
                self.children[index].append(child)
        self.matrices = [numbers(node["matrix"], 16, "matrix").reshape(4, 4).T if "matrix" in node else None for node in self.nodes]
        self.humanoid = _humanoid(document, self.nodes)
        self._depths: dict[int, int] = {}

    def name(self, node: int) -> str:
        called = self.humanoid.get(node) or self.nodes[node].get("name")
        return called if isinstance(called, str) and called.strip() else f"node_{node}"

    def depth(self, node: int) -> int:
        if node not in self._depths:
            for depth, other in enumerate(reversed(ancestors(node, self.parents))):
                self._depths[other] = depth
        return self._depths[node]

    def part(self, node: int, kind: str) -> np.ndarray:
        """Translation, scale or rotation (x, y, z, w) of a node at rest."""
        default = {_PLACE: [0, 0, 0], _SIZE: [1, 1, 1], _TURN: [0, 0, 0, 1]}[kind]
        value = numbers(self.nodes[node].get(kind, default), len(default), kind)
        if kind == _TURN:
            size = np.linalg.norm(value)
            if not size > 1e-6:
                raise ValueError(f"node {self.name(node)!r} has a rotation of length 0.")
            return value / size
        return value


def _humanoid(document: Document, nodes: list) -> dict[int, str]:
    """Names of VRM's humanoid bones by node; a list in VRM 0, an object in VRM 1 and in VRM animations."""
    found: dict[int, str] = {}
    for extension in filter(None, map(document.extension, _HUMANOIDS)):
        bones = as_object(extension.get("humanoid", {}), "humanoid").get("humanBones", [])
        if isinstance(bones, dict):
            bones = [{"bone": name, "node": as_object(bone, name).get("node")} for name, bone in bones.items()]
        for bone in objects(bones, "humanBones"):
            pick(nodes, bone.get("node"), "node")
            if not isinstance(bone.get("bone"), str) or not bone["bone"].strip():
                raise ValueError("a bone of its humanoid has no name.")
            found.setdefault(bone["node"], bone["bone"])
    return found


def _first_animation(scene: _Scene) -> tuple[dict[tuple[int, str], Curve], str, list[str]]:
    animations = scene.document.items("animations")
    if not animations:
        character = " It is a character; VRM animations are .vrma files." if scene.document.path.suffix.lower() == ".vrm" else ""
        raise ValueError(f"it holds no animation.{character} Export it with animations, or read the file that has them.")
    called = [animation.get("name") if isinstance(animation.get("name"), str) else str(n) for n, animation in enumerate(animations)]
    curves, ignored = read_curves(scene.document, animations[0], len(scene.nodes))
    notes = []
    if len(animations) > 1:
        others = ", ".join(map(repr, called[1:7])) + (f" and {len(called) - 7} more" if len(called) > 7 else "")
        notes.append(f"of {len(called)} animations the first, {called[0]!r}, is read; left out: {others}")
    notes += [f"{ignored} of its channels move no node and are left out"] if ignored else []
    return curves, called[0], notes


def _joints(scene: _Scene, curves: dict[tuple[int, str], Curve]) -> tuple[list[int], list[int], list[str]]:
    """Nodes that are joints, the place of each one's parent among them, and what was left out."""
    moved = {node for node, _ in curves}
    groups = _skeletons(scene)
    for group in groups:
        group |= {node for node in scene.humanoid if set(ancestors(node, scene.parents)) & group}
    driven = [sum(bool(moved & set(ancestors(node, scene.parents))) for node in group) for group in groups]
    if any(driven):
        best = max(range(len(groups)), key=lambda index: (driven[index], -index))
        nodes, parents = joint_tree(groups[best], scene.parents, scene.children)
        others = sum(map(len, groups)) - len(set(nodes) & groups[best])
        return nodes, parents, [f"{others} joints of other skeletons are left out"] if others > 0 else []
    anchors = moved | set(scene.humanoid)
    if not moved:
        raise ValueError("its animation moves no node.")
    top = joint_tree(anchors, scene.parents, scene.children)[0][0]
    below, waiting = set(), [top]
    while waiting:
        node = waiting.pop()
        if node in anchors or not {"mesh", "camera"} & scene.nodes[node].keys():
            below.add(node)
            waiting += scene.children[node]
    return *joint_tree(below, scene.parents, scene.children), []


def _skeletons(scene: _Scene) -> list[set[int]]:
    """Joints of the skins, those together that share joints or hang on each other's."""
    groups: list[set[int]] = []
    skins = scene.document.items("skins")
    if len(skins) > MAX_JOINTS:
        raise ValueError(f"it has {len(skins):,} skins, and at most {MAX_JOINTS:,} are taken.")
    for skin in skins:
        listed = skin.get("joints")
        if not isinstance(listed, list) or not listed:
            raise ValueError("a skin has no joints.")
        for joint in listed:
            pick(scene.nodes, joint, "joint")
        fresh = set(listed)
        if len(fresh) > MAX_JOINTS:
            raise ValueError(f"a skin has {len(fresh):,} joints, and at most {MAX_JOINTS:,} are taken.")
        above = {node for joint in fresh for node in ancestors(joint, scene.parents)}
        for group in [group for group in groups if group & above or fresh & {n for j in group for n in ancestors(j, scene.parents)}]:
            groups.remove(group)
            fresh |= group
        groups.append(fresh)
    return groups


class _Pose:
    """Matrices of joints over time."""

    def __init__(
        self, scene: _Scene, needed: list[int], joints: list[int], curves: dict[tuple[int, str], Curve], start: float, fps: float
    ) -> None:
        self.scene, self.needed, self.curves, self.start, self.fps = scene, needed, curves, start, fps
        self.above = [needed.index(scene.parents[node]) if scene.parents[node] >= 0 else -1 for node in needed]
        self.joints = [needed.index(joint) for joint in joints]

    def rest(self) -> np.ndarray:
        return self._worlds(None)[0]

    def worlds(self, frames: np.ndarray) -> np.ndarray:
        return self._worlds(self.start + frames / self.fps)

    def _worlds(self, times: np.ndarray | None) -> np.ndarray:
        """Matrices at some times (seconds), or without animation."""
        count = 1 if times is None else len(times)
        worlds = np.empty((count, len(self.needed), 4, 4))
        for place, (node, parent) in enumerate(zip(self.needed, self.above, strict=True)):
            local = self._local(node, times)
            worlds[:, place] = local if parent < 0 else worlds[:, parent] @ local
        if not (np.isfinite(worlds).all() and np.abs(worlds[..., :3, 3]).max() < _FARTHEST):
            raise ValueError("joints are placed beyond all bounds; its nodes or its animation are damaged.")
        return worlds[:, self.joints]

    def _local(self, node: int, times: np.ndarray | None) -> np.ndarray:
        fixed = self.scene.matrices[node]
        if fixed is not None:
            return fixed
        parts = {}
        for kind in (_PLACE, _TURN, _SIZE):
            curve = None if times is None else self.curves.get((node, kind))
            parts[kind] = self.scene.part(node, kind)[None] if curve is None else curve.at(times, self.fps)
        local = np.zeros((max(map(len, parts.values())), 4, 4))
        local[:, :3, :3] = _matrices(parts[_TURN]) * parts[_SIZE][:, None, :]
        local[:, :3, 3] = parts[_PLACE]
        local[:, 3, 3] = 1
        return local


def _matrices(turns: np.ndarray) -> np.ndarray:
    """Rotation matrices of unit quaternions (..., 4), real part last."""
    x, y, z, w = np.moveaxis(turns, -1, 0)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)),
        (2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)),
        (2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)),
    )
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)
