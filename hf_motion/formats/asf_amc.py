"""Reading Acclaim skeletons and motions (.asf with .amc), as CMU's motion capture database and HDM05 publish them.

PyPI's pyacclaim 0.0.1 gives the same positions for CMU's files, but leaves out the last frame, walks frames one by one and raises
whatever comes on damaged files; nothing else there reads them, hence a reader of our own.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import numpy as np
import torch
from torch import Tensor

from ..motion import check_fps
from ..representation.rotations import quaternion_conjugate, quaternion_multiply
from ..skeletons import Skeleton
from ..utils import limits
from .animation import Animation, euler_quaternions, sample

_FREEDOMS = ("rx", "ry", "rz")
_ROOT_ORDER = ("tx", "ty", "tz", "rx", "ry", "rz")


@dataclass(frozen=True, eq=False)
class AsfFile:
    """What an ASF file holds: a skeleton in its rest pose, in the file's own units and axes.

    Args:
        bone_names (`tuple[str, ...]`): The root first, parents before children.
        parents (`tuple[int, ...]`): Parent index per bone, -1 for the root.
        vectors (`numpy.ndarray`): Bone vectors in the rest pose, direction times length, (bones, 3) float64 in file units;
            where the root stands, for the root.
        axes (`torch.Tensor`): Unit quaternions of the bones' own axes, (bones, 4) float64: turns happen about these.
        freedoms (`tuple[tuple[str, ...], ...]`): For each bone, what an AMC file says of it, in order, such as `("rx", "rz")`.
        root_turns (`str`): Order in which the root turns, such as `"xyz"`; x first, all about the world's axes.
        length (`float`): The `length` of the file's units. CMU's 0.45 means that a unit is 1 / 0.45 inch.
        degrees (`bool`): Whether its angles are in degrees rather than radians.
    """

    bone_names: tuple[str, ...]
    parents: tuple[int, ...]
    vectors: np.ndarray
    axes: Tensor
    freedoms: tuple[tuple[str, ...], ...]
    root_turns: str
    length: float
    degrees: bool

    def skeleton(self) -> Skeleton:
        """Joints where the bones begin, under the bones' names, and `<bone>_end` where one without children ends."""
        count = len(self.bone_names)
        leaves = [bone for bone in range(count) if bone not in self.parents]
        names = (*self.bone_names, *(f"{self.bone_names[bone]}_end" for bone in leaves))
        return Skeleton(f"asf-{len(names)}", names, (*self.parents, *leaves))


@dataclass(frozen=True, eq=False)
class AmcFile:
    """What an AMC file holds, on the skeleton of its ASF file, in their units and axes.

    Args:
        asf (`AsfFile`): The skeleton.
        columns (`dict[str, numpy.ndarray]`): For each bone, the numbers of its degrees of freedom, (frames, freedoms) float64.
        degrees (`bool`): Whether angles are in degrees rather than radians.
        fps (`float`): Frames per second. The format does not say; 120 for nearly all of CMU's takes.
    """

    asf: AsfFile
    columns: dict[str, np.ndarray]
    degrees: bool
    fps: float
    frames: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "frames", len(self.columns[self.asf.bone_names[0]]))

    def skeleton(self) -> Skeleton:
        """See `AsfFile.skeleton`."""
        return self.asf.skeleton()

    def joint_positions(self, fps: float | None = None) -> np.ndarray:
        """World positions of the joints of `skeleton()`, (frames, joints, 3) float64, by forward kinematics.

        Args:
            fps (`float`, *optional*): Resample to this rate, rotations by slerp, the root's path linearly.

        Raises:
            ValueError: If that would make more than a million frames.
        """
        return self.animation(fps).joints

    def animation(self, fps: float | None = None) -> Animation:
        """World positions with the local rotations and offsets that make them; see `joint_positions`."""
        return sample(self.local_pose, self.skeleton(), self.frames, self.fps, fps)

    def local_pose(self, frames: np.ndarray) -> tuple[Tensor, Tensor]:
        """Local rotations and offsets of some frames.

        Args:
            frames (`numpy.ndarray`): Frame numbers, (frames,) int64.

        Returns:
            `tuple[torch.Tensor, torch.Tensor]`: Unit quaternions (frames, joints, 4), real part first, and offsets from the
            parent (frames, joints, 3), float64.
        """
        asf, skeleton = self.asf, self.skeleton()
        turns = torch.zeros(len(frames), len(asf.bone_names), 4, dtype=torch.float64)
        turns[..., 0] = 1
        offsets = np.zeros((len(frames), len(skeleton), 3))
        offsets[:, 1:] = np.concatenate((np.zeros((1, 3)), asf.vectors[1:]))[list(skeleton.parents[1:])]
        for bone, name in enumerate(asf.bone_names):
            if name in self.columns:
                numbers, freedoms = self.columns[name][frames], asf.freedoms[bone]
                if not bone:
                    offsets[:, 0] = asf.vectors[0] + numbers[:, [freedoms.index(f"t{axis}") for axis in "xyz"]]
                    numbers, freedoms = numbers[:, [freedoms.index(f"r{axis}") for axis in asf.root_turns]], asf.root_turns
                turns[:, bone] = _turn(torch.from_numpy(numbers), [freedom[-1] for freedom in freedoms], self.degrees)
        local = quaternion_multiply(quaternion_multiply(asf.axes, turns), quaternion_conjugate(asf.axes))
        rest = local.new_zeros(len(frames), len(skeleton) - len(asf.bone_names), 4)
        rest[..., 0] = 1
        return torch.cat((local, rest), dim=1), torch.from_numpy(offsets)


def read_amc(path: str | os.PathLike, asf: str | os.PathLike | None = None, *, fps: float = 120.0) -> AmcFile:
    """Read an AMC motion with its ASF skeleton.

    Args:
        path (`str` or `os.PathLike`): The .amc file.
        asf (`str` or `os.PathLike`, *optional*): Its skeleton. By default `find_asf` looks for it beside the motion.
        fps (`float`, defaults to 120.0): The motion's frame rate, which the format does not hold. A few of CMU's takes have 60.

    Returns:
        `AmcFile`: The motion.

    Raises:
        ValueError: If a file is empty, truncated, malformed or not text (the message names the file, the line and what was
            expected), or the motion does not fit the skeleton.
        FileNotFoundError: If there is no such file, or no ASF file beside it.
    """
    return _AmcParser(Path(path)).read(parse_asf(find_asf(path) if asf is None else asf), check_fps(fps))


def find_asf(path: str | os.PathLike) -> Path:
    """The skeleton that belongs to an AMC file: `02.asf` for CMU's `02_01.amc`, `02_01.asf`, or the only .asf in the folder.

    Raises:
        FileNotFoundError: If there is none of these.
    """
    path = Path(path)
    candidates = {file.stem.lower(): file for file in sorted(path.parent.glob("*")) if file.suffix.lower() == ".asf"}
    stem = path.stem.lower()
    for name in (stem, stem.rpartition("_")[0]):
        if name in candidates:
            return candidates[name]
    if len(candidates) == 1:
        return next(iter(candidates.values()))
    there = f"it has {', '.join(file.name for file in candidates.values())}" if candidates else "it has none"
    subject = f"{path.stem.rpartition('_')[0] or path.stem}.asf"
    raise FileNotFoundError(
        f"No skeleton for {str(path)!r}: expected {subject!r} or one single .asf file in the same folder, {there}. Pass it as `asf=`."
    )


def parse_asf(path: str | os.PathLike) -> AsfFile:
    """Read an ASF skeleton, unconverted.

    Raises:
        ValueError: If the file is empty, truncated, malformed or not text; the message names the file, the line and what was
            expected.
        FileNotFoundError: If there is no such file.
    """
    return _AsfParser(Path(path)).read()


def _turn(angles: Tensor, axes: list[str], degrees: bool) -> Tensor:
    """Quaternions of turns (..., n) about fixed axes, the first in the list first."""
    angles = torch.deg2rad(angles) if degrees else angles
    return euler_quaternions(angles.flip(-1), torch.eye(3).to(angles)[["xyz".index(axis) for axis in reversed(axes)]])


class _Lines:
    kind = ""

    def __init__(self, path: Path) -> None:
        self.path = path
        data = limits.read_bytes(path)
        if b"\0" in data:
            line = data.count(b"\n", 0, data.index(b"\0")) + 1
            self.fail(line, "text", "a zero byte; is it another encoding or a binary file?")
        # Names and numbers are ASCII; comments and documentation may be in any encoding.
        self.lines = re.split(r"\r\n|\r|\n", data.decode("latin-1").removeprefix("\xef\xbb\xbf").rstrip())

    def fail(self, line: int, expected: str, found: str) -> NoReturn:
        raise ValueError(f"{str(self.path)!r} is not a readable {self.kind} file: line {line}: expected {expected}, found {found}.")

    def numbers(self, words: list[str], line: int, count: int, of: str) -> list[float]:
        numbers = _numbers(words)
        if numbers is None or len(numbers) != count:
            self.fail(line, f"{count} finite numbers for {of}", _shown(" ".join(words)))
        return numbers.tolist()


@dataclass
class _Bone:
    line: int
    name: str = ""
    direction: list[float] | None = None
    length: float | None = None
    axis: tuple[list[float], str] | None = None
    freedoms: tuple[str, ...] = ()


class _AsfParser(_Lines):
    kind = "ASF"

    def read(self) -> AsfFile:
        self.length, self.degrees = 1.0, True
        self.root = {"order": _ROOT_ORDER, "axis": "xyz", "position": [0.0] * 3, "orientation": [0.0] * 3}
        self.bones: dict[str, _Bone] = {}
        self.parent_of: dict[str, str] = {}
        self.children_of: dict[str, list[str]] = {}
        readers = {"units": self._unit, "root": self._root, "bonedata": self._bone_line, "hierarchy": self._link}
        self.open: _Bone | None = None
        section, seen = "", set()
        for number, line in enumerate(self.lines, 1):
            words = line.split("#")[0].split()
            if words and words[0].startswith(":"):
                section = words[0][1:].lower()
                seen.add(section)
            elif words and section in readers:
                readers[section](words, number)
        missing = [f":{name}" for name in ("root", "bonedata", "hierarchy") if name not in seen]
        if missing or self.open is not None or not self.bones or not self.parent_of:
            self.fail(len(self.lines), " and ".join(missing) or "bones that end with 'end' and a :hierarchy", "the end of the file")
        return self._file()

    def _unit(self, words: list[str], line: int) -> None:
        if words[0].lower() == "length":
            (self.length,) = self.numbers(words[1:], line, 1, "the length of the units")
            if not 1e-6 < self.length < 1e6:
                self.fail(line, "a positive length of the units", _shown(words[1]))
        elif words[0].lower() == "angle":
            if [word[:3].lower() for word in words[1:]] not in (["deg"], ["rad"]):
                self.fail(line, "angle deg or angle rad", _shown(" ".join(words)))
            self.degrees = words[1][:3].lower() == "deg"

    def _root(self, words: list[str], line: int) -> None:
        key, rest = words[0].lower(), [word.lower() for word in words[1:]]
        if key == "order":
            if sorted(rest) != sorted(_ROOT_ORDER):
                self.fail(line, "an order of TX TY TZ RX RY RZ for the root", _shown(" ".join(words)))
            self.root["order"] = tuple(rest)
        elif key == "axis":
            self.root["axis"] = self._axis_order(rest, line)
        elif key in ("position", "orientation"):
            self.root[key] = self.numbers(rest, line, 3, f"the root's {key}")

    def _axis_order(self, words: list[str], line: int) -> str:
        if len(words) != 1 or sorted(words[0].lower()) != ["x", "y", "z"]:
            self.fail(line, "an order of the axes such as XYZ", _shown(" ".join(words)))
        return words[0].lower()

    def _bone_line(self, words: list[str], line: int) -> None:
        key, rest = words[0].lower(), words[1:]
        if (key == "begin") != (self.open is None):
            self.fail(line, "'begin' of a bone" if self.open is None else "'end' of the bone before the next", _shown(" ".join(words)))
        if key == "begin":
            self.open = _Bone(line)
        elif key == "name":
            self.open.name = " ".join(rest)
        elif key == "direction":
            self.open.direction = self.numbers(rest, line, 3, "the direction")
        elif key == "length":
            (self.open.length,) = self.numbers(rest, line, 1, "the length")
        elif key == "axis":
            angles = self.numbers(rest[:3], line, 3, "the axis")
            self.open.axis = angles, self._axis_order(rest[3:], line)
        elif key == "dof":
            self.open.freedoms = tuple(word.lower() for word in rest)
            if not set(self.open.freedoms) <= set(_FREEDOMS) or len(set(rest)) < len(rest):
                self.fail(line, f"degrees of freedom of {', '.join(_FREEDOMS)}, the only ones supported", _shown(" ".join(rest)))
        elif key == "end":
            self._close(line)

    def _close(self, line: int) -> None:
        bone, self.open = self.open, None
        missing = [key for key in ("name", "direction", "length", "axis") if getattr(bone, key) in ("", None)]
        if missing:
            self.fail(line, f"{' and '.join(missing)} of the bone that begins in line {bone.line}", "'end'")
        if bone.name in self.bones or bone.name == "root" or bone.name.startswith(":"):
            self.fail(line, "a bone name that occurs once", _shown(bone.name))
        if len(self.bones) == limits.MAX_JOINTS:
            self.fail(line, f"at most {limits.MAX_JOINTS} bones", "more")
        self.bones[bone.name] = bone

    def _link(self, words: list[str], line: int) -> None:
        if words in (["begin"], ["end"]):
            return
        for name in words:
            if name != "root" and name not in self.bones:
                self.fail(line, "names of bones", _shown(name))
        for child in words[1:]:
            if child == "root" or child in self.parent_of:
                self.fail(line, "a hierarchy in which every bone has one parent", f"{_shown(child)} again")
            self.parent_of[child] = words[0]
            self.children_of.setdefault(words[0], []).append(child)

    def _file(self) -> AsfFile:
        names, waiting = [], ["root"]
        while waiting:
            names.append(waiting.pop())
            waiting.extend(reversed(self.children_of.get(names[-1], ())))
        apart = [name for name in self.bones if name not in names]
        if apart:
            self.fail(len(self.lines), "a hierarchy that joins all bones to the root", f"{_shown(apart[0])} apart or in a circle")
        bones = [self.bones[name] for name in names[1:]]
        angles, orders = zip((self.root["orientation"], self.root["axis"]), *(bone.axis for bone in bones), strict=True)
        angles = torch.tensor(angles, dtype=torch.float64)
        axes = {order: _turn(angles, list(order), self.degrees) for order in set(orders)}
        return AsfFile(
            bone_names=tuple(names),
            parents=(-1, *(names.index(self.parent_of[name]) for name in names[1:])),
            vectors=np.array([self.root["position"], *(np.array(bone.direction) * bone.length for bone in bones)]),
            axes=torch.stack([axes[order][bone] for bone, order in enumerate(orders)]),
            freedoms=(self.root["order"], *(bone.freedoms for bone in bones)),
            root_turns=self.root["axis"],
            length=self.length,
            degrees=self.degrees,
        )


class _AmcParser(_Lines):
    kind = "AMC"

    def read(self, asf: AsfFile, fps: float) -> AmcFile:
        degrees, numbered = asf.degrees, []
        for number, line in enumerate(self.lines, 1):
            line = line.split("#")[0].strip()
            if line[:4].upper() in (":DEG", ":RAD"):
                degrees = line[1:4].upper() == "DEG"
            elif line and not line.startswith(":"):
                numbered.append((number, line))
        if not numbered:
            self.fail(len(self.lines), "the number of a frame", "the end of the file")
        layout = self._layout(numbered, asf)
        words = " ".join(line for _, line in numbered).split()
        step = sum(1 + width for _, width in layout)
        self._check_frames(numbered, layout, words, step)
        columns, at = {}, 0
        for name, width in layout:
            numbers = [_numbers(words[at + 1 + column :: step]) for column in range(width)]
            if any(column is None for column in numbers):
                self._check_numbers(numbered)
            columns[name] = np.array(numbers).T
            at += 1 + width
        return AmcFile(asf=asf, columns={name: values for name, values in columns.items() if name}, degrees=degrees, fps=fps)

    def _layout(self, numbered: list[tuple[int, str]], asf: AsfFile) -> list[tuple[str, int]]:
        """Name and number of values on each line of a frame, as in the first one; that of the frame's own number is empty."""
        if not numbered[0][1].isdecimal():
            self.fail(numbered[0][0], "the number of a frame", _shown(numbered[0][1]))
        layout = [("", 0)]
        for line, text in numbered[1:]:
            name, *values = text.split()
            if not values:
                break
            if name not in asf.bone_names or name in (known for known, _ in layout):
                self.fail(line, f"bones of the skeleton, each once a frame: {', '.join(asf.bone_names)}", _shown(name))
            freedoms = asf.freedoms[asf.bone_names.index(name)]
            if len(values) != len(freedoms):
                self.fail(line, f"{len(freedoms)} numbers for {name} ({' '.join(freedoms) or 'which does not turn'})", str(len(values)))
            layout.append((name, len(values)))
        if "root" not in (name for name, _ in layout):
            self.fail(numbered[0][0], "a line for the root in every frame", "none")
        return layout

    def _check_frames(self, numbered: list[tuple[int, str]], layout: list[tuple[str, int]], words: list[str], step: int) -> None:
        """Every frame has the lines of the first one, in that order, and its number is one more than that of the frame before."""
        starts, at = [], 0
        for _, width in layout:
            starts.append(at)
            at += 1 + width
        first = int(numbered[0][1][:18])
        whole = len(words) % step == 0 and all(
            set(words[start::step]) == {name} for start, (name, _) in zip(starts[1:], layout[1:], strict=True)
        )
        if whole and words[::step] == [str(first + frame) for frame in range(len(words) // step)]:
            return
        for n, (line, text) in enumerate(numbered):
            frame, place = divmod(n, len(layout))
            name, width = layout[place]
            name = name or str(first + frame)
            found = text.split()
            if found[0] != name or len(found) != 1 + width:
                self.fail(
                    line, f"{name!r} and {width} numbers, in the order of the first frame" if place else f"frame {name}", _shown(text)
                )
        self.fail(len(self.lines), f"{len(layout) - 1} lines for every frame, as in the first one", "the end of the file")

    def _check_numbers(self, numbered: list[tuple[int, str]]) -> None:
        for line, text in numbered:
            for word in text.split()[1:]:
                if _numbers([word]) is None:
                    self.fail(line, "finite numbers", _shown(word))


def _numbers(words: list[str]) -> np.ndarray | None:
    try:
        numbers = np.array(list(map(float, words)))
    except ValueError:
        return None
    return numbers if np.isfinite(numbers).all() else None


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
