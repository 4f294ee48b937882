"""HumanML3D and KIT-ML folders as published: features, joints, texts and split files."""

from __future__ import annotations

import csv
import io
import math
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from ...representation import HumanML3DRepresentation
from ...skeletons import HUMANML3D_22, KIT_21, Skeleton
from ...utils.arrays import load_array
from ...utils.faults import reading
from ...utils.text import read_lines, read_text
from .base import Caption, Clip, Item, MotionSource, Skip, SourceOptions, caption

_SPLITS = ("train", "val", "test")
_NAME = re.compile(r"[\w.-]+")
_WIDTHS = {263: HUMANML3D_22, 251: KIT_21}


@dataclass
class HumanML3DSource(MotionSource):
    """`new_joint_vecs/`, `new_joints/`, `texts/`, `train.txt`, `val.txt`, `test.txt`, `Mean.npy`, `Std.npy`.

    Each name of the split files becomes a row with the captions that hold for all of it. Captions with a from and a to tag become rows
    of their own, cut at those seconds and called `<name>_<first frame>_<end frame>`; the published loaders give such clips random
    names. Mirrored clips (`M...`) are rows with `mirror` set.

    Joints come from `new_joints`, or from the features where that folder is missing: the `positions` slice holds the same numbers.
    """

    title: ClassVar[str] = "HumanML3D / KIT-ML"
    looks_like: ClassVar[str] = "new_joint_vecs/ or new_joints/ beside texts/, with train.txt, val.txt, test.txt"
    license: ClassVar[str] = "see the licence of HumanML3D, KIT-ML and AMASS"
    fps: float = field(default=20.0, init=False)

    @classmethod
    def fits(cls, folder: Path, options: SourceOptions) -> bool:
        """Whether texts lie beside features or joints."""
        return (folder / "texts").is_dir() and any((folder / name).is_dir() for name in ("new_joint_vecs", "new_joints"))

    def __post_init__(self) -> None:
        if not self.fits(self.folder, self.options):
            raise ValueError(f"{str(self.folder)!r} is no HumanML3D folder; it needs {self.looks_like}.")
        skeleton = self._find_skeleton()
        self.skeleton, self.fps = skeleton.name, skeleton.fps
        self.keep_own_skeleton()

    def items(self) -> Iterator[Item | Skip]:
        """Names of the split files; without split files, every clip that has a motion."""
        splits: dict[str, list[str]] = defaultdict(list)
        for split in _SPLITS:
            file = self.folder / f"{split}.txt"
            for name in dict.fromkeys(read_text(file).split()) if file.is_file() else ():
                splits[name].append(split)
        found = {path.stem for part in ("new_joint_vecs", "new_joints") for path in (self.folder / part).glob("*.npy")}
        sources = self._sources()
        for name in [*splits, *sorted(found - splits.keys())]:
            where = splits.get(name, [])
            if not _NAME.fullmatch(name) or name in (".", ".."):
                yield Skip(name, "its name in the split files leaves the folder of the data set")
            elif len(where) > 1:
                yield Skip(name, f"it is in several split files: {', '.join(where)}")
            elif splits and not where:
                yield Skip(name, "it is in no split file")
            elif name not in found:
                yield Skip(name, f"{where[0]}.txt names it, and there is no such motion file")
            else:
                take = name[1:] if name.startswith("M") and name[1:] in found else name
                yield Item(name, name, take, where[0] if where else None, payload=(sources.get(take), name != take))

    def files(self, item: Item) -> list[Path]:
        """The clip's text and arrays."""
        return [path for path in (self._texts(item.name), *self._arrays(item.name)) if path.is_file()]

    def clips(self, item: Item) -> Iterator[Clip | Skip]:
        """The whole clip, and those that tags cut out of it."""
        text = self._texts(item.name)
        if not text.is_file():
            raise ValueError("no caption: there is no file of that name in texts/")
        captions, skipped = read_texts(text, self.fps)
        yield from skipped
        joints, features = self._motion(item.name)
        if not captions:
            raise ValueError("no caption: its file in texts/ is empty")
        source, mirror = item.payload
        for cut, records in captions.items():
            start, end = cut or (0, len(joints))
            end = min(end, len(joints))
            name = f"{item.name}_{start:04d}_{end:04d}" if cut else item.name
            if end <= start:
                yield Skip(name, f"tags {records[0]['f_tag']} and {records[0]['to_tag']} s lie outside its {len(joints)} frames")
                continue
            part = None if features is None else features[start:end]
            source_name = source or self.options.name or ("KIT-ML" if self.skeleton == KIT_21.name else "HumanML3D")
            yield Clip(name, joints[start:end], self.fps, records, source_name, self.licence, start, part, mirror)

    def published_statistics(self) -> tuple[np.ndarray, np.ndarray] | None:
        """`Mean.npy` and `Std.npy`."""
        files = [self.folder / name for name in ("Mean.npy", "Std.npy")]
        if not all(file.is_file() for file in files):
            return None
        mean, std = (load_array(file).astype(np.float64) for file in files)
        dim = HumanML3DRepresentation(self.skeleton).dim
        if mean.shape != (dim,) or std.shape != (dim,) or not (np.isfinite(mean).all() and np.isfinite(std).all() and (std > 0).all()):
            raise ValueError(f"Mean.npy and Std.npy in {str(self.folder)!r} must hold {dim} finite numbers, Std positive ones.")
        return mean, std

    def _texts(self, name: str) -> Path:
        return (self.options.captions or self.folder / "texts") / f"{name}.txt"

    def _arrays(self, name: str) -> tuple[Path, Path]:
        return self.folder / "new_joints" / f"{name}.npy", self.folder / "new_joint_vecs" / f"{name}.npy"

    def _motion(self, name: str) -> tuple[np.ndarray, np.ndarray | None]:
        """Joints (frames, joints, 3) in metres, and features (frames, dim) if there are any."""
        joint_file, feature_file = self._arrays(name)
        representation = _representation(self.skeleton)
        joints, features = (read_array(file) if file.is_file() else None for file in (joint_file, feature_file))
        if features is not None:
            if features.ndim != 2 or features.shape[1] != representation.dim:
                raise ValueError(f"its features have shape {features.shape}, not (frames, {representation.dim})")
            if not len(features):
                raise ValueError("it has no frames")
            if not np.isfinite(features).all():
                raise ValueError("its features hold NaN or infinity")
        if joints is None:
            joints = representation.decode(torch.from_numpy(features)).numpy()
        elif joints.ndim != 3 or joints.shape[1:] != (len(representation.skeleton), 3):
            raise ValueError(f"its joints have shape {joints.shape}, not (frames, {len(representation.skeleton)}, 3)")
        if features is not None:
            joints = joints[: len(features)]
            features = features[: len(joints)]
        return joints / np.float32(1000 if representation.skeleton.unit == "mm" else 1), features if self.options.keep_features else None

    def _find_skeleton(self) -> Skeleton:
        for part in ("new_joint_vecs", "new_joints"):
            for file in sorted((self.folder / part).glob("*.npy"))[:20]:
                try:
                    with reading(file, "a readable .npy file"):
                        shape = np.lib.format.open_memmap(file, mode="r").shape
                except (OSError, ValueError):
                    continue
                if part == "new_joint_vecs" and len(shape) == 2 and shape[1] in _WIDTHS:
                    return _WIDTHS[shape[1]]
                if part == "new_joints" and len(shape) == 3 and shape[1] in (22, 21):
                    return HUMANML3D_22 if shape[1] == 22 else KIT_21
        raise ValueError(f"No file in {str(self.folder)!r} has 263 features or 22 joints (HumanML3D), or 251 or 21 (KIT-ML).")

    def _sources(self) -> dict[str, str]:
        """Where each clip was cut from, from index.csv."""
        index = self.options.index or self.folder / "index.csv"
        if not index.is_file():
            return {}
        with reading(index, "a readable table"):
            rows = list(csv.DictReader(io.StringIO(read_text(index), newline="")))
        try:
            return {Path(row["new_name"]).stem: row["source_path"].removeprefix("./pose_data/").removesuffix(".npy") for row in rows}
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{str(index)!r} must have the columns source_path and new_name.") from error


@cache
def _representation(skeleton: str) -> HumanML3DRepresentation:
    return HumanML3DRepresentation(skeleton)


def read_texts(path: Path, fps: float) -> tuple[dict[tuple[int, int] | None, list[Caption]], list[Skip]]:
    """Captions of a text file by the frames that they are about, None for all, and its lines that are not readable."""
    captions: dict[tuple[int, int] | None, list[Caption]] = defaultdict(list)
    skipped = []
    for number, line in read_lines(path):
        record = parse_line(line)
        if isinstance(record, str):
            skipped.append(Skip(f"{path.parent.name}/{path.name}:{number}", record))
        else:
            tags = record["f_tag"], record["to_tag"]
            captions[(int(tags[0] * fps), int(tags[1] * fps)) if any(tags) else None].append(record)
    return captions, skipped


def parse_line(line: str) -> Caption | str:
    """A line of a text file: `caption#word/POS word/POS#from#to`, seconds; tags that are NaN count as 0.

    Returns:
        `dict` or `str`: The caption, or what is wrong with the line.

    Example:
        >>> record = parse_line("a person waves.#a/DET person/NOUN wave/VERB#0.0#0.0")
        >>> record["text"], record["pos_tagged"]
        ('a person waves.', 'a/DET person/NOUN wave/VERB')
        >>> parse_line("a person waves")
        'expected caption#tokens#from#to'
    """
    parts = line.strip().rsplit("#", 3)
    if len(parts) != 4 or not parts[0].strip():
        return "expected caption#tokens#from#to"
    try:
        begin, end = (0.0 if math.isnan(tag) else tag for tag in map(float, parts[2:]))
    except ValueError:
        return f"expected seconds after the tokens, got {parts[2]!r} and {parts[3]!r}"
    if not (0 <= begin < 1e6 and 0 <= end < 1e6):
        return f"tags must lie between 0 and a million seconds, got {begin} and {end}"
    try:
        return caption(parts[0], "humanml3d", parts[1].strip() or None, begin, end)
    except ValueError as error:
        return str(error)


def read_array(file: Path) -> np.ndarray:
    """An array of a .npy file as float32.

    Raises:
        ValueError: If it is no readable array of numbers.
    """
    values = load_array(file)
    if values.dtype.kind not in "fiu":
        raise ValueError(f"{file.parent.name}/{file.name} holds {values.dtype}, not numbers")
    with np.errstate(over="ignore"):
        return values.astype(np.float32)
