"""Which videos texts have found: a data set of pairs, made once and learned from."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from ..utils.extras import require
from ..utils.faults import reading
from ..utils.files import atomic_path

_COLUMNS = ("text", "ids", "paths", "starts", "scores")
_BATCH = 256


class RetrievedVideos:
    """Texts with the videos that they have found, best first.

    Args:
        rows (`list[dict]`): `text`, and the lists `ids`, `paths`, `starts` and `scores`.

    Raises:
        ValueError: If there are none, or a text has found nothing.
    """

    def __init__(self, rows: Sequence[dict[str, Any]]) -> None:
        self.rows = {row["text"]: row for row in rows}
        if not self.rows or not all(row["paths"] for row in self.rows.values()):
            raise ValueError("Every text needs a video that it has found, and there has to be a text.")

    @classmethod
    def of(cls, retriever: Any, texts: Sequence[str], k: int = 5, show_progress: bool = True) -> RetrievedVideos:
        """Look for all texts.

        Args:
            retriever (`VideoRetriever` or `RandomVideos`): What looks.
            texts (`list[str]`): Texts, each looked for once.
            k (`int`, defaults to 5): Videos of each.
            show_progress (`bool`, defaults to `True`): Show a progress bar.
        """
        distinct, rows = list(dict.fromkeys(texts)), []
        for start in tqdm(range(0, len(distinct), _BATCH), desc="Looking for videos", disable=not show_progress):
            batch = distinct[start : start + _BATCH]
            for text, hits in zip(batch, retriever.retrieve(batch, k), strict=True):
                about = [hit.about for hit in hits]
                rows.append({
                    "text": text, "ids": [one["id"] for one in about], "paths": [one["path"] for one in about],
                    "starts": [one.get("start") for one in about], "scores": [hit.score for hit in hits],
                })  # fmt: skip
        return cls(rows)

    @classmethod
    def load(cls, source: str | os.PathLike, split: str = "train") -> RetrievedVideos:
        """Read what `save` wrote.

        Args:
            source (`str` or `os.PathLike`): Parquet file, folder of them, or data set on the Hub.
            split (`str`, defaults to `"train"`): For the Hub.

        Raises:
            FileNotFoundError: If a folder holds no parquet file.
            ValueError: If a column is missing.
        """
        load_dataset, path = require("datasets", "Reading retrieved videos").load_dataset, Path(source)
        if path.exists():
            files = [path] if path.is_file() else sorted(path.glob("*.parquet"))
            if not files:
                raise FileNotFoundError(f"{str(path)!r} holds no parquet file. `hf-motion video retrieve` writes one.")
            with reading(path, "a parquet file of retrieved videos"):
                rows = load_dataset("parquet", data_files=[str(file) for file in files], split="train")
        else:
            rows = load_dataset(str(source), split=split)
        missing = set(_COLUMNS) - set(rows.column_names)
        if missing:
            raise ValueError(f"{str(source)!r} lacks the columns {sorted(missing)} of retrieved videos; it has {rows.column_names}.")
        return cls(list(rows))

    def save(self, folder: str | os.PathLike) -> Path:
        """Write `train.parquet` into a folder, whole or not at all."""
        pyarrow, parquet = require("pyarrow", "Writing retrieved videos"), require("pyarrow.parquet", "Writing retrieved videos")
        texts, numbers = pyarrow.list_(pyarrow.string()), pyarrow.list_(pyarrow.float64())
        kinds = {"text": pyarrow.string(), "ids": texts, "paths": texts, "starts": numbers, "scores": numbers}
        path = Path(folder) / "train.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary:
            table = pyarrow.Table.from_pylist(list(self.rows.values()), schema=pyarrow.schema(list(kinds.items())))
            parquet.write_table(table, temporary, compression="zstd")
        return path

    def __len__(self) -> int:
        return len(self.rows)

    def __contains__(self, text: str) -> bool:
        return text in self.rows

    def videos(self, text: str) -> list[dict[str, Any]]:
        """A text's videos that have a file, best first: `id`, `path`, `start` and `score` of each.

        Raises:
            ValueError: If the text was not looked for.
        """
        if text not in self.rows:
            raise ValueError(f"No video was looked for with {text!r}. Make the data set anew: hf-motion video retrieve.")
        row = self.rows[text]
        names = {"id": "ids", "path": "paths", "start": "starts", "score": "scores"}
        columns = [row[column] for column in names.values()]
        return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True) if values[1]]

    def paths(self, text: str) -> list[str]:
        """Files of a text's videos, best first; see `videos`."""
        return [video["path"] for video in self.videos(text)]
