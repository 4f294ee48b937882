"""The library's own arrays: a motion as it is, lossless."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ..motion import Motion
from ..skeletons import Skeleton, known_skeleton
from ..utils.arrays import load_arrays
from ..utils.files import atomic_path
from ..utils.limits import check_clip


def write_npz(motion: Motion, path: str | os.PathLike) -> Path:
    """Write joints, frame rate, skeleton, text and, where there are any, rotations, lossless.

    Args:
        motion (`Motion`): The motion, on any skeleton.
        path (`str` or `os.PathLike`): File to write; missing folders are made. It appears whole or not at all.

    Returns:
        `pathlib.Path`: The written file.

    Raises:
        OSError: If the file cannot be written.
    """
    skeleton = motion.skeleton
    turns = {} if motion.rotations is None else {"rotations": np.asarray(motion.rotations), "rest_offsets": motion.rest_offsets}
    with atomic_path(path) as temporary:
        np.savez_compressed(
            temporary, joints=motion.joints, fps=motion.fps, skeleton=skeleton.name, joint_names=np.array(skeleton.joint_names),
            parents=np.array(skeleton.parents), text=motion.text or "", **turns,
        )  # fmt: skip
    return Path(path)


def read_npz(path: str | os.PathLike) -> Motion:
    """Read a file that `write_npz` wrote.

    Raises:
        ValueError: If the file is truncated, damaged, or holds other arrays; the message names it.
        FileNotFoundError: If there is no such file.
    """
    path = Path(path)
    try:
        values = load_arrays(path, ("joints", "fps", "skeleton", "joint_names", "parents", "text", "rotations", "rest_offsets"))
        joints, fps, name = values["joints"], float(values["fps"]), str(values["skeleton"])
        names, parents = tuple(map(str, values["joint_names"])), tuple(map(int, values["parents"]))
        text = str(values["text"]) or None
    except KeyError as error:
        raise ValueError(
            f"{str(path)!r} has no array {error}; a motion file holds joints, fps, skeleton, joint_names, parents and text. "
            "Files of bare arrays are read with numpy and wrapped: Motion(numpy.load(path), fps=20)."
        ) from error
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"{str(path)!r} is not a readable motion file (truncated or another format): {error}") from error
    try:
        check_clip(len(np.atleast_1d(joints)), len(names))
        return Motion(
            joints, fps=fps, skeleton=known_skeleton(Skeleton(name, names, parents)), text=text, rotations=values.get("rotations"),
            rest_offsets=values.get("rest_offsets"),
        )  # fmt: skip
    except ValueError as error:
        raise ValueError(f"{str(path)!r}: {error}") from error
