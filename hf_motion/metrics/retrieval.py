"""Retrieval: recall, median and mean rank, under the protocols of TMR and HumanTOMATO."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

import numpy as np

from .arrays import Seed, as_embeddings, as_pairs, check_option, unit_rows
from .r_precision import matching_score, r_precision
from .ranking import distances, pools, rank, right_answers

PROTOCOLS = ("A", "B", "C", "D")
RECALLS = (1, 2, 3, 5, 10)
_POOL_SIZES = {"C": 256, "D": 32}


def retrieval_metrics(
    texts: Any,
    motions: Any,
    protocol: str = "A",
    *,
    metric: str = "cosine",
    sentence_embeddings: Any = None,
    labels: Iterable[Hashable] | None = None,
    clips: Iterable[Hashable] | None = None,
    threshold: float = 0.9,
    pool_size: int | None = None,
    seed: Seed | None = 0,
    drop_last: bool = False,
) -> dict[str, float]:
    """Recall at 1, 2, 3, 5 and 10, median rank and mean rank, from text to motion and from motion to text.

    | protocol | candidates | right answers | in TMR's code |
    |---|---|---|---|
    | A | all | the own one | normal |
    | B | all | the own one, and those whose text is similar or the same | threshold_0.95 |
    | C | pools of 256 | the own one | (none) |
    | D | pools of 32 | the own one | guo |

    The letters are HumanTOMATO's (its appendix D.2); TMR's paper numbers its own otherwise. TMR's "nsim" is protocol A on a subset of texts
    that are unlike each other, which the caller picks. HumanTOMATO writes its threshold as a cosine, 0.9; TMR writes the same one as 0.95,
    on (cos + 1) / 2.

    Recall at k is the share of queries with a right answer among the first k (0 ... 1; the papers print per cent); a rank is that of the
    first right answer, from 1. Keys at the same distance (see `r_precision`) stand in random order, and the expected hits and ranks are
    taken, so that the order of the samples does not matter.

    The official codes differ: TMR gives ties their average rank, and a rank below k + 1 is a hit at k; its protocol D shuffles sorted clip
    names with seed 0, drops the last pool, and averages the medians of the pools; all ranks here count alike. HumanTOMATO's released script
    has no C, and for D draws 31 other candidates for each query instead of making pools, which has the same expected recall; it takes
    dot products without scaling to length one, and counts ties as hits.

    Args:
        texts (`numpy.ndarray` or `torch.Tensor`): (samples, dim) embeddings.
        motions (`numpy.ndarray` or `torch.Tensor`): (samples, dim); motion i belongs to text i.
        protocol (`str`, defaults to `"A"`): `"A"`, `"B"`, `"C"` or `"D"`.
        metric (`str`, defaults to `"cosine"`): `"cosine"` (TMR) or `"euclidean"` (Guo et al.).
        sentence_embeddings (`numpy.ndarray` or `torch.Tensor`, *optional*): (samples, any) embeddings of the texts by a sentence model,
            for B: HumanTOMATO takes all-MiniLM-L6-v2, TMR all-mpnet-base-v2.
        labels (`Iterable`, *optional*): One per sample, such as its caption: samples with the same label are right answers, in any
            protocol.
        clips (`Iterable`, *optional*): One per sample, the clip that it is of: its other captions find the very same motion, so they are
            right answers too.
        threshold (`float`, defaults to 0.9): Cosine of sentence embeddings from which on two texts are similar.
        pool_size (`int`, *optional*): Candidates per pool for C and D; 256 and 32 by default.
        seed (`int`, `Sequence[int]` or `numpy.random.Generator`, *optional*, defaults to 0): Shuffles the samples into
            pools; None keeps the order.
        drop_last (`bool`, defaults to `False`): As for `r_precision`.

    Returns:
        `dict[str, float]`: `text_to_motion_r1`, `_r2`, `_r3`, `_r5`, `_r10`, `_median_rank` and `_mean_rank`, the same for
            `motion_to_text`, and `candidates`, the number that each query was ranked among, and `queries`.

    Raises:
        ValueError: If shapes or labels do not fit, there are fewer samples than a pool takes, the protocol is unknown, B has neither
            sentence embeddings nor labels (or another protocol has the former), or some embeddings hold NaN or infinity.

    Example:
    >>> import numpy as np
    >>> from hf_motion.metrics import retrieval_metrics
    >>> scores = retrieval_metrics(np.eye(64), np.eye(64), "D")
    >>> scores["text_to_motion_r1"], scores["motion_to_text_median_rank"], scores["candidates"]
    (1.0, 1.0, 32.0)
    """
    check_option("protocol", protocol, PROTOCOLS)
    texts, motions = as_pairs(("texts", "motions"), texts, motions)
    count = len(texts)
    if count < 2:
        raise ValueError("Retrieval needs at least two samples, got 1.")
    members, scored = _candidates(count, protocol, pool_size, seed, drop_last)
    right = _right_answers(members, count, protocol, sentence_embeddings, labels, clips, threshold)
    ranked_by, tolerance = distances(texts[members], motions[members], metric)
    scores = {
        **_direction("text_to_motion", ranked_by, tolerance, right, scored),
        **_direction("motion_to_text", np.swapaxes(ranked_by, -1, -2), tolerance, np.swapaxes(right, -1, -2), scored),
    }
    return scores | {"candidates": float(members.shape[1]), "queries": float(scored.sum())}


def tmr_r_precision(
    query: Any,
    keys: Any,
    top_k: int = 3,
    pool_size: int = 256,
    *,
    labels: Iterable[Hashable] | None = None,
    seed: Seed | None = None,
    drop_last: bool = False,
) -> np.ndarray:
    """HumanTOMATO's TMR-R-Precision(256): `r_precision` with embeddings of TMR, in pools of 256, ranked by the cosine.

    The paper (3.1.2) and its tables are motion to text, `tmr_r_precision(motions, texts)`; its released code ranks motions for each text,
    in pools of 32 by default. Say which one is reported.

    Args:
        query (`numpy.ndarray` or `torch.Tensor`): (samples, dim) embeddings.
        keys (`numpy.ndarray` or `torch.Tensor`): (samples, dim); row i is the right answer to query i.
        top_k (`int`, defaults to 3): As for `r_precision`.
        pool_size (`int`, defaults to 256): As for `r_precision`.
        labels (`Iterable`, *optional*): As for `r_precision`.
        seed (`int`, `Sequence[int]` or `numpy.random.Generator`, *optional*): As for `r_precision`.
        drop_last (`bool`, defaults to `False`): As for `r_precision`.

    Returns:
        `numpy.ndarray`: (top_k,) shares for k = 1 ... top_k.

    Raises:
        ValueError: As `r_precision`.
    """
    return r_precision(query, keys, top_k, pool_size, metric="cosine", labels=labels, seed=seed, drop_last=drop_last)


def tmr_matching_score(texts: Any, motions: Any) -> float:
    """HumanTOMATO's TMR-Matching-score: `matching_score` with embeddings of TMR scaled to length one, √(2 - 2 cos), 0 ... 2.

    Args:
        texts (`numpy.ndarray` or `torch.Tensor`): (samples, dim) embeddings.
        motions (`numpy.ndarray` or `torch.Tensor`): (samples, dim); row i belongs to text i.

    Raises:
        ValueError: As `matching_score`.
    """
    return matching_score(texts, motions, metric="cosine")


def _candidates(count: int, protocol: str, pool_size: int | None, seed: Seed | None, drop_last: bool) -> tuple[np.ndarray, np.ndarray]:
    if protocol in _POOL_SIZES:
        return pools(count, _POOL_SIZES[protocol] if pool_size is None else pool_size, seed, drop_last)
    if pool_size is not None:
        raise ValueError(f"Protocol {protocol} ranks all samples; pool_size is for C and D.")
    return np.arange(count)[None], np.ones((1, count), bool)


def _right_answers(
    members: np.ndarray, count: int, protocol: str, sentence_embeddings: Any, labels: Any, clips: Any, threshold: float
) -> np.ndarray:
    if protocol == "B" and sentence_embeddings is None and labels is None:
        raise ValueError("Protocol B needs `sentence_embeddings` or `labels`, which tell what texts are similar or the same.")
    if protocol != "B" and sentence_embeddings is not None:
        raise ValueError(f"Protocol {protocol} takes no `sentence_embeddings`: similar texts are right answers in B only.")
    right = right_answers(members, count, labels, clips)
    if sentence_embeddings is None:
        return right
    sentences = as_embeddings("sentence_embeddings", sentence_embeddings)
    if len(sentences) != count:
        raise ValueError(f"sentence_embeddings must be one per sample: there are {len(sentences)} of them and {count} samples.")
    if not -1 <= threshold <= 1:
        raise ValueError(f"threshold is a cosine, between -1 and 1, got {threshold}.")
    sentences = unit_rows("sentence_embeddings", sentences)
    return right | (sentences @ sentences.T >= threshold)[None]


def _direction(name: str, ranked_by: np.ndarray, tolerance: float, right: np.ndarray, scored: np.ndarray) -> dict[str, float]:
    ranking = rank(ranked_by, tolerance, right)
    recalls = ranking.hits(max(RECALLS))[scored].mean(0)
    ranks = ranking.expected_rank()[scored]
    return {
        **{f"{name}_r{k}": float(recalls[k - 1]) for k in RECALLS},
        f"{name}_median_rank": float(np.median(ranks)),
        f"{name}_mean_rank": float(ranks.mean()),
    }
