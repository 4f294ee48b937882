"""Motions however they come: as files, as `Motion`s of any known rig, as arrays of joints."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..motion import Motion
from ..skeletons import HUMANML3D_22, Skeleton, get_skeleton
from .animation import Animation
from .mapping import map_animation
from .read import read_motion
from .rigs import recognise_rig

MotionInput = Motion | str | os.PathLike | np.ndarray
"""A motion, a file of one, or joints (frames, joints, 3)."""


def take_motion(source: Any, skeleton: str | Skeleton = "humanml3d-22", fps: float | None = None) -> Motion:
    """The motion, on a skeleton.

    Args:
        source (`Motion`, `str`, `os.PathLike`, `numpy.ndarray` or `torch.Tensor`): A motion, a file of one (see
            `hf_motion.read_motion`), or its joints (frames, joints, 3) in metres, Y up.
        skeleton (`str` or `Skeleton`, defaults to `"humanml3d-22"`): Joints of the result.
        fps (`float`, *optional*): Frames per second of joints, 20 by default; files and motions say theirs.

    Raises:
        ValueError: If it is something else, a file is damaged, joints are NaN or none, or they belong to no known rig.
        FileNotFoundError: If there is no such file.

    Example:
        >>> import numpy as np
        >>> from hf_motion.formats.take import take_motion
        >>> take_motion(np.zeros((40, 22, 3)), fps=30)
        Motion(40 frames at 30 fps, 1.33 s, humanml3d-22)
    """
    wanted = get_skeleton(skeleton)
    if isinstance(source, Motion):
        return _onto(source, wanted)
    if isinstance(source, (str, os.PathLike)):
        return read_motion(Path(source), skeleton=wanted)
    if hasattr(source, "shape") and len(source.shape) == 3:
        return Motion(source, fps=20.0 if fps is None else fps, skeleton=wanted)
    raise ValueError(
        f"A motion is a Motion, a path of a file, or joints (frames, {len(wanted)}, 3); got {type(source).__name__}"
        f"{f' of shape {tuple(source.shape)}' if hasattr(source, 'shape') else ''}."
    )


def _onto(motion: Motion, wanted: Skeleton) -> Motion:
    names = motion.skeleton.joint_names
    if (names, motion.skeleton.parents) == (wanted.joint_names, wanted.parents):
        return motion
    if set(wanted.joint_names) <= set(names):
        return _mapped(motion, np.eye(len(names))[[names.index(name) for name in wanted.joint_names]], wanted)
    if wanted != HUMANML3D_22:
        raise ValueError(
            f"The joints of skeleton {motion.skeleton.name!r} are not those of {wanted.name!r}, and other rigs are mapped to "
            f"{HUMANML3D_22.name!r} only. Use a model that works on {HUMANML3D_22.name!r}."
        )
    try:
        weights, _ = recognise_rig(names).weights(names)
    except ValueError as error:
        raise ValueError(f"The motion on skeleton {motion.skeleton.name!r} cannot be mapped: {error}") from error
    return _mapped(motion, weights, wanted)


def _mapped(motion: Motion, weights: np.ndarray, wanted: Skeleton) -> Motion:
    own = Animation(motion.joints.astype(np.float64), motion.rotations, motion.rest_offsets)
    made = map_animation(own, motion.skeleton, weights, wanted)
    return replace(motion, joints=made.joints, skeleton=wanted, rotations=made.rotations, rest_offsets=made.rest_offsets)
