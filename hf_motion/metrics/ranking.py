"""Where the right answers stand in a ranking, with ties decided by rule and not by a sorting routine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .arrays import Seed, check_option, unit_rows

METRICS = ("euclidean", "cosine")
_TIE = 1e-12


def distances(queries: np.ndarray, keys: np.ndarray, metric: str) -> tuple[np.ndarray, float]:
    """Distances that rank `keys` for each of `queries`, in batches.

    Args:
        queries (`numpy.ndarray`): (..., queries, dim) float64.
        keys (`numpy.ndarray`): (..., keys, dim) float64.
        metric (`str`): `"euclidean"`, or `"cosine"`: the same between vectors scaled to length one.

    Returns:
        `tuple[numpy.ndarray, float]`: Squared Euclidean distances (..., queries, keys), and the difference below which two of them are
        equal up to rounding.

    Raises:
        ValueError: If the metric is unknown, or a vector without length meets a cosine.
    """
    check_option("metric", metric, METRICS)
    if metric == "cosine":
        queries, keys = unit_rows("queries", queries), unit_rows("keys", keys)
    squares = [np.square(side).sum(-1) for side in (queries, keys)]
    result = squares[0][..., :, None] + squares[1][..., None, :] - 2 * queries @ np.swapaxes(keys, -1, -2)
    return result, _TIE * float(squares[0].max() + squares[1].max())


@dataclass(frozen=True)
class Ranking:
    """For each query, what stands before and beside its best right answer.

    Args:
        closer (`numpy.ndarray`): How many wrong answers are strictly closer, (..., queries).
        tied_wrong (`numpy.ndarray`): How many wrong answers are just as close.
        tied_right (`numpy.ndarray`): How many right answers are that close, at least 1.
    """

    closer: np.ndarray
    tied_wrong: np.ndarray
    tied_right: np.ndarray

    def hits(self, top_k: int) -> np.ndarray:
        """Probability that a right answer is among the first 1 ... top_k when ties are put in random order, (..., queries, top_k)."""
        missed = np.ones(self.closer.shape)
        hits = []
        for place in range(top_k):
            drawn = place - self.closer
            wrong = np.maximum(self.tied_wrong - drawn, 0)
            missed = missed * np.where(drawn >= 0, wrong / np.maximum(wrong + self.tied_right, 1), 1)
            hits.append(1 - missed)
        return np.stack(hits, -1)

    def expected_rank(self) -> np.ndarray:
        """Expected rank, from 1, of the first right answer when ties are put in random order, (..., queries)."""
        return self.closer + 1 + self.tied_wrong / (self.tied_right + 1)


def rank(ranked_by: np.ndarray, tolerance: float, right: np.ndarray) -> Ranking:
    """Find the best right answer of each query.

    Args:
        ranked_by (`numpy.ndarray`): (..., queries, keys) distances.
        tolerance (`float`): Distances that differ by less are equal.
        right (`numpy.ndarray`): (..., queries, keys) bool, the right answers; at least one per query.
    """
    best = np.where(right, ranked_by, np.inf).min(-1, keepdims=True)
    tied = np.abs(ranked_by - best) <= tolerance
    return Ranking((ranked_by < best - tolerance).sum(-1), (tied & ~right).sum(-1), (tied & right).sum(-1))


def pools(count: int, pool_size: int, seed: Seed | None, drop_last: bool) -> tuple[np.ndarray, np.ndarray]:
    """Split samples into pools of equal size.

    Args:
        count (`int`): Number of samples.
        pool_size (`int`): Samples per pool.
        seed (`int`, `Sequence[int]` or `numpy.random.Generator`, *optional*): Shuffle with it; None keeps the order.
        drop_last (`bool`): Leave out samples that do not fill a pool. Otherwise they are filled up with the samples before them.

    Returns:
        `tuple[numpy.ndarray, numpy.ndarray]`: Indices (pools, pool_size), and whether to score the sample there: the samples that fill
        the last pool were scored in their own.

    Raises:
        ValueError: If there are fewer samples than a pool takes.
    """
    if not 2 <= pool_size <= count:
        raise ValueError(
            f"pool_size must be at least 2 and at most the number of samples, got pool_size {pool_size} and {count} samples. "
            "Score more clips, or use smaller pools and say so beside the number."
        )
    order = np.arange(count) if seed is None else np.random.default_rng(seed).permutation(count)
    full = count // pool_size
    members = order[: full * pool_size].reshape(full, pool_size)
    scored = np.ones(members.shape, bool)
    rest = count - members.size
    if rest and not drop_last:
        members = np.concatenate([members, order[None, -pool_size:]])
        scored = np.concatenate([scored, np.arange(pool_size)[None] >= pool_size - rest])
    return members, scored


def right_answers(members: np.ndarray, count: int, *sames: object) -> np.ndarray:
    """Which members of a pool are right answers to which.

    Args:
        members (`numpy.ndarray`): (pools, pool_size) indices of samples.
        count (`int`): Number of samples.
        *sames (`Iterable`, *optional* each): One label per sample: samples that share one are right answers to one another.

    Returns:
        `numpy.ndarray`: (pools, pool_size, pool_size) bool, true on the diagonal.

    Raises:
        ValueError: If there is not one label per sample.
    """
    right = members[:, :, None] == members[:, None, :]
    for labels in sames:
        if labels is not None:
            ids = label_ids(labels, count)[members]
            right = right | (ids[:, :, None] == ids[:, None, :])
    return right


def label_ids(labels: object, count: int) -> np.ndarray:
    """Numbers for labels, equal ones for equal labels.

    Raises:
        ValueError: If there are not `count` labels.
    """
    labels = list(labels)  # type: ignore[call-overload]
    if len(labels) != count:
        raise ValueError(f"labels must be one per sample: there are {len(labels)} labels and {count} samples.")
    known: dict[object, int] = {}
    return np.array([known.setdefault(label, len(known)) for label in labels])
