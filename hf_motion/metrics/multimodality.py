"""Multimodality: how far apart motions made from one text are."""

from __future__ import annotations

from typing import Any

import numpy as np

from .arrays import Seed, as_embeddings
from .diversity import random_pairs


def multimodality(embeddings: Any, num_pairs: int = 10, *, seed: Seed = 0) -> float:
    """Mean distance between random pairs of motions made from the same text (Guo et al. 2022).

    1/(T·S) Σₜ Σᵢ ‖vₜᵢ - wₜᵢ‖ over S pairs for each of T texts; its unit is that of the embeddings. Published: 100 texts, 30 motions each,
    10 pairs. Higher is more varied, which is good only as long as the motions follow the text.

    As in the official code, the same pairs of places are taken for every text, and the two draws are independent, so that a pair can be a
    motion with itself.

    Args:
        embeddings (`numpy.ndarray` or `torch.Tensor`): (texts, motions per text, dim), at least two motions per text.
        num_pairs (`int`, defaults to 10): Pairs per text, at most as many as motions per text.
        seed (`int`, `Sequence[int]` or `numpy.random.Generator`, defaults to 0): Chooses the pairs.

    Raises:
        ValueError: If the shape is another one, there are fewer than two motions per text or fewer than pairs, or some hold NaN or
            infinity.
    """
    embeddings = as_embeddings("embeddings", embeddings, shape="(texts, motions per text, dim)")
    if embeddings.shape[1] < 2:
        raise ValueError(f"Multimodality needs at least two motions per text, got embeddings of shape {embeddings.shape}.")
    first, second = random_pairs(embeddings.shape[1], num_pairs, seed, "motions per text")
    return float(np.linalg.norm(embeddings[:, first] - embeddings[:, second], axis=2).mean())
