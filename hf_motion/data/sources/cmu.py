"""CMU Graphics Lab motion capture: takes called `02_01`, described by CMU's index."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ..captions import cmu_take, find_cmu_index, read_cmu_index
from .base import Clip, Item, MotionSource, Skip, SourceOptions, caption, cut_clips, read_on_floor

_FILE = re.compile(r"\d+_\d+(?:_poses|_stageii)?\.(amc|bvh|npz)", re.IGNORECASE)
_SUFFIXES = (".amc", ".bvh", ".npz")


@dataclass
class CmuSource(MotionSource):
    """`02_01.amc` beside `02.asf`, `02_01.bvh` (cgspeed's conversion) or AMASS's `02_01_poses.npz`, at any depth, with an index.

    The index is `cmu-mocap-index-text.txt`, `cmu_index.csv` or `cmu_index.jsonl` in the folder, or `--captions`.
    """

    title: ClassVar[str] = "CMU Graphics Lab Motion Capture Database"
    looks_like: ClassVar[str] = "takes such as 02_01.amc or 02_01.bvh and cmu-mocap-index-text.txt (or --captions with an index)"
    license: ClassVar[str] = "CMU: free to copy, modify and redistribute; do not resell the data"

    @classmethod
    def fits(cls, folder: Path, options: SourceOptions) -> bool:
        """Whether there is an index and a take."""
        return folder.is_dir() and find_cmu_index(folder) is not None and any(_FILE.fullmatch(path.name) for path in folder.rglob("*_*"))

    def items(self) -> Iterator[Item | Skip]:
        """One per take that the index describes."""
        index = self.options.captions or find_cmu_index(self.folder)
        if index is None or not index.is_file():
            raise FileNotFoundError(f"No index of CMU's takes in {str(self.folder)!r}; give cmu-mocap-index-text.txt as --captions.")
        described, seen = read_cmu_index(index), set()
        for path in sorted(self.folder.rglob("*.*")):
            take, name = cmu_take(path.stem), path.relative_to(self.folder).as_posix()
            if not _FILE.fullmatch(path.name):
                if path.suffix.lower() in _SUFFIXES:
                    yield Skip(name, "its name is not that of a take, such as 02_01")
            elif take in seen:
                yield Skip(name, f"take {take} was found before in another file")
            elif take not in described:
                yield Skip(name, f"no caption: the index does not describe take {take}")
            else:
                seen.add(take)
                yield Item(f"cmu_{take}", name, take, payload=(described[take],))

    def files(self, item: Item) -> list[Path]:
        """The take and its skeleton."""
        path = self.folder / item.path
        return [path, *sorted(path.parent.glob("*.asf"))] if path.suffix.lower() == ".amc" else [path]

    def clips(self, item: Item) -> Iterator[Clip | Skip]:
        """The take, cut if it is long."""
        motion = read_on_floor(self.folder / item.path, self.options)
        captions = [caption(item.payload[0], "cmu_index")]
        return cut_clips(motion, item, captions, self.options.name or "cmu", self.licence, self.options.max_frames)
