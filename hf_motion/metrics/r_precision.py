"""R-precision, and the matching score (multimodal distance)."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

import numpy as np

from .arrays import Seed, as_pairs, check_option, unit_rows
from .ranking import METRICS, distances, pools, rank, right_answers


def r_precision(
    query: Any,
    keys: Any,
    top_k: int = 3,
    pool_size: int = 32,
    *,
    metric: str = "euclidean",
    labels: Iterable[Hashable] | None = None,
    clips: Iterable[Hashable] | None = None,
    seed: Seed | None = None,
    drop_last: bool = False,
) -> np.ndarray:
    """How often the own key of a query is among the `top_k` nearest of a pool (Guo et al. 2022).

    Samples are put into pools of `pool_size`; in its pool, each query ranks all keys by distance, and a hit at k is its own key among
    the first k. The result is the share of hits, between 0 and 1; higher is better, and chance is k / pool_size. Text to motion is
    `r_precision(texts, motions)`, the published direction; swap the two for motion to text.

    Equally distant keys (squared distances equal to 1e-12 of the squared lengths) are taken to stand in random order, and the expected
    share of hits is returned: embeddings that are all the same score exactly chance, whatever the order of the samples.

    The official code differs where it matters: the pool is the loader's batch, so the batch size is a setting of the metric; the loader
    shuffles and drops the last batch; ties are decided by `argsort`; and another motion with the same caption in the pool counts as wrong.
    HumanTOMATO's code turns a NaN distance into 0, the nearest of all.

    Args:
        query (`numpy.ndarray` or `torch.Tensor`): (samples, dim) embeddings.
        keys (`numpy.ndarray` or `torch.Tensor`): (samples, dim); row i is the right answer to query i.
        top_k (`int`, defaults to 3): How many nearest keys to look at.
        pool_size (`int`, defaults to 32): Keys per pool.
        metric (`str`, defaults to `"euclidean"`): `"euclidean"` or `"cosine"`.
        labels (`Iterable`, *optional*): One per sample, such as its caption: a key with the query's label is a right answer too. None
            takes the own key only, as published.
        clips (`Iterable`, *optional*): One per sample, the clip that it is of: where a clip stands in the set with several captions, its
            other samples are right answers too.
        seed (`int`, `Sequence[int]` or `numpy.random.Generator`, *optional*): Shuffle the samples into pools; None takes
            them in the order given.
        drop_last (`bool`, defaults to `False`): Leave the samples out that do not fill a last pool, as published. Otherwise that pool is
            filled up with the keys of the samples before, and every sample is scored once in a pool of full size.

    Returns:
        `numpy.ndarray`: (top_k,) shares for k = 1 ... top_k.

    Raises:
        ValueError: If there are fewer samples than a pool takes, `top_k` does not fit into a pool, shapes or labels do not fit, the
            metric is unknown, or some embeddings hold NaN or infinity (or have no length, for the cosine).

    Example:
    >>> import numpy as np
    >>> from hf_motion.metrics import r_precision
    >>> r_precision(np.eye(40), np.eye(40))
    array([1., 1., 1.])
    >>> r_precision(np.ones((40, 2)), np.ones((40, 2)), pool_size=4)
    array([0.25, 0.5 , 0.75])
    """
    query, keys = as_pairs(("query", "keys"), query, keys)
    if not 1 <= top_k <= pool_size:
        raise ValueError(f"top_k must be between 1 and pool_size ({pool_size}), got {top_k}.")
    members, scored = pools(len(query), pool_size, seed, drop_last)
    right = right_answers(members, len(query), labels, clips)
    return rank(*distances(query[members], keys[members], metric), right).hits(top_k)[scored].mean(0)


def matching_score(query: Any, keys: Any, *, metric: str = "euclidean") -> float:
    """Mean distance between embeddings that belong together, also called multimodal distance (Guo et al. 2022).

    mean ‖qᵢ - kᵢ‖; its unit is that of the embeddings, and lower is better. With `metric="cosine"` both sides are first scaled to length
    one, which makes it √(2 - 2 cos), between 0 and 2: HumanTOMATO's TMR-Matching-score (its section 3.1.2 and released code).

    The official code measures only the samples of full batches, since its loader drops the last one; HumanTOMATO's takes a NaN as 0.

    Args:
        query (`numpy.ndarray` or `torch.Tensor`): (samples, dim) embeddings, such as of texts.
        keys (`numpy.ndarray` or `torch.Tensor`): (samples, dim); row i belongs to query i.
        metric (`str`, defaults to `"euclidean"`): `"euclidean"` or `"cosine"`.

    Raises:
        ValueError: If shapes differ, there are no samples, the metric is unknown, or some embeddings hold NaN or infinity (or have no
            length, for the cosine).
    """
    query, keys = as_pairs(("query", "keys"), query, keys)
    check_option("metric", metric, METRICS)
    if metric == "cosine":
        query, keys = unit_rows("query", query), unit_rows("keys", keys)
    return float(np.linalg.norm(query - keys, axis=1).mean())
