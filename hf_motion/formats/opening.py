"""Opening files of every format: their animation on demand, at any rate, in the file's units and axes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..face import Face
from ..motion import Motion, check_fps
from ..skeletons import HUMANML3D_22, KIT_21, Skeleton, get_skeleton
from ..utils.arrays import array_names, load_array, load_arrays
from . import fbx
from .amass import KEYS, amass_animation, amass_face
from .animation import Animation
from .asf_amc import read_amc
from .bvh import BvhFile, guessed_scale, parse_bvh
from .gltf import open_gltf
from .json import read_json
from .nodes import NodeClip
from .npz import read_npz
from .other_formats import check_npy, check_npz, shape_step
from .rigs import get_rig, has_fingers, load_mapping
from .units import UNITS, check_up, rate_note, units_per_metre

# How many times farther apart than the next two, mean channel by mean channel, the first two frames are if the first is a T-pose.
_JUMP = 10.0
# Share of the longest bone below which a bone has no length.
_IN_PLACE = 0.01


class Wanted:
    """What the caller of `hf_motion.formats.read.read_motion` asked for, checked."""

    def __init__(
        self, rig=None, mapping=None, fps=None, skeleton="humanml3d-22", unit=None, up=None, source_fps=None, asf=None, body_models=None,
        num_betas=None, relaxed_hands=False, keep_fingers=False,
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
        self.relaxed_hands, self.keep_fingers = relaxed_hands, keep_fingers


@dataclass
class Clip:
    """A file that is open: its animation on demand, at any rate, in file units and axes."""

    skeleton: Skeleton
    animation: Callable[[float | None], Animation]
    fps: float
    frames: int
    length: float = 1.0  # the unit that an ASF file declares
    units: float | None = None
    doubtful: bool = False  # whether to say so if a body has no person's size in `units`
    up: str | None = None
    guess: Callable[[np.ndarray], tuple[float, str | None]] | None = None  # of units per metre, where no joint is known
    text: str | None = None
    face: Face | None = None
    motion_only: Clip | None = None  # without the pose that its first frame jumps from
    in_place: frozenset[str] | None = None  # joints that stand where their parents stand, where that is known
    notes: tuple[str, ...] = ()
    without_ends: Skeleton | None = None  # the first of `skeleton`'s joints, without End Sites

    @property
    def own(self) -> Skeleton:
        """The joints that a motion that keeps them has."""
        return self.without_ends or self.skeleton


def open_bvh(path: Path, wanted: Wanted) -> Clip:
    """A BVH file."""
    return _bvh_clip(parse_bvh(path, source_fps=wanted.source_fps))


def open_amc(path: Path, wanted: Wanted) -> Clip:
    """An AMC file with its ASF file."""
    amc = read_amc(path, wanted.asf, fps=wanted.source_fps or 120.0)
    inches = UNITS["inch"] * amc.asf.length
    return Clip(amc.skeleton(), amc.animation, amc.fps, amc.frames, length=amc.asf.length, guess=lambda _: (inches, None))


def open_nodes(path: Path, wanted: Wanted) -> Clip:
    """A glTF or VRM file."""
    return _node_clip(open_gltf(path, wanted.source_fps))


def open_fbx(path: Path, wanted: Wanted) -> Clip:
    """An FBX file."""
    return _node_clip(fbx.open_fbx(path, wanted.source_fps))


def open_npy(path: Path, wanted: Wanted) -> Clip:
    """Joint positions of HumanML3D or KIT-ML."""
    joints, skeleton = _joints_of_npy(path)
    return _motion_clip(Motion(joints, fps=wanted.source_fps or skeleton.fps, skeleton=skeleton))


def open_npz(path: Path, wanted: Wanted) -> Clip:
    """A motion of ours, or of AMASS."""
    names = array_names(path)
    if "poses" in names:
        return _amass_clip(path, wanted)
    check_npz(path, names)
    return _own_clip(read_npz(path), wanted)


def open_json(path: Path, wanted: Wanted) -> Clip:
    """A motion of ours."""
    return _own_clip(read_json(path), wanted)


def _own_clip(motion: Motion, wanted: Wanted) -> Clip:
    clip = _motion_clip(replace(motion, fps=wanted.source_fps or motion.fps))
    clip.units, clip.up, clip.text, clip.face = 1.0, "y", motion.text, motion.face
    return clip


def _bvh_clip(file: BvhFile) -> Clip:
    ends = file.with_end_sites()
    clip = Clip(ends.skeleton(), ends.animation, file.fps, len(file.frames), notes=file.notes, without_ends=file.skeleton())
    clip.guess = lambda joints: guessed_scale(joints, file)
    lengths = np.linalg.norm(file.offsets, axis=-1)
    clip.in_place = frozenset(name for name, at in zip(file.joint_names, lengths, strict=True) if at <= _IN_PLACE * lengths.max())
    steps = np.abs(np.diff(file.frames[:3], axis=0)).mean(axis=1)
    if len(steps) == 2 and steps[0] > _JUMP * max(steps[1], 0.1):
        clip.motion_only = _bvh_clip(replace(file, frames=file.frames[1:]))
    return clip


def _node_clip(scene: NodeClip) -> Clip:
    """A clip of a format that counts in metres, Y up, which not every program keeps to."""
    lengths = np.linalg.norm(scene.rest_offsets, axis=-1)
    in_place = frozenset(name for name, at in zip(scene.joint_names, lengths, strict=True) if at <= _IN_PLACE * lengths.max())
    return Clip(
        scene.skeleton, scene.animation, scene.fps, scene.frames, units=1.0, up="y", text=scene.text, in_place=in_place,
        notes=scene.notes, doubtful=True, face=scene.face,
    )  # fmt: skip


def _motion_clip(motion: Motion) -> Clip:
    def animation(wanted: float | None) -> Animation:
        made = motion if wanted is None else motion.resample(wanted)
        return Animation(made.joints.astype(np.float64), made.rotations, made.rest_offsets)

    return Clip(motion.skeleton, animation, motion.fps, len(motion))


def _amass_clip(path: Path, wanted: Wanted) -> Clip:
    units = wanted.units or 1.0
    fingers = wanted.keep_fingers or (wanted.skeleton is not None and has_fingers(wanted.skeleton))
    arrays = load_arrays(path, KEYS)
    made, skeleton, rate, frames = amass_animation(
        path, wanted.body_models, fps=wanted.fps, num_betas=wanted.num_betas, source_fps=wanted.source_fps, units=units, arrays=arrays,
        fingers=fingers,
    )  # fmt: skip
    scaled = replace(made, joints=made.joints * units, rest_offsets=made.rest_offsets * units)
    note = None if wanted.source_fps else rate_note(rate)
    face = amass_face(path, arrays)
    return Clip(skeleton, lambda _: scaled, rate, frames, units=units, up="z", face=face, notes=(note,) if note else ())


def _joints_of_npy(path: Path) -> tuple[np.ndarray, Skeleton]:
    check_npy(path)
    joints = load_array(path)
    if joints.dtype.kind not in "fiu":
        raise ValueError(f"{str(path)!r} holds {joints.dtype}; expected numbers.")
    for skeleton in (HUMANML3D_22, KIT_21):
        if joints.ndim in (2, 3) and len(joints) and joints.size == len(joints) * len(skeleton) * 3 and joints.shape[:2] != (22, 3):
            if not np.isfinite(joints).all():
                raise ValueError(f"{str(path)!r} holds NaN or infinity; repair or drop the file.")
            return joints.reshape(len(joints), len(skeleton), 3), skeleton
    raise ValueError(
        f"{str(path)!r} holds an array of shape {joints.shape}; expected joint positions (frames >= 1, 22, 3) or, for KIT-ML, "
        f"(frames, 21, 3). {shape_step(joints.shape)}"
    )
