"""Preference data as an HF data set: a configuration of pairs, one of all motions, and a card."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm.auto import tqdm

from ..rewards.images import motion_images
from ..utils.extras import require
from ..utils.files import atomic_path
from .pairs import Pair, save_pairs

if TYPE_CHECKING:
    from .building import Candidate

_CARD = Path(__file__).with_name("card.md")
_GROUP = 64


def write_dataset(
    folder: Path, candidates: Sequence[Candidate], pairs: Sequence[Pair], record: dict[str, Any], images: str | None, show_progress: bool
) -> None:
    """Write `pairs/train.parquet`, `motions/train.parquet` and `README.md`; each whole or not at all.

    Args:
        folder (`pathlib.Path`): The data set.
        candidates (`list[Candidate]`): All motions with their scores.
        pairs (`list[Pair]`): The pairs.
        record (`dict`): What `build.json` holds.
        images (`str`, *optional*): Form of the pictures to keep.
        show_progress (`bool`): Show a progress bar over pictures.

    Raises:
        ImportError: If PyArrow, or Pillow for pictures, is not installed.
        OSError: If something cannot be written.
    """
    save_pairs(pairs, folder / "pairs" / "train.parquet")
    _write_motions(folder / "motions" / "train.parquet", candidates, record, images, show_progress)
    write_card(folder, record, images)


def write_card(folder: Path, record: dict[str, Any], images: str | None = None) -> None:
    """Write the card.

    Args:
        folder (`pathlib.Path`): The data set.
        record (`dict`): What `build.json` holds.
        images (`str`, *optional*): Form of its pictures.
    """
    from huggingface_hub import DatasetCard, DatasetCardData

    configs = [{"config_name": "pairs", "data_files": "pairs/*.parquet", "default": True}]
    configs += [{"config_name": "motions", "data_files": "motions/*.parquet"}] if "motions" in record else []
    data = DatasetCardData(
        pretty_name=folder.resolve().name, tags=["human-motion", "text-to-motion", "preference", "hf_motion"], configs=configs
    )
    card = DatasetCard.from_template(data, template_path=str(_CARD), name=folder.resolve().name, record=record, images=images)
    with atomic_path(folder / "README.md") as temporary:
        temporary.write_text(str(card), encoding="utf-8")


def _write_motions(path: Path, candidates: Sequence[Candidate], record: dict[str, Any], images: str | None, show_progress: bool) -> None:
    datasets, parquet = require("datasets", "Writing preference data"), require("pyarrow.parquet", "Writing preference data")
    pyarrow, Value = require("pyarrow", "Writing preference data"), datasets.Value
    columns = {name: Value("string") for name in ("id", "prompt", "task", "specification", "skeleton", "generator", "reward", "rationale")}
    columns |= {"fps": Value("float32"), "n_frames": Value("int32"), "seed": Value("int64"), "rating": Value("float32")}
    columns |= {"labels": datasets.List(Value("string")), "joints": datasets.List(Value("float32"))}
    columns |= {"images": datasets.List(datasets.Image())} if images else {}
    schema = datasets.Features(columns).arrow_schema
    with atomic_path(path) as temporary, parquet.ParquetWriter(temporary, schema, compression="zstd") as writer:
        for start in tqdm(range(0, len(candidates), _GROUP), desc="Writing motions", disable=not show_progress or not images):
            rows = [_row(one, record, images) for one in candidates[start : start + _GROUP]]
            writer.write_table(pyarrow.Table.from_pylist(rows, schema=schema))


def _row(one: Candidate, record: dict[str, Any], images: str | None) -> dict[str, Any]:
    rating = None if math.isnan(one.score.value) else one.score.value
    row = {
        "id": one.id, "prompt": one.prompt.text, "task": one.prompt.specification.task,
        "specification": one.prompt.specification.to_json(), "labels": list(one.prompt.labels), "skeleton": one.motion.skeleton.name,
        "fps": one.motion.fps, "n_frames": len(one.motion), "joints": one.motion.joints.ravel(), "generator": record["generator"],
        "seed": one.seed, "reward": record["reward"]["reward"], "rating": rating, "rationale": one.score.rationale,
    }  # fmt: skip
    if images:
        row["images"] = [{"bytes": _png(image), "path": None} for image in motion_images(one.motion, images)]
    return row


def _png(image: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
