"""Distance between the features of two single motions."""

from __future__ import annotations

from typing import Any

import numpy as np

from .arrays import as_float64, as_pairs


def feature_distance(a: Any, b: Any) -> float | np.ndarray:
    """What becomes of the Fréchet distance for one sample a side: VimoRAG's motion score l(ŷ, y) in its eq. 4.

    ‖a - b‖² + (sₐ - s_b)², where s is the standard deviation of the numbers of one embedding, over dim - 1; the unit is that of the
    embeddings, squared. Lower is better.

    One sample has no covariance. The released code computes "FID" from it all the same: NumPy before 2.0 took the covariance of a single
    row to be the variance of its numbers, which gives this formula; later versions give NaN there. The formula is fixed here.

    Args:
        a (`numpy.ndarray` or `torch.Tensor`): One embedding (dim,) or several (samples, dim), dim at least 2.
        b (`numpy.ndarray` or `torch.Tensor`): The other motion's, of the same shape.

    Returns:
        `float` for one pair, else `numpy.ndarray` (samples,).

    Raises:
        ValueError: If the shapes differ or have another number of axes, or some embeddings hold NaN or infinity.

    Example:
    >>> from hf_motion.metrics import feature_distance
    >>> feature_distance([1.0, 1.0], [2.0, 2.0])
    2.0
    """
    single = as_float64("a", a).ndim == 1
    one, two = as_pairs(("a", "b"), *((as_float64(name, side)[None] if single else side) for name, side in (("a", a), ("b", b))))
    if one.shape[1] < 2:
        raise ValueError("The numbers of an embedding of one dimension have no standard deviation; dim must be at least 2.")
    result = np.square(one - two).sum(1) + np.square(one.std(1, ddof=1) - two.std(1, ddof=1))
    return float(result[0]) if single else result
