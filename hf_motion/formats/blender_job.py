"""What is done inside Blender: `hf_motion.formats.blender` runs this file there, alone. Works in Blender 3.4 and newer.

Outside of Blender nothing of it runs, and `bpy` is imported where it is used.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np

_MOST_BYTES = 8 * 2**30


def write_fbx(job: dict[str, Any]) -> dict[str, Any]:
    """A glTF file of ours as an FBX file.

    Args:
        job (`dict`): `source` (.glb), `target` (.fbx), `fps`, `frames` and `name` of the animation, and the rate of the .glb, `imported`.
    """
    import bpy

    scene = _empty_scene(job["imported"])
    bpy.ops.import_scene.gltf(filepath=job["source"])
    armature = next(item for item in scene.objects if item.type == "ARMATURE")
    for item in list(scene.objects):
        if item is not armature and item.parent is not armature:  # what the importer adds to draw bones with
            bpy.data.objects.remove(item)
    for bone in armature.pose.bones:
        bone.custom_shape = None
    armature.name = armature.data.name = "Armature"
    start = armature.animation_data.action.frame_range[0] if armature.animation_data and armature.animation_data.action else 0
    scene.frame_start, scene.frame_end = int(start), int(start) + job["frames"] - 1
    _set_rate(scene, job["fps"])
    scene.name = job["name"][:60]  # names the take
    bpy.ops.export_scene.fbx(
        filepath=job["target"], object_types={"ARMATURE", "MESH"}, use_selection=False, apply_scale_options="FBX_SCALE_NONE",
        global_scale=1.0, axis_forward="-Z", axis_up="Y", bake_space_transform=False, add_leaf_bones=False, primary_bone_axis="Y",
        secondary_bone_axis="X", use_armature_deform_only=False, mesh_smooth_type="FACE", bake_anim=True, bake_anim_use_all_bones=True,
        bake_anim_use_nla_strips=False, bake_anim_use_all_actions=False, bake_anim_force_startend_keying=True, bake_anim_step=1.0,
        bake_anim_simplify_factor=0.0, path_mode="AUTO", embed_textures=False,
    )  # fmt: skip
    return {"version": bpy.app.version_string}


def read_fbx(job: dict[str, Any]) -> dict[str, Any]:
    """Joints of an FBX file over time, as an .npz file of matrices from each joint to the world, in metres, Z up.

    Args:
        job (`dict`): `source` (.fbx), `target` (.npz), `fps` to read at (None: the file's own), `most`, the frames times joints that
            are read, and `slowest` and `fastest`, the frame rates that a file may have.
    """
    import bpy

    scene = _empty_scene(30.0)
    if "fbx_import" in dir(bpy.ops.wm):  # since 4.5, faster, and reads text files too
        bpy.ops.wm.fbx_import(filepath=job["source"])
    else:
        bpy.ops.import_scene.fbx(filepath=job["source"])
    armatures = [item for item in scene.objects if item.type == "ARMATURE"]
    armature = max(armatures, key=lambda item: (_moves(item), len(item.data.bones)), default=None)
    points = _bones(armature) if armature is not None and _moves(armature) else _empties(scene)
    if all(point.carrier for point in points):
        return {"refused": "it holds no animation of an armature or of nodes, or the armature has no bones of any length"}
    actions = _actions(points)
    if not actions:
        return {"refused": "it holds no animation"}
    rate = scene.render.fps / scene.render.fps_base
    if not job["slowest"] <= rate <= job["fastest"]:
        return {"refused": f"its frame rate is {rate:g}; set it in the program that it comes from, or export the motion as .glb"}
    step = rate / (job["fps"] or rate)
    first, last = min(action.frame_range[0] for action in actions), max(action.frame_range[1] for action in actions)
    frames = math.floor((last - first) / step + 0.02) + 1
    if frames * len(points) > job["most"]:
        return {"refused": f"{frames:,} frames of {len(points):,} joints are more than the {job['most']:,} that are read of FBX"}
    shaped = _shaped(scene)
    coefficients = sum(len(keys) for keys in shaped)
    if frames * coefficients > job["most"]:
        return {"refused": f"{frames:,} frames of {coefficients:,} shape keys are more than the {job['most']:,} that are read of FBX"}
    scene.frame_set(math.floor(first), subframe=first - math.floor(first))
    rest = [np.array(point.rest()) for point in points]
    poses, faces = np.empty((frames, len(points), 4, 4), np.float32), np.empty((frames, coefficients), np.float32)
    for frame in range(frames):
        at = first + frame * step
        scene.frame_set(math.floor(at + 1e-6), subframe=max(0.0, at - math.floor(at + 1e-6)))
        poses[frame] = [point.matrix() for point in points]
        faces[frame] = [key.value for keys in shaped for key in keys]
    items = [point.item for point in points]
    np.savez(
        job["target"], names=np.array([point.name for point in points]), rest=np.array(rest), poses=poses, fps=rate / step, faces=faces,
        parents=np.array([items.index(point.parent) if point.parent in items else -1 for point in points]),
        carrier=np.array([point.carrier for point in points]),
    )  # fmt: skip
    used = {action.name for action in actions}
    take, of_faces = sorted(used)[0], {keys[0].id_data.animation_data.action.name for keys in shaped}
    others = sorted(action.name for action in bpy.data.actions if action.name not in used | of_faces)
    return {"take": take, "others": others, "faces": [[key.name for key in keys] for keys in shaped]}


class _Bone:
    """A bone of an armature."""

    carrier = False

    def __init__(self, armature: Any, bone: Any) -> None:
        self.armature, self.item, self.name = armature, bone, bone.name
        self.parent = bone.parent or armature

    def rest(self) -> Any:
        return self.armature.matrix_world @ self.item.bone.matrix_local

    def matrix(self) -> Any:
        return self.armature.matrix_world @ self.item.matrix


class _Node:
    """An object that other joints hang on, or a joint itself where a file has no armature."""

    def __init__(self, item: Any, carrier: bool = False) -> None:
        self.item, self.name, self.parent, self.carrier = item, item.name, item.parent, carrier

    def rest(self) -> Any:
        return self.item.matrix_world

    matrix = rest


def _bones(armature: Any) -> list[Any]:
    """The armature itself, which carries the bones, and these."""
    return [_Node(armature, carrier=True), *(_Bone(armature, bone) for bone in armature.pose.bones)]


def _empties(scene: Any) -> list[Any]:
    """Nodes from the first that moves down."""
    nodes = [item for item in scene.objects if item.type == "EMPTY"]
    moving = [item for item in nodes if _moves(item)]
    return [_Node(item) for item in nodes if any(item in moving or other in moving for other in _line(item))]


def _line(item: Any) -> list[Any]:
    line = [item]
    while line[-1].parent is not None:
        line.append(line[-1].parent)
    return line


def _moves(item: Any) -> bool:
    return item.animation_data is not None and item.animation_data.action is not None


def _shaped(scene: Any) -> list[list[Any]]:
    """Shape keys of each mesh that an animation changes, without the shape that they change."""
    found = {item.data.shape_keys for item in scene.objects if item.type == "MESH" and item.data.shape_keys}
    moving = sorted((keys for keys in found if _moves(keys)), key=lambda keys: keys.name)
    shaped = [[key for key in keys.key_blocks if key != keys.reference_key] for keys in moving]
    return [keys for keys in shaped if keys]


def _actions(points: list[Any]) -> list[Any]:
    holders = {point.armature if isinstance(point, _Bone) else point.item for point in points}
    return list({item.animation_data.action.name: item.animation_data.action for item in holders if _moves(item)}.values())


def _empty_scene(fps: float) -> Any:
    import bpy

    bpy.ops.wm.read_factory_settings(use_empty=True)
    _set_rate(bpy.context.scene, fps)
    return bpy.context.scene


def _set_rate(scene: Any, fps: float) -> None:
    scene.render.fps = max(1, math.ceil(fps - 1e-9))
    scene.render.fps_base = scene.render.fps / fps


def main(words: list[str]) -> None:
    """Do the job of the first file and leave what comes of it in the second; then the same for each line that comes in."""
    _limit_memory()
    do(*map(Path, words))
    for line in sys.stdin:
        do(*map(Path, json.loads(line)))


def _limit_memory() -> None:
    """A damaged file should end this process, not the machine."""
    try:
        import resource
    except ImportError:  # on Windows
        return
    most = resource.getrlimit(resource.RLIMIT_DATA)[1]
    resource.setrlimit(resource.RLIMIT_DATA, (_MOST_BYTES if most == resource.RLIM_INFINITY else min(_MOST_BYTES, most), most))


def do(told: Path, result: Path) -> None:
    """One job; its result appears whole."""
    job = json.loads(told.read_text(encoding="utf-8"))
    try:
        answer = {"done": {"write_fbx": write_fbx, "read_fbx": read_fbx}[job["do"]](job)}
    except Exception as error:
        answer = {"error": f"{error}" if isinstance(error, RuntimeError) else f"{type(error).__name__}: {error}"}
    part = result.with_suffix(".part")
    part.write_text(json.dumps(answer), encoding="utf-8")
    part.replace(result)


if __name__ == "__main__":
    main(sys.argv[sys.argv.index("--") + 1 :])
