"""`read_face` and `write_face`: the file's suffix and content say how."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

from ...face import Face
from ...motion import check_fps
from ...utils import limits
from ...utils.arrays import array_names
from ...utils.faults import reading
from .arkit_json import arkit_clip, write_arkit_json
from .clip import FaceClip
from .flame import read_flame, write_flame
from .livelink import read_livelink, write_livelink

logger = logging.getLogger("hf_motion")
_SUFFIXES = (".csv", ".json", ".npz")


def read_face(path: str | os.PathLike, *, fps: float | None = None) -> FaceClip:
    """Read a face.

    | suffix | what is read |
    |---|---|
    | .csv | Live Link Face: `read_livelink` |
    | .json | ARKit coefficients, as in BEAT: `read_arkit_json`; or the face of a motion of ours |
    | .npz | FLAME: `read_flame`; or the face of a motion of ours |

    Args:
        path (`str` or `os.PathLike`): The file.
        fps (`float`, *optional*): Its frame rate, where it does not say it or says it wrong.

    Returns:
        `FaceClip`: The face and its frame rate. What was filled in or left out goes to the logger `hf_motion` too.

    Raises:
        ValueError: If the suffix is unknown or the file is damaged; the message names it.
        FileNotFoundError: If there is no such file.

    Example:
    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> from hf_motion import Face
    >>> from hf_motion.formats.faces import read_face, write_face
    >>> path = write_face(Face(np.zeros((90, 53)), "flame-53"), pathlib.Path(tempfile.mkdtemp()) / "face.npz", fps=30)
    >>> clip = read_face(path)
    >>> clip.face, clip.fps
    (Face(90 frames, 53 coefficients of flame-53), 30.0)
    """
    path = Path(path)
    if path.suffix.lower() not in _SUFFIXES:
        raise ValueError(f"Cannot read a face from {path.suffix or path.name!r} ({str(path)!r}). Use one of: {', '.join(_SUFFIXES)}.")
    if not path.is_file():
        raise FileNotFoundError(f"No file of a face at {str(path)!r}.")
    clip = _read(path, fps)
    for note in clip.notes:
        logger.warning("%s: %s.", path, note)
    return clip


def write_face(face: Face, path: str | os.PathLike, *, fps: float, start: float = 0.0) -> Path:
    """Write a face in the format of the suffix: ARKit's as `.csv` (Live Link Face) or `.json`, FLAME's as `.npz`.

    Args:
        face (`Face`): The face.
        path (`str` or `os.PathLike`): File to write; missing folders are made. It appears whole or not at all.
        fps (`float`): Its frame rate.
        start (`float`, defaults to 0.0): Time of the first frame, seconds, for `.csv` and `.json`.

    Returns:
        `pathlib.Path`: The written file.

    Raises:
        ValueError: If the suffix is unknown, or the format has no place for such coefficients.
        OSError: If the file cannot be written.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".npz":
        return write_flame(face, path, fps=fps)
    if suffix not in _SUFFIXES:
        raise ValueError(f"Cannot write a face as {suffix or Path(path).name!r}. Use one of: {', '.join(_SUFFIXES)}.")
    return (write_livelink if suffix == ".csv" else write_arkit_json)(face, path, fps=fps, start=start)


def _read(path: Path, fps: float | None) -> FaceClip:
    suffix = path.suffix.lower()
    if suffix == ".csv":
        return read_livelink(path, fps=fps)
    if suffix == ".npz" and "joints" not in array_names(path):
        return read_flame(path, fps=fps)
    if suffix == ".json":
        with reading(path, "a readable file of a face"):
            content = json.loads(limits.read_bytes(path))
        if not isinstance(content, dict) or content.get("format") != "hf_motion":
            return arkit_clip(path, content, fps)
    # Bodies need torch, which takes a second to import; faces do not.
    from ..dispatch import load_motion

    motion = load_motion(path)
    if motion.face is None:
        raise ValueError(f"{str(path)!r} is a motion without a face.")
    return FaceClip(motion.face, motion.fps if fps is None else check_fps(fps))
