"""FBX files, through Blender: the format has no open description, and Blender's exporter is the one that engines are tested with."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..face import OWN, Face
from ..motion import Motion
from ..utils.arrays import load_arrays
from ..utils.files import atomic_path
from ..utils.limits import FPS_RANGE
from .blender import BlenderError, run_blender
from .fbx_records import check_fbx
from .glb import write_glb
from .gltf.faces import known_targets
from .nodes import NodeClip, joint_tree, read_clip, unique_names

# Frames times joints: Blender poses one frame after another, some hundred a second.
_MOST = 5_000_000
_IMPORTED = 30.0
# From Blender's axes (Z up, the front along -Y) to ours.
_Y_UP = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])


def write_fbx(
    motion: Motion, path: str | os.PathLike, *, rig: str | None = None, keep_proportions: bool = False, root_motion: bool = False
) -> Path:
    """Write a motion as an FBX file: an animated armature with the simple body of `write_glb`, exported by Blender.

    | what | chosen | since |
    |---|---|---|
    | rotations | a key for every joint in every frame, none left out | engines resample them as they like |
    | bones | no leaf bones; Y along the bone | a leaf bone is no joint; Mixamo's and Blender's bones lie so |
    | size | centimetres under an armature of scale 100 (Blender's own default) | right in Unity, Unreal and Maya, and scale 1 in Blender |
    | axes | Y up, facing +Z | as Maya and Unity's importer expect |
    | frame rate, length | those of the motion, one take | |
    | face | shape keys of the head of `write_glb`, animated | blend shapes in Unity, morph targets in Unreal |

    Args:
        motion (`Motion`): The motion, on any skeleton.
        path (`str` or `os.PathLike`): File to write; missing folders are made. It appears whole or not at all.
        rig (`str`, *optional*): Joint names of a rig of `hf_motion.formats.WRITTEN_RIGS`, as in `write_glb`.
        keep_proportions (`bool`, defaults to `False`): As in `write_bvh`.
        root_motion (`bool`, defaults to `False`): As in `write_bvh`.

    Returns:
        `pathlib.Path`: The written file, FBX 7.4, binary.

    Raises:
        ImportError: If there is no Blender (`hf_motion.formats.blender.find_blender`); the message says how to get one.
        ValueError: If `rig` is unknown or does not fit the skeleton.
        OSError: If Blender fails, or the file cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix="hf_motion-fbx-") as folder:
        source, target = Path(folder) / "motion.glb", Path(folder) / "motion.fbx"
        # Blender's glTF importer puts keys on whole frames at whole rates only; the true rate is set after it.
        write_glb(replace(motion, fps=_IMPORTED), source, rig=rig, keep_proportions=keep_proportions, root_motion=root_motion)
        name = motion.text or "motion"
        rates = {"imported": _IMPORTED, "fps": motion.fps}
        run_blender({"do": "write_fbx", "source": str(source), "target": str(target), "frames": len(motion), "name": name, **rates})
        if not target.is_file():
            raise BlenderError("Blender wrote no file, and did not say why.")
        with atomic_path(path) as temporary:
            shutil.copyfile(target, temporary)
    return Path(path)


def read_fbx(path: str | os.PathLike, *, source_fps: float | None = None) -> Motion:
    """Read the first animation of an FBX file with all of its joints, in metres, Y up, and its face, through Blender.

    A file whose joints have the names and parents of one of our skeletons comes back on that skeleton, any other on one of its own. What
    was left out is said by the logger `hf_motion`.

    Args:
        path (`str` or `os.PathLike`): The file.
        source_fps (`float`, *optional*): Frames per second to read, the file's own by default.

    Returns:
        `Motion`: The animation.

    Raises:
        ImportError: If there is no Blender; the message says how to get one.
        ValueError: If the file is damaged, too large or moves no joint, or Blender fails over it; the message names it.
        FileNotFoundError: If there is no such file.
    """
    return read_clip(path, "a readable FBX file", lambda found: open_fbx(found, source_fps))


def open_fbx(path: Path, source_fps: float | None = None) -> NodeClip:
    """The animation of an FBX file and the joints that it moves, in metres, Y up: bones of its armature, or nodes where it has none.

    Raises:
        ValueError: If the file is damaged, too large or moves no joint, or Blender fails over it.
        ImportError: If there is no Blender.
    """
    check_fbx(path)
    with tempfile.TemporaryDirectory(prefix="hf_motion-fbx-") as folder:
        target = Path(folder) / "joints.npz"
        job = {"do": "read_fbx", "source": str(path.resolve()), "target": str(target), "fps": source_fps, "most": _MOST}
        job |= {"slowest": FPS_RANGE[0], "fastest": FPS_RANGE[1]}
        try:
            told = run_blender(job)
        except BlenderError as error:
            raise ValueError(str(error)) from error
        if "refused" in told:
            raise ValueError(f"{told['refused']}.")
        values = load_arrays(target, ("names", "parents", "carrier", "rest", "poses", "fps", "faces"))
    above, carrier = values["parents"].tolist(), values["carrier"]
    children: list[list[int]] = [[] for _ in above]
    for node, parent in enumerate(above):
        if parent >= 0:
            children[parent].append(node)
    nodes, parents = joint_tree(set(np.flatnonzero(~carrier).tolist()), above, children)
    names, repeated = unique_names([str(name) for name in values["names"][nodes]])
    poses, rest = values["poses"][:, nodes], _Y_UP @ values["rest"][nodes].astype(np.float64)
    if not (np.isfinite(poses).all() and np.isfinite(rest).all()):
        raise ValueError("joints are placed beyond all bounds; its animation is damaged.")
    others = told.get("others", [])
    notes = [f"of {1 + len(others)} animations {told['take']!r} is read; left out: {', '.join(map(repr, others[:6]))}"] if others else []
    notes += [f"{len(above) - len(nodes) - int(carrier.sum())} joints of other trees are left out"] if len(nodes) < (~carrier).sum() else []
    notes += [f"{repeated} joints have the name of another and get a number"] if repeated else []

    face, more = _face(told["faces"], values["faces"])
    notes += more

    def worlds(frames: np.ndarray) -> np.ndarray:
        return np.asarray(_Y_UP @ poses[frames].astype(np.float64))

    return NodeClip(names, tuple(parents), rest, worlds, float(values["fps"]), len(poses), None, tuple(notes), face)


def _face(meshes: list[list[str]], values: np.ndarray) -> tuple[Face | None, list[str]]:
    """The face of a file, taken as that of a glTF file is, and what is left out."""
    ends = np.cumsum([len(names) for names in meshes]).tolist()
    found = [(*known_targets(names), end - len(names), len(names)) for names, end in zip(meshes, ends, strict=True)]
    if not found:
        return None, []
    chosen, kind, start, count = max(found, key=lambda one: (one[1] != OWN, len(one[0])))
    notes = [f"the shape keys of {len(found)} meshes are animated; the face is that with most coefficients"] if len(found) > 1 else []
    notes += [f"{count - len(chosen)} of {count} shape keys have no names of {kind} or repeat, and are left out"] * (len(chosen) < count)
    return Face(values[:, [start + key for key in chosen]], tuple(chosen.values()), kind), notes
