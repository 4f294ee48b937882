"""Fréchet distance between two sets of embeddings, the field's FID."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .arrays import as_embeddings, as_float64, check_finite

_SYMMETRIC = 1e-6


@dataclass(frozen=True, eq=False)
class FrechetStatistics:
    """What the Fréchet distance needs to know of one set: prepare real motion once, compare with it many times.

    Args:
        mean (`numpy.ndarray`): (dim,).
        factor (`numpy.ndarray`): F (k, dim) with covariance C = FᵀF and k at most dim.
    """

    mean: np.ndarray
    factor: np.ndarray


def frechet_statistics(embeddings: Any) -> FrechetStatistics:
    """Mean of embeddings and a factor of their covariance.

    The factor is that of the centred samples themselves, by QR where there are more samples than dimensions. Nothing is squared and
    rooted again, so small directions and covariances of low rank keep full precision.

    Args:
        embeddings (`numpy.ndarray` or `torch.Tensor`): (samples, dim), at least two samples.

    Raises:
        ValueError: If the shape is another one, there is only one sample (no covariance), or some hold NaN or infinity.
    """
    embeddings = as_embeddings("embeddings", embeddings)
    if len(embeddings) < 2:
        raise ValueError("A covariance needs at least two samples, got 1. For single samples there is `feature_distance`.")
    mean = embeddings.mean(0)
    centred = (embeddings - mean) / np.sqrt(len(embeddings) - 1)
    return FrechetStatistics(mean, centred if len(centred) <= len(mean) else np.linalg.qr(centred, mode="r"))


def frechet_distance(a: Any, b: Any) -> float:
    """Fréchet distance between Gaussians fitted to two sets of embeddings.

    ‖μ₁ - μ₂‖² + tr C₁ + tr C₂ - 2 tr (C₁C₂)^½ with covariances over n - 1 (Heusel et al. 2017, "GANs Trained by a Two Time-Scale Update
    Rule Converge to a Local Nash Equilibrium"; for motion, Guo et al. 2022). Its unit is that of the embeddings, squared; lower is
    better, 0 for equal sets. It is biased: fewer samples give a larger distance, so compare only at equal numbers of samples.

    With C = FᵀF, tr (C₁C₂)^½ is the sum of the singular values of F₁F₂ᵀ: real and never negative by construction.

    The official code takes `scipy.linalg.sqrtm` of the product C₁C₂, which is singular when there are fewer samples than dimensions. It
    adds 1e-6 to both diagonals if the root is not finite, drops an imaginary part up to 1e-3, and otherwise goes on with what it has.
    With more samples than dimensions both agree to rounding.

    Args:
        a (`numpy.ndarray`, `torch.Tensor` or `FrechetStatistics`): (samples, dim) embeddings, or what `frechet_statistics` made of them.
        b (`numpy.ndarray`, `torch.Tensor` or `FrechetStatistics`): The other set; it may have another number of samples.

    Returns:
        `float`: The distance, at least 0. Sets without any spread give ‖μ₁ - μ₂‖².

    Raises:
        ValueError: If a set has one sample only, the dimensions differ, or some embeddings hold NaN or infinity.

    Example:
    >>> import numpy as np
    >>> from hf_motion.metrics import frechet_distance
    >>> samples = np.random.default_rng(0).normal(size=(100, 8))
    >>> round(frechet_distance(samples, samples + 0.5), 6)
    2.0
    """
    one, two = (side if isinstance(side, FrechetStatistics) else frechet_statistics(side) for side in (a, b))
    if one.mean.shape != two.mean.shape:
        raise ValueError(f"Embeddings of {len(one.mean)} and of {len(two.mean)} dimensions cannot be compared; use one evaluator for both.")
    offset = one.mean - two.mean
    traces = np.square(one.factor).sum() + np.square(two.factor).sum()
    root = np.linalg.svd(one.factor @ two.factor.T, compute_uv=False).sum()
    return max(float(offset @ offset + traces - 2 * root), 0.0)


def frechet_distance_from_statistics(mu1: Any, cov1: Any, mu2: Any, cov2: Any) -> float:
    """`frechet_distance` from published means and covariances.

    The factors come from symmetric eigen-decompositions, F = Λ^½Vᵀ; eigenvalues that are only rounding (below dim · 2.2e-16 of the
    largest) count as 0.

    Args:
        mu1 (`numpy.ndarray` or `torch.Tensor`): Mean of the first set, (dim,).
        cov1 (`numpy.ndarray` or `torch.Tensor`): Its covariance, (dim, dim).
        mu2 (`numpy.ndarray` or `torch.Tensor`): Mean of the second set.
        cov2 (`numpy.ndarray` or `torch.Tensor`): Its covariance.

    Raises:
        ValueError: If shapes do not fit, something is NaN or infinite, or a covariance is not symmetric or not positive semi-definite.
    """
    return frechet_distance(_from_covariance("1", mu1, cov1), _from_covariance("2", mu2, cov2))


def _from_covariance(side: str, mean: Any, covariance: Any) -> FrechetStatistics:
    mean, covariance = as_float64(f"mu{side}", mean), as_float64(f"cov{side}", covariance)
    if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)) or not len(mean):
        raise ValueError(f"mu{side} and cov{side} must have shapes (dim,) and (dim, dim), got {mean.shape} and {covariance.shape}.")
    check_finite(f"mu{side}", mean, "numbers")
    check_finite(f"cov{side}", covariance)
    scale = np.abs(covariance).max()
    if np.abs(covariance - covariance.T).max() > _SYMMETRIC * scale:
        raise ValueError(f"cov{side} is not symmetric, so it is not a covariance.")
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    if values[0] < -_SYMMETRIC * scale:
        raise ValueError(
            f"cov{side} has a negative eigenvalue ({values[0]:.3g}; the largest is {values[-1]:.3g}), so it is not a covariance."
        )
    rounding = len(values) * np.finfo(np.float64).eps * values[-1]
    return FrechetStatistics(mean, np.sqrt(np.where(values > rounding, values, 0))[:, None] * vectors.T)
