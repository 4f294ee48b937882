"""What every layout of motion data has in common."""

from __future__ import annotations

import itertools
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ...face import Face
from ...motion import Motion
from ...utils.text import clean_text

Caption = dict[str, Any]

# Seconds by which a face may be shorter or longer than its body.
_FACE_APART = 1.0

ROW_SKELETONS = ("humanml3d-22", "smplx-52", "smplh-52")
"""Joints that rows of a data set made of motion files may have."""


@dataclass(frozen=True)
class SourceOptions:
    """What a user may say about a source.

    Args:
        captions (`pathlib.Path`, *optional*): A captions table or index, or a folder of HumanML3D text files.
        caption (`str`, *optional*): One caption for every file that has none.
        index (`pathlib.Path`, *optional*): HumanML3D's index.csv, for AMASS.
        body_models (`pathlib.Path`, *optional*): Folder of the licensed SMPL models.
        rig (`str`, *optional*): Rig of the files, recognised by default.
        mapping (`pathlib.Path`, *optional*): Mapping file of an unknown rig.
        unit (`str`, *optional*): Unit of the files, found out by default.
        up (`str`, *optional*): Up axis of the files, found out by default.
        fps (`float`, defaults to 20.0): Frame rate to bring files to, None for their own; data sets of features keep theirs.
        source_fps (`float`, *optional*): Frame rate of the files, where they do not say or say it wrong.
        max_frames (`int`, *optional*): Cut longer takes into equal pieces of at most so many frames.
        license (`str`, *optional*): Licence of data that does not say its own.
        name (`str`, *optional*): What the `source` column calls data that has no name of its own.
        keep_features (`bool`, defaults to `True`): Keep published feature vectors beside the joints.
        hands (`pathlib.Path`, *optional*): Folder of recorded hands (`hf_motion.formats.hand_takes`) to put on the bodies' wrists.
        hands_license (`str`, *optional*): Their licence.
        skeleton (`str`, *optional*): Joints of the rows, `"humanml3d-22"`, or with fingers `"smplx-52"` or `"smplh-52"`; the former by
            default, or that of a data set that has its own.
        relaxed_hands (`bool`, defaults to `False`): Put relaxed fingers in the place of those that files lack, rather than leave these out.
    """

    captions: Path | None = None
    caption: str | None = None
    index: Path | None = None
    body_models: Path | None = None
    rig: str | None = None
    mapping: Path | None = None
    unit: str | None = None
    up: str | None = None
    fps: float | None = 20.0
    source_fps: float | None = None
    max_frames: int | None = None
    license: str | None = None
    name: str | None = None
    keep_features: bool = True
    hands: Path | None = None
    hands_license: str | None = None
    skeleton: str | None = None
    relaxed_hands: bool = False

    def __post_init__(self) -> None:
        for name, fps in (("fps", self.fps), ("source_fps", self.source_fps)):
            if fps is not None and not (math.isfinite(fps) and fps > 0):
                raise ValueError(f"{name} must be a positive number of frames per second, got {fps!r}.")
        if self.max_frames is not None and self.max_frames < 2:
            raise ValueError(f"max_frames must be at least 2, got {self.max_frames}.")
        if self.skeleton is not None and self.skeleton not in ROW_SKELETONS:
            raise ValueError(f"Rows are made on one of {', '.join(ROW_SKELETONS)}, got skeleton {self.skeleton!r}.")
        if self.relaxed_hands and self.skeleton in (None, ROW_SKELETONS[0]):
            raise ValueError("relaxed_hands (--relaxed-hands) needs skeleton (--skeleton) smplx-52 or smplh-52, which have fingers.")


@dataclass(frozen=True)
class Item:
    """One thing to read; one or several clips come of it.

    Args:
        name (`str`): Unique; the ids of its clips begin with it.
        path (`str`): What a report calls it.
        take (`str`): The recording it belongs to: clips of one take never come into two splits.
        split (`str`, *optional*): Split, where the data set says; drawn by take otherwise.
        payload (`tuple`): What the source needs to read it.
    """

    name: str
    path: str
    take: str
    split: str | None = None
    payload: tuple = ()


@dataclass(frozen=True)
class Skip:
    """Something that is left out.

    Args:
        path (`str`): The file or row.
        reason (`str`): Why.
    """

    path: str
    reason: str


@dataclass
class Clip:
    """One row to be.

    Args:
        id (`str`): Unique.
        joints (`numpy.ndarray`): (frames, joints, 3), metres.
        fps (`float`): Frames per second.
        captions (`list[dict]`): See `caption`.
        source (`str`): Where it comes from.
        license (`str`): What it may be used for.
        start_frame (`int`): First frame within the take, at `fps`.
        features (`numpy.ndarray`, *optional*): Published features, (frames, dim).
        mirror (`bool`, defaults to `False`): Whether it is another clip's mirror image.
        face (`Face`, *optional*): The face, as many frames.
        face_text (`str`, *optional*): What a data set says about the face.
    """

    id: str
    joints: np.ndarray
    fps: float
    captions: list[Caption]
    source: str
    license: str
    start_frame: int = 0
    features: np.ndarray | None = None
    mirror: bool = False
    face: Face | None = None
    face_text: str | None = None


@dataclass
class MotionSource(ABC):
    """A data set on disk.

    Args:
        folder (`pathlib.Path`): Where it lies.
        options (`SourceOptions`): What the user said about it.
    """

    folder: Path
    options: SourceOptions = field(default_factory=SourceOptions)

    title: ClassVar[str]
    looks_like: ClassVar[str]
    license: ClassVar[str] = "unknown"
    skeleton: str = field(default=ROW_SKELETONS[0], init=False)

    def __post_init__(self) -> None:
        self.skeleton = self.options.skeleton or self.skeleton

    def keep_own_skeleton(self) -> None:
        """Refuse another skeleton than that of the data.

        Raises:
            ValueError: If another is wanted.
        """
        if self.options.skeleton not in (None, self.skeleton):
            raise ValueError(
                f"{self.title} in {str(self.folder)!r} holds joints of {self.skeleton!r}, which do not become those of "
                f"{self.options.skeleton!r}; leave --skeleton out."
            )

    @classmethod
    @abstractmethod
    def fits(cls, folder: Path, options: SourceOptions) -> bool:
        """Whether the folder has this layout."""

    @abstractmethod
    def items(self) -> Iterator[Item | Skip]:
        """What there is to read, found without reading any motion, in an order that does not change."""

    @abstractmethod
    def clips(self, item: Item) -> Iterator[Clip | Skip]:
        """Read an item.

        Raises:
            ValueError: If it is unreadable; so for OSError.
        """

    def files(self, item: Item) -> list[Path]:
        """Files whose change makes it necessary to read the item again."""
        return [self.folder / item.path]

    @property
    def licence(self) -> str:
        """What the `license` column says."""
        return self.options.license or self.license

    def published_statistics(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Mean and std that came with the data set."""
        return None


def caption(text: str, origin: str, pos_tagged: str | None = None, f_tag: float = 0.0, to_tag: float = 0.0) -> Caption:
    """A record of the `captions` column.

    Args:
        text (`str`): The sentence.
        origin (`str`): Where it comes from.
        pos_tagged (`str`, *optional*): `word/POS word/POS`, as HumanML3D writes it.
        f_tag (`float`, defaults to 0.0): Where in the take it begins to hold, in seconds.
        to_tag (`float`, defaults to 0.0): Where it ends; 0 and 0 mean the whole take.

    Raises:
        ValueError: If the sentence is empty.
    """
    return {"text": clean_text(text, "the caption"), "pos_tagged": pos_tagged, "f_tag": f_tag, "to_tag": to_tag, "origin": origin}


def inside(folder: Path, path: str) -> Path:
    """A path that a table names, within its folder.

    Raises:
        ValueError: If it leaves the folder.
        FileNotFoundError: If there is no such file.
    """
    if "\0" in path:
        raise ValueError("its path holds a null byte")
    file = (folder / path).resolve()
    if not file.is_relative_to(folder.resolve()):
        raise ValueError("its path leaves the folder of the data set")
    if not file.is_file():
        raise FileNotFoundError("there is no such file")
    return file


def pieces(frames: int, longest: int | None) -> list[tuple[int, int]]:
    """Equal parts of a take, none longer than `longest`.

    Example:
        >>> pieces(100, None), pieces(400, 196)
        ([(0, 100)], [(0, 133), (133, 266), (266, 400)])
    """
    count = 1 if longest is None else max(1, math.ceil(frames / longest))
    edges = [frames * part // count for part in range(count + 1)]
    return list(itertools.pairwise(edges))


def read_on_floor(path: Path, options: SourceOptions) -> Motion:
    """A file on our joints, lowest joint on the floor, starting at the origin; with the face that lies beside it (`face_beside`)."""
    from ...canonical import put_on_floor, start_at_origin
    from ...formats.read import read_motion

    motion = read_motion(
        path, rig=options.rig, mapping=options.mapping, unit=options.unit, up=options.up, fps=options.fps, source_fps=options.source_fps,
        body_models=options.body_models, skeleton=options.skeleton or ROW_SKELETONS[0], relaxed_hands=options.relaxed_hands,
    )  # fmt: skip
    face = face_beside(path)
    motion = motion if face is None else with_face(motion, face)
    return start_at_origin(put_on_floor(motion))


def face_beside(path: Path) -> Path | None:
    """The face that was recorded with a body: a file of the same name that is Live Link Face's `.csv` or an ARKit `.json`."""
    table, frames = path.with_suffix(".csv"), path.with_suffix(".json")
    if table.is_file() and re.match(rb"\W*timecode,\s*blendshapecount", _beginning(table), re.IGNORECASE):
        return table
    found = frames.is_file() and all(word in _beginning(frames) for word in (b'"names"', b"{"))
    return frames if found else None


def with_face(motion: Motion, path: Path) -> Motion:
    """The body with the face of a file, both from the same moment on.

    Raises:
        ValueError: If the two differ in length by more than a second.
    """
    from ...formats.faces import read_face
    from ...formats.faces.clip import aligned

    clip = read_face(path)
    if abs(clip.duration - motion.duration) > _FACE_APART:
        raise ValueError(f"its face ({path.name}) lasts {clip.duration:.2f} s and its body {motion.duration:.2f} s")
    return aligned(motion, clip)[0]


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4096)


def cut_clips(motion: Motion, item: Item, captions: list[Caption], source: str, licence: str, longest: int | None) -> Iterator[Clip]:
    """The pieces of a take, each on the floor's origin, with the captions of the whole."""
    parts = pieces(len(motion), longest)
    for number, (start, end) in enumerate(parts):
        joints = motion.joints[start:end] - motion.joints[start, 0] * np.array([1, 0, 1], np.float32)
        name = item.name if len(parts) == 1 else f"{item.name}_c{number}"
        face = None if motion.face is None else motion.face[start:end]
        yield Clip(name, joints, motion.fps, captions, source, licence, start_frame=start, face=face)
