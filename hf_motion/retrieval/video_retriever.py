"""From sentences to videos: an index with the model that its queries come from, or chance."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..checkpoints import EMBEDDED_MVR
from .video_building import GeminiMVREmbedder, VideoEmbedder
from .video_index import Hit, VideoIndex


class VideoRetriever:
    """Finds videos of an index for sentences: what `pipeline("text-to-motion", retriever=...)` takes.

    Args:
        index (`VideoIndex` or `VideoCodes`): Where to look.
        embedder (`VideoEmbedder`, *optional*): What the index was made with; the retriever inside the package by default.
        videos (`str` or `os.PathLike`, *optional*): Folder of the videos, where they have moved since the index was made: the ids are
            looked for in it.

    Raises:
        ValueError: If the index was made with another model.

    Example:
        >>> index = VideoIndex.from_pretrained("my-index")  # doctest: +SKIP
        >>> VideoRetriever(index).retrieve(["a person waves"], k=1)[0][0].about["path"]  # doctest: +SKIP
        'videos/wave.mp4'
    """

    def __init__(self, index: Any, embedder: VideoEmbedder | None = None, videos: str | os.PathLike | None = None) -> None:
        opened: VideoIndex = getattr(index, "index", index)
        if embedder is None:
            embedder = GeminiMVREmbedder.from_pretrained(EMBEDDED_MVR)
            if embedder.digest != opened.about["embedder"]:
                raise ValueError(
                    f"This index was made with {opened.about['name']} ({opened.about['embedder'][:12]}), not with the retriever inside the "
                    f"package ({embedder.digest[:12]}). Pass VideoRetriever(index, GeminiMVREmbedder.from_pretrained(...)) with the model "
                    "that it was made with, or build the index anew, as those that an earlier version of the package made: "
                    "hf-motion video index."
                )
        opened.check_embedder(embedder)
        self.index, self.embedder, self.videos = index, embedder, videos

    def retrieve(self, texts: Sequence[str], k: int = 5) -> list[list[Hit]]:
        """The best videos for each sentence.

        Args:
            texts (`list[str]`): Sentences.
            k (`int`, defaults to 5): How many of each; fewer where there are fewer.

        Returns:
            `list[list[Hit]]`: Best first. `about` of each holds `id`, `path` and `start`.

        Raises:
            ValueError: If the index is empty.
        """
        found = self.index.search(self.embedder.embed_texts(texts), k)
        return [[_placed(hit, self.videos) for hit in hits] for hits in found]

    def retrieve_like(self, items: Sequence[Any], k: int = 5) -> list[list[Hit]]:
        """The videos that look most like others, or like motions.

        Args:
            items (`list`): What the embedder takes for a video; a `Motion` too, as a camera sees it.
            k (`int`, defaults to 5): As for `retrieve`.

        Raises:
            ValueError: If the index is empty, or an item cannot be read.
        """
        found = self.index.search(self.embedder.embed_items(items)[0], k)
        return [[_placed(hit, self.videos) for hit in hits] for hits in found]


class RandomVideos:
    """Videos of an index by chance, for ablations: the same ones for a sentence whatever its neighbours.

    Args:
        index (`VideoIndex`): Where to draw from.
        seed (`int`, defaults to 0): All chance comes from it.
        videos (`str` or `os.PathLike`, *optional*): As for `VideoRetriever`.

    Raises:
        ValueError: If the index is empty.
    """

    def __init__(self, index: VideoIndex, seed: int = 0, videos: str | os.PathLike | None = None) -> None:
        if not len(index):
            raise ValueError("Nothing can be drawn: the index is empty. Add videos.")
        self.index, self.seed, self.videos = index, seed, videos

    def retrieve(self, texts: Sequence[str], k: int = 5) -> list[list[Hit]]:
        """Some videos for each sentence, none of them twice; their scores are no numbers. See `VideoRetriever.retrieve`."""
        found = []
        for text in texts:
            key = int.from_bytes(hashlib.sha256(f"{self.seed}|{text}".encode()).digest()[:8], "big")
            rows = np.random.default_rng(key).permutation(len(self.index))[:k]
            found.append([_placed(hit, self.videos) for hit in self.index.hits(rows, np.full(len(rows), np.nan))])
        return found


def _placed(hit: Hit, folder: str | os.PathLike | None) -> Hit:
    return hit if folder is None else replace(hit, about={**hit.about, "path": str(Path(folder) / hit.about["id"])})
