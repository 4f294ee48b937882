"""Triplets as an HF data set: parquet files by split, and the way back."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np

from ..motion import Motion
from ..skeletons import get_skeleton
from ..utils.extras import require
from ..utils.faults import reading, reason
from ..utils.training_folder import check_place
from .triplet import Change, Triplet

_COLUMNS = (
    "id", "source_id", "caption", "instruction", "part", "kind", "editor", "fps", "skeleton", "source_frames", "source_joints",
    "target_frames", "target_joints",
)  # fmt: skip


def triplet_features() -> Any:
    """The columns of a data set of triplets, as `datasets.Features`.

    Raises:
        ImportError: If `datasets` is not installed.
    """
    datasets = require("datasets", "Writing triplets")
    Value, List = datasets.Value, datasets.List
    text = ("id", "source_id", "split", "caption", "instruction", "instruction_id", "instruction_split", "part", "kind", "direction",
            "unit", "editor", "skeleton", "license")  # fmt: skip
    columns: dict[str, Any] = {name: Value("string") for name in text}
    columns |= {name: Value("float32") for name in ("amount", "measured", "agreement", "fps")}
    columns |= {name: Value("int32") for name in ("source_frames", "target_frames", "span_start", "span_end")}
    columns |= {"attempt": Value("int64"), "wordings": List(Value("string")), "mask": List(Value("string"))}
    return datasets.Features({**columns, "source_joints": List(Value("float32")), "target_joints": List(Value("float32"))})


class Triplets(Sequence[Triplet]):
    """Triplets of a data set, read one by one.

    Args:
        rows (`datasets.Dataset`): With the columns of `triplet_features`.
    """

    def __init__(self, rows: Any) -> None:
        self.rows = rows
        self._numbers = rows.with_format("numpy", columns=["source_joints", "target_joints"], output_all_columns=True)

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> Triplet: ...
    @overload
    def __getitem__(self, index: slice) -> Triplets: ...
    def __getitem__(self, index: int | slice) -> Triplet | Triplets:
        if isinstance(index, slice):
            return Triplets(self.rows.select(range(*index.indices(len(self)))))
        return _triplet(self._numbers[index])

    def __iter__(self) -> Iterator[Triplet]:
        return (_triplet(row) for row in self._numbers)


def load_triplets(source: str | os.PathLike[str], split: str = "train", columns: Mapping[str, str] | None = None) -> Triplets:
    """Read triplets.

    Args:
        source (`str` or `os.PathLike`): What `hf-motion corrections build` wrote, a folder or one parquet file of it; or a data set on the
            Hub.
        split (`str`, defaults to `"train"`): `"train"`, `"val"` or `"test"`.
        columns (`Mapping[str, str]`, *optional*): Names of columns there, by the names that they have here: for data sets of others.

    Returns:
        `Triplets`: A sequence of `Triplet`; `rows` is the `datasets.Dataset` behind it, with all columns.

    Raises:
        FileNotFoundError: If a folder has no files of that split.
        ValueError: If a file is damaged or columns are missing.
    """
    load_dataset = require("datasets", "Reading triplets").load_dataset
    check_place(str(source), "a data set's folder or parquet file")
    path = Path(source)
    if path.exists():
        files = [path] if path.is_file() else sorted((path / "data").glob(f"{split}-*.parquet"))
        if not files:
            known = sorted({file.name.partition("-")[0] for file in (path / "data").glob("*.parquet")})
            raise FileNotFoundError(f"{str(path)!r} holds no triplets of split {split!r}; its splits are {known or 'none'}.")
        with reading(path, "a readable data set of triplets"):
            rows = load_dataset("parquet", data_files=[str(file) for file in files], split="train")
    else:
        rows = load_dataset(str(source), split=split)
    for ours, theirs in (columns or {}).items():
        if theirs not in rows.column_names:
            raise ValueError(f"columns names {theirs!r} for {ours!r}, which {str(source)!r} does not have; it has {rows.column_names}.")
        rows = rows.rename_column(theirs, ours)
    missing = sorted(set(_COLUMNS) - set(rows.column_names))
    if missing:
        raise ValueError(f"{str(source)!r} lacks the columns {missing} of triplets; it has {rows.column_names}. Map them with columns=.")
    return Triplets(rows)


def _triplet(row: dict[str, Any]) -> Triplet:
    try:
        joints = len(get_skeleton(row["skeleton"]))
        source, target = (
            Motion(
                np.asarray(row[f"{side}_joints"], np.float32).reshape(int(row[f"{side}_frames"]), joints, 3), float(row["fps"]),
                row["skeleton"], row["caption"] if side == "source" else None,
            )
            for side in ("source", "target")
        )  # fmt: skip
        amount = None if row.get("unit") is None else float(row["amount"])
        change = Change(row["part"], row["kind"], row.get("direction"), amount, row.get("unit"))
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"Triplet {row['id']!r} is unreadable: {reason(error)}") from error
    span = None if row.get("span_start") is None else (int(row["span_start"]), int(row["span_end"]))
    wordings = tuple(row.get("wordings") or ())
    return Triplet(source, target, row["instruction"], change, str(row["source_id"]), row["caption"], row["editor"], wordings, span)


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows as parquet; `path` is a temporary one of `atomic_path`."""
    pyarrow, parquet = require("pyarrow", "Writing triplets"), require("pyarrow.parquet", "Writing triplets")
    schema = triplet_features().arrow_schema
    parquet.write_table(pyarrow.Table.from_pylist(list(rows), schema=schema), path, compression="zstd", row_group_size=64)
