"""Clips that are corrected: real motion, on one body, on the floor, facing forward."""

from __future__ import annotations

import hashlib
from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..canonical import face_forward, start_at_origin, uniform_skeleton
from ..data.motion_text import load_motion_rows, read_row
from ..floor import level_floor
from ..motion import Motion
from .instructions import SPLITS
from .kinematic import FPS

# Shares of train and val of data without splits, by take.
_TRAIN, _VAL = 0.8, 0.05


class SourceClip(NamedTuple):
    """A clip.

    Args:
        id (`str`): Its name in the data.
        split (`str`): `"train"`, `"val"` or `"test"`.
        motion (`Motion`): 20 frames per second, HumanML3D's body, floor at 0, starting above the origin, facing +Z.
        captions (`tuple[str, ...]`): What it shows.
        license (`str`, *optional*): As the data says.
    """

    id: str
    split: str
    motion: Motion
    captions: tuple[str, ...]
    license: str | None


class SourceClips:
    """Clips of a data set, read when they are needed.

    Args:
        data (`str`): See `hf_motion.data.motion_text.load_motion_rows`.
        splits (`tuple[str, ...]`, *optional*): Those of these splits; all by default. Where the data does not say, 80 % of the takes (or
            ids) are for training and 5 % for validation.
        min_frames (`int`): Shorter clips, at 20 frames per second, are left out; `skipped` counts them.
        max_frames (`int`): Longer clips are cut by whoever uses them.

    Raises:
        FileNotFoundError: If there is no such data.
        ValueError: If it is damaged, or no clip is left.
    """

    def __init__(self, data: str, splits: tuple[str, ...] | None, min_frames: int, max_frames: int) -> None:
        unknown = sorted(set(splits or ()) - set(SPLITS))
        if unknown:
            raise ValueError(f"splits must be some of {', '.join(SPLITS)}, got {unknown}.")
        rows = load_motion_rows(data)
        self.name, self.max_frames = Path(data).name, max_frames
        self.skipped: Counter[str] = Counter()
        ids, frames, rates = rows["id"], rows["n_frames"], rows["fps"]
        takes = rows["take"] if "take" in rows.column_names else ids
        told = rows["split"] if "split" in rows.column_names else [None] * len(rows)
        self._splits, self._indices = {}, []
        for index, (take, split, count, rate) in enumerate(zip(takes, told, frames, rates, strict=True)):
            split = split if split in SPLITS else _drawn(str(take))
            if splits is not None and split not in splits:
                self.skipped["of another split"] += 1
            elif (count - 1) * FPS / rate + 1 < min_frames:
                self.skipped[f"under {min_frames} frames"] += 1
            else:
                self._indices.append(index)
                self._splits[index] = split
        if not self._indices:
            raise ValueError(f"No clip of {data!r} can be used; left out: {dict(self.skipped)}. Is the split right? Lower min_frames?")
        self._rows = rows.with_format("numpy", columns=["joints"], output_all_columns=True)
        chosen = [(ids[index], frames[index], self._splits[index]) for index in self._indices]
        self.digest = hashlib.sha256(repr(chosen).encode()).hexdigest()[:24]
        self._cached = lru_cache(maxsize=256)(self._read)

    def __len__(self) -> int:
        return len(self._indices)

    def split(self, place: int) -> str:
        """The split of a clip."""
        return self._splits[self._indices[place]]

    def __getitem__(self, place: int) -> SourceClip:
        """The clip at a place; unreadable ones raise `ValueError`."""
        return self._cached(place)

    def _read(self, place: int) -> SourceClip:
        index = self._indices[place]
        row: dict[str, Any] = self._rows[index]
        motion, captions = read_row(row, "humanml3d-22")
        motion = face_forward(start_at_origin(level_floor(uniform_skeleton(motion.resample(FPS)))))
        return SourceClip(str(row["id"]), self._splits[index], motion, tuple(captions), row.get("license"))


def _drawn(take: str) -> str:
    """A split that follows from the take's name alone."""
    share = int.from_bytes(hashlib.sha256(take.encode()).digest()[:6], "big") / 2**48
    return "train" if share < _TRAIN else "val" if share < _TRAIN + _VAL else "test"


def cut_clip(clip: SourceClip, max_frames: int, draw: np.random.Generator) -> SourceClip:
    """A piece of a clip that is longer than `max_frames`, set onto the origin again, facing forward."""
    surplus = len(clip.motion) - max_frames
    if surplus <= 0:
        return clip
    first = int(draw.integers(surplus + 1))
    return clip._replace(motion=face_forward(start_at_origin(clip.motion[first : first + max_frames])))
