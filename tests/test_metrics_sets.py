"""FID, diversity, multimodality and the distance of single samples, beside SciPy and the formulas written out."""

from collections.abc import Callable

import numpy as np
import pytest
import scipy.linalg
import scipy.spatial.distance
import torch

from hf_motion.metrics import (
    diversity,
    feature_distance,
    frechet_distance,
    frechet_distance_from_statistics,
    frechet_statistics,
    matching_score,
    multimodality,
    r_precision,
    retrieval_metrics,
)

RANDOM = np.random.default_rng(0)
A = RANDOM.normal(size=(200, 12)) @ RANDOM.normal(size=(12, 12))
B = RANDOM.normal(size=(150, 12)) @ RANDOM.normal(size=(12, 12)) + 0.3


def published_fid(a: np.ndarray, b: np.ndarray) -> float:
    c1, c2 = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    offset = a.mean(0) - b.mean(0)
    return float(offset @ offset + np.trace(c1) + np.trace(c2) - 2 * np.trace(scipy.linalg.sqrtm(c1 @ c2)).real)


class TestFrechetDistance:
    def test_is_that_of_scipys_matrix_root(self):
        assert frechet_distance(A, B) == pytest.approx(published_fid(A, B), abs=1e-6)

    @pytest.mark.parametrize(("first", "second"), [(8, 9), (8, 150), (150, 8)])
    def test_with_fewer_samples_than_dimensions(self, first: int, second: int):
        """The root's trace is the sum of the roots of the eigenvalues of C1 C2, all of them real and not negative."""
        a, b = A[:first], B[:second]
        c1, c2 = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
        root = np.sqrt(np.maximum(scipy.linalg.eigvals(c1 @ c2).real, 0)).sum()
        offset = a.mean(0) - b.mean(0)
        assert frechet_distance(a, b) == pytest.approx(offset @ offset + np.trace(c1) + np.trace(c2) - 2 * root, abs=1e-5)

    @pytest.mark.parametrize("samples", [5, 12, 13, 200])
    def test_of_scaled_and_moved_samples_has_a_closed_form(self, samples: int):
        a = A[:samples]
        expected = np.square(a.mean(0) * 2 + 1).sum() + 4 * np.trace(np.cov(a, rowvar=False))
        assert frechet_distance(a, 3 * a + 1) == pytest.approx(expected, abs=1e-6)

    @pytest.mark.parametrize("samples", [2, 7, 200])
    def test_of_equal_sets_is_zero(self, samples: int):
        assert frechet_distance(A[:samples], A[:samples][::-1]) == pytest.approx(0, abs=1e-10)

    def test_low_rank_of_equal_columns(self):
        a = np.repeat(A[:, :1], 12, axis=1)
        assert frechet_distance(a, a + 1) == pytest.approx(12, abs=1e-9)

    def test_without_spread_only_the_means_count(self):
        assert frechet_distance(np.ones((20, 5)), np.zeros((30, 5))) == 5
        expected = np.square(A.mean(0) - 1).sum() + np.trace(np.cov(A, rowvar=False))
        assert frechet_distance(A, np.ones((3, 12))) == pytest.approx(expected, abs=1e-9)

    def test_prepared_statistics_and_tensors_give_the_same(self):
        expected = frechet_distance(A, B)
        real = frechet_statistics(torch.from_numpy(A))
        assert [frechet_distance(real, B), frechet_distance(B, real)] == pytest.approx([expected] * 2, abs=1e-10)
        half = torch.from_numpy(A).float().requires_grad_()
        assert frechet_distance(half, B) == pytest.approx(expected, abs=1e-4)

    def test_from_published_statistics(self):
        covariances = [np.cov(side, rowvar=False) for side in (A, B)]
        result = frechet_distance_from_statistics(A.mean(0), covariances[0], B.mean(0), covariances[1])
        assert result == pytest.approx(published_fid(A, B), abs=1e-6)
        low = np.cov(A[:6], rowvar=False)
        assert frechet_distance_from_statistics(A.mean(0), low, A.mean(0) + 1, low) == pytest.approx(12, abs=1e-6)
        none = np.zeros((12, 12))
        assert frechet_distance_from_statistics(np.zeros(12), none, np.ones(12), none) == 12

    def test_refuses_what_is_no_covariance(self):
        mean = np.zeros(2)
        good = np.eye(2)
        for bad, message in [
            (np.array([[1.0, 0.5], [0, 1]]), "not symmetric"),
            (np.diag([1.0, -1]), "negative eigenvalue"),
            (np.eye(3), "shapes"),
            (np.diag([1, np.nan]), "1 of 2 rows"),
        ]:
            with pytest.raises(ValueError, match=message):
                frechet_distance_from_statistics(mean, good, mean, bad)

    def test_refuses_one_sample_and_other_dimensions(self):
        with pytest.raises(ValueError, match="feature_distance"):
            frechet_distance(A[:1], B)
        with pytest.raises(ValueError, match="12 and of 5 dimensions"):
            frechet_distance(A, B[:, :5])


class TestDiversity:
    def test_is_the_mean_over_the_drawn_pairs(self):
        random = np.random.default_rng(7)
        first, second = random.choice(200, 50, replace=False), random.choice(200, 50, replace=False)
        expected = sum(np.sqrt(((A[i] - A[j]) ** 2).sum()) for i, j in zip(first, second, strict=True)) / 50
        assert diversity(A, 50, seed=7) == pytest.approx(expected, abs=1e-12)
        assert diversity(A, 50, seed=7) != diversity(A, 50, seed=8)

    def test_expected_value_counts_pairs_of_a_sample_with_itself(self):
        pairs = scipy.spatial.distance.pdist(A).mean()
        many = np.mean([diversity(A, 200, seed=seed) for seed in range(200)])
        assert many == pytest.approx(pairs * (1 - 1 / 200), rel=3e-3)

    def test_of_equal_samples_is_zero(self):
        assert diversity(np.ones((10, 3)), 10) == 0

    @pytest.mark.parametrize(("samples", "message"), [(299, "300 pairs of 299"), (1, "at least 2")])
    def test_refuses_too_few(self, samples: int, message: str):
        with pytest.raises(ValueError, match=message):
            diversity(np.ones((samples, 3)))


class TestMultimodality:
    def test_is_the_mean_over_texts_and_drawn_pairs(self):
        motions = A.reshape(10, 20, 12)
        random = np.random.default_rng(3)
        first, second = random.choice(20, 5, replace=False), random.choice(20, 5, replace=False)
        total = 0.0
        for text in motions:
            for i, j in zip(first, second, strict=True):
                total += np.sqrt(sum((x - y) ** 2 for x, y in zip(text[i], text[j], strict=True)))
        assert multimodality(motions, 5, seed=3) == pytest.approx(total / 50, abs=1e-12)

    def test_of_a_model_without_chance_is_zero(self):
        assert multimodality(np.repeat(A[:, None], 6, axis=1), 4) == 0

    @pytest.mark.parametrize(("shape", "message"), [((5, 1, 3), "at least two"), ((5, 9, 3), "10 pairs of 9"), ((5, 9), "shape")])
    def test_refuses_too_few(self, shape: tuple[int, ...], message: str):
        with pytest.raises(ValueError, match=message):
            multimodality(np.ones(shape))


class TestFeatureDistance:
    def test_is_the_frechet_distance_of_scalar_variances(self):
        for a, b in zip(A[:5], B[:5], strict=True):
            c1, c2 = np.atleast_2d(np.cov(a)), np.atleast_2d(np.cov(b))
            root = scipy.linalg.sqrtm(c1 @ c2)
            expected = (a - b) @ (a - b) + c1[0, 0] + c2[0, 0] - 2 * root[0, 0]
            assert feature_distance(a, b) == pytest.approx(expected, abs=1e-9)
        assert feature_distance(A[:5], B[:5]) == pytest.approx([feature_distance(a, b) for a, b in zip(A[:5], B[:5], strict=True)])

    def test_degenerate(self):
        assert feature_distance(A[0], A[0]) == 0
        with pytest.raises(ValueError, match="at least 2"):
            feature_distance([1.0], [2.0])
        with pytest.raises(ValueError, match="shapes"):
            feature_distance(A[:2], A[:3])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize(
    "metric",
    [
        lambda a: frechet_distance(B, a),
        lambda a: diversity(a, 10),
        lambda a: multimodality(a[:, None].repeat(3, 1), 2),
        lambda a: feature_distance(a, A),
        lambda a: matching_score(a, A),
        lambda a: r_precision(A, a),
        lambda a: retrieval_metrics(a, A, "D"),
    ],
)
def test_nothing_is_averaged_away(metric: Callable[[np.ndarray], object], bad: float):
    damaged = A.copy()
    damaged[[3, 8], 1] = bad
    with pytest.raises(ValueError, match="NaN or infinity in 2 of 200 rows, first in number 3"):
        metric(damaged)


@pytest.mark.parametrize("empty", [np.empty((0, 4)), np.empty((4, 0)), np.array(["a"]), np.array([1j]), [[1.0], [1.0, 2.0]]])
@pytest.mark.parametrize(
    "metric", [lambda a: frechet_distance(a, a), diversity, lambda a: r_precision(a, a), lambda a: matching_score(a, a)]
)
def test_refuses_what_holds_no_embeddings(metric: Callable[[object], object], empty: object):
    with pytest.raises(ValueError, match=r"must have shape|must be an array|at least"):
        metric(empty)
