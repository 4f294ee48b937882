"""Cards of built data sets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..utils.files import atomic_path

_TEMPLATE = Path(__file__).parent / "dataset_card.md"
# Identifiers that the Hub knows, by what our `license` column says.
_IDENTIFIERS = {"mit": "mit", "cc by-nc 4.0": "cc-by-nc-4.0", "cc by 4.0": "cc-by-4.0", "apache-2.0": "apache-2.0", "cc0 1.0": "cc0-1.0"}


def write_dataset_card(folder: Path, record: dict[str, Any], skipped: int) -> None:
    """Write `README.md` of a built data set.

    Args:
        folder (`pathlib.Path`): The data set.
        record (`dict`): What `build.json` holds.
        skipped (`int`): Things that were left out.
    """
    from huggingface_hub import DatasetCard, DatasetCardData

    licenses = sorted({name for source in record["sources"].values() for name in source["licenses"]})
    known = {_IDENTIFIERS.get(name.lower()) for name in licenses}
    identifier = next(iter(known)) if len(known) == 1 else None
    data = DatasetCardData(
        license=identifier or "other",
        license_name=None if identifier else "see-card",
        pretty_name=folder.resolve().name,
        tags=["human-motion", "text-to-motion", "hf_motion"],
        task_categories=["other"],
        size_categories=[_size(sum(record["clips"].values()))],
        configs=[{"config_name": "default", "data_files": [{"split": split, "path": f"data/{split}-*"} for split in record["clips"]]}],
    )
    card = DatasetCard.from_template(
        data,
        template_path=str(_TEMPLATE),
        name=folder.resolve().name,
        layout=record["layout"],
        skeleton=record["skeleton"],
        clips=record["clips"],
        total=sum(record["clips"].values()),
        hours=f"{record['seconds'] / 3600:.2f}",
        captions=record["captions"],
        sources={name: {**values, "hours": f"{values['seconds'] / 3600:.2f}"} for name, values in list(record["sources"].items())[:40]},
        more_sources=max(len(record["sources"]) - 40, 0),
        licenses=licenses,
        skipped=skipped,
        composite=record["layout"].startswith("composite"),
    )
    with atomic_path(folder / "README.md") as temporary:
        temporary.write_text(str(card), encoding="utf-8")


def _size(clips: int) -> str:
    edges = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"))
    return next((name for limit, name in edges if clips < limit), "100K<n<1M")
