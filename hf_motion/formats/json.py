"""Motion as JSON, for players in web pages and whatever else reads JSON more easily than glTF."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from ..motion import Motion
from ..skeletons import Skeleton, known_skeleton
from ..utils.files import atomic_path
from ..utils.limits import read_bytes
from .solved import solve

_FORMAT, _VERSION = "hf_motion", 1
_DECIMALS = 5


def write_json(motion: Motion, path: str | os.PathLike, *, rig: str | None = None, rotations: bool = True) -> Path:
    """Write a motion as JSON: joint positions, and the rotations that make them on a skeleton.

    The layout, with its JSON schema, stands in `hf_motion/formats/README.md`. Metres, Y up, the character of our skeletons rests facing +Z;
    quaternions are x, y, z, w, as in three.js and glTF. Numbers are rounded to 0.00001: positions to 0.01 mm.

    Args:
        motion (`Motion`): The motion, on any skeleton.
        path (`str` or `os.PathLike`): File to write; missing folders are made. It appears whole or not at all.
        rig (`str`, *optional*): Joint names of a rig of `hf_motion.formats.WRITTEN_RIGS` for the rotations, such as `"mixamo"` for an
            avatar of that kind. The positions keep the names of the motion.
        rotations (`bool`, defaults to `True`): Write rotations too; without them the file is half as long.

    Returns:
        `pathlib.Path`: The written file, ASCII.

    Raises:
        ValueError: If `rig` is unknown or does not fit the skeleton, or is given without rotations.
        OSError: If the file cannot be written.

    Example:
    >>> import json, pathlib, tempfile
    >>> import numpy as np
    >>> from hf_motion import Motion
    >>> from hf_motion.formats import write_json
    >>> joints = np.random.default_rng(0).random((40, 22, 3))
    >>> content = json.loads(write_json(Motion(joints), pathlib.Path(tempfile.mkdtemp()) / "noise.json").read_text())
    >>> list(content)
    ['format', 'version', 'text', 'fps', 'frames', 'skeleton', 'positions', 'animation']
    """
    if rig is not None and not rotations:
        raise ValueError(f"rig={rig!r} names the joints of the rotations; leave it out, or write them.")
    skeleton = motion.skeleton
    content: dict[str, Any] = {
        "format": _FORMAT,
        "version": _VERSION,
        "text": motion.text,
        "fps": motion.fps,
        "frames": len(motion),
        "skeleton": {"name": skeleton.name, "joints": skeleton.joint_names, "parents": skeleton.parents},
        "positions": _rounded(motion.joints),
    }
    if rotations:
        solved = solve(motion, rig, tolerance=None)
        content["animation"] = {
            "recorded": rig is None and motion.rest_offsets is not None and motion.rest_offsets.ndim == 2,
            "joints": solved.skeleton.joint_names,
            "parents": solved.skeleton.parents,
            "rest": _rounded(solved.rest),
            "root": _rounded(solved.translations[:, 0]),
            "rotations": _rounded(solved.rotations[..., [1, 2, 3, 0]]),
        }
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, separators=(",", ":")), encoding="ascii")
    return Path(path)


def read_json(path: str | os.PathLike) -> Motion:
    """Read a file that `write_json` wrote: its positions, and its rotations where these were recorded.

    Raises:
        ValueError: If the file is no JSON, too long (`hf_motion.utils.limits`), of another layout or version, or its parts do not fit
            together; the message names it.
        FileNotFoundError: If there is no such file.
    """
    path = Path(path)
    data = read_bytes(path)
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{str(path)!r} is not a readable JSON file (truncated or another format): {error}.") from error
    kind = (content.get("format"), content.get("version")) if isinstance(content, dict) else None
    if kind != (_FORMAT, _VERSION):
        raise ValueError(
            f'{str(path)!r} is JSON of another layout: a motion says "format": "{_FORMAT}" and "version": {_VERSION} at its top, as '
            "Motion.save writes it. Other JSON is read with the json module and wrapped: Motion(positions, fps=20)."
        )
    try:
        skeleton, text = content["skeleton"], content["text"]
        own = Skeleton(str(skeleton["name"]), tuple(map(str, skeleton["joints"])), tuple(map(int, skeleton["parents"])))
        motion = Motion(
            content["positions"], fps=content["fps"], skeleton=known_skeleton(own), text=None if text is None else str(text),
            **_rotations(content.get("animation", {})),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        reason = f"has no entry {error}" if isinstance(error, KeyError) else str(error).rstrip(".")
        raise ValueError(f"{str(path)!r} is a damaged motion file: {reason}.") from error
    if content.get("frames") != len(motion):
        raise ValueError(f"{str(path)!r} is a damaged motion file: it says {content.get('frames')} frames and holds {len(motion)}.")
    return motion


def _rotations(animation: dict[str, Any]) -> dict[str, np.ndarray]:
    """Arguments of `Motion`: the rotations of a file, if they were recorded rather than solved from its positions."""
    if not animation.get("recorded"):
        return {}
    return {"rotations": np.array(animation["rotations"])[..., [3, 0, 1, 2]], "rest_offsets": np.array(animation["rest"])}


def _rounded(values: np.ndarray) -> list:
    # Adding 0.0 turns the -0.0 that rounding leaves into 0.0.
    return (np.round(values.astype(np.float64), _DECIMALS) + 0.0).tolist()
