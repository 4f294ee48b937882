"""Reading Biovision Hierarchy (.bvh) files of any skeleton, channel order and unit.

PyPI's bvhio 1.5.4 reads all the rigs that we have files of to the same positions, but frame by frame (some 500 a second) and never
returns from an empty or truncated hierarchy; pybvh 0.9.0 refuses joints with position channels; hence a reader of our own.
"""

from __future__ import annotations

import logging
import math
import os
import re
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import NoReturn

import numpy as np
import torch
from torch import Tensor

from ...motion import Motion
from ...skeletons import Skeleton
from ...utils import limits
from ...utils.faults import reading
from ..animation import Animation, euler_quaternions, sample
from ..units import rate_note, reach_units

logger = logging.getLogger("hf_motion")

_CHANNELS = {f"{axis}{kind}".lower(): f"{axis}{kind}" for kind in ("position", "rotation") for axis in "XYZ"}
# Frame rates in use, one of which a coarsely written frame time is taken for.
_RATES = (24, 25, 30, 48, 50, 60, 72, 90, 100, 120, 144, 200, 240, 250, 300, 500, 1000)
# Frames per second of a single pose without a frame time.
_POSE_FPS = 30.0
# Position channels of this share of the OFFSETs, or less, are displacements from these.
_DISPLACED = 0.2
_ELSE = "if that is wrong, say it: source_fps= (--source-fps)"


@dataclass(frozen=True, eq=False)
class BvhFile:
    """What a BVH file holds, in its own units and axes.

    Args:
        joint_names (`tuple[str, ...]`): In the order of the file; End Sites are not joints.
        parents (`tuple[int, ...]`): Parent index per joint, -1 for the root.
        offsets (`numpy.ndarray`): The OFFSET of each joint, (joints, 3) float64.
        channels (`tuple[tuple[str, ...], ...]`): Channel names of each joint, such as `"Zrotation"`, in the order of the columns.
        frames (`numpy.ndarray`): The numbers of the MOTION part, (frames, channels) float64, angles in degrees. Positions that
            the file counts from its OFFSETs have these added.
        fps (`float`): Frames per second: the integer whose inverse the file's frame time is a rounding of, if there is one.
        end_sites (`tuple[tuple[int, tuple[float, float, float]], ...]`, defaults to `()`): Joint and OFFSET of each End Site.
        notes (`tuple[str, ...]`, defaults to `()`): What had to be guessed in reading it, in sentences for the user.
    """

    joint_names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: np.ndarray
    channels: tuple[tuple[str, ...], ...]
    frames: np.ndarray
    fps: float
    end_sites: tuple[tuple[int, tuple[float, float, float]], ...] = ()
    notes: tuple[str, ...] = ()

    def skeleton(self) -> Skeleton:
        """The hierarchy in the order of the file, called `<root>-<number of joints>`."""
        return Skeleton(f"{self.joint_names[0].lower()}-{len(self.joint_names)}", self.joint_names, self.parents)

    def with_end_sites(self) -> BvhFile:
        """The same with End Sites as joints of their own at the end, called `<joint>_end`; a joint's first one only.

        In files without toes or wrists the End Sites say where these are.
        """
        ends = {joint: offset for joint, offset in reversed(self.end_sites) if f"{self.joint_names[joint]}_end" not in self.joint_names}
        return replace(
            self,
            joint_names=(*self.joint_names, *(f"{self.joint_names[joint]}_end" for joint in ends)),
            parents=(*self.parents, *ends),
            offsets=np.concatenate((self.offsets, np.array(list(ends.values())).reshape(-1, 3))),
            channels=(*self.channels, *(() for _ in ends)),
            end_sites=(),
        )

    def joint_positions(self, fps: float | None = None) -> np.ndarray:
        """World positions, (frames, joints, 3) float64, by forward kinematics.

        Rotation channels turn in the order in which they stand. A position channel takes the place of that coordinate of the
        joint's OFFSET, for every joint, the root included, as in Blender.

        Args:
            fps (`float`, *optional*): Resample to this rate, rotations by slerp, positions linearly.

        Raises:
            ValueError: If that would make more than a million frames.
        """
        return self.animation(fps).joints

    def animation(self, fps: float | None = None) -> Animation:
        """World positions with the local rotations and offsets that make them; see `joint_positions`."""
        return sample(self.local_pose, self.skeleton(), len(self.frames), self.fps, fps)

    def local_pose(self, frames: np.ndarray) -> tuple[Tensor, Tensor]:
        """Local rotations and offsets of some frames.

        Args:
            frames (`numpy.ndarray`): Frame numbers, (frames,) int64.

        Returns:
            `tuple[torch.Tensor, torch.Tensor]`: Unit quaternions (frames, joints, 4), real part first, and offsets from the
            parent (frames, joints, 3), float64.
        """
        numbers = self.frames[frames]
        turns = max(1, *(sum(channel.endswith("rotation") for channel in channels) for channels in self.channels))
        angles = np.zeros((len(numbers), len(self.parents), turns))
        axes = np.zeros((len(self.parents), turns, 3))
        offsets = np.broadcast_to(self.offsets, (len(numbers), *self.offsets.shape)).copy()
        column = 0
        for joint, channels in enumerate(self.channels):
            turn = 0
            for channel in channels:
                axis = "XYZ".index(channel[0])
                if channel.endswith("position"):
                    offsets[:, joint, axis] = numbers[:, column]
                else:
                    angles[:, joint, turn], axes[joint, turn, axis] = numbers[:, column], 1.0
                    turn += 1
                column += 1
        return euler_quaternions(torch.from_numpy(np.radians(angles)), torch.from_numpy(axes)), torch.from_numpy(offsets)


def read_bvh(path: str | os.PathLike, *, scale: float | None = None, up_axis: str = "y") -> Motion:
    """Read a BVH file as a motion.

    A file whose joints have the names and parents of one of our skeletons, in any order, comes back on that skeleton. Any other
    keeps its own joints on a `Skeleton` built from the file.

    BVH files do not say their unit. Without `scale` it is found from the longest way through the bones, hand to toe: of the units of
    `hf_motion.formats.units.UNITS` in which that measures 1.0 to 2.6 m, the one in which it comes closest to an adult's 2.1 m. What
    has a person's size in no unit is read with a warning. What is guessed is said by the logger `hf_motion`.

    Args:
        path (`str` or `os.PathLike`): The file.
        scale (`float`, *optional*): Units of the file in one metre, as in `write_bvh`: 100 for centimetres, 39.37 for inches.
            Guessed by default.
        up_axis (`str`, defaults to `"y"`): The file's up axis, `"y"` or `"z"`.

    Returns:
        `Motion`: Joints in metres, Y up. Frame times that are a rounded 1 / integer give that integer as fps.

    Raises:
        ValueError: If the file is empty, truncated, malformed or not UTF-8 text (the message names the file, the line and what
            was expected), or if `scale` or `up_axis` is not one of the above.
        FileNotFoundError: If there is no such file.

    Example:
    >>> import pathlib, tempfile
    >>> from hf_motion.formats.bvh import read_bvh
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "stick.bvh"
    >>> _ = path.write_text('''HIERARCHY
    ... ROOT hips
    ... {
    ...     OFFSET 0 0 0
    ...     CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
    ...     JOINT head
    ...     {
    ...         OFFSET 0 80 0
    ...         CHANNELS 3 Zrotation Xrotation Yrotation
    ...         End Site
    ...         {
    ...             OFFSET 0 20 0
    ...         }
    ...     }
    ... }
    ... MOTION
    ... Frames: 1
    ... Frame Time: 0.0333333
    ... 0 90 0 90 0 0 0 0 0
    ... ''')
    >>> motion = read_bvh(path, scale=100)
    >>> motion, motion.joints[0, 1].astype(float).round(3).tolist()
    (Motion(1 frames at 30 fps, 0.03 s, hips-2, with rotations), [-0.8, 0.9, 0.0])
    """
    if scale is not None and not (np.isscalar(scale) and not isinstance(scale, str) and np.isfinite(scale) and scale > 0):
        raise ValueError(
            f"scale must be a positive number of file units per metre (100 for centimetres), or None to guess it; got {scale!r}."
        )
    if str(up_axis).lower() not in ("y", "z"):
        raise ValueError(f"up_axis must be 'y' or 'z', got {up_axis!r}.")
    file = parse_bvh(path)
    skeleton = file.skeleton()
    with np.errstate(all="ignore"):
        made = file.animation()
        guessed, note = (1.0, None) if scale is not None else guessed_scale(made.joints, file)
        made = made.in_metres(scale or guessed, str(up_axis).lower())
        joints = made.joints.astype(np.float32)
    if not np.isfinite(joints).all():
        raise ValueError(f"{str(path)!r} places joints beyond all bounds; its OFFSETs or position channels are damaged.")
    for text in (*file.notes, *filter(None, [note])):
        logger.warning("%s: %s.", path, text)
    made, skeleton = made.on_known(skeleton)
    with reading(path, "a BVH file of a known frame rate"):
        return Motion(made.joints, fps=file.fps, skeleton=skeleton, rotations=made.rotations, rest_offsets=made.rest_offsets)


def guessed_scale(joints: np.ndarray, file: BvhFile) -> tuple[float, str | None]:
    """Units per metre and what to say about it, from the longest way through the bones, for rigs of which nothing is known.

    Args:
        joints (`numpy.ndarray`): What `file.joint_positions()` returns.
        file (`BvhFile`): The file.
    """
    skeleton = file.skeleton()
    above = [max(parent, 0) for parent in skeleton.parents]
    lengths = np.median(np.linalg.norm(joints - joints[:, above], axis=-1), axis=0)
    first = skeleton.children[0]
    if len(first) == 1 and any(channel.endswith("position") for channel in file.channels[first[0]]):
        lengths[first[0]] = 0  # a root that carries the character about: the way to it is no bone
    down, longest = np.zeros(len(skeleton)), 0.0
    for joint in range(len(skeleton) - 1, 0, -1):
        reach = down[joint] + lengths[joint]
        longest = max(longest, down[above[joint]] + reach)
        down[above[joint]] = max(down[above[joint]], reach)
    return reach_units(float(longest))


def parse_bvh(path: str | os.PathLike, *, source_fps: float | None = None) -> BvhFile:
    """Read the hierarchy and the channels of a BVH file, unconverted.

    Args:
        path (`str` or `os.PathLike`): The file.
        source_fps (`float`, *optional*): Its frame rate, where the file says it wrong.

    Returns:
        `BvhFile`: The file's content.

    Raises:
        ValueError: As `read_bvh`.
        FileNotFoundError: If there is no such file.
    """
    parser = _Parser(Path(path), source_fps)
    parser.hierarchy()
    return parser.motion()


@dataclass
class _Joint:
    name: str
    index: int | None = None  # None marks an End Site
    parent: int = -1
    offset: list[float] | None = None
    channels: tuple[str, ...] = ()


class _Parser:
    def __init__(self, path: Path, source_fps: float | None) -> None:
        self.path, self.source_fps = path, source_fps
        self.notes: list[str] = []
        self.joints: list[_Joint] = []
        self.end_sites: list[_Joint] = []
        self.motion_line = 0
        data = limits.read_bytes(path)
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            found = f"the byte 0x{data[error.start]:02x}; is it another encoding or a binary file?"
            self.fail(data.count(b"\n", 0, error.start) + 1, "UTF-8 text", found)
        self.lines = re.split(r"\r\n|\r|\n", text.rstrip())

    def fail(self, line: int, expected: str, found: str) -> NoReturn:
        raise ValueError(f"{str(self.path)!r} is not a readable BVH file: line {line}: expected {expected}, found {found}.")

    def hierarchy(self) -> None:
        """Read the joints, up to the word MOTION."""
        filled = ((number, line) for number, line in enumerate(self.lines, 1) if line)
        parts = ((number, part) for number, line in filled for part in re.findall(r"[{}]|[^{}\s][^{}]*", line))
        line, word = next(parts, (1, "the end of the file"))
        if word.strip().upper() != "HIERARCHY":
            self.fail(line, "the word HIERARCHY", _shown(word))
        open_: list[_Joint] = []
        for line, part in parts:
            keyword, rest = (*part.split(None, 1), "")[:2]
            keyword, rest = keyword.upper(), rest.strip()
            if keyword == "MOTION" and self.joints and not open_:
                self.motion_line = line
                return
            if keyword in ("ROOT", "JOINT", "END"):
                open_.append(self._open(keyword, rest, open_, line))
                line, brace = next(parts, (len(self.lines), "the end of the file"))
                if brace != "{":
                    self.fail(line, f"an opening brace after {_shown(part)}", _shown(brace))
            elif not open_:
                self.fail(line, "MOTION" if self.joints else "ROOT and a name", _shown(part))
            elif keyword == "OFFSET":
                open_[-1].offset = self._offset(rest, line)
            elif keyword == "CHANNELS":
                open_[-1].channels = self._channels(rest, line)
            elif keyword == "}":
                if open_.pop().offset is None:
                    self.fail(line, "an OFFSET before the closing brace", "none")
            else:
                self.fail(line, "OFFSET, CHANNELS, JOINT, End Site or a closing brace", _shown(part))
        self.fail(len(self.lines), f"{len(open_)} closing braces and MOTION" if open_ else "MOTION", "the end of the file")

    def _open(self, keyword: str, name: str, open_: list[_Joint], line: int) -> _Joint:
        inside = open_[-1] if open_ else None
        if inside is not None and inside.index is None:
            self.fail(line, "a closing brace after the OFFSET of an End Site", f"{keyword} {name}")
        if (keyword == "ROOT") != (inside is None) or (keyword == "ROOT" and self.joints):
            self.fail(line, "one ROOT that holds all JOINTs and End Sites", f"{keyword} {name}")
        if keyword == "END":
            self.end_sites.append(_Joint("End Site", parent=inside.index))
            return self.end_sites[-1]
        if not name or any(joint.name == name for joint in self.joints):
            self.fail(line, "a joint name that occurs once; rename the joint in the program that wrote the file", _shown(name))
        if len(self.joints) == limits.MAX_JOINTS:
            self.fail(line, f"at most {limits.MAX_JOINTS:,} joints", "more")
        self.joints.append(_Joint(name, len(self.joints), -1 if inside is None else inside.index))
        return self.joints[-1]

    def _offset(self, text: str, line: int) -> list[float]:
        numbers = _numbers(text.split())
        if numbers is None or len(numbers) != 3:
            self.fail(line, "three finite numbers after OFFSET", _shown(text))
        return numbers.tolist()

    def _channels(self, text: str, line: int) -> tuple[str, ...]:
        count, *names = text.split() or [""]
        channels = tuple(_CHANNELS.get(name.lower(), "") for name in names)
        positions = [channel for channel in channels if channel.endswith("position")]
        if count != str(len(names)) or "" in channels or len(channels) > 6 or len(set(positions)) < len(positions):
            self.fail(line, f"CHANNELS, a count of at most 6 and as many of {', '.join(_CHANNELS.values())}", _shown(text))
        return channels

    def motion(self) -> BvhFile:
        """Read what follows the word MOTION, after `hierarchy`."""
        numbered = [(number, line.strip()) for number, line in enumerate(self.lines, 1) if number > self.motion_line and line.strip()]
        count = self._header(numbered, 0, r"Frames\s*:\s*(\d{1,9})", "'Frames: ' and a number of frames")
        seconds = self._header(numbered, 1, r"Frame\s+Time\s*:\s*(\S+)", "'Frame Time: ' and seconds")
        fps = self.source_fps or self._frame_rate(seconds, int(count), numbered[1][0])
        width = sum(len(joint.channels) for joint in self.joints)
        if int(count) < 1 or not width:
            self.fail(numbered[0][0], "at least one frame and one channel", f"{count} frames of {width} channels")
        if int(count) > limits.MAX_FRAMES:
            self.fail(numbered[0][0], f"at most {limits.MAX_FRAMES:,} frames; cut the clip into shorter ones", count)
        return BvhFile(
            joint_names=tuple(joint.name for joint in self.joints),
            parents=tuple(joint.parent for joint in self.joints),
            offsets=np.array([joint.offset for joint in self.joints]),
            channels=tuple(joint.channels for joint in self.joints),
            end_sites=tuple((end.parent, tuple(end.offset)) for end in self.end_sites),
            frames=self._placed(self._frames(numbered[2:], int(count), width)),
            fps=fps,
            notes=tuple(self.notes),
        )

    def _frame_rate(self, seconds: str, count: int, line: int) -> float:
        """Frames per second of a written frame time, which may be coarsely rounded, or a rate itself."""
        numbers = _numbers([seconds])
        value = numbers[0] if numbers is not None else -1.0
        if count == 1 and (value == 0 or 0 < value < 1 / _RATES[-1]):
            self.notes.append(f"a single pose with a frame time of {seconds}, read as one frame at {_POSE_FPS:g} fps")
            return _POSE_FPS
        if not 1e-9 < value < 1e9:
            self.fail(line, "a positive frame time in seconds, or the frame rate in source_fps= (--source-fps)", _shown(seconds))
        if 5 <= value <= _RATES[-1]:
            self.notes.append(f"frame time {seconds} is no time between frames, read as {value:g} fps; {_ELSE}")
            return float(value)
        fps, note = _rate_of(float(value), seconds)
        try:
            note = rate_note(fps) if count > 1 and note is None else note
        except ValueError as error:
            raise ValueError(f"{str(self.path)!r}: line {line}: {error}") from error
        self.notes += [note] if note else []
        return fps

    def _placed(self, frames: np.ndarray) -> np.ndarray:
        """Position channels below the root take the place of the OFFSET; some programs write what is to be added to it."""
        columns, offsets, column = [], [], 0
        carrier = 1 if sum(joint.parent == 0 for joint in self.joints) == 1 else 0  # a joint that carries the character about
        for joint in self.joints:
            for channel in joint.channels:
                if channel.endswith("position") and joint.index > carrier:
                    columns.append(column)
                    offsets.append(joint.offset["XYZ".index(channel[0])])
                column += 1
        written, offsets = np.abs(np.median(frames[:, columns], axis=0)).sum(), np.array(offsets)
        if not columns or written > _DISPLACED * np.abs(offsets).sum() or not offsets.any():
            return frames
        self.notes.append("position channels below the root are next to zero, taken as displacements from the OFFSETs")
        frames[:, columns] += offsets
        return frames

    def _header(self, numbered: list[tuple[int, str]], at: int, pattern: str, expected: str) -> str:
        if at >= len(numbered):
            self.fail(len(self.lines), expected, "the end of the file")
        match = re.fullmatch(pattern, numbered[at][1], re.IGNORECASE)
        if match is None:
            self.fail(numbered[at][0], expected, _shown(numbered[at][1]))
        return match[1]

    def _frames(self, numbered: list[tuple[int, str]], count: int, width: int) -> np.ndarray:
        numbers = _numbers(" ".join(line for _, line in numbered).split())
        rows = len(numbers) / width if numbers is not None else 0
        if rows in (count - 1, count, count + 1) and rows:
            if rows != count:
                self.notes.append(f"the line 'Frames:' says {count}, the file has {rows:g}; all of these are read")
            return numbers.reshape(int(rows), width)
        for number, line in numbered:
            words = line.split()
            if _numbers(words) is None:
                bad = next(word for word in words if _numbers([word]) is None)
                self.fail(number, "finite numbers", _shown(bad))
            if len(words) != width:
                self.fail(number, f"{width} numbers, one per channel", str(len(words)))
        self.fail(len(self.lines), f"{count} frames, as the line 'Frames:' says", f"{len(numbered)}")


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")


def _numbers(words: list[str]) -> np.ndarray | None:
    try:
        numbers = np.array(list(map(float, words)))
    except ValueError:
        return None
    return numbers if np.isfinite(numbers).all() else None


def _rate_of(value: float, seconds: str) -> tuple[float, str | None]:
    """Frames per second of a frame time, and what to say if it is not quite its inverse, or another is written the same."""
    digits = max(0, -Decimal(seconds).as_tuple().exponent)
    fps, fine = 1 / value, max(3, digits)
    whole = round(fps)

    def like(rate: int, places: int) -> bool:
        return value in (round(1 / rate, places), math.floor(10**places / rate) / 10**places)

    if whole and abs(whole * value - 1) < 1e-9:
        others = [rate for rate in _RATES if rate != whole and value == round(1 / rate, fine)]
        same = [f"frame time {seconds} is read as {whole} fps, though {rate} fps is written the same; {_ELSE}" for rate in others]
        return float(whole), next(iter(same), None)
    alike = [rate for rate in _RATES if like(rate, digits)]
    if alike:
        fps = float(min(alike, key=lambda rate: abs(1 / rate - value)))
    elif whole and round(1 / whole, fine) == round(value, fine):
        fps = float(whole)
    rounded = f"frame time {seconds} is read as {fps:g} fps; {_ELSE}"
    return fps, rounded if abs(fps * value - 1) > 2e-3 else None
