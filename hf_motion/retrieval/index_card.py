"""The card of an index."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from huggingface_hub import DatasetCard, DatasetCardData

from ..utils.files import atomic_path

if TYPE_CHECKING:
    from .video_index import VideoIndex

_TEMPLATE = Path(__file__).with_name("index_card_template.md")
_TAG = "video-index"


def write_index_card(index: VideoIndex, folder: Path, repo_id: str | None = None) -> None:
    """Write `README.md`, unless there is one that somebody else wrote.

    Args:
        index (`VideoIndex`): The index.
        folder (`pathlib.Path`): Where it lies.
        repo_id (`str`, *optional*): Where it is going to be, for the example.
    """
    path = folder / "README.md"
    if path.is_file() and f"- {_TAG}\n" not in path.read_text(encoding="utf-8"):
        return
    about, recall = index.about, index.about.get("recall")
    card = DatasetCard.from_template(
        DatasetCardData(tags=[_TAG, "human-motion", "hf_motion"]),
        template_path=str(_TEMPLATE),
        kind=about["kind"],
        entries=f"{len(index):,}",
        name=about["name"],
        digest=about["embedder"][:16],
        width=sum(about["parts"]),
        recall=f"{recall['share']:.4f} (re-ranking {recall['candidates']})" if recall else None,
        sources=_counts(index, "source"),
        licenses=_counts(index, "license"),
        repository=repo_id or "<this repository>",
    )
    with atomic_path(path) as temporary:
        temporary.write_text(str(card), encoding="utf-8")


def _counts(index: VideoIndex, column: str) -> str:
    counts = Counter(value or "not stated" for value in index.table[column].to_pylist())
    return ", ".join(f"{name} ({count:,})" for name, count in sorted(counts.items())) or "none"
