"""Rewards by retrieval models: how near a motion is to its text where both are embedded."""

from __future__ import annotations

import logging
import os
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ..checkpoints import EMBEDDED_EVALUATOR, EMBEDDED_TMR
from ..motion import Motion
from ..retrieval.embedder import MotionTextEmbedder
from .base import Reward, check_lengths
from .specification import Specification

logger = logging.getLogger("hf_motion")


class EmbeddingReward(Reward):
    """What `ContrastiveReward` and `TMRReward` have in common.

    Args:
        embedder (`MotionTextEmbedder`): Model, tokenizer and feature extractor.

    Raises:
        ValueError: If the model compares its embeddings in the other way.
    """

    default: Any
    similarity: str
    shortest: int  # frames of features

    def __init__(self, embedder: MotionTextEmbedder) -> None:
        compares = getattr(embedder.model.config, "similarity", self.similarity)
        if compares != self.similarity:
            raise ValueError(
                f"{embedder.name} compares embeddings by {compares}, {type(self).__name__} by {self.similarity}. Use "
                f"{'TMRReward' if compares == 'cosine' else 'ContrastiveReward'}."
            )
        self.embedder = embedder

    @classmethod
    def from_pretrained(
        cls, name: str | os.PathLike[str] | None = None, device: str | torch.device = "cpu", batch_size: int = 64
    ) -> EmbeddingReward:
        """Load a retrieval checkpoint.

        Args:
            name (`str` or `os.PathLike`, *optional*): Folder or Hub repository; the small one inside the package by default.
            device (`str` or `torch.device`, defaults to `"cpu"`): Where to run.
            batch_size (`int`, defaults to 64): Clips or texts at once; scores do not depend on it.

        Raises:
            OSError: If there is no such checkpoint.
            ValueError: If it is of another kind, or not complete.
        """
        return cls(MotionTextEmbedder.from_pretrained(cls.default if name is None else name, device, batch_size))

    def __call__(
        self, motions: Sequence[Motion], texts: Sequence[str], specifications: Sequence[Specification | None] | None = None
    ) -> list[float]:
        """Score motions; see `Reward`. NaN for a motion too short to be embedded."""
        check_lengths(motions, texts, specifications)
        if not motions:
            return []
        extractor = self.embedder.feature_extractor
        frames = [int((len(motion) - 1) * extractor.fps / motion.fps) for motion in motions]
        cut = sum(count > extractor.max_frames for count in frames)
        if cut:
            logger.warning("%s reads %d frames: the ends of %d longer motions are not judged.", self.name, extractor.max_frames, cut)
        chosen = [index for index, count in enumerate(frames) if count >= self.shortest]
        scores = np.full(len(motions), np.nan)
        if chosen:
            made = self.embedder.embed_motions(self.embedder.encode([motions[index] for index in chosen]))
            scores[chosen] = self._compare(made, self.embedder.embed_texts([texts[index] for index in chosen]))
        return [float(score) for score in scores]

    def settings(self) -> dict[str, Any]:
        """See `Reward.settings`."""
        return {"reward": self.name, "model": self.embedder.name, "digest": self.embedder.digest}

    @abstractmethod
    def _compare(self, motions: np.ndarray, texts: np.ndarray) -> np.ndarray:
        """Scores of pairs of embeddings, (pairs, dim) each."""


class ContrastiveReward(EmbeddingReward):
    """Minus the Euclidean distance of motion and text in an evaluator's space: AToM's "CE-based" baseline (its Table 1).

    Args:
        embedder (`MotionTextEmbedder`): Of a `T2MEvaluator`.

    Raises:
        ValueError: If the model compares its embeddings in another way.
    """

    name = "contrastive"
    default = EMBEDDED_EVALUATOR
    similarity = "euclidean"
    shortest = 4

    def _compare(self, motions: np.ndarray, texts: np.ndarray) -> np.ndarray:
        return np.asarray(-np.linalg.norm(motions - texts, axis=1))


class TMRReward(EmbeddingReward):
    """Cosine of motion and text in TMR's space.

    Args:
        embedder (`MotionTextEmbedder`): Of a `TMR`.

    Raises:
        ValueError: If the model compares its embeddings in another way.
    """

    name = "tmr"
    default = EMBEDDED_TMR
    similarity = "cosine"
    shortest = 1

    def _compare(self, motions: np.ndarray, texts: np.ndarray) -> np.ndarray:
        norms = np.linalg.norm(motions, axis=1) * np.linalg.norm(texts, axis=1)
        return np.asarray((motions * texts).sum(1) / norms)
