"""Codes of an index for millions of entries: FAISS finds candidates among a few bytes each, float16 embeddings decide."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..utils.extras import require
from ..utils.faults import reading
from ..utils.files import atomic_path, write_json
from .index_card import write_index_card
from .video_index import ABOUT, CODES, Hit, VideoIndex

_BOOKS = (96, 64, 48, 32, 16, 8, 4)
_TRAIN = 65_536
_MEASURED = 200
_LEAST = 1000


class VideoCodes:
    """Searches an index by product quantisation with 4 bits (FAISS), and ranks the candidates again by their exact scores.

    Codes are made once and never added to: FAISS ends the whole process when a mapped file is added to. Searches with a filter are exact,
    since these codes cannot leave entries out.

    Args:
        index (`VideoIndex`): The index.
        codes (`faiss.Index`): Its codes.
        candidates (`int`, defaults to 100): How many of each query are ranked again.

    Raises:
        ValueError: If the codes are of another number of entries.
    """

    def __init__(self, index: VideoIndex, codes: Any, candidates: int = 100) -> None:
        if codes.ntotal != len(index):
            raise ValueError(f"The codes are of {codes.ntotal} entries, the index has {len(index)}. Make them anew with VideoCodes.build.")
        self.index, self.codes, self.candidates = index, codes, candidates

    @classmethod
    def build(cls, index: VideoIndex, candidates: int = 100, seed: int = 0) -> VideoCodes:
        """Make codes, measure their recall, and write both beside the index if it lies in a folder.

        Args:
            index (`VideoIndex`): With at least 1000 entries.
            candidates (`int`, defaults to 100): As for the class.
            seed (`int`, defaults to 0): Which entries the codes are learned from and measured with.

        Returns:
            `VideoCodes`: `recall` in the index's `index.json` says which share of the exact ten best is found, for entries as queries.

        Raises:
            ValueError: If there are too few entries, or the width is not divisible by 4.
            ImportError: If FAISS is not installed.
        """
        faiss = require("faiss", "Searching by codes", "Or search without codes, which is exact.")
        if len(index) < _LEAST:
            raise ValueError(f"Codes need at least {_LEAST} entries to learn from, the index has {len(index)}. Search it without codes.")
        width = sum(index.about["parts"])
        books = next((count for count in _BOOKS if width % count == 0), None)
        if books is None:
            raise ValueError(f"Codes need a width that is divisible by 4, got {width}. Search without codes.")
        codes = faiss.index_factory(width, f"PQ{books}x4fs", faiss.METRIC_INNER_PRODUCT)
        generator = np.random.default_rng(seed)
        codes.train(index.joined(np.sort(generator.permutation(len(index))[:_TRAIN])))
        for begin in range(0, len(index), _TRAIN):
            codes.add(index.joined(np.arange(begin, min(begin + _TRAIN, len(index)))))
        made = cls(index, codes, candidates)
        index.about["recall"] = {"at": 10, "candidates": candidates, "share": made.measure(generator)}
        if index.folder is not None:
            with atomic_path(index.folder / CODES) as temporary:
                faiss.write_index(codes, str(temporary))
            write_json(index.folder / ABOUT, index.about)
            write_index_card(index, index.folder)
        return made

    @classmethod
    def load(cls, index: VideoIndex, candidates: int = 100) -> VideoCodes:
        """Open the codes beside an index; they stay on the disk.

        Raises:
            FileNotFoundError: If there are none.
            ValueError: If the file is damaged or of another index.
        """
        faiss = require("faiss", "Searching by codes", "Or search without codes, which is exact.")
        path = (index.folder or Path()) / CODES
        if not path.is_file():
            raise FileNotFoundError(f"There is no file {str(path)!r}. VideoCodes.build(index) makes it.")
        with reading(path, "codes of an index"):
            return cls(index, faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC), candidates)

    def add(self, *args: Any, **kwargs: Any) -> None:
        """Not possible: see the class.

        Raises:
            ValueError: Always, with the way out.
        """
        raise ValueError(
            "Codes are never added to: FAISS ends the whole process when a file that is mapped is. Add to the index (VideoIndex.add), save "
            "it, and make codes anew with VideoCodes.build."
        )

    def measure(self, generator: np.random.Generator) -> float:
        """Recall at 10: entries with noise as queries, against the exact search."""
        rows = np.sort(generator.permutation(len(self.index))[:_MEASURED])
        queries = self.index.rows(rows).astype(np.float32)
        queries += generator.normal(scale=0.5 / np.sqrt(queries.shape[1]), size=queries.shape).astype(np.float32)
        found = 0
        for ours, exact in zip(self.search(queries), self.index.search(queries), strict=True):
            found += len({hit.row for hit in ours} & {hit.row for hit in exact})
        return found / (10 * len(queries))

    def search(self, queries: np.ndarray, k: int = 10, keep: np.ndarray | None = None) -> list[list[Hit]]:
        """As `VideoIndex.search`, with scores that are exact and entries that are nearly always the same."""
        if keep is not None:
            return self.index.search(queries, k, keep)
        queries = self.index._check_queries(queries, k, keep)
        _, candidates = self.codes.search(queries, min(max(self.candidates, k), len(self.index)))
        results = []
        for query, found in zip(queries, candidates, strict=True):
            rows = np.sort(found[found >= 0])
            scores = self.index.joined(rows) @ query
            best = np.lexsort((rows, -scores))[:k]
            results.append(self.index.hits(rows[best], scores[best]))
        return results
