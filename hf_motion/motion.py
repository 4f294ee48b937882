"""`Motion`: what every part of the library takes and gives, as PIL images are for diffusers."""

from __future__ import annotations

import itertools
import logging
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from pathlib import Path
from typing import Any, BinaryIO, overload

import numpy as np

from .face import Face
from .pose import Fitted, checked_rotations, multiply, place_joints, rotate, slerp
from .skeletons import HUMANML3D_22, Skeleton, get_skeleton
from .utils.limits import FPS_RANGE, check_clip
from .utils.text import tidy_text

logger = logging.getLogger("hf_motion")


@dataclass(eq=False)
class Motion:
    """Joint positions over time.

    Args:
        joints (`numpy.ndarray` or `torch.Tensor`): World positions, (frames, joints, 3), metres, Y up, Z forward, +X to the
            left of a character that faces +Z. Kept as a C-contiguous float32 array.
        fps (`float`, defaults to 20.0): Frames per second.
        skeleton (`Skeleton` or `str`, defaults to `"humanml3d-22"`): The joints' hierarchy, or its name.
        text (`str`, *optional*): The sentence that describes the motion, see `hf_motion.utils.text.tidy_text`.
        rotations (array, *optional*): What positions cannot say, the turn of a head or the twist of a forearm: the joints' rotations
            relative to their parents and to the rest pose, unit quaternions, real part first, (frames, joints, 4) float32. Files that
            have them give them, and writers write them instead of solving rotations from the joints. They are dropped where joints
            change: `replace(motion, joints=...)`, `motion.joints = ...`; moving the whole body leaves them.
        rest_offsets (array, *optional*): With rotations: where each joint stands from its parent while nothing is turned, metres,
            (joints, 3) float32, or (frames, joints, 3) where bones change their lengths. The root's is zero, it stands at
            `joints[:, 0]`.
        face (`Face`, *optional*): What the face does, as many frames as there are.

    Raises:
        ValueError: If the array is not (frames >= 1, joints, 3), holds NaN or infinity, has another number of joints than the
            skeleton, the face another number of frames, or `fps` is not a positive number; or if rotations are of another shape, of
            length zero, or do not put the joints where they are to a millimetre.

    Example:
    >>> import numpy as np
    >>> from hf_motion import Motion
    >>> motion = Motion(np.zeros((40, 22, 3)), fps=20, text="a person stands")
    >>> len(motion), motion.duration, len(motion[10:30])
    (40, 2.0, 20)
    """

    joints: np.ndarray
    fps: float = 20.0
    skeleton: Skeleton = field(default=HUMANML3D_22)
    text: str | None = None
    rotations: np.ndarray | None = None
    rest_offsets: np.ndarray | None = None
    face: Face | None = None

    def __post_init__(self) -> None:
        rotations, rest_offsets = self.rotations, self.rest_offsets
        self.skeleton = get_skeleton(self.skeleton)
        self.joints = _checked_joints(self.joints, self.skeleton)
        self.fps = check_fps(self.fps)
        self.text = tidy_text(self.text) or None if self.text else None
        if rotations is None and rest_offsets is not None:
            raise ValueError("rest_offsets belong to rotations; pass both, or neither.")
        if rotations is not None:
            pose = checked_rotations(rotations, rest_offsets, self.joints, self.skeleton)
            self.rotations, self.rest_offsets = pose or (None, None)
        if self.face is not None:
            _check_face(self.face, len(self.joints))

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        if name in ("joints", "skeleton") and self.__dict__.get("rotations") is not None:
            object.__setattr__(self, "rotations", None)
            object.__setattr__(self, "rest_offsets", None)

    def __len__(self) -> int:
        return len(self.joints)

    def __eq__(self, other: object) -> bool:
        """Whether joints, frame rate, skeleton, text, rotations and face are equal, exactly; `numpy.allclose` compares with a tolerance.

        Motions have no hash, as arrays have none: their joints can be changed in place.
        """
        if not isinstance(other, Motion):
            return NotImplemented
        same = (self.fps, self.skeleton, self.text, self.face) == (other.fps, other.skeleton, other.text, other.face)
        pairs = ((self.joints, other.joints), (self.rotations, other.rotations), (self.rest_offsets, other.rest_offsets))
        return same and all(np.array_equal(one, two) if one is not None and two is not None else one is two for one, two in pairs)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        text = f", text={self.text!r}" if self.text else ""
        turns = ", with rotations" if self.rotations is not None else ""
        face = f", face with {self.face}" if self.face is not None else ""
        return f"Motion({len(self)} frames at {self.fps:g} fps, {self.duration:.2f} s, {self.skeleton.name}{turns}{face}{text})"

    def __getitem__(self, frames: slice) -> Motion:
        """A part of the motion: `motion[20:60]`, `motion[::2]` (the frame rate follows the step).

        Raises:
            TypeError: If `frames` is not a slice.
            ValueError: If the slice is empty.
        """
        if not isinstance(frames, slice):
            raise TypeError(f"A motion is cut with a slice of frames such as motion[10:50], got {frames!r}; poses are in motion.joints.")
        joints = self.joints[frames]
        if not len(joints):
            raise ValueError(f"Slice {frames} of a motion of {len(self)} frames is empty.")
        return self._posed(joints.copy(), self.fps / abs(frames.step or 1), lambda values: values[frames])

    def _posed(self, joints: np.ndarray, fps: float, of_frames: Callable[[Any], Any]) -> Motion:
        """The motion with other frames, where `of_frames` makes those of rotations, of offsets that change, and of the face."""
        rotations, offsets = self.rotations, self.rest_offsets
        if rotations is not None and offsets is not None:
            rotations, offsets = of_frames(rotations), of_frames(offsets) if offsets.ndim == 3 else offsets
        face = None if self.face is None else of_frames(self.face)
        return replace(self, joints=joints, fps=fps, rotations=rotations, rest_offsets=offsets, face=face)

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return len(self) / self.fps

    def resample(self, fps: float) -> Motion:
        """The same motion at another frame rate: rotations interpolated by slerp, or positions linearly where there are none.

        Args:
            fps (`float`): Wanted frames per second.

        Returns:
            `Motion`: From the first to the last frame of this one; never beyond it.

        Raises:
            ValueError: If `fps` is not positive, or there would be too many frames (`hf_motion.utils.limits`).
        """
        fps = check_fps(fps)
        if fps == self.fps or len(self) == 1:
            return replace(self, fps=fps)
        hint = f"Is the clip's frame rate of {self.fps:g} fps right for a result at {fps:g}?"
        check_clip(int((len(self) - 1) * fps / self.fps) + 1, len(self.skeleton), hint)
        left, weight = resampling_weights(len(self), self.fps, fps)
        face = None if self.face is None else self.face.at(left + weight.astype(np.float64))
        weight = weight[:, None, None]

        def mixed(values: np.ndarray) -> np.ndarray:
            return values[left] * (1 - weight) + values[left + 1] * weight

        if self.rotations is None or self.rest_offsets is None:
            return replace(self, joints=mixed(self.joints), fps=fps, face=face)
        rotations = slerp(self.rotations[left], self.rotations[left + 1], weight).view(Fitted)
        offsets = mixed(self.rest_offsets) if self.rest_offsets.ndim == 3 else self.rest_offsets
        joints = place_joints(rotations, mixed(self.joints[:, :1])[:, 0], offsets, self.skeleton)
        return replace(self, joints=joints, fps=fps, rotations=rotations, rest_offsets=offsets, face=face)

    @classmethod
    def concatenate(cls, motions: Sequence[Motion], *, continued: bool = True, fps: float | None = None) -> Motion:
        """Play motions one after another: a cut, without a transition (`hf_motion.pipelines.editing.join_motions` makes those).

        Args:
            motions (`list[Motion]`): One or more, on one skeleton.
            continued (`bool`, defaults to `True`): Turn each clip about the vertical and move it over the floor, so that it begins where
                the one before has arrived, facing the same way. Heights stay. `False` leaves all where they are.
            fps (`float`, *optional*): Frames per second of the result; that of the first motion by default, and motions at another
                rate are resampled, which a warning says.

        Returns:
            `Motion`: Its text tells those of the motions in turn. Where only some have a face, the others get a neutral one, which a
            warning says.

        Raises:
            ValueError: If there is no motion, skeletons or the coefficients of faces differ, or `continued` is asked of a skeleton that
                does not say what its hips and shoulders are (`Skeleton.facing`).
            TypeError: If one of them is not a `Motion`.

        Example:
        >>> import numpy as np
        >>> from hf_motion import Motion
        >>> clip = Motion(np.zeros((40, 22, 3)), text="a person stands")
        >>> Motion.concatenate([clip, clip, clip[:10]])
        Motion(90 frames at 20 fps, 4.50 s, humanml3d-22, text='a person stands, then a person stands, then a person stands')
        """
        motions = _checked_sequence(motions, continued)
        first = motions[0]
        rate = first.fps if fps is None else check_fps(fps)
        others = sorted({motion.fps for motion in motions} - {rate})
        if fps is None and others:
            rates = ", ".join(f"{other:g}" for other in others)
            logger.warning("Motions at %s frames per second are resampled to %g, the rate of the first.", rates, rate)
        parts = [motion.resample(rate) for motion in motions]
        for index in range(1, len(parts) if continued else 0):
            parts[index] = _continuing(parts[index - 1], parts[index])
        text = ", then ".join(motion.text for motion in motions if motion.text) or None
        rotations, offsets = _joined_rotations(parts)
        joints = np.concatenate([part.joints for part in parts])
        face = joined_faces(parts)
        return replace(first, joints=joints, fps=rate, text=text, rotations=rotations, rest_offsets=offsets, face=face)

    def turn(self, angles: float | np.ndarray, about: Sequence[float] | np.ndarray = (0.0, 0.0, 0.0)) -> Motion:
        """The same motion turned about the vertical, rotations included.

        Args:
            angles (`float` or `numpy.ndarray`): Radians from +Z towards +X, one or (frames,).
            about (sequence of `float`, defaults to the origin): A point of the axis, (3,); its height does not matter.

        Example:
        >>> import numpy as np
        >>> from hf_motion import Motion
        >>> Motion(np.zeros((1, 22, 3)) + [0, 1, 2]).turn(np.pi / 2).joints[0, 0].round(3).tolist()
        [2.0, 1.0, 0.0]
        """
        half = np.broadcast_to(np.asarray(angles, np.float64) / 2, (len(self),))
        quaternions = np.stack((np.cos(half), 0 * half, np.sin(half), 0 * half), axis=-1)[:, None]
        axis = np.asarray(about, np.float64) * [1, 0, 1]
        turned = replace(self, joints=rotate(quaternions, self.joints - axis) + axis, rotations=None, rest_offsets=None)
        if self.rotations is None:
            return turned
        rotations = np.concatenate((multiply(quaternions, self.rotations[:, :1]), self.rotations[:, 1:]), axis=1)
        return replace(turned, rotations=rotations.view(Fitted), rest_offsets=self.rest_offsets)

    def mirror(self) -> Motion:
        """The motion seen in a mirror: x negated, left and right joints exchanged, rotations and face with them; the text stays.

        `hf_motion.data.motion_text.mirror_motion` exchanges the sides in the text too.

        Example:
        >>> import numpy as np
        >>> from hf_motion import Motion
        >>> joints = np.zeros((1, 22, 3)); joints[0, 20] = [0.7, 1, 0]
        >>> Motion(joints).mirror().joints[0, 21].astype(float).round(3).tolist()
        [-0.7, 1.0, 0.0]
        """
        other = list(self.skeleton.mirror)
        across = np.array([-1, 1, 1], np.float32)
        joints, offsets = self.joints[:, other] * across, self.rest_offsets
        face = None if self.face is None else self.face.mirrored()
        if self.rotations is None or offsets is None:
            return replace(self, joints=joints, face=face)
        rotations = self.rotations[:, other] * np.array([1, 1, -1, -1], np.float32)
        return replace(self, joints=joints, rotations=rotations, rest_offsets=offsets[..., other, :] * across, face=face)

    def in_place(self) -> Motion:
        """The same motion without its travel over the floor, for engines that move the character themselves.

        The root stays above the point where it starts; heights, turns and everything relative to the root are kept. The travel that
        was taken out is `motion.joints[:, 0] - motion.in_place().joints[:, 0]`, (frames, 3), metres, to drive the character with.

        Example:
        >>> import numpy as np
        >>> from hf_motion import Motion
        >>> walking = Motion(np.zeros((3, 22, 3)) + [[[0, 1, 5]], [[0, 1, 6]], [[0, 2, 7]]])
        >>> walking.in_place().joints[:, 0].tolist()
        [[0.0, 1.0, 5.0], [0.0, 1.0, 5.0], [0.0, 2.0, 5.0]]
        """
        travel = (self.joints[:, :1] - self.joints[:1, :1]) * np.array([1, 0, 1], np.float32)
        return replace(self, joints=self.joints - travel)

    @overload
    def save(self, target: str | os.PathLike, *, format: str | None = None, **options: Any) -> Path: ...
    @overload
    def save(self, target: BinaryIO, *, format: str | None = None, **options: Any) -> None: ...
    def save(self, target: str | os.PathLike | BinaryIO, *, format: str | None = None, **options: Any) -> Path | None:
        """Write the motion in the format that the suffix of a path names, or `format` for a file object.

        | suffix | what is written | options |
        |---|---|---|
        | .bvh | skeleton animation for Blender, Maya, Unity, Unreal | see `hf_motion.formats.write_bvh` |
        | .glb | skeleton animation with a simple body, glTF 2.0 | see `hf_motion.formats.write_glb` |
        | .fbx | the same for Unity, Unreal, Maya; needs Blender | see `hf_motion.formats.write_fbx` |
        | .usd .usda .usdc .usdz | the same as UsdSkel; needs usd-core | see `hf_motion.formats.write_usd` |
        | .vrma | animation of any VRM character | see `hf_motion.formats.write_vrma` |
        | .json | joint positions and rotations, for web players | see `hf_motion.formats.write_json` |
        | .npz | joints, fps, skeleton, text and face, lossless; or SMPL-H poses | `layout="amass"`: see `hf_motion.formats.write_amass` |
        | .csv | joint positions, one row per frame | see `hf_motion.formats.write_csv` |
        | .mp4 .gif | video | see `hf_motion.rendering.save_video` |
        | .png | contact sheet of poses over time | see `hf_motion.rendering.save_contact_sheet` |
        | .html | self-contained player | see `hf_motion.rendering.save_player` |

        Args:
            target (`str`, `os.PathLike` or binary file object): File to write; missing folders are made, and it appears whole or not at
                all. Or what is open for bytes: `open(path, "wb")`, `io.BytesIO()`, an upload.
            format (`str`, *optional*): One of the suffixes without the point; needed for a file object.
            **options: Passed to the writer.

        Returns:
            `pathlib.Path`: The written file; None for a file object.

        Raises:
            ValueError: If the suffix or the format is unknown, they differ, or a file object comes without format or takes text.
            TypeError: If the format has no such option; the message lists those that it has.
            ImportError: If the format needs Blender or an extra that is not there.
            OSError: If the folder is not writable or the disk is full; nothing half-written stays behind.
        """
        from .formats.dispatch import save_motion

        return save_motion(self, target, format, **options)

    def to_bytes(self, format: str, **options: Any) -> bytes:
        """The content of a file of that format, for answers of a server, uploads and data bases.

        Args:
            format (`str`): `"bvh"`, `"glb"`, `"fbx"`, `"usd"` and its kin, `"vrma"`, `"json"`, `"npz"`, `"csv"`, `"mp4"`, `"gif"`, `"png"`
                or `"html"`, see `save`.
            **options: Passed to the writer.

        Raises:
            ValueError: If the format is unknown.

        Example:
        >>> import numpy as np
        >>> from hf_motion import Motion
        >>> Motion(np.zeros((2, 22, 3))).to_bytes("csv")[:20]
        b'time,pelvis_x,pelvis'
        """
        from .formats.dispatch import motion_bytes

        return motion_bytes(self, format, **options)

    @classmethod
    def load(cls, path: str | os.PathLike) -> Motion:
        """Read a motion from a `.npz` or `.json` written by `save`, or from a `.bvh`, `.glb`, `.gltf`, `.vrm`, `.vrma` or `.fbx` file.

        A file that carries one of our skeletons is read back onto it; any other keeps its own joints. `hf_motion.read_motion`
        reads more formats, and puts any known rig onto our joints.

        Raises:
            ValueError: If the suffix is unknown or the file is truncated or malformed.
            FileNotFoundError: If there is no such file.
        """
        from .formats.dispatch import load_motion

        return load_motion(path)

    def _repr_html_(self) -> str:
        from .formats.dispatch import notebook_html

        return notebook_html(self)


def _checked_sequence(motions: Sequence[Motion], continued: bool) -> list[Motion]:
    motions = list(motions)
    if not motions:
        raise ValueError("There is no motion to concatenate; pass a list with at least one.")
    for index, motion in enumerate(motions):
        if not isinstance(motion, Motion):
            raise TypeError(f"Only motions are concatenated, got {type(motion).__name__} at {index}. Wrap arrays: Motion(joints, fps=20).")
        if motion.skeleton != motions[0].skeleton:
            raise ValueError(
                f"Motion {index} is on skeleton {motion.skeleton.name!r}, the first on {motions[0].skeleton.name!r}. Read the files with "
                "hf_motion.formats.read.read_motion, which maps their joints to one skeleton."
            )
    if continued and len(motions) > 1 and motions[0].skeleton.facing is None:
        raise ValueError(
            f"Skeleton {motions[0].skeleton.name!r} does not say what its hips and shoulders are, so headings cannot be continued. Pass "
            "continued=False, or read the files with hf_motion.formats.read.read_motion, which maps their joints to 'humanml3d-22'."
        )
    return motions


def _continuing(before: Motion, after: Motion) -> Motion:
    """The motion `after`, beginning one step behind the end of `before`, facing as that does."""
    last, start = before.joints[-1], after.joints[0, 0].astype(np.float64)
    step = last[0] - before.joints[-2, 0] if len(before) > 1 else 0
    turned = after.turn(_heading(last, before.skeleton) - _heading(after.joints[0], after.skeleton), about=start)
    return replace(turned, joints=turned.joints + (last[0] + step - start) * [1, 0, 1])


def _joined_rotations(parts: Sequence[Motion]) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Rotations and offsets of motions one after another; offsets of every frame where the bodies differ."""
    if any(part.rotations is None for part in parts):
        return None, None
    offsets = [part.rest_offsets for part in parts]
    same = all(one.ndim == 2 and np.array_equal(one, offsets[0]) for one in offsets)
    if not same:
        offsets = [np.broadcast_to(one, part.joints.shape) for one, part in zip(offsets, parts, strict=True)]
    rotations = np.concatenate([part.rotations for part in parts]).view(Fitted)
    return rotations, offsets[0] if same else np.concatenate(offsets)


def _check_face(face: Any, frames: int) -> None:
    if not isinstance(face, Face):
        raise ValueError(f"face must be a Face or None, got {type(face).__name__}. Wrap coefficients: Face(coefficients, 'arkit-52').")
    if len(face) != frames:
        raise ValueError(
            f"The face has {len(face)} frames and the body {frames}. Resample or cut one of them (`face.resample`, `face[:n]`), put them "
            "together by time with `hf_motion.formats.attach_face`, or pass face=None."
        )


def joined_faces(motions: Sequence[Motion], between: Sequence[int] = ()) -> Face | None:
    """The faces of motions one after another, or None if none has one. Where only some have, the others are neutral, which is said.

    Args:
        motions (`list[Motion]`): At one frame rate.
        between (`list[int]`, *optional*): Frames from each motion to the next, in which one face becomes the other, linearly.

    Raises:
        ValueError: If their coefficients differ.
    """
    known = next((motion.face for motion in motions if motion.face is not None), None)
    if known is None:
        return None
    bare = sum(motion.face is None for motion in motions)
    if bare:
        logger.warning("%d of %d motions have no face; it is neutral there.", bare, len(motions))
    faces = [known.neutral(len(motion)) if motion.face is None else motion.face for motion in motions]
    parts = faces[:1]
    for face, gap in itertools.zip_longest(faces[1:], between, fillvalue=0):
        ends = Face.concatenate([parts[-1][-1:], face[:1]])
        parts += [ends.at(np.linspace(0, 1, gap + 2)[1:-1])] * bool(gap) + [face]
    return Face.concatenate(parts)


def _heading(pose: np.ndarray, skeleton: Skeleton) -> float:
    """Angle about the vertical from +Z to where the pose faces, radians; see `hf_motion.canonical.face_forward`."""
    right_hip, left_hip, right_shoulder, left_shoulder = pose[list(skeleton.facing)].astype(np.float64)
    across = right_hip - left_hip + right_shoulder - left_shoulder
    return math.atan2(across[2], -across[0])


def check_fps(fps: Any) -> float:
    """A frame rate as a float.

    Raises:
        ValueError: If it is not a number in `hf_motion.utils.limits.FPS_RANGE`.
    """
    lowest, highest = FPS_RANGE
    if isinstance(fps, bool) or not isinstance(fps, Real) or not (math.isfinite(fps) and fps > 0):
        raise ValueError(f"fps must be a positive number of frames per second, got {fps!r}.")
    if not lowest <= fps <= highest:
        raise ValueError(
            f"fps must be from {lowest:g} to {highest:,.0f} frames per second, got {float(fps):g}. Where a file says its rate or frame "
            "time wrong, say it with `source_fps=` (--source-fps)."
        )
    return float(fps)


def resampling_weights(frames: int, source_fps: float, target_fps: float) -> tuple[np.ndarray, np.ndarray]:
    """Where the frames of a resampled clip lie between those of the original.

    Args:
        frames (`int`): Frames of the original, at least two.
        source_fps (`float`): Its frame rate.
        target_fps (`float`): The wanted one.

    Returns:
        `tuple[numpy.ndarray, numpy.ndarray]`: Index of the frame to the left (int64), and weight of the next one (float32).
    """
    last = frames - 1
    times = np.arange(int(np.floor(last * target_fps / source_fps + 1e-6)) + 1) * (source_fps / target_fps)
    left = np.minimum(times.astype(int), last - 1)
    return left, (times - left).astype(np.float32)


def _checked_joints(joints: Any, skeleton: Skeleton) -> np.ndarray:
    if hasattr(joints, "detach"):
        joints = joints.detach().cpu().float().numpy()
    try:
        joints = np.require(joints, np.float32, ["C", "W"])
    except (TypeError, ValueError) as error:
        raise ValueError(f"joints must be an array of numbers of shape (frames, joints, 3): {error}.") from error
    if joints.ndim != 3 or joints.shape[-1] != 3 or not len(joints):
        raise ValueError(f"joints must have shape (frames, joints, 3) with at least one frame, got {joints.shape}.")
    if joints.shape[1] != len(skeleton):
        raise ValueError(
            f"joints has {joints.shape[1]} joints but skeleton {skeleton.name!r} has {len(skeleton)}. "
            "Pass the skeleton that the joints belong to as `skeleton=`."
        )
    finite = np.isfinite(joints).all(axis=(1, 2))
    if not finite.all():
        frames = np.flatnonzero(~finite)
        raise ValueError(
            f"joints holds NaN or infinity in {len(frames)} of {len(joints)} frames, first in frame {frames[0]}. "
            "Repair or drop these frames first."
        )
    return joints
