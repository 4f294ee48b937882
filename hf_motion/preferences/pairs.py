"""Pairs of a better and a worse motion for one text: as parquet, and as InstructMotion's annotations."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..motion import Motion
from ..representation import HumanML3DRepresentation
from ..rewards.specification import Specification
from ..skeletons import get_skeleton
from ..utils.extras import require
from ..utils.faults import reading, reason
from ..utils.files import atomic_path
from ..utils.text import read_lines

LABELS = "preference_labels.jsonl"
"""The file of InstructMotion's annotations."""

_UNSURE = ("skipped", "Negligibly better/unsure")
_COLUMNS = ("id", "prompt", "chosen_joints", "chosen_frames", "rejected_joints", "rejected_frames", "fps", "skeleton")
# Metres from the lowest joint to the highest, for most of a clip; features that are not in units give other bodies.
_HEIGHTS = (0.3, 2.6)


@dataclass
class Pair:
    """Two motions for a text, the better one first.

    Args:
        id (`str`): Name.
        text (`str`): What was asked for.
        chosen (`Motion`): The better motion.
        rejected (`Motion`): The worse one.
        specification (`Specification`, *optional*): What the text asks for.
        kind (`str`, defaults to `"preferred"`): What makes the one better.
        details (`dict`): Whatever else is known: ratings, rationales, seeds.
    """

    id: str
    text: str
    chosen: Motion
    rejected: Motion
    specification: Specification | None = None
    kind: str = "preferred"
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def decided(self) -> bool:
        """Whether the better motion is rated higher, if the pair tells ratings."""
        chosen, rejected = (self.details.get(f"{side}_rating") for side in ("chosen", "rejected"))
        return chosen is None or rejected is None or chosen > rejected


def load_pairs(source: str | os.PathLike[str], split: str = "train", skipped: Counter[str] | None = None) -> list[Pair]:
    """Read pairs.

    Args:
        source (`str` or `os.PathLike`): What `hf-motion prefer build` or `hf-motion prefer certain` wrote: a parquet file or a folder with
            `pairs/*.parquet`; a data set on the Hub with such a configuration; or a folder in InstructMotion's layout, that is
            `preference_labels.jsonl` beside the `.npy` files that it names, in which the last annotation of a pair counts.
        split (`str`, defaults to `"train"`): For the Hub.
        skipped (`Counter`, *optional*): Counts what is left out: InstructMotion's pairs that were skipped or left open.

    Returns:
        `list[Pair]`: The pairs.

    Raises:
        FileNotFoundError: If a folder holds neither.
        ValueError: If a file is damaged, columns are missing, or no pair is left.
    """
    path = Path(source)
    skipped = Counter() if skipped is None else skipped
    annotated = path.is_dir() and (path / LABELS).is_file()
    pairs = list(_annotated(path, skipped)) if annotated else [_pair(row) for row in _rows(path, split)]
    if not pairs:
        raise ValueError(f"{str(source)!r} holds no pair to compare{f'; left out: {dict(skipped)}' if skipped else ''}.")
    return pairs


def save_pairs(pairs: Sequence[Pair], path: str | os.PathLike[str]) -> None:
    """Write pairs as parquet, whole or not at all.

    Args:
        pairs (`list[Pair]`): At least one, with the same details.
        path (`str` or `os.PathLike`): File to write.

    Raises:
        ImportError: If PyArrow is not installed.
        OSError: If it cannot be written.
    """
    pyarrow, parquet = require("pyarrow", "Writing pairs"), require("pyarrow.parquet", "Writing pairs")
    rows = []
    for pair in pairs:
        if pair.chosen.fps != pair.rejected.fps:
            raise ValueError(f"The motions of pair {pair.id!r} have {pair.chosen.fps:g} and {pair.rejected.fps:g} frames per second.")
        rows.append({
            "id": pair.id, "prompt": pair.text, "kind": pair.kind,
            "task": pair.specification.task if pair.specification else None,
            "specification": pair.specification.to_json() if pair.specification else None,
            "fps": pair.chosen.fps, "skeleton": pair.chosen.skeleton.name,
            "chosen_frames": len(pair.chosen), "chosen_joints": pair.chosen.joints.ravel(),
            "rejected_frames": len(pair.rejected), "rejected_joints": pair.rejected.joints.ravel(), **pair.details,
        })  # fmt: skip
    table = pyarrow.Table.from_pylist(rows)
    with atomic_path(path) as temporary:
        parquet.write_table(table, temporary, compression="zstd", row_group_size=256)


def _rows(path: Path, split: str) -> Iterator[dict[str, Any]]:
    load_dataset = require("datasets", "Reading pairs").load_dataset
    if path.exists():
        files = [path] if path.is_file() else sorted((path / "pairs").glob("*.parquet"))
        if not files:
            raise FileNotFoundError(f"{str(path)!r} holds neither pairs/*.parquet nor {LABELS}.")
        with reading(path, "a readable file of pairs"):
            rows = load_dataset("parquet", data_files=[str(file) for file in files], split="train")
    else:
        rows = load_dataset(str(path), "pairs", split=split)
    missing = set(_COLUMNS) - set(rows.column_names)
    if missing:
        raise ValueError(f"{str(path)!r} lacks the columns {sorted(missing)} of pairs; it has {rows.column_names}.")
    yield from rows.with_format("numpy", columns=["chosen_joints", "rejected_joints"], output_all_columns=True)


def _pair(row: dict[str, Any]) -> Pair:
    try:
        joints = len(get_skeleton(row["skeleton"]))
        chosen, rejected = (
            Motion(
                np.asarray(row[f"{side}_joints"], np.float32).reshape(int(row[f"{side}_frames"]), joints, 3), row["fps"], row["skeleton"]
            )
            for side in ("chosen", "rejected")
        )
        specification = Specification.from_json(row["specification"]) if row.get("specification") else None
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"Pair {row['id']!r} is unreadable: {reason(error)}") from error
    if not row["prompt"]:
        raise ValueError(f"Pair {row['id']!r} has no prompt.")
    known = {*_COLUMNS, "specification", "kind", "task"}
    details = {name: value for name, value in row.items() if name not in known}
    return Pair(str(row["id"]), row["prompt"], chosen, rejected, specification, row.get("kind") or "preferred", details)


def _annotated(folder: Path, skipped: Counter[str]) -> Iterator[Pair]:
    for number, line in read_lines(folder / LABELS):
        try:
            record = json.loads(line)
            last = record["chosen"][-1]  # the latest annotation counts
            choice, degree = last["choice"], last.get("degree of preference")
            open_one = next((word for word in _UNSURE if word in (choice, degree)), None)
            if open_one is not None:
                skipped[open_one] += 1
                continue
            other = {"sample_1": "sample_2", "sample_2": "sample_1"}[choice]
            chosen, rejected = (_sample(folder, record[side]) for side in (choice, other))
        except (KeyError, TypeError, IndexError, ValueError, AttributeError) as error:
            raise ValueError(f"{str(folder / LABELS)!r}, line {number}: {reason(error)}") from error
        name = record.get("id", record.get("ID", number))
        yield Pair(str(name), record["prompt"], chosen, rejected, kind=degree or "preferred", details={"annotator": last.get("user")})


def _sample(folder: Path, sample: dict[str, Any]) -> Motion:
    """Joints (frames, 22, 3) or HumanML3D's features in units (frames, 263), at 20 frames per second."""
    name = sample.get("array") or sample["features"]
    with reading(folder / name, "a readable .npy file"):
        values = np.load(folder / name, allow_pickle=False)
    values = values[0] if len(values) == 1 and (values.ndim == 4 or values.shape[-1] == 263) else values
    if values.ndim == 2 and values.shape[1] == 263:
        values = HumanML3DRepresentation().decode(torch.from_numpy(values).float()).numpy()
    motion = Motion(values, fps=20)
    height = float(np.median(np.ptp(motion.joints[..., 1], axis=1)))
    if not _HEIGHTS[0] < height < _HEIGHTS[1]:
        raise ValueError(f"{name!r} holds a body {height:.2f} m high: its features may be normalised. Save them in units, or as joints.")
    return motion
