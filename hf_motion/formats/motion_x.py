"""Motion-X's arrays: SMPL-X parameters of body, hands and face in 322 numbers per frame."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ..face import FACE_SETS, Face
from ..motion import Motion
from ..utils.arrays import load_array
from ..utils.faults import reading
from ..utils.limits import check_clip
from .amass.reading import amass_animation
from .units import check_up, up_axis

WIDTH = 322
"""Root orientation 3, body 63, hands 90, jaw 3, expression 50, shape of the face 100, translation 3, shape of the body 10."""

_FPS = 30.0


def read_motion_x(
    path: str | os.PathLike, body_models: str | os.PathLike | None = None, *, fps: float | None = None, source_fps: float | None = None,
    up: str | None = None, fingers: bool = False,
) -> Motion:  # fmt: skip
    """Read a file of Motion-X (Lin et al. 2023) as 22 joints, or 52 with fingers, with rotations and the face.

    The shape of the face is left out.

    Args:
        path (`str` or `os.PathLike`): A .npy file, frames x 322, rotation vectors in radians and metres.
        body_models (`str` or `os.PathLike`, *optional*): Folder of the licensed SMPL-X model, as for `read_amass`.
        fps (`float`, *optional*): Resample to this rate, the file's by default.
        source_fps (`float`, *optional*): The file's frame rate, 30 by default.
        up (`str`, *optional*): Axis that points up, `"y"` or `"z"`; found out by default, as by `read_motion`.
        fingers (`bool`, defaults to `False`): Give `smplx-52` instead of `humanml3d-22`.

    Returns:
        `Motion`: Metres, Y up, with a face of `"flame-53"`: 50 components of the expression, and the jaw.

    Raises:
        ValueError: If the file is damaged or of another shape, or no body model is given.
        FileNotFoundError: If there is no such file or body model; the message says which and where to get it.
    """
    path = Path(path)
    values = load_array(path)
    if values.dtype.kind not in "fiu" or values.ndim != 2 or values.shape[1] != WIDTH or not len(values):
        raise ValueError(f"{str(path)!r} holds {values.dtype} of shape {values.shape}; Motion-X has numbers (frames >= 1, {WIDTH}).")
    check_clip(len(values), 55)
    root_body, hands, jaw, expression, _, trans, betas = np.split(values, np.cumsum([66, 90, 3, 50, 100, 3]), axis=1)
    with reading(path, "a readable file of Motion-X"):
        face = Face(np.concatenate((expression, jaw), axis=1), FACE_SETS["flame-53"])
        arrays = {
            "poses": np.concatenate((root_body, jaw, np.zeros((len(values), 6)), hands), axis=1), "trans": trans, "betas": betas,
            "mocap_framerate": np.array(source_fps or _FPS),
        }  # fmt: skip
        animation, skeleton, rate, _ = amass_animation(path, body_models, fps=fps, arrays=arrays, fingers=fingers)
        made = animation.in_metres(1.0, up_axis(animation.joints) if up is None else check_up(up))
        wanted = rate if fps is None else fps
        face = face if len(made.joints) == len(face) else face.resample(rate, wanted)
        return Motion(
            made.joints, fps=wanted, skeleton=skeleton, rotations=made.rotations, rest_offsets=made.rest_offsets, face=face,
        )  # fmt: skip
