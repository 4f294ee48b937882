"""One parquet shard: files read, clips checked, rows written, features counted, in bounded memory."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ..face import FACE_SETS
from ..motion import Motion
from ..representation import MotionFeatureExtractor
from ..utils.extras import require
from ..utils.faults import reason
from ..utils.files import atomic_path, write_json
from ..utils.text import say_once
from .sources import Clip, Item, MotionSource, Skip
from .statistics import RunningStatistics

_ROWS = 64
# Frames encoded at once, padding included.
_ENCODE_FRAMES = 16384
# No recording room is larger; what is, is a damaged number or a wrong unit.
_FARTHEST = 10_000.0
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


@dataclass(frozen=True)
class Shard:
    """What goes into one file.

    Args:
        name (`str`): `<split>-<number>`.
        split (`str`): Split.
        items (`list[Item]`): What is read.
        digest (`str`): Of everything that the file depends on.
    """

    name: str
    split: str
    items: list[Item]
    digest: str


@dataclass(frozen=True)
class ShardSettings:
    """How rows are checked.

    Args:
        min_frames (`int`): Shorter clips are left out.
        strict (`bool`): Raise rather than leave out.
    """

    min_frames: int
    strict: bool


def motion_features() -> Any:
    """The columns of a built data set, as `datasets.Features`.

    Raises:
        ImportError: If `datasets` is not installed.
    """
    datasets = require("datasets", "Building a data set")
    Features, List, Value = datasets.Features, datasets.List, datasets.Value
    text, real, whole = Value("string"), Value("float32"), Value("int32")
    captions = {"text": text, "pos_tagged": text, "f_tag": real, "to_tag": real, "origin": text}
    columns = {"id": text, "source": text, "take": text, "split": text, "start_frame": whole, "end_frame": whole, "n_frames": whole}
    columns |= {"fps": real, "skeleton": text, "joints": List(real), "captions": List(captions), "features": List(real)}
    faces = {"face": List(real), "face_names": List(text), "face_kind": text, "face_text": text}
    return Features({**columns, "mirror": Value("bool"), "license": text, **faces})


def build_shard(source: MotionSource, shard: Shard, folder: Path, settings: ShardSettings) -> None:
    """Write `<name>.part` and then `<name>.json`, which says that the former is whole.

    Args:
        source (`MotionSource`): Where the clips come from.
        shard (`Shard`): Which of them.
        folder (`pathlib.Path`): Folder of the parts.
        settings (`ShardSettings`): How to check them.

    Raises:
        ValueError: If a clip cannot be used and `settings.strict` is set.
        OSError: If the files cannot be written.
    """
    parquet = require("pyarrow.parquet", "Building a data set")
    counter = _Counter(shard.split == "train", source.skeleton)
    rows: list[tuple[Clip, str]] = []
    schema = motion_features().arrow_schema
    part = folder / f"{shard.name}.part"
    with say_once(), atomic_path(part) as temporary, parquet.ParquetWriter(temporary, schema, **_compression()) as writer:
        for clip, take in _usable(source, shard, settings, counter):
            rows.append((clip, take))
            if len(rows) == _ROWS:
                _write(writer, schema, rows, shard.split, source.skeleton, counter)
                rows.clear()
        if rows:
            _write(writer, schema, rows, shard.split, source.skeleton, counter)
    write_json(folder / f"{shard.name}.json", {"digest": shard.digest, **counter.result()})


def read_result(folder: Path, shard: Shard) -> dict[str, Any] | None:
    """What a finished shard counted, or None if it is not finished or was made of something else."""
    try:
        result = json.loads((folder / f"{shard.name}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return result if isinstance(result, dict) and result.get("digest") == shard.digest else None


def start_worker() -> None:
    """Let each of several processes compute on one core, and finish its shard when the user stops the build."""
    import signal

    import torch

    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _compression() -> dict[str, Any]:
    return {
        "compression": "zstd",
        "use_dictionary": False,
        "use_byte_stream_split": ["joints.list.element", "features.list.element", "face.list.element"],
    }


def _usable(source: MotionSource, shard: Shard, settings: ShardSettings, counter: _Counter) -> Iterator[tuple[Clip, str]]:
    for item in shard.items:
        for clip in _read(source, item):
            reason = clip if isinstance(clip, Skip) else _reason(clip, source.skeleton, settings.min_frames)
            if reason is None:
                yield clip, item.take
                continue
            skip = reason if isinstance(reason, Skip) else Skip(f"{item.path} ({clip.id})" if clip.id != item.path else item.path, reason)
            if settings.strict:
                raise ValueError(f"{skip.path}: {skip.reason}.")
            counter.skipped.append(skip)


def _read(source: MotionSource, item: Item) -> Iterator[Clip | Skip]:
    try:
        yield from source.clips(item)
    except Exception as error:  # whatever a library makes of a damaged file
        if isinstance(error, ImportError) or (isinstance(error, OSError) and error.errno in _DISK):
            raise
        yield Skip(item.path, reason(error).rstrip("."))


def _reason(clip: Clip, skeleton: str, min_frames: int) -> str | None:
    """Why a clip cannot be used, or None."""
    if not any(record["text"].strip() for record in clip.captions):
        return "no caption"
    if len(clip.joints) < min_frames:
        return f"it has {len(clip.joints)} frames, fewer than {min_frames}" if len(clip.joints) else "it has no frames"
    try:
        Motion(clip.joints, fps=clip.fps, skeleton=skeleton)
    except ValueError as error:
        return str(error)
    if clip.face is not None and len(clip.face) != len(clip.joints):
        return f"its face has {len(clip.face)} frames and its body {len(clip.joints)}"
    farthest = float(np.abs(clip.joints).max())
    if farthest > _FARTHEST:
        return f"a joint is {farthest:.3g} m away; the file is damaged or its unit is another"
    if clip.features is not None and (len(clip.features) != len(clip.joints) or not np.isfinite(clip.features).all()):
        return f"its {clip.features.shape} features do not belong to its {len(clip.joints)} frames, or are not finite"
    return None


def _write(writer: Any, schema: Any, rows: list[tuple[Clip, str]], split: str, skeleton: str, counter: _Counter) -> None:
    clips = [clip for clip, _ in rows]
    starts = [clip.start_frame for clip in clips]
    lengths = [len(clip.joints) for clip in clips]
    columns = {
        "id": [clip.id for clip in clips],
        "source": [clip.source for clip in clips],
        "take": [take for _, take in rows],
        "split": [split] * len(rows),
        "start_frame": starts,
        "end_frame": [start + length for start, length in zip(starts, lengths, strict=True)],
        "n_frames": lengths,
        "fps": [clip.fps for clip in clips],
        "skeleton": [skeleton] * len(rows),
        "joints": _lists([clip.joints for clip in clips]),
        "captions": [clip.captions for clip in clips],
        "features": _lists([clip.features for clip in clips]),
        "mirror": [clip.mirror for clip in clips],
        "license": [clip.license for clip in clips],
        "face": _lists([None if clip.face is None else clip.face.coefficients for clip in clips]),
        "face_names": [None if clip.face is None else list(clip.face.names) for clip in clips],
        "face_kind": [None if clip.face is None else clip.face.kind for clip in clips],
        "face_text": [clip.face_text for clip in clips],
    }
    pyarrow = require("pyarrow", "Building a data set")
    try:
        writer.write_table(pyarrow.table(columns, schema=schema), row_group_size=_ROWS)
    except pyarrow.ArrowException as error:
        raise OSError(f"Writing a shard failed: {error}") from error
    counter.add(clips)


def _lists(arrays: list[np.ndarray | None]) -> Any:
    """A column of lists of float32 without making Python numbers of them."""
    pyarrow = require("pyarrow", "Building a data set")
    sizes = [0 if array is None else array.size for array in arrays]
    offsets = np.concatenate(([0], np.cumsum(sizes))).astype(np.int32)
    present = [np.asarray(array, np.float32).ravel() for array in arrays if array is not None]
    values = pyarrow.array(np.concatenate(present) if present else np.zeros(0, np.float32))
    missing = pyarrow.array([array is None for array in arrays])
    return pyarrow.ListArray.from_arrays(pyarrow.array(offsets), values, mask=missing)


@cache
def _extractor(skeleton: str) -> MotionFeatureExtractor | None:
    try:
        return MotionFeatureExtractor(skeleton=skeleton)
    except ValueError:
        return None


class _Counter:
    """What a shard adds up to."""

    def __init__(self, measured: bool, skeleton: str) -> None:
        self.extractor = _extractor(skeleton) if measured else None
        self.skeleton = skeleton
        self.statistics = RunningStatistics()
        self.measured = measured
        self.faces: dict[str, RunningStatistics] = {}
        self.skipped: list[Skip] = []
        self.sources: dict[str, dict[str, Any]] = {}
        self.clips = self.captions = 0

    def add(self, clips: list[Clip]) -> None:
        """Count rows, and the features of those that training may see."""
        for clip in clips:
            self.clips += 1
            self.captions += len(clip.captions)
            source = self.sources.setdefault(clip.source, {"clips": 0, "seconds": 0.0, "licenses": []})
            source["clips"] += 1
            source["seconds"] += len(clip.joints) / clip.fps
            source["licenses"] = sorted({*source["licenses"], clip.license})
        for clip in clips if self.measured else ():
            if clip.face is not None and clip.face.names == FACE_SETS.get(clip.face.kind or ""):
                self.faces.setdefault(clip.face.kind or "", RunningStatistics()).update(clip.face.coefficients)
        if self.extractor is None:
            return
        for clip in clips:
            if clip.features is not None:
                self.statistics.update(clip.features)
        long_enough = [clip for clip in clips if clip.features is None and (len(clip.joints) - 1) / clip.fps * self.extractor.fps >= 1]
        for batch in _batches(sorted(long_enough, key=lambda clip: len(clip.joints))):
            motions = [Motion(clip.joints, fps=clip.fps, skeleton=self.skeleton) for clip in batch]
            for features in self.extractor.encode(motions):
                self.statistics.update(features)

    def result(self) -> dict[str, Any]:
        """Everything, as JSON takes it."""
        return {
            "clips": self.clips, "captions": self.captions, "sources": self.sources, "statistics": self.statistics.to_dict(),
            "faces": {kind: counted.to_dict() for kind, counted in self.faces.items()},
            "skipped": [{"path": skip.path, "reason": skip.reason} for skip in self.skipped],
        }  # fmt: skip


def _batches(clips: list[Clip]) -> Iterator[list[Clip]]:
    """Clips of ascending length in batches of so many frames when padded."""
    batch: list[Clip] = []
    for clip in clips:
        if batch and len(clip.joints) * (len(batch) + 1) > _ENCODE_FRAMES:
            yield batch
            batch = []
        batch.append(clip)
    if batch:
        yield batch
