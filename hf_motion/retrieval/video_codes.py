"""Codes of an index for millions of entries: FAISS finds candidates among a few bytes each, float16 embeddings decide."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..utils.extras import require
from ..utils.faults import reading
from ..utils.files import atomic_path, write_json
from .index_card import write_index_card
from .video_index import ABOUT, CODES, Hit, VideoIndex

logger = logging.getLogger(__name__)

_DIMS = (16, 8, 4, 2)  # numbers that four bits stand for, coarse and fast first
_CANDIDATES = (100, 200, 400)
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
        candidates (`int`, *optional*): How many of each query are ranked again; by default as many as `build` found to be needed.

    Raises:
        ValueError: If the codes are of another number of entries.
    """

    def __init__(self, index: VideoIndex, codes: Any, candidates: int | None = None) -> None:
        if codes.ntotal != len(index):
            raise ValueError(f"The codes are of {codes.ntotal} entries, the index has {len(index)}. Make them anew with VideoCodes.build.")
        known = index.about.get("recall", {}).get("candidates", _CANDIDATES[0])
        self.index, self.codes, self.candidates = index, codes, known if candidates is None else candidates

    @classmethod
    def build(cls, index: VideoIndex, candidates: int | None = None, seed: int = 0, least_recall: float = 0.99) -> VideoCodes:
        """Make codes, measure their recall, and write both beside the index if it lies in a folder.

        Four bits stand for 16 numbers of an entry, for fewer where that does not find enough: embeddings of videos lie in clusters, which
        short codes tell apart; vectors without any structure need long ones.

        Args:
            index (`VideoIndex`): With at least 1000 entries.
            candidates (`int`, *optional*): How many of each query are ranked again; by default 100, 200 or 400, as many as are needed.
            seed (`int`, defaults to 0): Which entries the codes are learned from and measured with.
            least_recall (`float`, defaults to 0.99): Which share of the exact ten best must be found; where no codes find so many, those
                that find most are taken and a warning says so.

        Returns:
            `VideoCodes`: `recall` in the index's `index.json` says which share of the exact ten best is found, for entries as queries.

        Raises:
            ValueError: If there are too few entries, the width is not divisible by 2, or a number is out of range.
            ImportError: If FAISS is not installed.
        """
        faiss = require("faiss", "Searching by codes", "Or search without codes, which is exact.")
        if len(index) < _LEAST:
            raise ValueError(f"Codes need at least {_LEAST} entries to learn from, the index has {len(index)}. Search it without codes.")
        if not 0 < least_recall <= 1:
            raise ValueError(f"least_recall must be above 0 and at most 1, got {least_recall}.")
        width = sum(index.about["parts"])
        names = [f"PQ{width // dims}x4fs" for dims in _DIMS if width % dims == 0]
        if not names:
            raise ValueError(f"Codes need a width that is divisible by 2, got {width}. Search without codes.")
        generator = np.random.default_rng(seed)
        learned = index.joined(np.sort(generator.permutation(len(index))[:_TRAIN]))
        queries = _noisy_entries(index, generator)
        exact = np.array([[hit.row for hit in hits] for hits in index.search(queries)])
        best: tuple[dict[str, Any], Any] | None = None
        for name in names:
            codes = _coded(faiss.index_factory(width, name, faiss.METRIC_INNER_PRODUCT), index, learned)
            recall = _recall(codes, queries, exact, _CANDIDATES if candidates is None else (candidates,), least_recall)
            if best is None or recall["share"] > best[0]["share"]:
                best = ({**recall, "codes": name}, codes)
            if recall["share"] >= least_recall:
                break
        index.about["recall"], codes = best
        if index.about["recall"]["share"] < least_recall:
            logger.warning(
                "Codes find %.3f of the ten best entries, not the %.3f that were asked for. Search without codes, which is exact.",
                index.about["recall"]["share"], least_recall,
            )  # fmt: skip
        if index.folder is not None:
            with atomic_path(index.folder / CODES) as temporary:
                faiss.write_index(codes, str(temporary))
            write_json(index.folder / ABOUT, index.about)
            write_index_card(index, index.folder)
        return cls(index, codes)

    @classmethod
    def load(cls, index: VideoIndex, candidates: int | None = None) -> VideoCodes:
        """Open the codes beside an index; they stay on the disk.

        Args:
            index (`VideoIndex`): The index.
            candidates (`int`, *optional*): As for the class.

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


def _coded(codes: Any, index: VideoIndex, learned: np.ndarray) -> Any:
    codes.train(learned)
    for begin in range(0, len(index), _TRAIN):
        codes.add(index.joined(np.arange(begin, min(begin + _TRAIN, len(index)))))
    return codes


def _noisy_entries(index: VideoIndex, generator: np.random.Generator) -> np.ndarray:
    """Queries to measure with."""
    queries = index.rows(np.sort(generator.permutation(len(index))[:_MEASURED])).astype(np.float32)
    return queries + generator.normal(scale=0.5 / np.sqrt(queries.shape[1]), size=queries.shape).astype(np.float32)


def _recall(codes: Any, queries: np.ndarray, exact: np.ndarray, counts: Sequence[int], least: float) -> dict[str, Any]:
    """The fewest of some numbers of candidates that hold a share of the exact best, or the most, and the share."""
    most = min(max(counts), codes.ntotal)
    _, found = codes.search(queries, most)
    result: dict[str, Any] = {}
    for count in counts:
        held = [np.isin(best, candidates[:count]).mean() for best, candidates in zip(exact, found, strict=True)]
        result = {"at": exact.shape[1], "candidates": count, "share": float(np.mean(held))}
        if result["share"] >= least:
            break
    return result
