"""Our own parquet files, to be cut into shards anew, filtered or merged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ...skeletons import SKELETONS, get_skeleton
from ...utils.extras import require
from ...utils.faults import reading
from ..face_columns import face_of_row
from .base import Clip, Item, MotionSource, Skip, SourceOptions, caption

_ROWS = 64
_NEEDED = ("id", "fps", "n_frames", "joints", "captions")


@dataclass
class ParquetSource(MotionSource):
    """A parquet file or a folder of them with the columns that training reads."""

    title: ClassVar[str] = "parquet"
    looks_like: ClassVar[str] = "a .parquet file, or a folder that holds some"

    @classmethod
    def fits(cls, folder: Path, options: SourceOptions) -> bool:
        """Whether there is a parquet file."""
        return folder.suffix == ".parquet" or next(folder.rglob("*.parquet"), None) is not None

    def __post_init__(self) -> None:
        self.paths = [self.folder] if self.folder.is_file() else sorted(self.folder.rglob("*.parquet"))
        if not self.paths:
            raise ValueError(f"No .parquet file in {str(self.folder)!r}.")
        names = {self._first_skeleton(path) for path in self.paths}
        if len(names) > 1:
            raise ValueError(f"{str(self.folder)!r} mixes the skeletons {sorted(names)}; build one data set for each.")
        self.skeleton = names.pop()
        self.keep_own_skeleton()

    def items(self) -> Iterator[Item | Skip]:
        """One per row, found by its id, take and split; rows of one take keep the split of the first."""
        parquet = require("pyarrow.parquet", "Reading data sets")
        splits: dict[str, str | None] = {}
        for path in self.paths:
            name = path.name if path == self.folder else path.relative_to(self.folder).as_posix()
            with reading(path, "a readable parquet file"):
                known = parquet.read_schema(path).names
                columns = [column for column in ("id", "take", "split") if column in known]
                content = parquet.read_table(path, columns=columns).to_pylist()
            for row, values in enumerate(content):
                take = values.get("take") or values["id"]
                split = splits.setdefault(take, values.get("split"))
                if split != values.get("split"):
                    yield Skip(f"{name}:{values['id']}", f"its take {take!r} is in the splits {split!r} and {values.get('split')!r}")
                    continue
                yield Item(values["id"], f"{name}:{values['id']}", take, split, payload=(str(path), row))

    def files(self, item: Item) -> list[Path]:
        """The file that holds the row."""
        return [Path(item.payload[0])]

    def clips(self, item: Item) -> Iterator[Clip | Skip]:
        """The row, checked."""
        row = self._row(*item.payload)
        frames, joints = row["n_frames"], len(get_skeleton(self.skeleton))
        if not frames or row["joints"] is None or not len(row["joints"]):
            raise ValueError("it has no frames")
        if len(row["joints"]) != frames * joints * 3:
            raise ValueError(f"it has {len(row['joints'])} numbers, not {frames} frames x {joints} joints x 3")
        captions = [
            caption(
                record["text"],
                record.get("origin") or "",
                record.get("pos_tagged"),
                record.get("f_tag") or 0.0,
                record.get("to_tag") or 0.0,
            )
            for record in row["captions"] or ()
            if record and (record.get("text") or "").strip()
        ]
        features = row.get("features")
        if not self.options.keep_features or features is None or not len(features):
            features = None
        yield Clip(
            row["id"],
            np.asarray(row["joints"], np.float32).reshape(frames, joints, 3),
            float(row["fps"]),
            captions,
            row.get("source") or self.options.name or self.folder.stem,
            self.options.license or row.get("license") or self.license,
            row.get("start_frame") or 0,
            None if features is None else np.asarray(features, np.float32).reshape(frames, -1),
            bool(row.get("mirror")),
            face_of_row(row),
            row.get("face_text"),
        )

    def _row(self, path: str, index: int) -> dict[str, Any]:
        """One row; asking for rows in their order reads every file once."""
        if getattr(self, "_at", None) is None or self._at[0] != path or index < self._at[1]:
            self._batches, self._at, self._batch = _batches_from(path, index)
        try:
            while index >= self._at[1] + self._batch.num_rows:
                self._at = (path, self._at[1] + self._batch.num_rows)
                self._batch = next(self._batches)
        except (StopIteration, OSError) as error:
            self._at = None
            raise ValueError(f"the file changed or is damaged: {error}") from error
        row = index - self._at[1]
        return {name: plain_value(column[row]) for name, column in zip(self._batch.schema.names, self._batch.columns, strict=True)}

    def _first_skeleton(self, path: Path) -> str:
        parquet = require("pyarrow.parquet", "Reading data sets")
        try:
            file = parquet.ParquetFile(path)
            missing = [column for column in _NEEDED if column not in file.schema_arrow.names]
            if missing:
                raise ValueError(f"{str(path)!r} lacks the columns {missing}; it has {file.schema_arrow.names}.")
            if "skeleton" not in file.schema_arrow.names or not file.metadata.num_rows:
                return "humanml3d-22"
            name = next(file.iter_batches(1, columns=["skeleton"]))["skeleton"][0].as_py()
        except (require("pyarrow", "Reading data sets").ArrowException, OSError) as error:
            raise ValueError(f"{str(path)!r} is not a readable parquet file (truncated or another format): {error}") from error
        return name if name in SKELETONS else "humanml3d-22"


def _batches_from(path: str, index: int) -> tuple[Iterator[Any], tuple[str, int], Any]:
    """Batches of the row groups from the one that holds a row on, where the first begins, and that first one."""
    parquet = require("pyarrow.parquet", "Reading data sets")
    file = parquet.ParquetFile(path)
    group, first = 0, 0
    while first + file.metadata.row_group(group).num_rows <= index:
        first += file.metadata.row_group(group).num_rows
        group += 1
    batches = file.iter_batches(_ROWS, row_groups=range(group, file.num_row_groups))
    return batches, (path, first), next(batches)


def plain_value(scalar: Any) -> Any:
    """Numbers as an array, anything else as Python has it."""
    types = require("pyarrow.types", "Reading data sets")
    if scalar.is_valid and types.is_list(scalar.type) and types.is_floating(scalar.type.value_type):
        return scalar.values.to_numpy(zero_copy_only=False)
    return scalar.as_py()
