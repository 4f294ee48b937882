"""What is behind `Motion.load`, `Motion.save` and `Motion.to_bytes`: the table of formats (`hf_motion.formats.table`), looked up."""

from __future__ import annotations

import io
import logging
import os
import tempfile
from pathlib import Path
from typing import Any, BinaryIO

from ..motion import Motion
from ..utils.faults import NoRoomError
from .table import BY_SUFFIX, LOADED, READ, WRITTEN, FileFormat, format_of, function, suffixes, taking, writing_step

logger = logging.getLogger("hf_motion")
_ARRAY_OPTIONS = {"hf_motion": (), "amass": ("pose_width", "rest_joints")}


def save_motion(motion: Motion, target: str | os.PathLike | BinaryIO, format: str | None = None, **options: Any) -> Path | None:
    """Write a motion to a file, or into a file object that is open for bytes; see `Motion.save`."""
    if isinstance(target, (str, os.PathLike)):
        path = Path(target)
        suffix = path.suffix.lower()
        if suffix not in WRITTEN:
            raise ValueError(
                f"Cannot save a motion as {path.suffix or path.name!r}. Use one of: {', '.join(WRITTEN)}.{writing_step(suffix)}"
            )
        if format is not None and _suffix(format) != suffix:
            raise ValueError(f"{str(path)!r} names a format already, other than format={format!r}. Leave it out, or change the suffix.")
        _write(motion, path, **options)
        return path
    if isinstance(target, io.TextIOBase) or not hasattr(target, "write"):
        raise ValueError(
            f"Cannot save a motion into {target!r}. Give a path, or a file object that takes bytes: open(path, 'wb'), io.BytesIO()."
        )
    if format is None:
        raise ValueError(f"A file object does not say what to write: pass format=, one of {', '.join(name[1:] for name in WRITTEN)}.")
    target.write(motion_bytes(motion, format, **options))
    return None


def load_motion(path: str | os.PathLike) -> Motion:
    """Read a file that the library wrote, or one of a format that says where joints are; see `Motion.load`."""
    path = Path(path)
    row = format_of(path)
    if row is None or row.loads is None:
        more = " hf_motion.read_motion does, with what such a file leaves open." if path.suffix.lower() in READ else ""
        raise ValueError(f"Cannot load a motion from {path.suffix or path.name!r}. Use one of: {', '.join(LOADED)}.{more}")
    if not path.is_file():
        raise FileNotFoundError(f"No motion file at {str(path)!r}.")
    motion: Motion = function(row.loads)(path)
    return motion


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


def write_arrays(motion: Motion, path: Path, *, layout: str = "hf_motion", **options: Any) -> Path:
    """Write a .npz file.

    Args:
        motion (`Motion`): The motion.
        path (`pathlib.Path`): File to write.
        layout (`str`, defaults to `"hf_motion"`): `"hf_motion"`, see `hf_motion.formats.write_npz`, or `"amass"`.
        **options: With `"amass"`, those of `hf_motion.formats.write_amass`.

    Raises:
        ValueError: If the layout is unknown, or has no such options.
    """
    if layout not in _ARRAY_OPTIONS or not set(options) <= set(_ARRAY_OPTIONS[layout]):
        given = ", ".join([f"layout={layout!r}", *options])
        raise ValueError(f"Cannot write .npz with {given}: layout is 'hf_motion' (joints, no options) or 'amass' (SMPL-H poses).")
    written: Path = function("formats.amass:write_amass" if layout == "amass" else "formats.npz:write_npz")(motion, path, **options)
    return written


def _suffix(format: str) -> str:
    suffix = f".{str(format).lower().removeprefix('.')}"
    if suffix not in WRITTEN:
        raise ValueError(f"Unknown format {format!r}. Use one of: {', '.join(name[1:] for name in WRITTEN)}.{writing_step(suffix)}")
    return suffix


def _write(motion: Motion, path: Path, **options: Any) -> None:
    row = BY_SUFFIX[path.suffix.lower()]
    _check_options(row, path.suffix.lower(), options)
    if motion.face is not None and ("face" not in row.keeps or options.get("layout") == "amass"):
        keeping = suffixes(lambda other: other.loads and other.writes and "face" in other.keeps)
        logger.warning("%s: the face is left out, for which this format has no place; %s keep it.", path, ", ".join(keeping))
    try:
        function(row.writes)(motion, path, **options)
    except OSError as error:
        if error.strerror is None or isinstance(error, NoRoomError):
            raise
        raise OSError(
            f"Cannot write {str(path)!r}: {error.strerror}. Nothing half-written was left; make room or choose another folder."
        ) from error


def _check_options(row: FileFormat, suffix: str, options: dict[str, Any]) -> None:
    for name in options:
        if name not in row.options:
            others = f" {name}= is for {', '.join(taking(name))}." if taking(name) else ""
            raise TypeError(f"{suffix} files are written without {name}=; options are {', '.join(row.options) or 'none'}.{others}")
