"""What to do with files that `read_motion` does not read: every refusal ends with the next step."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np

_FROM_SCENE = "Open it in Blender (or Maya, MotionBuilder), export the armature as .glb or .bvh, and read that"
_FROM_MESH = (
    "Meshes have no joints. Read the body model's parameters that they were made of (AMASS's layout, .npz), or multiply the vertices of "
    "every frame by the model's J_regressor and save the first 22 joints, (frames, 22, 3), with numpy.save as .npy"
)
_FROM_PICKLE = (
    "Pickles can run code and are never opened. Where you trust it, load it yourself and save joints (frames, 22, 3) with numpy.save "
    "as .npy, or SMPL parameters with numpy.savez(path, poses=..., trans=..., betas=..., gender='neutral', mocap_framerate=...)"
)
_FROM_MARKERS = "Markers have no skeleton. Solve them to one in the capture software, or fit SMPL to them (SOMA, MoSh++), and read that"
_NEXT_STEPS = {
    **dict.fromkeys((".usd", ".usda", ".usdc", ".usdz", ".blend", ".dae"), _FROM_SCENE),
    **dict.fromkeys((".obj", ".ply", ".stl", ".pc2", ".abc"), _FROM_MESH),
    **dict.fromkeys((".pkl", ".pickle", ".pt", ".pth", ".joblib"), _FROM_PICKLE),
    **dict.fromkeys((".c3d", ".trc"), _FROM_MARKERS),
    ".asf": "It is a skeleton alone; read the .amc file beside it",
    ".csv": "Save joints (frames, 22, 3) in metres with numpy.save as .npy, and read that",
}
_MDM = """python -c "import numpy as np; r = np.load({path!r}, allow_pickle=True).item(); \
np.save('motion.npy', r['motion'][0].transpose(2, 0, 1)[: r.get('lengths', [None])[0]])\""""
_ROMP = """python -c "import numpy as np; r = np.load({path!r}, allow_pickle=True)['results'][()]; \
f = [r] if 'joints' in r else [r[k] for k in sorted(r)]; \
np.save('motion.npy', np.stack([(x['joints'][0, :22] + x['cam_trans'][0]) * [1, -1, -1] for x in f]))\""""


def next_step(path: Path) -> str:
    """What to do with a file or folder whose suffix is not read; empty where nothing is known."""
    suffix = path.suffix.lower()
    if path.is_dir():
        inside = {file.suffix.lower() for file in path.iterdir()}
        suffix = next((known for known in (".obj", ".ply") if known in inside), "")
    step = _NEXT_STEPS.get(suffix)
    return f" {step}." if step else ""


def check_npy(path: Path) -> None:
    """Refuse a .npy file that holds pickled objects.

    Raises:
        ValueError: If it does; the message says how to get the numbers out.
    """
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            has_objects = header(file)[2].hasobject
    except Exception:
        return  # damaged: its reader says how
    if has_objects:
        raise ValueError(
            f"{str(path)!r} holds a pickle, which can run code and is never opened. Where you trust it and it is results.npy of MDM, "
            f"save its first sample (the 0) on its own and read motion.npy: {_MDM.format(path=str(path))}"
        )


def shape_step(shape: tuple[int, ...]) -> str:
    """What to do with an array of another shape."""
    if len(shape) == 4 and shape[1:3] == (22, 3):
        return "These look like samples of MDM, (samples, 22, 3, frames): save one with numpy.save(path, array[0].transpose(2, 0, 1))."
    if len(shape) == 3 and shape[:2] == (22, 3):
        return "It looks like (22, 3, frames): save it with numpy.save(path, array.transpose(2, 0, 1))."
    if len(shape) == 3 and shape[1] > 22 and shape[2] == 3:
        return "If the first 22 are SMPL's body joints, save these with numpy.save(path, array[:, :22])."
    return "Features (frames, 263) are turned into joints by HumanML3DRepresentation().decode."


def check_npz(path: Path, names: Collection[str]) -> None:
    """Refuse a .npz file that holds neither a motion of ours nor AMASS's arrays.

    Raises:
        ValueError: If so; the message says what to save, and how for results of ROMP.
    """
    if "joints" in names and "skeleton" in names:
        return
    if "results" in names:
        raise ValueError(
            f"{str(path)!r} holds pickled results (of ROMP or BEV), which can run code and are never opened. Where you trust it, save the "
            f"joints of the first person (the 0), y up, and read motion.npy with the video's frame rate as --source-fps: "
            f"{_ROMP.format(path=str(path))}"
        )
    if {"body", "rhand", "obj_name"} <= set(names):
        raise ValueError(
            f"{str(path)!r} is of GRAB's own release, whose parameters are pickled, which can run code and are never opened. Get the same "
            "recordings as SMPL-X parameters from AMASS (https://amass.is.tue.mpg.de, GRAB, SMPL-X)."
        )
    raise ValueError(
        f"{str(path)!r} holds {', '.join(sorted(names)[:12]) or 'nothing'}; expected a motion of ours (joints, fps, skeleton, "
        "joint_names, parents, text) or AMASS's poses, trans, betas, gender and mocap_framerate. Save joints (frames, 22, 3) with "
        "numpy.save as .npy, or parameters of SMPL under AMASS's names with numpy.savez."
    )
