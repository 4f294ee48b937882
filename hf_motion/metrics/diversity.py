"""Diversity: how far apart motions are."""

from __future__ import annotations

from typing import Any

import numpy as np

from .arrays import Seed, as_embeddings


def diversity(embeddings: Any, num_pairs: int = 300, *, seed: Seed = 0) -> float:
    """Mean distance between random pairs of embeddings (Guo et al. 2022).

    (1/S) Σ ‖vᵢ - wᵢ‖ over S pairs; its unit is that of the embeddings. Neither higher nor lower is better: the best is the value of
    real motion.

    As in the official code, the first and the second members of the pairs are two draws without replacement, independent of each other.
    So a pair can be a sample with itself, which lowers the expected value by the factor 1 - 1 / samples. The official code draws from
    NumPy's global state, here from `seed`; it refuses as many pairs as samples, which is allowed here.

    Args:
        embeddings (`numpy.ndarray` or `torch.Tensor`): (samples, dim), at least two.
        num_pairs (`int`, defaults to 300): Pairs to draw, at most as many as samples.
        seed (`int`, `Sequence[int]` or `numpy.random.Generator`, defaults to 0): Chooses the pairs.

    Raises:
        ValueError: If there are fewer than two samples or fewer than pairs, or some hold NaN or infinity.

    Example:
    >>> import numpy as np
    >>> from hf_motion.metrics import diversity
    >>> diversity(np.ones((400, 8)))
    0.0
    """
    embeddings = as_embeddings("embeddings", embeddings, min_rows=2)
    first, second = random_pairs(len(embeddings), num_pairs, seed, "samples")
    return float(np.linalg.norm(embeddings[first] - embeddings[second], axis=1).mean())


def random_pairs(count: int, num_pairs: int, seed: Seed, what: str) -> tuple[np.ndarray, np.ndarray]:
    """First and second members of random pairs, each drawn without replacement.

    Raises:
        ValueError: If there are fewer to draw from than pairs.
    """
    if not 1 <= num_pairs <= count:
        raise ValueError(f"num_pairs must be between 1 and the number of {what}, got {num_pairs} pairs of {count} {what}.")
    random = np.random.default_rng(seed)
    return random.choice(count, num_pairs, replace=False), random.choice(count, num_pairs, replace=False)
