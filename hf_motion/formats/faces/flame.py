"""FLAME's parameters as .npz: `expression` and `jaw_pose`, as SMPL-X files call them too."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ...face import FACE_SETS, Face
from ...motion import check_fps
from ...utils import limits
from ...utils.arrays import array_names, load_arrays
from ...utils.faults import reading
from ...utils.files import atomic_path
from .clip import FaceClip

_EXPRESSION = ("expression", "expressions", "exp", "expr")
_JAW = ("jaw_pose", "pose_jaw", "jaw")
_RATES = ("fps", "mocap_frame_rate", "mocap_framerate")


def read_flame(path: str | os.PathLike, *, fps: float | None = None) -> FaceClip:
    """Read a `.npz` with `expression` (frames, up to 100), `jaw_pose` (frames, 3; rotation vectors in radians), or one of them.

    Args:
        path (`str` or `os.PathLike`): The file.
        fps (`float`, *optional*): Frame rate, where the file does not say it (`fps`, `mocap_frame_rate`) or says it wrong.

    Returns:
        `FaceClip`: A note names other arrays, such as `eye_pose`, which are left out.

    Raises:
        ValueError: If arrays are damaged, of different lengths or too wide, or no frame rate is known; the message names file and key.
        FileNotFoundError: If there is no such file.
    """
    path = Path(path)
    names = array_names(path)
    keys = [next((key for key in known if key in names), None) for known in (_EXPRESSION, _JAW)]
    if keys == [None, None]:
        raise ValueError(f"{str(path)!r} has no key 'expression' or 'jaw_pose', which a FLAME face has; it has {', '.join(names)[:200]}.")
    arrays = load_arrays(path, (*filter(None, keys), *_RATES))
    with reading(path, "a readable FLAME file"):
        rate = _rate(arrays, fps)
        parts = [_array(key, arrays[key], 3 if key == keys[1] else 100) for key in keys if key is not None]
        if len({len(part) for part in parts}) > 1:
            raise ValueError(f"keys {keys[0]!r} and {keys[1]!r} have {len(parts[0])} and {len(parts[1])} frames.")
        columns = FACE_SETS["flame-100"][: parts[0].shape[1] if keys[0] else 0] + (FACE_SETS["flame-53"][50:] if keys[1] else ())
        left = [name for name in names if name not in (*keys, *_RATES)]
        notes = (f"other arrays are left out: {', '.join(left)[:200]}",) if left else ()
        return FaceClip(Face(np.concatenate(parts, axis=1), columns), rate, 0.0, notes)


def write_flame(face: Face, path: str | os.PathLike, *, fps: float) -> Path:
    """Write `expression`, `jaw_pose` (each where the face has it) and `fps`, lossless.

    Args:
        face (`Face`): Coefficients of FLAME, the expression's from 0 on without a gap.
        path (`str` or `os.PathLike`): `.npz` file to write; missing folders are made. It appears whole or not at all.
        fps (`float`): Frame rate.

    Returns:
        `pathlib.Path`: The written file.

    Raises:
        ValueError: If the coefficients are not FLAME's.
        OSError: If the file cannot be written.
    """
    if not str(face.kind).startswith("flame"):
        raise ValueError(f"This layout is for FLAME's coefficients, not for {face}. Write .csv or .json for ARKit's.")
    count, jaw = sum(name.startswith("expression_") for name in face.names), FACE_SETS["flame-53"][50:]
    content = {"fps": np.array(check_fps(fps))}
    if count:
        content["expression"] = face.select(FACE_SETS["flame-100"][:count]).coefficients
    if any(name in jaw for name in face.names):
        content["jaw_pose"] = face.select(jaw).coefficients
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, **content)
    return Path(path)


def _array(key: str, values: np.ndarray, widest: int) -> np.ndarray:
    if values.dtype.kind not in "fiu" or values.ndim != 2 or not len(values) or not 1 <= values.shape[1] <= widest:
        width = "3" if widest == 3 else f"1 to {widest}"
        raise ValueError(f"key {key!r} is {values.dtype} of shape {values.shape}; expected numbers (frames >= 1, {width}).")
    if widest == 3 and values.shape[1] != 3:
        raise ValueError(f"key {key!r} has shape {values.shape}; expected rotation vectors (frames, 3).")
    limits.check_face(*values.shape)
    return values


def _rate(arrays: dict[str, np.ndarray], fps: float | None) -> float:
    if fps is not None:
        return check_fps(fps)
    key = next((key for key in _RATES if key in arrays), None)
    if key is None:
        raise ValueError("it does not say its frame rate; say it with fps= (--face-fps).")
    if arrays[key].dtype.kind not in "fiu" or arrays[key].size != 1:
        raise ValueError(f"key {key!r} is {str(arrays[key].tolist())[:40]}; expected frames per second. Say them with fps= (--face-fps).")
    return check_fps(float(arrays[key].item()))
