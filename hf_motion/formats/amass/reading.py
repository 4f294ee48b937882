"""Reading AMASS and other SMPL, SMPL-H and SMPL-X motions (.npz) as joint positions.

Positions need the body model, which each user gets from its makers under their licence. Only its joints are needed: they are
regressed from the shape of the template and moved by forward kinematics, which gives what the `smplx` package gives, without its
vertices and without loading pickles.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...face import Face
from ...motion import Motion, check_fps
from ...skeletons import HUMANML3D_22, SMPLH_52, SMPLX_52, Skeleton
from ...utils.arrays import load_arrays
from ..animation import Animation, sample

_JOINTS = len(HUMANML3D_22)
_RATES = ("mocap_framerate", "mocap_frame_rate", "fps")
KEYS = ("poses", "trans", "betas", "gender", "root_orient", "pose_body", "expression", *_RATES)
"""Arrays that are read of a file."""

# Width of `poses`: body, and the hands, jaw and eyes that follow it.
_MODELS = {72: "smpl", 156: "smplh", 165: "smplx"}
# SMPL-X files hold directions of shape and after them of expression: 300 and 100, or in the first version 10 and 10.
_SMPLX_JOINTS, _SMPLX_SHAPES, _SMPLX_SHAPES_OF_V1 = 55, 300, 10
_GENDERS = ("neutral", "female", "male")
_SOURCES = {
    "smpl": "SMPL from https://smpl.is.tue.mpg.de, its .pkl saved again as .npz",
    "smplh": "'Extended SMPL+H model' from https://mano.is.tue.mpg.de (smplh/<gender>/model.npz)",
    "smplx": "SMPL-X v1.1 in NPZ format from https://smpl-x.is.tue.mpg.de (smplx/SMPLX_<GENDER>.npz)",
}


def read_amass(
    path: str | os.PathLike, body_models: str | os.PathLike | None = None, *, fps: float | None = None, num_betas: int | None = None,
    fingers: bool = False,
) -> Motion:  # fmt: skip
    """Read an AMASS motion, SMPL, SMPL-H or SMPL-X, as the 22 body joints, or as these and the fingers.

    Args:
        path (`str` or `os.PathLike`): A .npz file with `poses` (frames x 72, 156 or 165, axis-angle), `trans` (frames x 3,
            metres, Z up), `mocap_framerate`, and, if not average and neutral, `betas` (of the clip, or one row per frame) and
            `gender`. Of SMPL-X also `expression` (frames x up to 100), which with the jaw becomes a face.
        body_models (`str` or `os.PathLike`): Folder of the licensed body models, laid out as AMASS or the `smplx` package do
            (`smplh/male/model.npz`, `smplx/SMPLX_NEUTRAL.npz`), or one model file.
        fps (`float`, *optional*): Resample to this rate, rotations by slerp, the path linearly. By default the file's rate.
        num_betas (`int`, *optional*): Shape parameters to use, all that file and model have by default: 16 of AMASS's SMPL-H, where
            the `smplx` package takes 10. HumanML3D used 10.
        fingers (`bool`, defaults to `False`): Give `smplh-52` or `smplx-52`, whichever the file is of.

    Returns:
        `Motion`: 22 or 52 joints in metres with the file's rotations, Y up: the file's (x, y, z) as (x, z, -y). HumanML3D turns clips half
        round instead, to (-x, z, y); from `face_forward` on the two are one.

    Raises:
        ValueError: If the file is damaged, holds NaN, no frames or pickles, or is not of this layout; the message names file
            and key. Also if no body model is given, or fingers are wanted of SMPL, which has none.
        FileNotFoundError: If there is no such file or body model; the message says which and where to get it.
    """
    path = Path(path)
    arrays = load_arrays(path, KEYS)
    found, skeleton, rate, frames = amass_animation(path, body_models, fps=fps, num_betas=num_betas, arrays=arrays, fingers=fingers)
    if fingers and skeleton == HUMANML3D_22:
        raise ValueError(f"{str(path)!r} holds SMPL poses, and that body has no fingers; leave out fingers=True.")
    made = found.in_metres(1.0, "z")
    face, wanted = amass_face(path, arrays), rate if fps is None else fps
    face = face if face is None or len(made.joints) == frames else face.resample(rate, wanted)
    return Motion(
        made.joints, fps=wanted, skeleton=skeleton, rotations=made.rotations, rest_offsets=made.rest_offsets, face=face,
    )  # fmt: skip


def amass_animation(
    path: Path, body_models: str | os.PathLike | None, *, fps: float | None = None, num_betas: int | None = None,
    source_fps: float | None = None, units: float = 1.0, arrays: Mapping[str, np.ndarray] | None = None, fingers: bool = False,
) -> tuple[Animation, Skeleton, float, int]:  # fmt: skip
    """The 22 body joints in metres and the file's axes at the rate `fps`, their skeleton, the file's rate and frames.

    See `read_amass`. `units` of `trans` make a metre; the body is the model's, in metres. `arrays` take the place of the file's. With
    `fingers` files of SMPL-H and SMPL-X have the joints of their hands too.
    """
    arrays = load_arrays(path, KEYS) if arrays is None else dict(arrays)
    if source_fps is not None:
        arrays["mocap_framerate"] = np.array(source_fps)
    poses, trans, rate = _poses(path, arrays), _numbers(path, arrays, "trans"), _rate(path, arrays)
    if trans.shape != (len(poses), 3):
        raise ValueError(f"{str(path)!r}: key 'trans' has shape {trans.shape}; expected ({len(poses)}, 3), one row per row of 'poses'.")
    betas = _betas(path, arrays, len(poses))
    kind = _MODELS[poses.shape[1]]
    skeleton, first = (SMPLX_52, 25) if kind == "smplx" else (SMPLH_52, 22)
    skeleton = skeleton if fingers and kind != "smpl" else HUMANML3D_22
    chosen = [*range(_JOINTS), *range(first, first + len(skeleton) - _JOINTS)]
    template, directions = _joints_of_model(_model_file(path, kind, _gender(path, arrays), body_models), chosen[-1] + 1)
    template, directions = template[chosen], directions[chosen]
    used = min(betas.shape[-1], directions.shape[-1], betas.shape[-1] if num_betas is None else num_betas)
    rest = template + np.einsum("jas,fs->fja", directions[..., :used], betas[:, :used])
    offsets = rest - rest[:, [max(parent, 0) for parent in skeleton.parents]]
    turns = torch.from_numpy(poses.reshape(len(poses), -1, 3)[:, chosen])

    def local_pose(frames: np.ndarray) -> tuple[Tensor, Tensor]:
        shapes = frames if len(offsets) > 1 else np.zeros_like(frames)
        bones = torch.from_numpy(offsets[shapes])
        bones[:, 0] = torch.from_numpy(rest[shapes, 0] + trans[frames] / units)
        return _axis_angle_quaternions(turns[frames]), bones

    made = sample(local_pose, skeleton, len(poses), rate, None if fps is None else check_fps(fps))
    return replace(made, rests_upright=True), skeleton, rate, len(poses)


def amass_face(path: Path, arrays: Mapping[str, np.ndarray]) -> Face | None:
    """The face of SMPL-X parameters: FLAME's components of the expression, as many as there are, and the jaw.

    Args:
        path (`pathlib.Path`): The file, for messages.
        arrays (`Mapping[str, numpy.ndarray]`): Its arrays, those of `KEYS`.

    Returns:
        `Face` or None: None for other models, and where there is no expression and the jaw never moves.

    Raises:
        ValueError: If the expression has another length, or more than 100 components.
    """
    poses = _poses(path, arrays)
    if _MODELS[poses.shape[1]] != "smplx":
        return None
    jaw = poses[:, 3 * _JOINTS : 3 * _JOINTS + 3]
    if "expression" not in arrays:
        return Face(jaw, ("jaw_x", "jaw_y", "jaw_z")) if jaw.any() else None
    expression = _numbers(path, arrays, "expression")
    if expression.ndim != 2 or len(expression) != len(poses) or not 1 <= expression.shape[1] <= 100:
        raise ValueError(
            f"{str(path)!r}: key 'expression' has shape {expression.shape}; expected ({len(poses)}, 1 to 100), one row per row of 'poses'."
        )
    names = (*(f"expression_{number}" for number in range(expression.shape[1])), "jaw_x", "jaw_y", "jaw_z")
    return Face(np.concatenate((expression, jaw), axis=1), names)


def _axis_angle_quaternions(turns: Tensor) -> Tensor:
    half = turns.norm(dim=-1, keepdim=True) / 2
    return torch.cat((half.cos(), turns / 2 * torch.sinc(half / torch.pi)), dim=-1)


def _numbers(path: Path, arrays: Mapping[str, np.ndarray], key: str) -> np.ndarray:
    if key not in arrays:
        raise ValueError(f"{str(path)!r} has no key {key!r}; an AMASS file holds poses, trans, betas, gender and mocap_framerate.")
    if arrays[key].dtype.kind not in "fiu":
        raise ValueError(f"{str(path)!r}: key {key!r} holds {arrays[key].dtype}; expected numbers.")
    numbers = arrays[key].astype(np.float64)
    if not np.isfinite(numbers).all():
        raise ValueError(f"{str(path)!r}: key {key!r} holds NaN or infinity; repair or drop the file.")
    return numbers


def _poses(path: Path, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    poses = _numbers(path, arrays, "poses")
    if poses.ndim != 2 or poses.shape[1] not in _MODELS or not len(poses):
        widths = ", ".join(f"{width} ({name})" for width, name in _MODELS.items())
        raise ValueError(f"{str(path)!r}: key 'poses' has shape {poses.shape}; expected (frames >= 1, width) with a width of {widths}.")
    return poses


def _betas(path: Path, arrays: Mapping[str, np.ndarray], frames: int) -> np.ndarray:
    """Shape parameters, one row for all frames or one for each."""
    betas = np.atleast_2d(_numbers(path, arrays, "betas")) if "betas" in arrays else np.zeros((1, 0))
    if betas.ndim != 2 or len(betas) not in (1, frames):
        raise ValueError(
            f"{str(path)!r}: key 'betas' has shape {arrays['betas'].shape}; expected (parameters,), (1, parameters) or, for a shape that "
            f"changes, ({frames}, parameters). Save those of one person alone."
        )
    return betas


def _rate(path: Path, arrays: Mapping[str, np.ndarray]) -> float:
    key = next((key for key in _RATES if key in arrays), None)
    if key is None:
        raise ValueError(f"{str(path)!r} has no frame rate; expected a key {' or '.join(_RATES)}.")
    rate = _numbers(path, arrays, key)
    if rate.size != 1 or not 0 < rate.item() < 1e9:
        raise ValueError(f"{str(path)!r}: key {key!r} is {rate.tolist()!r}; expected a positive number of frames per second.")
    return rate.item()


def _gender(path: Path, arrays: Mapping[str, np.ndarray]) -> str:
    if "gender" not in arrays:
        return "neutral"
    gender = arrays["gender"]
    text = gender.item() if gender.size == 1 else gender.tolist()
    text = text.decode("ascii", "replace") if isinstance(text, bytes) else text
    if str(text).lower() not in _GENDERS:
        raise ValueError(f"{str(path)!r}: key 'gender' is {text!r}; expected one of {', '.join(_GENDERS)}.")
    return str(text).lower()


def _model_file(path: Path, model: str, gender: str, body_models: str | os.PathLike | None) -> Path:
    get = f"Get {_SOURCES[model]} under their licence and pass the folder that it is in as `body_models=` (--body-models)."
    if body_models is None:
        raise ValueError(f"{str(path)!r} holds {model.upper()} poses; joint positions need the {gender} body model. {get}")
    root = Path(body_models)
    if root.is_file():
        return root
    name = f"{model.upper()}_{gender.upper()}.npz"
    candidates = [root / part for part in (f"{model}/{gender}/model.npz", f"{model}/{name}", f"{gender}/model.npz", name)]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    tried = ", ".join(str(candidate) for candidate in candidates)
    raise FileNotFoundError(f"No {gender} {model.upper()} body model for {str(path)!r}; looked for {tried}. {get}")


@lru_cache(maxsize=8)
def _joints_of_model(file: Path, needed: int) -> tuple[np.ndarray, np.ndarray]:
    """Joints of the average shape, (joints, 3) with at least `needed`, and how each shape parameter moves them, (joints, 3, parameters)."""
    if file.suffix.lower() != ".npz":
        raise ValueError(f"{str(file)!r} is no .npz file. Body models are read as .npz; pickles are not loaded.")
    arrays = load_arrays(file, ("v_template", "shapedirs", "J_regressor"))
    template, shapes, regressor = (_numbers(file, arrays, key) for key in ("v_template", "shapedirs", "J_regressor"))
    vertices = len(template)
    fits = template.shape == (vertices, 3) and shapes.ndim == 3 and shapes.shape[:2] == (vertices, 3)
    if not fits or regressor.ndim != 2 or regressor.shape[1] != vertices or len(regressor) < needed:
        raise ValueError(
            f"{str(file)!r} is no body model: v_template {template.shape}, shapedirs {shapes.shape}, J_regressor {regressor.shape}; "
            f"expected (vertices, 3), (vertices, 3, shapes), (joints >= {needed}, vertices)."
        )
    if len(regressor) == _SMPLX_JOINTS:
        shapes = shapes[..., : _SMPLX_SHAPES if shapes.shape[-1] > _SMPLX_SHAPES else _SMPLX_SHAPES_OF_V1]
    return regressor @ template, np.einsum("jv,vas->jas", regressor, shapes)
