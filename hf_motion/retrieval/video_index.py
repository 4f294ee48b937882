"""An index of videos, or of motions, that texts find: unit embeddings in float16 files that stay on the disk, and a parquet table."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..utils.extras import require
from ..utils.faults import reading
from ..utils.files import atomic_path, check_writable, write_json
from .index_card import write_index_card

logger = logging.getLogger(__name__)

_VERSION = 2
_ROWS = 1 << 17
_CHUNK = 1 << 14
_SPARE = 256
ABOUT, TABLE, CODES = "index.json", "metadata.parquet", "codes.faiss"


@dataclass(frozen=True)
class Hit:
    """One answer of a search.

    Args:
        row (`int`): Which entry of the index.
        score (`float`): Its score; higher is better.
        about (`dict`): What the table says of it: `id`, `path`, `start`, `duration`, `fps`, `source`, `license`, `sha1`.
    """

    row: int
    score: float
    about: dict[str, Any]


class VideoIndex:
    """Embeddings of many videos, and what is known of them.

    An embedding has one or two parts of unit length (action; objects), and each entry a scale for each part (the router's weight times the
    level's scale). A score is the sum over parts of scale times inner product with the query's part: equation 2 of VimoRAG, exact.

    Args:
        vectors (`list[list[numpy.ndarray]]`): Blocks of rows, in each an array (rows, width) float16 for each part, perhaps mapped;
            one after the other they are all entries. Parts lie apart since products of whole arrays are twice as fast as of
            columns.
        table (`pyarrow.Table`): One row for each entry, with columns `id`, `sha1` and `scale_0` (and `scale_1`).
        about (`dict`): `embedder` (digest), `name`, `parts` (widths) and `kind`, `"video"` or `"motion"`.
        folder (`pathlib.Path`, *optional*): Where it lies.

    Raises:
        ValueError: If they do not fit each other.

    Example:
        >>> index = VideoIndex.from_pretrained("my-index")  # doctest: +SKIP
        >>> index.search(embedder.embed_texts(["a person waves"]), k=3)  # doctest: +SKIP
    """

    def __init__(self, vectors: Sequence[Sequence[np.ndarray]], table: Any, about: Mapping[str, Any], folder: Path | None = None) -> None:
        # In one piece: taking ten rows of a table in several copies all of it.
        self.vectors, self.table, self.about, self.folder = list(vectors), table.combine_chunks(), dict(about), folder
        self._retriever: Any = None
        widths, rows = list(self.about["parts"]), sum(len(block[0]) for block in self.vectors)
        fits = all(
            [part.shape for part in block] == [(len(block[0]), width) for width in widths]
            and all(part.dtype == np.float16 for part in block)
            for block in self.vectors
        )
        if rows != len(table) or not fits:
            shapes = [[part.shape for part in block] for block in self.vectors][:2]
            raise ValueError(f"The table has {len(table)} rows, the embeddings {rows} of {shapes} float16; widths {widths} are expected.")
        self.scales = np.stack([table[f"scale_{part}"].to_numpy() for part in range(len(self.about["parts"]))], axis=1).astype(np.float32)

    def __len__(self) -> int:
        return len(self.table)

    @classmethod
    def empty(cls, embedder: Any) -> VideoIndex:
        """An index without entries, to add to.

        Args:
            embedder (`VideoEmbedder`): Whose embeddings it will hold.
        """
        return cls.of(np.zeros((0, sum(embedder.parts)), np.float16), np.zeros((0, len(embedder.parts)), np.float32), [], embedder)

    @classmethod
    def of(cls, vectors: np.ndarray, scales: np.ndarray, rows: Sequence[Mapping[str, Any]], embedder: Any) -> VideoIndex:
        """An index of embeddings that were made elsewhere.

        Args:
            vectors (`numpy.ndarray`): (n, width), parts of unit length one after the other; kept as float16.
            scales (`numpy.ndarray`): (n, parts).
            rows (`list[Mapping]`): What is known of each; see `Hit`.
            embedder (`VideoEmbedder`): What made them.
        """
        pyarrow = require("pyarrow", "An index of videos")
        columns = {name: [row.get(name) for row in rows] for name in schema_names()}
        columns |= {f"scale_{part}": np.asarray(scales, np.float32)[:, part] for part in range(len(embedder.parts))}
        about = {
            "version": _VERSION,
            "embedder": embedder.digest,
            "name": embedder.name,
            "parts": list(embedder.parts),
            "kind": embedder.kind,
        }
        return cls(
            [_apart(np.asarray(vectors, np.float16), embedder.parts)],
            pyarrow.table(columns, schema=table_schema(len(embedder.parts))),
            about,
        )

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike) -> VideoIndex:
        """Open an index; embeddings stay on the disk.

        Args:
            name (`str` or `os.PathLike`): Folder, or data set repository on the Hub.

        Raises:
            FileNotFoundError: If a folder is no index.
            ValueError: If a file is damaged, missing or of another version.
        """
        if Path(name).is_dir():
            folder = Path(name)
        else:
            from huggingface_hub import snapshot_download

            folder = Path(snapshot_download(str(name), repo_type="dataset"))
        if not (folder / ABOUT).is_file():
            raise FileNotFoundError(f"{str(folder)!r} has no {ABOUT}, so it is no finished index. `hf-motion video index` builds one.")
        parquet = require("pyarrow.parquet", "Opening an index of videos")
        with reading(folder / ABOUT, "the description of an index"):
            about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
            if about["version"] != _VERSION:
                raise ValueError(f"it is of version {about['version']}, known is {_VERSION}; build it anew")
            blocks = [[folder / Path(file).name for file in block] for block in about["files"]]
        with reading(folder / TABLE, "the table of an index"):
            table = parquet.read_table(folder / TABLE)
        vectors: list[list[np.ndarray]] = []
        for block in blocks:
            vectors.append([])
            for file in block:
                with reading(file, "embeddings of an index"):
                    vectors[-1].append(np.load(file, mmap_mode="c", allow_pickle=False))
        with reading(folder, "a whole index"):
            return cls(vectors, table, about, folder)

    def save(self, folder: str | os.PathLike) -> Path:
        """Write the index, and a card that tells of it, into a folder that has none, or has an older one of the same name.

        Codes of an older one are of other entries, and are removed: `VideoCodes.build` makes new ones.

        Args:
            folder (`str` or `os.PathLike`): Where to.

        Raises:
            OSError: If it cannot be written.
        """
        folder = Path(folder)
        check_writable(folder)
        parquet = require("pyarrow.parquet", "Writing an index of videos")
        old = set(folder.glob("embeddings-*.npy"))
        stamp = 1 + max((int(file.name.split("-")[1][:5]) for file in old), default=-1)
        starts = range(0, max(len(self), 1), _ROWS)
        widths = self.about["parts"]
        names = [[f"embeddings-{stamp + number:05d}-{part}.npy" for part in range(len(widths))] for number, _ in enumerate(starts)]
        for block, start in zip(names, starts, strict=True):
            rows = self.rows(np.arange(start, min(start + _ROWS, len(self))))
            for name, part in zip(block, _apart(rows, widths), strict=True):
                with atomic_path(folder / name) as temporary:
                    np.save(temporary, part)
        with atomic_path(folder / TABLE) as temporary:
            parquet.write_table(self.table, temporary, compression="zstd")
        codes = folder / CODES
        if codes.is_file():
            codes.unlink()
            logger.warning("%s was of the index that lay here before, and is removed. VideoCodes.build makes it anew.", codes)
        about = {name: value for name, value in self.about.items() if name != "recall"}
        write_json(folder / ABOUT, {**about, "files": names})
        for file in old - {folder / name for block in names for name in block}:
            file.unlink()
        write_index_card(VideoIndex(self.vectors, self.table, about), folder)
        return folder

    def push_to_hub(self, repo_id: str, private: bool = False, token: str | None = None) -> str:
        """Upload the index as a data set repository.

        Args:
            repo_id (`str`): owner/name.
            private (`bool`, defaults to `False`): Make a new repository private.
            token (`str`, *optional*): Access token.

        Returns:
            `str`: Address of the commit.

        Raises:
            ValueError: If the index does not lie in a folder yet; `save` it first.
        """
        from huggingface_hub import HfApi

        if self.folder is None:
            raise ValueError("This index lies in no folder. Call save(folder) and open it with from_pretrained(folder) first.")
        api = HfApi(token=token)
        repo_id = api.create_repo(repo_id, repo_type="dataset", private=private, exist_ok=True).repo_id
        write_index_card(self, self.folder, repo_id)
        return str(
            api.upload_folder(folder_path=self.folder, repo_id=repo_id, repo_type="dataset", ignore_patterns=["shards/*"]).commit_url
        )

    def retrieve(self, texts: Sequence[str], k: int = 5) -> list[list[Hit]]:
        """What texts find, with the embedded retriever; see `VideoRetriever`, which takes others.

        Args:
            texts (`list[str]`): Sentences.
            k (`int`, defaults to 5): How many of each.

        Raises:
            ValueError: If the index was made with another model, or is empty.
        """
        from .video_retriever import VideoRetriever

        if self._retriever is None:
            self._retriever = VideoRetriever(self)
        return self._retriever.retrieve(texts, k)

    def check_embedder(self, embedder: Any) -> None:
        """Refuse queries and entries of another model.

        Raises:
            ValueError: If the embedder is not the one that the index was made with.
        """
        if embedder.digest != self.about["embedder"]:
            raise ValueError(
                f"This index was made with {self.about['name']} ({self.about['embedder'][:12]}), and the query comes from {embedder.name} "
                f"({embedder.digest[:12]}): their numbers do not compare. Use the same model and revision, or build the index anew."
            )

    def rows(self, indices: np.ndarray) -> np.ndarray:
        """Embeddings of some entries, (n, width) float16."""
        result = np.empty((len(indices), sum(self.about["parts"])), np.float16)
        begin = 0
        for block in self.vectors:
            here, at = (indices >= begin) & (indices < begin + len(block[0])), 0
            for part in block:
                result[here, at : at + part.shape[1]] = part[indices[here] - begin]
                at += part.shape[1]
            begin += len(block[0])
        return result

    def search(self, queries: np.ndarray, k: int = 10, keep: np.ndarray | None = None) -> list[list[Hit]]:
        """The best entries for each query.

        Products of float16 find `k` + 256 candidates, float32 decides among them: all of a small index.

        Args:
            queries (`numpy.ndarray`): (n, width), of this index's embedder: see `VideoEmbedder.embed_texts` and `embed_items`.
            k (`int`, defaults to 10): How many of each; all if there are fewer.
            keep (`numpy.ndarray`, *optional*): (entries,) bool, which entries count.

        Returns:
            `list[list[Hit]]`: Best first; of equal scores the earlier entry first.

        Raises:
            ValueError: If the index is empty or no entry counts, the queries have another width or are not finite, or `k` is not positive.
        """
        queries = self._check_queries(queries, k, keep)
        chosen = None if keep is None else np.flatnonzero(keep)
        rough = self._scores(queries, chosen)
        return [self._best(query, row, k, chosen) for query, row in zip(queries, rough, strict=True)]

    def _check_queries(self, queries: np.ndarray, k: int, keep: np.ndarray | None) -> np.ndarray:
        queries, width = np.asarray(queries, np.float32), sum(self.about["parts"])
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}.")
        if not len(self) or (keep is not None and not keep.any()):
            raise ValueError("Nothing can be found: the index is empty, or no entry passes the filter. Add videos, or widen the filter.")
        if queries.ndim != 2 or queries.shape[1] != width or not np.isfinite(queries).all():
            raise ValueError(f"queries must be (n, {width}) and finite, as this index's embedder gives them, got {queries.shape}.")
        return queries

    def _scores(self, queries: np.ndarray, chosen: np.ndarray | None = None) -> np.ndarray:
        """(queries, entries) float32, of float16 products."""
        total = len(self) if chosen is None else len(chosen)
        asked = [torch.from_numpy(part) for part in _apart(queries.astype(np.float16), self.about["parts"])]
        scores = np.empty((len(queries), total), np.float32)
        scales = self.scales if chosen is None else self.scales[chosen]
        for begin, block in self._chunks(chosen):
            here = slice(begin, begin + len(block[0]))
            products = [(query @ torch.from_numpy(part).T).float().numpy() for query, part in zip(asked, block, strict=True)]
            scores[:, here] = sum(product * scales[here, part] for part, product in enumerate(products))
        return scores

    def _chunks(self, chosen: np.ndarray | None) -> Any:
        if chosen is not None:
            for begin in range(0, len(chosen), _CHUNK):
                yield begin, _apart(self.rows(chosen[begin : begin + _CHUNK]), self.about["parts"])
            return
        begin = 0
        for block in self.vectors:
            for start in range(0, len(block[0]), _CHUNK):
                yield begin + start, [part[start : start + _CHUNK] for part in block]
            begin += len(block[0])

    def _best(self, query: np.ndarray, rough: np.ndarray, k: int, chosen: np.ndarray | None) -> list[Hit]:
        count = min(k + _SPARE, len(rough))
        rows = np.sort(np.argpartition(-rough, count - 1)[:count])
        rows = rows if chosen is None else chosen[rows]
        scores = self.joined(rows) @ query
        best = np.lexsort((rows, -scores))[:k]
        return self.hits(rows[best], scores[best])

    def joined(self, rows: np.ndarray) -> np.ndarray:
        """Entries with their scales in them, whose inner product with a query is its score, (n, width) float32."""
        vectors, at = self.rows(rows).astype(np.float32), 0
        for part, width in enumerate(self.about["parts"]):
            vectors[:, at : at + width] *= self.scales[rows, part, None]
            at += width
        return vectors

    def hits(self, rows: np.ndarray, scores: np.ndarray) -> list[Hit]:
        """Entries with what the table says of them."""
        found = self.table.select(schema_names()).take(rows).to_pylist()
        return [Hit(int(row), float(score), about) for row, score, about in zip(rows, scores, found, strict=True)]

    def where(self, **values: Any) -> np.ndarray:
        """Which entries have a column of some value, or one of a list: (entries,) bool, for `search(keep=...)`.

        Args:
            **values: Columns and values, such as `license="CC BY 4.0"` or `source=["a", "b"]`.

        Raises:
            ValueError: If there is no such column.
        """
        keep = np.ones(len(self), dtype=bool)
        for name, wanted in values.items():
            if name not in self.table.column_names:
                raise ValueError(f"There is no column {name!r}. The columns are {', '.join(self.table.column_names)}.")
            accepted = set(wanted) if isinstance(wanted, (list, tuple, set)) else {wanted}
            keep &= np.array([value in accepted for value in self.table[name].to_pylist()], dtype=bool)
        return keep

    def merge(self, other: VideoIndex) -> VideoIndex:
        """Both indices as one, this one's entries first.

        Raises:
            ValueError: If they were made with different models.
        """
        if other.about["embedder"] != self.about["embedder"]:
            raise ValueError(
                f"One index was made with {self.about['name']} ({self.about['embedder'][:12]}), the other with {other.about['name']} "
                f"({other.about['embedder'][:12]}): their numbers do not compare. Build one of them anew."
            )
        pyarrow = require("pyarrow", "An index of videos")
        return VideoIndex([*self.vectors, *other.vectors], pyarrow.concat_tables([self.table, other.table]), self.about)

    def add(self, vectors: np.ndarray, scales: np.ndarray, rows: Sequence[Mapping[str, Any]], embedder: Any) -> VideoIndex:
        """The index with further entries behind its own; as for `of`.

        Raises:
            ValueError: If they come from another model.
        """
        self.check_embedder(embedder)
        return self.merge(VideoIndex.of(vectors, scales, rows, embedder))

    def keep(self, rows: np.ndarray) -> VideoIndex:
        """Some entries as an index: (entries,) bool or row numbers."""
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        return VideoIndex([_apart(self.rows(rows), self.about["parts"])], self.table.take(rows), self.about)

    def remove(self, ids: Sequence[str]) -> VideoIndex:
        """The index without some entries.

        Args:
            ids (`list[str]`): Their ids.

        Raises:
            ValueError: If there is no such entry; it names the first ones.
        """
        known = self.table["id"].to_pylist()
        missing = sorted(set(ids) - set(known))
        if missing:
            raise ValueError(f"The index has no entries {missing[:5]}. Look at the column 'id' of its table.")
        gone = set(ids)
        return self.keep(np.array([name not in gone for name in known], dtype=bool))

    def deduplicate(self) -> VideoIndex:
        """The index with the first entry of each file content, by sha1 and start; entries without a sha1 stay."""
        seen: set[tuple[Any, ...]] = set()
        keep = []
        for row in self.table.select(["sha1", "start"]).to_pylist():
            key = (row["sha1"], row["start"])
            keep.append(row["sha1"] is None or key not in seen)
            seen.add(key)
        return self.keep(np.array(keep, dtype=bool))


def _apart(rows: np.ndarray, widths: Sequence[int]) -> list[np.ndarray]:
    """Parts of (rows, width), each an array of its own."""
    ends = np.cumsum(widths)[:-1]
    return [np.ascontiguousarray(part) for part in np.split(rows, ends, axis=1)]


def schema_names() -> list[str]:
    """Columns that tell of an entry."""
    return ["id", "path", "start", "duration", "fps", "people", "source", "license", "sha1"]


def table_schema(parts: int) -> Any:
    """Types of the table's columns, as `pyarrow.Schema`."""
    pyarrow = require("pyarrow", "An index of videos")
    kinds = {"start": pyarrow.float64(), "duration": pyarrow.float64(), "fps": pyarrow.float64(), "people": pyarrow.int32()}
    fields = [(name, kinds.get(name, pyarrow.string())) for name in schema_names()]
    return pyarrow.schema([*fields, *((f"scale_{part}", pyarrow.float32()) for part in range(parts))])
