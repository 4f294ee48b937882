"""AMASS, SMPL-H and SMPL-X parameter files, cut as HumanML3D cuts them."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from ...motion import Motion
from ...utils.faults import reading
from ...utils.text import read_text
from ..captions import find_table
from .base import Clip, Item, MotionSource, Skip, SourceOptions, caption, cut_clips, inside
from .files import FilesSource
from .humanml3d import read_array, read_texts

_FPS = 20
_BETAS = 10
_LOOKED_AT = 20
# Seconds that HumanML3D drops from the beginning of each take of these sets, where the actor stands in a T-pose.
_HEADS = {"Eyes_Japan_Dataset": 3.0, "MPI_HDM05": 3.0, "TotalCapture": 1.0, "MPI_Limits": 1.0, "Transitions_mocap": 0.5}


@dataclass
class AmassSource(MotionSource):
    """A tree of AMASS npz files, with HumanML3D's `index.csv` and text files, or with a captions table.

    With an index, each of its rows is a clip, made by HumanML3D's rules: every int(fps / 20)-th frame counts as 20 fps, the head of some
    sets is dropped, then frames start:end are taken; joints are (-x, z, y) of the file, with ten shape parameters. Its HumanAct12 rows
    are arrays (`humanact12/*.npy`) and are taken whole. Parameters become positions by the licensed body models (`--body-models`).
    """

    title: ClassVar[str] = "AMASS / SMPL-H / SMPL-X"
    looks_like: ClassVar[str] = "npz files with poses and trans, and index.csv (or --index) or captions.csv (or --captions)"
    license: ClassVar[str] = "AMASS: non-commercial research, no redistribution"

    @classmethod
    def fits(cls, folder: Path, options: SourceOptions) -> bool:
        """Whether npz files of a body model and an index or captions are there."""
        indexed = options.index is not None or (folder / "index.csv").is_file()
        told = indexed or find_table(folder) or options.captions or options.caption
        if not told or not folder.is_dir() or next(folder.rglob("*.bvh"), None) is not None:
            return False
        files = list(itertools.islice(folder.rglob("*.npz"), _LOOKED_AT))
        return bool(files) and (indexed or any(map(_has_poses, files)))

    def items(self) -> Iterator[Item | Skip]:
        """One per row of the index, or per file of the captions table."""
        index = self.options.index or (self.folder / "index.csv" if (self.folder / "index.csv").is_file() else None)
        if index is None:
            yield from FilesSource(self.folder, self.options).items()
            return
        texts = self.options.captions or self.folder / "texts"
        if not texts.is_dir() and self.options.caption is None:
            raise ValueError(f"No folder of HumanML3D text files at {str(texts)!r}; give it as --captions.")
        with reading(index, "a readable table"):
            rows = list(csv.DictReader(io.StringIO(read_text(index), newline="")))
        if not rows or not {"source_path", "start_frame", "end_frame", "new_name"} <= rows[0].keys():
            raise ValueError(f"{str(index)!r} must have the columns source_path, start_frame, end_frame and new_name.")
        splits = self._splits()
        for number, row in enumerate(rows, 2):
            yield self._indexed(f"{index.name}:{number}", row, texts, splits)

    def clips(self, item: Item) -> Iterator[Clip | Skip]:
        """A slice of a take, or the parts that captions name."""
        if not item.payload or item.payload[0] != "indexed":
            source = FilesSource(self.folder, replace(self.options, license=self.licence))
            yield from source.clips(item)
            return
        _, start, end, text, source = item.payload
        motion = self._humanml3d(item, start, end)
        captions, skipped = read_texts(Path(text), _FPS) if text else ({None: [caption(self.options.caption, "given")]}, [])
        yield from skipped
        if not captions:
            raise ValueError("no caption: its text file has none")
        for cut, records in captions.items():
            first, last = cut or (0, len(motion))
            last = min(last, len(motion))
            if last <= first:
                yield Skip(f"{item.name} [{first}:{last}]", f"this part lies outside its {len(motion)} frames")
                continue
            part = replace(item, name=f"{item.name}_{first:04d}_{last:04d}") if cut else item
            for clip in cut_clips(motion[first:last], part, records, source, self.licence, self.options.max_frames):
                yield replace(clip, start_frame=clip.start_frame + first)

    def _humanml3d(self, item: Item, start: int, end: int) -> Motion:
        from ...canonical import put_on_floor
        from ...formats.read import read_motion

        path = self.folder / item.path
        if path.suffix == ".npy":
            joints = read_array(path)
            if joints.ndim != 3 or joints.shape[1] < 22:
                raise ValueError(f"it has shape {joints.shape}, not (frames, 22 or more joints, 3)")
            return self._without_fingers(Motion(joints[:, :22], fps=_FPS))
        motion = read_motion(
            path, body_models=self.options.body_models, num_betas=_BETAS, source_fps=self.options.source_fps, skeleton=self.skeleton,
            relaxed_hands=self.options.relaxed_hands,
        )  # fmt: skip
        # Ours is (x, z, -y) of the file, HumanML3D's (-x, z, y): half a turn.
        joints = motion.joints[:: max(int(motion.fps / _FPS), 1)] * np.array([-1, 1, -1], np.float32)
        motion = put_on_floor(Motion(joints, fps=_FPS, skeleton=self.skeleton))
        head = int(next((seconds for name, seconds in _HEADS.items() if name in item.path), 0.0) * _FPS)
        joints = motion.joints[head:][start:end]
        if not len(joints):
            raise ValueError(f"frames {start}:{end} lie outside its {len(motion)} frames ({head} dropped)")
        return Motion(joints, fps=_FPS, skeleton=self.skeleton)

    def _without_fingers(self, motion: Motion) -> Motion:
        """A recording that has none, on the wanted joints."""
        from ...hands import with_hands

        if motion.skeleton.name == self.skeleton:
            return motion
        if not self.options.relaxed_hands:
            raise ValueError("it has no fingers; say --relaxed-hands to put relaxed ones in their place")
        return with_hands(motion, self.skeleton)

    def _splits(self) -> dict[str, str]:
        found = {}
        for split in ("train", "val", "test"):
            file = self.folder / f"{split}.txt"
            found |= dict.fromkeys(read_text(file).split() if file.is_file() else (), split)
        return found

    def _indexed(self, place: str, row: dict[str, str], texts: Path, splits: dict[str, str]) -> Item | Skip:
        name = Path(row["new_name"] or "").stem
        relative = (row["source_path"] or "").removeprefix("./").removeprefix("pose_data/")
        try:
            start, end = int(row["start_frame"]), int(row["end_frame"])
            path = inside(self.folder, relative if "humanact12" in relative else f"{relative.removesuffix('.npy')}.npz")
            text = "" if self.options.caption and not texts.is_dir() else str(inside(texts, f"{name}.txt"))
        except (TypeError, ValueError, OSError) as error:
            return Skip(f"{place} ({name})", str(error))
        if path.suffix == ".npz" and self.options.body_models is None:
            raise ValueError(
                "AMASS files hold parameters of a body model, not joint positions. Get 'Extended SMPL+H model' from "
                "https://mano.is.tue.mpg.de under its licence, and give the folder that holds smplh/<gender>/model.npz as --body-models."
            )
        whole = path.suffix == ".npy" or end < 0
        # The published split files part clips of one recording; where they rule, the clip is its own take.
        recording = relative.removesuffix(".npy")
        return Item(
            name, path.relative_to(self.folder.resolve()).as_posix(), name if name in splits else recording, splits.get(name),
            payload=("indexed", 0 if whole else start, None if whole else end, text, recording),
        )  # fmt: skip

    def files(self, item: Item) -> list[Path]:
        """The parameters and the text."""
        paths = [self.folder / item.path]
        return [*paths, Path(item.payload[3])] if item.payload[:1] == ("indexed",) and item.payload[3] else paths


def _has_poses(file: Path) -> bool:
    from ...utils.arrays import array_names

    try:
        return {"poses", "trans"} <= set(array_names(file))
    except (OSError, ValueError):
        return False
