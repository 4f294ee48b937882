"""Which module reads and writes which kind of file: what is behind `Motion.load`, `Motion.save` and `Motion.to_bytes`."""

from __future__ import annotations

import io
import logging
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from ..motion import Motion
from ..utils.faults import NoRoomError
from .amass import write_amass
from .bvh import read_bvh, write_bvh
from .csv import write_csv
from .fbx import read_fbx, write_fbx
from .glb import write_glb
from .gltf import read_gltf
from .json import read_json, write_json
from .npz import read_npz, write_npz
from .usd import write_usd
from .vrma import write_vrma

logger = logging.getLogger("hf_motion")
_FACELESS = (".bvh", ".csv")


def save_motion(motion: Motion, target: str | os.PathLike | BinaryIO, format: str | None = None, **options: Any) -> Path | None:
    """Write a motion to a file, or into a file object that is open for bytes; see `Motion.save`."""
    if isinstance(target, (str, os.PathLike)):
        path = Path(target)
        suffix = path.suffix.lower()
        if suffix not in _WRITERS:
            raise ValueError(f"Cannot save a motion as {path.suffix or path.name!r}. Use one of: {', '.join(_WRITERS)}.")
        if format is not None and _suffix(format) != suffix:
            raise ValueError(f"{str(path)!r} names a format already, other than format={format!r}. Leave it out, or change the suffix.")
        _write(motion, path, **options)
        return path
    if isinstance(target, io.TextIOBase) or not hasattr(target, "write"):
        raise ValueError(
            f"Cannot save a motion into {target!r}. Give a path, or a file object that takes bytes: open(path, 'wb'), io.BytesIO()."
        )
    if format is None:
        raise ValueError(f"A file object does not say what to write: pass format=, one of {', '.join(name[1:] for name in _WRITERS)}.")
    target.write(motion_bytes(motion, format, **options))
    return None


def load_motion(path: str | os.PathLike) -> Motion:
    """Read a file that the library wrote, or any `.bvh`; see `Motion.load`."""
    path = Path(path)
    if path.suffix.lower() not in _READERS:
        raise ValueError(f"Cannot load a motion from {path.suffix or path.name!r}. Use one of: {', '.join(_READERS)}.")
    if not path.is_file():
        raise FileNotFoundError(f"No motion file at {str(path)!r}.")
    return _READERS[path.suffix.lower()](path)


def motion_bytes(motion: Motion, format: str, **options: Any) -> bytes:
    """What a file of that format would hold; see `Motion.to_bytes`."""
    # PyAV and NumPy write what they can seek in, and every writer is made for paths.
    with tempfile.TemporaryDirectory(prefix="hf_motion-") as folder:
        path = Path(folder) / f"motion{_suffix(format)}"
        _write(motion, path, **options)
        return path.read_bytes()


def notebook_html(motion: Motion) -> str:
    """What a notebook shows of a motion: a player in a frame of its own."""
    from ..rendering import player_html

    return player_html([motion])


def _suffix(format: str) -> str:
    suffix = f".{str(format).lower().removeprefix('.')}"
    if suffix not in _WRITERS:
        raise ValueError(f"Unknown format {format!r}. Use one of: {', '.join(name[1:] for name in _WRITERS)}.")
    return suffix


def _write(motion: Motion, path: Path, **options: Any) -> None:
    if motion.face is not None and (path.suffix.lower() in _FACELESS or options.get("layout") == "amass"):
        logger.warning("%s: the face is left out, for which this format has no place; .npz, .json and .glb keep it.", path)
    try:
        _WRITERS[path.suffix.lower()](motion, path, **options)
    except OSError as error:
        if error.strerror is None or isinstance(error, NoRoomError):
            raise
        raise OSError(
            f"Cannot write {str(path)!r}: {error.strerror}. Nothing half-written was left; make room or choose another folder."
        ) from error


def _write_npz(motion: Motion, path: Path, *, layout: str = "hf_motion", **options: Any) -> None:
    if layout == "amass":
        write_amass(motion, path, **options)
    elif layout != "hf_motion" or options:
        given = f"layout={layout!r}" if layout != "hf_motion" else ", ".join(options)
        raise ValueError(f"Cannot write .npz with {given}: layout is 'hf_motion' (joints, no options) or 'amass' (SMPL-H poses).")
    else:
        write_npz(motion, path)


def _drawn(name: str) -> Callable[..., None]:
    def write(motion: Motion, path: Path, **options: Any) -> None:
        from .. import rendering

        getattr(rendering, name)(motion, path, **options)

    return write


_WRITERS: dict[str, Callable[..., Any]] = {
    ".bvh": write_bvh, ".npz": _write_npz, ".mp4": _drawn("save_video"), ".gif": _drawn("save_video"),
    ".png": _drawn("save_contact_sheet"), ".html": _drawn("save_player"), ".glb": write_glb, ".csv": write_csv, ".json": write_json,
    ".fbx": write_fbx, ".usd": write_usd, ".usda": write_usd, ".usdc": write_usd, ".usdz": write_usd, ".vrma": write_vrma,
}  # fmt: skip
_READERS: dict[str, Callable[[Path], Motion]] = {
    ".bvh": read_bvh, ".npz": read_npz, ".json": read_json, ".glb": read_gltf, ".gltf": read_gltf, ".vrm": read_gltf, ".vrma": read_gltf,
    ".fbx": read_fbx,
}  # fmt: skip
