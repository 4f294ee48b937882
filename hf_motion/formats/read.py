"""Reading a motion from any supported file onto one of our skeletons."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..hands import fill_hands
from ..motion import Motion
from ..skeletons import HUMANML3D_22, KIT_21, SKELETONS, SMPLX_52, Skeleton
from ..utils.faults import reading
from .animation import same_joints
from .mapping import map_animation
from .opening import Clip, Wanted
from .other_formats import next_step
from .rigs import Rig, has_fingers, lacking_fingers, left_out, one_body, recognise_fingers, recognise_rig, weights_onto
from .table import READ, format_of, function
from .units import leg_units, size_note, unit_name, up_axis, up_note

logger = logging.getLogger("hf_motion")


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
        recognised (`str`, *optional*): Name of the rig that the file is of, also where its joints were kept.
        left_out (`tuple[str, ...]`): What the motion does not hold of the file, such as `"30 finger joints"`.
        notes (`tuple[str, ...]`): What had to be guessed, in sentences; `read_motion` gives them to the logger `hf_motion`.
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
    recognised: str | None = None
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        """One line for the user: rig, unit, up axis, rate, frames, and what was left out or guessed."""
        motion = self.motion
        rig = f"rig {self.recognised}" if self.recognised else f"joints of {motion.skeleton.name}"
        facts = [rig, f"unit {unit_name(self.units_per_metre)}", f"up {self.up}", f"{self.fps:g} fps", f"{self.frames} frames"]
        if motion.fps != self.fps:
            facts.append(f"resampled to {len(motion)} frames at {motion.fps:g} fps")
        if self.interpolated:
            facts.append(f"placed between others: {', '.join(self.interpolated)}")
        missing = [f"left out: {', '.join(self.left_out)}"] if self.left_out else []
        return f"{self.path}: {'; '.join([', '.join(facts), *missing, *self.notes])}"


def read_motion(
    path: str | os.PathLike, *, rig: str | Rig | None = None, mapping: str | os.PathLike | Mapping[str, Any] | None = None,
    fps: float | None = None, skeleton: str | Skeleton | None = "humanml3d-22", unit: str | float | None = None,
    up: str | None = None, source_fps: float | None = None, asf: str | os.PathLike | None = None,
    body_models: str | os.PathLike | None = None, num_betas: int | None = None, relaxed_hands: bool = False,
    keep_fingers: bool = False,
) -> Motion:  # fmt: skip
    """Read a motion from a file of any known rig, in metres, Y up.

    | suffix | what is read |
    |---|---|
    | .bvh | the rig recognised by its joints' names (`hf_motion.formats.rigs`), or mapped by `mapping` |
    | .amc | with its .asf: `asf`, or what `hf_motion.formats.asf_amc.find_asf` finds beside it |
    | .glb .gltf | glTF 2.0: the first animation, in metres, Y up, see `hf_motion.formats.gltf.open_gltf` |
    | .vrm .vrma | the same of VRM 0 and 1, whose joints are known by their bones' names |
    | .fbx | the first animation, through Blender, see `hf_motion.formats.fbx.open_fbx` |
    | .json | our own files (`Motion.save`) |
    | .npz | our own files (`Motion.save`), or AMASS, SMPL, SMPL-H, SMPL-X with `body_models` |
    | .npy | joint positions, frames x 22 x 3 (HumanML3D's `new_joints`), or frames x 21 x 3 (KIT-ML's) |

    Files other than glTF and FBX do not say their unit or up axis. Unless given, the unit is the one of `hf_motion.formats.units.UNITS`
    in which the legs measure 0.45 to 1.1 m, hip to ankle, and come closest to an adult's; a body that has a person's size in none is
    refused. The up axis is the one along which head and feet are apart on average; where the whole clip is spent lying or bent, Y.
    Nothing else is changed: heading, place, left and right, and ground stay as they are in the file; see `hf_motion.canonical`.

    Args:
        path (`str` or `os.PathLike`): The file.
        rig (`str` or `Rig`, *optional*): The rig, for files whose names fit several; recognised by default.
        mapping (`str`, `os.PathLike` or `Mapping`, *optional*): A mapping file or its content for other rigs, see
            `hf_motion.formats.rigs.load_mapping`.
        fps (`float`, *optional*): Frame rate to resample to. Rotations are interpolated by slerp before the forward kinematics,
            positions linearly. The file's own by default.
        skeleton (`str` or `Skeleton`, *optional*, defaults to `"humanml3d-22"`): Joints of the result. None keeps the file's,
            on the skeleton of ours that has the same, if one has. `"smplx-52"` and `"smplh-52"` have fingers
            (`hf_motion.formats.rigs.fingers`).
        unit (`str` or `float`, *optional*): Unit of the file's numbers, `"m"`, `"dm"`, `"cm"`, `"mm"`, `"ft"`, `"inch"`, `"cmu"`, or
            how many of them make a metre. It also takes the place of an ASF file's `length`. Of AMASS files it is `trans`'s.
        up (`str`, *optional*): The file's up axis, `"y"` or `"z"`.
        source_fps (`float`, *optional*): The file's frame rate, where it does not say (.amc: 120 by default; .npy: 20, or 12.5
            for KIT-ML; glTF: found from its keys) or says it wrong.
        asf (`str` or `os.PathLike`, *optional*): Skeleton of an .amc file.
        body_models (`str` or `os.PathLike`, *optional*): Licensed body models for AMASS files, see
            `hf_motion.formats.amass.read_amass`.
        num_betas (`int`, *optional*): Shape parameters of AMASS files to use, all by default.
        relaxed_hands (`bool`, defaults to `False`): Put relaxed fingers (`hf_motion.hands`) in the place of those that `skeleton` has
            and the file has not, which a warning counts, instead of refusing the file.
        keep_fingers (`bool`, defaults to `False`): Take `"smplx-52"` in the place of `"humanml3d-22"` where a file has all fingers.

    Returns:
        `Motion`: On `skeleton`.

    Raises:
        ValueError: If the file is damaged (the message names it and the line or key), its joints are those of no known rig (the
            message lists the unmapped ones and the closest names), it holds NaN or no frames, the size is no person's in any unit,
            the frame rate is above 1,000, or an argument is wrong.
        FileNotFoundError: If there is no such file, or no skeleton or body model for it.

    Example:
    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> from hf_motion.formats.read import read_motion
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "012314.npy"
    >>> np.save(path, np.random.default_rng(0).random((199, 22, 3)))
    >>> read_motion(path, fps=10, unit="m", up="y")
    Motion(100 frames at 10 fps, 10.00 s, humanml3d-22)
    """
    options = {
        "rig": rig, "mapping": mapping, "fps": fps, "skeleton": skeleton, "unit": unit, "up": up, "source_fps": source_fps, "asf": asf,
        "body_models": body_models, "num_betas": num_betas, "relaxed_hands": relaxed_hands, "keep_fingers": keep_fingers,
    }  # fmt: skip
    source = inspect_motion(path, **options)
    for note in source.notes:
        logger.warning("%s: %s.", path, note)
    return source.motion


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
    wanted = Wanted(**options)
    path = Path(path)
    row = format_of(path)
    if row is None or row.opens is None:
        raise ValueError(
            f"Cannot read a motion from {path.suffix or path.name!r} ({str(path)!r}). Use one of: {', '.join(READ)}.{next_step(path)}"
        )
    if not path.is_file():
        raise FileNotFoundError(f"No motion file at {str(path)!r}.")
    with np.errstate(all="ignore"), reading(path, "a readable motion file"):
        try:
            clip = function(row.opens)(path, wanted)
            if wanted.keep_fingers and wanted.skeleton == HUMANML3D_22 and _has_all_fingers(clip, wanted.rig):
                wanted.skeleton = SMPLX_52
            if wanted.skeleton is None and wanted.rig is None:
                wanted.skeleton = next((known for known in SKELETONS.values() if same_joints(clip.own, known)), None)
            return _onto(path, clip, wanted)
        except ValueError as error:
            if str(path) in str(error):
                raise
            raise ValueError(f"{str(path)!r}: {error}") from error


def _onto(path: Path, clip: Clip, wanted: Wanted) -> MotionSource:
    """The clip on the wanted skeleton, in metres, Y up."""
    rig, weights, between, notes, missing, lacking = _mapping(clip, wanted)
    kept = wanted.skeleton is None
    skipped = int(rig is not None and not kept and rig.starts_in_t_pose and clip.motion_only is not None)
    animation = (clip.motion_only if skipped else clip).animation(wanted.fps)
    target = clip.own if kept else wanted.skeleton
    body = animation.joints if weights is None else weights @ animation.joints
    joints = animation.joints[:, : len(clip.own)] if kept else body
    if not np.isfinite(joints).all() or not np.isfinite(body).all():
        raise ValueError("joints are placed beyond all bounds; offsets or positions in the file are damaged.")
    known = weights is not None or target is KIT_21
    units, up, found = _measured(clip, wanted, joints, body if known else None, KIT_21 if target is KIT_21 else HUMANML3D_22)
    made = animation.in_metres(units, up)
    made = made.first(len(target)) if kept else map_animation(made, clip.skeleton, weights, target) if weights is not None else made
    if not np.isfinite(made.joints.astype(np.float32)).all():
        raise ValueError("joints are placed beyond all bounds; offsets or positions in the file are damaged.")
    fps = wanted.fps or clip.fps
    face = clip.face if clip.face is None or len(made.joints) == clip.frames else clip.face.resample(clip.fps, fps)
    motion = Motion(
        made.joints, fps=fps, skeleton=target, text=clip.text, rotations=made.rotations, rest_offsets=made.rest_offsets, face=face,
    )  # fmt: skip
    motion = fill_hands(motion, lacking) if lacking else motion
    name, missing = rig.name if rig else None, [*missing, *(["the T-pose in frame 1"] if skipped else [])]
    return MotionSource(
        motion, path, None if kept else name, between, units, up, clip.fps, clip.frames, skipped, name, tuple(missing),
        (*clip.notes, *notes, *found),
    )  # fmt: skip


def _measured(clip: Clip, wanted: Wanted, joints: np.ndarray, body: np.ndarray | None, landmarks: Skeleton) -> tuple[float, str, list[str]]:
    """Units in one metre, the up axis, and what to say about them. `body` has the joints of `landmarks`, None if they are unknown."""
    units, up, notes = wanted.units or clip.units, wanted.up or clip.up, []
    if body is not None:
        notes.append(size_note(body, landmarks, units) if wanted.units or (units and clip.doubtful) else None)
        notes.append(None if up else up_note(body, landmarks, up_axis(body, landmarks)))
        units = units or clip.length * leg_units(body / clip.length, landmarks)
        return units, up or up_axis(body, landmarks), [note for note in notes if note]
    if units is None:
        units, note = clip.guess(joints)
        notes.append(note)
    notes.append(None if up else "which joints are hips and feet is not known, so that up is taken for y; else say it: up= (--up)")
    return units, up or "y", [note for note in notes if note]


def _mapping(clip: Clip, wanted: Wanted) -> tuple[Rig | None, np.ndarray | None, tuple[str, ...], list[str], list[str], tuple[str, ...]]:
    """The rig, weights that make our joints (None where none is known), those placed between others, notes, what is left out or lacking."""
    skeleton, target = clip.skeleton, wanted.skeleton or HUMANML3D_22
    names = skeleton.joint_names
    if wanted.rig is None and set(target.joint_names) <= set(names):
        used = [names.index(name) for name in target.joint_names]
        bodies, others = left_out(skeleton, used, _wrists(np.eye(len(names))[used], target)) if wanted.skeleton else ([], [])
        return None, np.eye(len(names))[used], (), _several(names[used[0]], bodies), [*bodies, *others], ()
    first = one_body(names, wanted.rig)
    chosen = [names[joint] for joint in first]
    if wanted.skeleton is None and wanted.rig is None:
        try:
            rig = recognise_rig(chosen, clip.in_place)
        except ValueError:
            return None, None, (), [], [], ()
        weights = _spread(rig.weights(chosen)[0], first, len(names))
        bodies, _ = left_out(skeleton, np.flatnonzero(weights.any(axis=0)).tolist(), _wrists(weights, HUMANML3D_22))
        kept = [f"the file holds {1 + len(bodies)} bodies, and all are kept: --rig takes the first alone"] if bodies else []
        return rig, weights, (), kept, [], ()
    if target != HUMANML3D_22 and not has_fingers(target):
        raise ValueError(
            f"the joints are not those of skeleton {target.name!r}; other rigs are mapped to {HUMANML3D_22.name!r}, smplx-52 or smplh-52. "
            "Leave `skeleton` out, or pass skeleton=None to keep the file's joints."
        )
    if skeleton == KIT_21:
        raise ValueError("the joints are those of skeleton 'kit-21', which has no head or collars; pass skeleton='kit-21'.")
    rig = wanted.rig or recognise_rig(chosen, clip.in_place)
    weights, between, lacking, doubts = weights_onto(rig, chosen, target)
    if lacking and not wanted.relaxed_hands:
        raise ValueError(lacking_fingers(lacking))
    if lacking:
        doubts.append(f"{len(lacking)} of 30 joints of fingers are not in the file and are put where relaxed hands have them")
    weights = _spread(weights, first, len(names))
    bodies, others = left_out(skeleton, np.flatnonzero(weights.any(axis=0)).tolist(), _wrists(weights, target))
    pelvis = names[int(weights[0].argmax())]
    return rig, weights, between, [*_several(pelvis, bodies), *doubts], [*bodies, *others], lacking


def _has_all_fingers(clip: Clip, rig: Rig | None) -> bool:
    names = clip.skeleton.joint_names
    return len(recognise_fingers([names[joint] for joint in one_body(names, rig)])) == len(SMPLX_52.groups["hands"])


def _wrists(weights: np.ndarray, skeleton: Skeleton) -> list[int]:
    return [int(weights[skeleton.joint(f"{side}_wrist")].argmax()) for side in ("left", "right")]


def _spread(weights: np.ndarray, joints: list[int], count: int) -> np.ndarray:
    """Weights of some joints as weights of all."""
    spread = np.zeros((len(weights), count))
    spread[:, joints] = weights
    return spread


def _several(taken: str, bodies: list[str]) -> list[str]:
    return [f"the file holds {1 + len(bodies)} bodies; {taken!r} is read, left out: {', '.join(bodies)}"] if bodies else []
