"""Runs in Blender (`hf_motion.formats.blender.run_blender`): opens a file as its import dialog does and says where joints are."""

import json
import math
import sys
from pathlib import Path

IMPORTERS = {
    ".bvh": "import_anim.bvh", ".glb": "import_scene.gltf", ".vrma": "import_scene.gltf", ".fbx": "wm.fbx_import",
    "legacy.fbx": "import_scene.fbx", ".usd": "wm.usd_import", ".usda": "wm.usd_import", ".usdc": "wm.usd_import", ".usdz": "wm.usd_import",
}  # fmt: skip


def open_file(job):
    """Joints and shape keys at some times (seconds from the first key); the scene's rate, the action's first and last frame, scales.

    Joints are in our axes.
    """
    import bpy

    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    group, name = IMPORTERS[job["importer"]].split(".")
    getattr(getattr(bpy.ops, group), name)(filepath=job["path"], **job.get("options", {}))
    armature = next((item for item in scene.objects if item.type == "ARMATURE"), None)
    holders = [armature] if armature else [item for item in scene.objects if item.animation_data and item.animation_data.action]
    ranges = [tuple(holder.animation_data.action.frame_range) for holder in holders]
    first, last = min(one for one, _ in ranges), max(other for _, other in ranges)
    rate = scene.render.fps / scene.render.fps_base
    joints, keys = [], []
    shaped = next((item.data.shape_keys for item in scene.objects if item.type == "MESH" and item.data.shape_keys), None)
    for at in job["times"]:
        frame = first + at * (job.get("rate") or rate)
        scene.frame_set(math.floor(frame + 1e-4), subframe=max(0.0, frame - math.floor(frame + 1e-4)))
        bones = {bone.name: armature.matrix_world @ bone.head for bone in armature.pose.bones} if armature else {}
        places = bones or {item.name: item.matrix_world.translation for item in scene.objects}
        joints.append({name: (place[0], place[2], -place[1]) for name, place in places.items()})
        keys.append({key.name: key.value for key in shaped.key_blocks if key != shaped.reference_key} if shaped else {})
    if job.get("picture"):
        draw(job["picture"], armature)
    return {
        "joints": joints, "keys": keys, "rate": rate, "first": first, "last": last, "range": [scene.frame_start, scene.frame_end],
        "scale": list(armature.scale) if armature else None, "bones": len(armature.data.bones) if armature else 0,
        "meshes": sum(item.type == "MESH" for item in scene.objects), "height": armature.dimensions[2] if armature else None,
    }  # fmt: skip


def draw(path, armature):
    """A picture of what was imported, from the front and the left."""
    import bpy

    scene = bpy.context.scene
    bpy.ops.object.light_add(type="SUN", rotation=(0.7, 0.2, 0.5))
    bpy.context.object.data.energy = 4
    bpy.ops.object.camera_add(location=(2.4, -4.0, 1.6), rotation=(1.45, 0, 0.54))
    scene.camera = bpy.context.object
    scene.world = bpy.data.worlds.new("grey")
    scene.render.engine = "CYCLES"
    scene.cycles.samples = 4
    scene.render.resolution_x = scene.render.resolution_y = 480
    scene.render.filepath = path
    bpy.ops.render.render(write_still=True)


if __name__ == "__main__":
    told, result = map(Path, sys.argv[sys.argv.index("--") + 1 :])
    try:
        answer = {"done": open_file(json.loads(told.read_text()))}
    except Exception as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    result.write_text(json.dumps(answer))
