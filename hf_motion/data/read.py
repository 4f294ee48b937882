"""Reading a motion from any supported file onto one of our skeletons."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..motion import Motion, check_fps
from ..skeletons import HUMANML3D_22, KIT_21, SKELETONS, Skeleton, get_skeleton
from .amass import amass_joints
from .amc import read_amc
from .arrays import array_names, load_array
from .bvh import BvhFile, guessed_scale, parse_bvh, same_joints
from .rigs import UNITS, Rig, check_up, get_rig, load_mapping, recognise_rig, units_per_metre

# Upper limit of a leg, hip to ankle along the bones, in file units. A leg measures 0.45 m (a child of four) to 1.1 m.
_LEG_UNITS = ((2.5, "m"), (20.0, "cmu"), (45.0, "inch"), (250.0, "cm"), (np.inf, "mm"))
# How many times farther apart than the next two, mean channel by mean channel, the first two frames are if the first is a T-pose.
_JUMP = 10.0
# Share of the longest bone below which a bone has no length.
_IN_PLACE = 0.01
_SUFFIXES = (".bvh", ".amc", ".npz", ".npy")


@dataclass(frozen=True)
class MotionSource:
    """What `inspect_motion` found out about a file.

    Args:
        motion (`Motion`): The motion, as `read_motion` returns it.
        path (`pathlib.Path`): The file.
        rig (`str`, *optional*): Name of the rig that its joints were mapped from; None where they were kept.
        interpolated (`tuple[str, ...]`): Joints of the motion that were placed between several of the file.
        units_per_metre (`float`): Units of the file in one metre, given or detected.
        up (`str`): The file's up axis, `"y"` or `"z"`, given or detected.
        fps (`float`): The file's own frame rate.
        frames (`int`): Frames in the file.
        skipped (`int`): How many of these were left out at the start (see `Rig.starts_in_t_pose`).
    """

    motion: Motion
    path: Path
    rig: str | None
    interpolated: tuple[str, ...]
    units_per_metre: float
    up: str
    fps: float
    frames: int
    skipped: int


def read_motion(
    path: str | os.PathLike, *, rig: str | Rig | None = None, mapping: str | os.PathLike | Mapping[str, Any] | None = None,
    fps: float | None = None, skeleton: str | Skeleton | None = "humanml3d-22", unit: str | float | None = None,
    up: str | None = None, source_fps: float | None = None, asf: str | os.PathLike | None = None,
    body_models: str | os.PathLike | None = None, num_betas: int | None = None,
) -> Motion:  # fmt: skip
    """Read a motion from a file of any known rig, in metres, Y up.

    | suffix | what is read |
    |---|---|
    | .bvh | the rig recognised by its joints' names (`hf_motion.data.rigs`), or mapped by `mapping` |
    | .amc | with its .asf: `asf`, or what `hf_motion.data.amc.find_asf` finds beside it |
    | .npz | our own files (`Motion.save`), or AMASS, SMPL, SMPL-H, SMPL-X with `body_models` |
    | .npy | joint positions, frames x 22 x 3 (HumanML3D's `new_joints`), or frames x 21 x 3 (KIT-ML's) |

    Files do not say their unit or up axis. Unless given, the unit is taken from the length of the legs, hip to ankle, in file
    units: below 2.5 metres, below 20 CMU's (inch / 0.45), below 45 inches, below 250 centimetres, above millimetres; right for
    legs of 0.45 to 1.1 m. The up axis is the one along which head and feet are apart on average; where the whole clip is spent
    lying or bent, Y. Nothing else is changed: heading, place, left and right, and ground stay as they are in the file; see
    `hf_motion.data.canonical`.

    Args:
        path (`str` or `os.PathLike`): The file.
        rig (`str` or `Rig`, *optional*): The rig, for files whose names fit several; recognised by default.
        mapping (`str`, `os.PathLike` or `Mapping`, *optional*): A mapping file or its content for other rigs, see
            `hf_motion.data.rigs.load_mapping`.
        fps (`float`, *optional*): Frame rate to resample to. Rotations are interpolated by slerp before the forward kinematics,
            positions linearly. The file's own by default.
        skeleton (`str` or `Skeleton`, *optional*, defaults to `"humanml3d-22"`): Joints of the result. None keeps the file's,
            on the skeleton of ours that has the same, if one has.
        unit (`str` or `float`, *optional*): Unit of the file's numbers, `"m"`, `"dm"`, `"cm"`, `"mm"`, `"inch"`, `"cmu"`, or how
            many of them make a metre. It also takes the place of an ASF file's `length`.
        up (`str`, *optional*): The file's up axis, `"y"` or `"z"`.
        source_fps (`float`, *optional*): The file's frame rate, where it does not say (.amc: 120 by default; .npy: 20, or 12.5
            for KIT-ML) or says it wrong.
        asf (`str` or `os.PathLike`, *optional*): Skeleton of an .amc file.
        body_models (`str` or `os.PathLike`, *optional*): Licensed body models for AMASS files, see
            `hf_motion.data.amass.read_amass`.
        num_betas (`int`, *optional*): Shape parameters of AMASS files to use, all by default.

    Returns:
        `Motion`: On `skeleton`.

    Raises:
        ValueError: If the file is damaged (the message names it and the line or key), its joints are those of no known rig (the
            message lists the unmapped ones and the closest names), it holds NaN or no frames, or an argument is wrong.
        FileNotFoundError: If there is no such file, or no skeleton or body model for it.

    Example:
    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> from hf_motion.data.read import read_motion
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "012314.npy"
    >>> np.save(path, np.random.default_rng(0).random((199, 22, 3)))
    >>> read_motion(path, fps=10, unit="m", up="y")
    Motion(100 frames at 10 fps, 10.00 s, humanml3d-22)
    """
    options = {
        "rig": rig, "mapping": mapping, "fps": fps, "skeleton": skeleton, "unit": unit, "up": up, "source_fps": source_fps, "asf": asf,
        "body_models": body_models, "num_betas": num_betas,
    }  # fmt: skip
    return inspect_motion(path, **options).motion


def inspect_motion(path: str | os.PathLike, **options: Any) -> MotionSource:
    """Read a motion and tell how: rig, unit, up axis, frame rate, and which joints had to be placed between others.

    Args:
        path (`str` or `os.PathLike`): The file.
        **options: Those of `read_motion`.

    Returns:
        `MotionSource`: The motion and what was found out.

    Raises:
        ValueError: As `read_motion`.
        FileNotFoundError: As `read_motion`.
    """
    wanted = _Wanted(**options)
    path = Path(path)
    if path.suffix.lower() not in _SUFFIXES:
        raise ValueError(f"Cannot read a motion from {path.suffix or path.name!r} ({str(path)!r}). Use one of: {', '.join(_SUFFIXES)}.")
    if not path.is_file():
        raise FileNotFoundError(f"No motion file at {str(path)!r}.")
    with np.errstate(all="ignore"):
        try:
            clip = _open(path, wanted)
            if wanted.skeleton is None and wanted.rig is None:
                wanted.skeleton = next((known for known in SKELETONS.values() if same_joints(clip.skeleton, known)), None)
            return _onto(path, clip, wanted)
        except ValueError as error:
            if str(path) in str(error):
                raise
            raise ValueError(f"{str(path)!r}: {error}") from error


class _Wanted:
    def __init__(
        self, rig=None, mapping=None, fps=None, skeleton="humanml3d-22", unit=None, up=None, source_fps=None, asf=None, body_models=None,
        num_betas=None,
    ) -> None:  # fmt: skip
        if rig is not None and mapping is not None:
            raise ValueError("Give either `rig=` or `mapping=`, not both.")
        self.rig = get_rig(rig) if rig is not None else load_mapping(mapping) if mapping is not None else None
        self.fps = None if fps is None else check_fps(fps)
        self.source_fps = None if source_fps is None else check_fps(source_fps)
        self.skeleton = None if skeleton is None else get_skeleton(skeleton)
        unit = self.rig.unit if unit is None and self.rig else unit
        up = self.rig.up if up is None and self.rig else up
        self.units = None if unit is None else units_per_metre(unit)
        self.up = None if up is None else check_up(up)
        self.asf, self.body_models, self.num_betas = asf, body_models, num_betas


@dataclass
class _Clip:
    """A file that is open: joint positions on demand, at any rate, in file units and axes."""

    skeleton: Skeleton
    positions: Callable[[float | None], np.ndarray]
    fps: float
    frames: int
    length: float = 1.0  # the unit that an ASF file declares
    units: float | None = None
    up: str | None = None
    guess: Callable[[np.ndarray], float] | None = None  # of units per metre, where no joint is known
    text: str | None = None
    motion_only: _Clip | None = None  # without the pose that its first frame jumps from
    in_place: frozenset[str] | None = None  # joints that stand where their parents stand, where that is known


def _open(path: Path, wanted: _Wanted) -> _Clip:
    suffix = path.suffix.lower()
    if suffix == ".bvh":
        file = parse_bvh(path)
        file = replace(file, fps=wanted.source_fps or file.fps)
        return _bvh_clip(file if wanted.skeleton is None else file.with_end_sites())
    if suffix == ".amc":
        amc = read_amc(path, wanted.asf, fps=wanted.source_fps or 120.0)
        inches = UNITS["inch"] * amc.asf.length
        return _Clip(amc.skeleton(), amc.joint_positions, amc.fps, amc.frames, length=amc.asf.length, guess=lambda _: inches)
    if suffix == ".npy":
        joints, skeleton = _joints_of_npy(path)
        return _positions_clip(joints, skeleton, wanted.source_fps or skeleton.fps)
    names = array_names(path)
    if "poses" in names:
        return _amass_clip(path, wanted)
    motion = Motion.load(path)
    clip = _positions_clip(motion.joints, motion.skeleton, wanted.source_fps or motion.fps)
    clip.units, clip.up, clip.text = 1.0, "y", motion.text
    return clip


def _bvh_clip(file: BvhFile) -> _Clip:
    clip = _Clip(file.skeleton(), file.joint_positions, file.fps, len(file.frames), guess=lambda joints: guessed_scale(joints, file))
    lengths = np.linalg.norm(file.offsets, axis=-1)
    clip.in_place = frozenset(name for name, at in zip(file.joint_names, lengths, strict=True) if at <= _IN_PLACE * lengths.max())
    steps = np.abs(np.diff(file.frames[:3], axis=0)).mean(axis=1)
    if len(steps) == 2 and steps[0] > _JUMP * max(steps[1], 0.1):
        clip.motion_only = _bvh_clip(replace(file, frames=file.frames[1:]))
    return clip


def _positions_clip(joints: np.ndarray, skeleton: Skeleton, fps: float) -> _Clip:
    def positions(wanted: float | None) -> np.ndarray:
        motion = Motion(joints, fps=fps, skeleton=skeleton)
        return (motion if wanted is None else motion.resample(wanted)).joints.astype(np.float64)

    return _Clip(skeleton, positions, fps, len(joints))


def _amass_clip(path: Path, wanted: _Wanted) -> _Clip:
    joints, rate, frames = amass_joints(path, wanted.body_models, fps=wanted.fps, num_betas=wanted.num_betas, source_fps=wanted.source_fps)
    return _Clip(HUMANML3D_22, lambda _: joints, rate, frames, units=1.0, up="z")


def _joints_of_npy(path: Path) -> tuple[np.ndarray, Skeleton]:
    joints = load_array(path)
    if joints.dtype.kind not in "fiu":
        raise ValueError(f"{str(path)!r} holds {joints.dtype}; expected numbers.")
    for skeleton in (HUMANML3D_22, KIT_21):
        if joints.ndim in (2, 3) and len(joints) and joints.size == len(joints) * len(skeleton) * 3:
            if not np.isfinite(joints).all():
                raise ValueError(f"{str(path)!r} holds NaN or infinity; repair or drop the file.")
            return joints.reshape(len(joints), len(skeleton), 3), skeleton
    raise ValueError(
        f"{str(path)!r} holds an array of shape {joints.shape}; expected joint positions (frames >= 1, 22, 3) or, for KIT-ML, "
        "(frames, 21, 3). Features (frames, 263) are turned into joints by HumanML3DRepresentation().decode."
    )


def _onto(path: Path, clip: _Clip, wanted: _Wanted) -> MotionSource:
    """The clip on the wanted skeleton, in metres, Y up."""
    rig, weights, between = _mapping(clip, wanted)
    skipped = int(rig is not None and rig.starts_in_t_pose and clip.motion_only is not None)
    joints, target = (
        (clip.motion_only if skipped else clip).positions(wanted.fps),
        clip.skeleton if wanted.skeleton is None else wanted.skeleton,
    )
    body = joints if weights is None else weights @ joints
    joints = joints if wanted.skeleton is None else body
    landmarks = KIT_21 if target is KIT_21 else HUMANML3D_22
    known = weights is not None or target is KIT_21
    if not np.isfinite(joints).all():
        raise ValueError("joints are placed beyond all bounds; offsets or positions in the file are damaged.")
    units = wanted.units or clip.units
    if units is None:
        units = clip.length * leg_units(body / clip.length, landmarks) if known else clip.guess(joints)
    up = wanted.up or clip.up or (up_axis(body, landmarks) if known else "y")
    joints = (joints / units).astype(np.float32)
    if up == "z":
        joints = np.stack((joints[..., 0], joints[..., 2], -joints[..., 1]), axis=-1)
    if not np.isfinite(joints).all():
        raise ValueError("joints are placed beyond all bounds; offsets or positions in the file are damaged.")
    motion = Motion(joints, fps=wanted.fps or clip.fps, skeleton=target, text=clip.text)
    return MotionSource(motion, path, rig.name if rig else None, between, units, up, clip.fps, clip.frames, skipped)


def _mapping(clip: _Clip, wanted: _Wanted) -> tuple[Rig | None, np.ndarray | None, tuple[str, ...]]:
    """The rig, weights that make the joints of ours (None where none is known), and joints placed between others."""
    skeleton, target = clip.skeleton, wanted.skeleton or HUMANML3D_22
    names = skeleton.joint_names
    if wanted.rig is None and set(target.joint_names) <= set(names):
        return None, np.eye(len(names))[[names.index(name) for name in target.joint_names]], ()
    if wanted.skeleton is None and wanted.rig is None:
        try:
            return None, recognise_rig(names, clip.in_place).weights(names)[0], ()
        except ValueError:
            return None, None, ()
    if target != HUMANML3D_22:
        raise ValueError(
            f"the joints are not those of skeleton {target.name!r}; other rigs are mapped to {HUMANML3D_22.name!r} only. "
            "Leave `skeleton` out, or pass skeleton=None to keep the file's joints."
        )
    if skeleton == KIT_21:
        raise ValueError("the joints are those of skeleton 'kit-21', which has no head or collars; pass skeleton='kit-21'.")
    rig = wanted.rig or recognise_rig(names, clip.in_place)
    return rig, *rig.weights(names)


def leg_units(joints: np.ndarray, skeleton: Skeleton = HUMANML3D_22) -> float:
    """Units in one metre, from the median length of the legs; see `read_motion`.

    Args:
        joints (`numpy.ndarray`): Positions, (frames, joints, 3).
        skeleton (`Skeleton`): With hips, knees and ankles.
    """
    bones = [
        joints[:, skeleton.joint(f"{side}_{lower}")] - joints[:, skeleton.joint(f"{side}_{upper}")]
        for side in ("left", "right")
        for upper, lower in (("hip", "knee"), ("knee", "ankle"))
    ]
    leg = np.median(np.linalg.norm(bones, axis=-1), axis=-1).sum() / 2
    return UNITS[next((unit for limit, unit in _LEG_UNITS if leg < limit), _LEG_UNITS[-1][1])]


def up_axis(joints: np.ndarray, skeleton: Skeleton = HUMANML3D_22) -> str:
    """`"y"` or `"z"`: along which axis shoulders are above ankles on average, Y where neither is clear.

    A character that lies along Z for the whole clip looks like one that stands in a file with Z up. It is taken for standing only
    if its lowest joint stays near zero along Z, as on a floor.

    Args:
        joints (`numpy.ndarray`): Positions, (frames, joints, 3), any unit.
        skeleton (`Skeleton`): With shoulders and ankles.
    """
    shoulders, ankles = ([skeleton.joint(f"{side}_{part}") for side in ("left", "right")] for part in ("shoulder", "ankle"))
    body = joints[:, shoulders].mean(axis=1) - joints[:, ankles].mean(axis=1)
    length = np.linalg.norm(body, axis=-1, keepdims=True)
    _, y, z = (body / np.maximum(length, 1e-12)).mean(axis=0)
    lowest = joints[..., 2].min(axis=1)
    on_floor = np.abs(np.percentile(lowest, (10, 50, 90))).max() < np.median(length) / 2
    return "z" if z > 0.7 and z > y + 0.4 and on_floor else "y"
