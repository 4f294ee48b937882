"""R-precision, matching score and retrieval, beside scikit-learn and loops."""

from itertools import permutations

import numpy as np
import pytest
import scipy.stats
from sklearn.metrics import top_k_accuracy_score
from sklearn.metrics.pairwise import cosine_similarity, euclidean_distances

from hf_motion.metrics import matching_score, r_precision, retrieval_metrics, tmr_matching_score, tmr_r_precision

RANDOM = np.random.default_rng(0)
TEXTS = RANDOM.normal(size=(100, 8))
MOTIONS = TEXTS + RANDOM.normal(size=(100, 8))
KS = (1, 2, 3, 5, 10)


def by_scikit(scores: np.ndarray, ks: tuple[int, ...]) -> list[float]:
    return [top_k_accuracy_score(np.arange(len(scores)), scores, k=k) for k in ks]


class TestRPrecision:
    def test_is_scikits_top_k_accuracy_in_each_pool(self):
        pools = [slice(start, start + 32) for start in (0, 32, 64)]
        expected = np.mean([by_scikit(-euclidean_distances(TEXTS[p], MOTIONS[p]), (1, 2, 3)) for p in pools], axis=0)
        assert r_precision(TEXTS, MOTIONS, drop_last=True) == pytest.approx(expected, abs=1e-12)
        backwards = np.mean([by_scikit(-euclidean_distances(MOTIONS[p], TEXTS[p]), (1, 2, 3)) for p in pools], axis=0)
        assert r_precision(MOTIONS, TEXTS, drop_last=True) == pytest.approx(backwards, abs=1e-12)
        assert not np.allclose(expected, backwards)

    def test_cosine_does_not_see_lengths(self):
        lengths = RANDOM.uniform(0.1, 10, (100, 1))
        expected = by_scikit(cosine_similarity(TEXTS, MOTIONS), (1, 2, 3))
        assert r_precision(TEXTS * lengths, MOTIONS, pool_size=100, metric="cosine") == pytest.approx(expected, abs=1e-12)
        assert tmr_r_precision(TEXTS * lengths, MOTIONS, pool_size=100) == pytest.approx(expected, abs=1e-12)
        assert not np.allclose(r_precision(TEXTS * lengths, MOTIONS, pool_size=100), expected)

    def test_without_dropping_every_sample_is_scored_once_in_a_full_pool(self):
        distances = euclidean_distances(TEXTS, MOTIONS)
        hits = []
        for sample in range(100):
            pool = range(sample // 32 * 32, sample // 32 * 32 + 32) if sample < 96 else range(68, 100)
            closer = sum(distances[sample, other] < distances[sample, sample] for other in pool)
            hits.append([closer < k for k in (1, 2, 3)])
        assert r_precision(TEXTS, MOTIONS) == pytest.approx(np.mean(hits, axis=0), abs=1e-12)

    def test_a_seed_shuffles_and_the_order_matters_else(self):
        order = np.random.default_rng(5).permutation(100)
        assert (r_precision(TEXTS, MOTIONS, seed=5) == r_precision(TEXTS[order], MOTIONS[order])).all()
        assert (r_precision(TEXTS, MOTIONS, seed=5) != r_precision(TEXTS, MOTIONS)).any()

    def test_larger_pools_are_harder(self):
        assert r_precision(TEXTS, MOTIONS, pool_size=100)[0] < r_precision(TEXTS, MOTIONS, pool_size=8)[0]

    @pytest.mark.parametrize("metric", ["euclidean", "cosine"])
    def test_equal_embeddings_score_exactly_chance(self, metric: str):
        same = np.repeat(RANDOM.normal(size=(1, 8)) * 100, 100, axis=0)
        assert r_precision(same, same, metric=metric) == pytest.approx([1 / 32, 2 / 32, 3 / 32], abs=1e-12)
        assert r_precision(TEXTS, same, 10, metric=metric) == pytest.approx(np.arange(1, 11) / 32, abs=1e-12)

    def test_ties_are_averaged_over_all_orders(self):
        """Six keys, of which four stand at one place, the own ones and equal captions among them; every order is tried."""
        keys = np.array([[1.0], [1], [1], [1], [0.5], [3]])
        query = np.zeros((6, 1))
        labels = ["a", "b", "a", "c", "d", "e"]
        for policy in (None, labels):
            ids = range(6) if policy is None else labels
            share = np.zeros((6, 4))
            orders = list(permutations(range(6)))
            for order in orders:
                ranked = sorted(order, key=lambda key: abs(keys[key, 0]))
                for i in range(6):
                    place = min(ranked.index(key) for key in range(6) if ids[key] == ids[i])
                    share[i] += np.arange(4) >= place
            result = r_precision(query, keys, 4, 6, labels=policy)
            assert result == pytest.approx((share / len(orders)).mean(0), abs=1e-12)

    def test_equal_captions_are_hits_or_not(self):
        motions = TEXTS[:64].copy()
        motions[::2], motions[1::2] = TEXTS[1:64:2], TEXTS[:64:2]
        captions = [f"caption {i // 2}" for i in range(64)]
        assert r_precision(TEXTS[:64], motions)[0] == 0
        assert r_precision(TEXTS[:64], motions, labels=captions)[0] == 1

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"pool_size": 101}, "pool_size 101 and 100 samples"),
            ({"pool_size": 1, "top_k": 1}, "at least 2"),
            ({"top_k": 33}, r"pool_size \(32\), got 33"),
            ({"top_k": 0}, "got 0"),
            ({"metric": "manhattan"}, "'euclidean', 'cosine', got 'manhattan'"),
            ({"labels": ["a"]}, "1 labels and 100 samples"),
        ],
    )
    def test_refuses(self, options: dict, message: str):
        with pytest.raises(ValueError, match=message):
            r_precision(TEXTS, MOTIONS, **options)

    def test_refuses_other_shapes_and_vectors_without_direction(self):
        with pytest.raises(ValueError, match=r"\(100, 8\) and \(99, 8\)"):
            r_precision(TEXTS, MOTIONS[:99])
        with pytest.raises(ValueError, match="1 of 96 vectors of length zero"):
            r_precision(np.where(np.arange(96)[:, None] == 3, 0, TEXTS[:96]), MOTIONS[:96], metric="cosine")


class TestMatchingScore:
    def test_is_the_mean_distance_of_pairs(self):
        expected = np.mean([np.sqrt(sum((a - b) ** 2)) for a, b in zip(TEXTS, MOTIONS, strict=True)])
        assert matching_score(TEXTS, MOTIONS) == pytest.approx(expected, abs=1e-12)
        assert matching_score(TEXTS, TEXTS) == 0

    def test_tmrs_is_that_of_unit_vectors(self):
        cosines = np.diag(cosine_similarity(TEXTS, MOTIONS))
        assert tmr_matching_score(TEXTS, 5 * MOTIONS) == pytest.approx(np.sqrt(2 - 2 * cosines).mean(), abs=1e-9)
        assert tmr_matching_score(TEXTS, -TEXTS) == pytest.approx(2)


class TestRetrieval:
    @pytest.mark.parametrize(("name", "scores"), [("text_to_motion", (TEXTS, MOTIONS)), ("motion_to_text", (MOTIONS, TEXTS))])
    def test_protocol_a_is_scikits_accuracy_and_scipys_ranks(self, name: str, scores: tuple[np.ndarray, np.ndarray]):
        similarity = cosine_similarity(*scores)
        ranks = [scipy.stats.rankdata(-row)[own] for own, row in enumerate(similarity)]
        result = retrieval_metrics(TEXTS, MOTIONS)
        assert [result[f"{name}_r{k}"] for k in KS] == pytest.approx(by_scikit(similarity, KS), abs=1e-12)
        assert result[f"{name}_median_rank"] == pytest.approx(np.median(ranks), abs=1e-12)
        assert result[f"{name}_mean_rank"] == pytest.approx(np.mean(ranks), abs=1e-12)
        assert (result["candidates"], result["queries"]) == (100, 100)

    def test_protocol_b_counts_similar_texts(self):
        sentences = TEXTS + RANDOM.normal(size=TEXTS.shape) * 0.1
        sentences[1::2] = sentences[::2] * 2 + RANDOM.normal(size=(50, 8)) * 0.05
        alike = cosine_similarity(sentences) >= 0.9
        similarity = cosine_similarity(TEXTS, MOTIONS)
        ranks = np.array([min(scipy.stats.rankdata(-row)[right]) for row, right in zip(similarity, alike, strict=True)])
        result = retrieval_metrics(TEXTS, MOTIONS, "B", sentence_embeddings=sentences)
        assert [result[f"text_to_motion_r{k}"] for k in KS] == pytest.approx([(ranks <= k).mean() for k in KS], abs=1e-12)
        assert result["text_to_motion_mean_rank"] == pytest.approx(ranks.mean(), abs=1e-12)
        assert result["text_to_motion_r1"] > retrieval_metrics(TEXTS, MOTIONS)["text_to_motion_r1"]

    def test_protocol_b_with_the_same_texts(self):
        labels = np.repeat(range(50), 2)
        one_hot = np.eye(50)[labels]
        by_label = retrieval_metrics(TEXTS, MOTIONS, "B", labels=labels)
        assert by_label == retrieval_metrics(TEXTS, MOTIONS, "B", sentence_embeddings=one_hot)
        assert by_label == retrieval_metrics(TEXTS, MOTIONS, "A", labels=labels.tolist())

    @pytest.mark.parametrize(("protocol", "size"), [("C", 48), ("D", None)])
    def test_protocols_c_and_d_are_r_precision_both_ways(self, protocol: str, size: int | None):
        result = retrieval_metrics(TEXTS, MOTIONS, protocol, pool_size=size, seed=3, metric="euclidean")
        for name, (query, keys) in {"text_to_motion": (TEXTS, MOTIONS), "motion_to_text": (MOTIONS, TEXTS)}.items():
            expected = r_precision(query, keys, 10, size or 32, seed=3)
            assert [result[f"{name}_r{k}"] for k in KS] == pytest.approx(expected[[0, 1, 2, 4, 9]], abs=1e-12)
        assert (result["candidates"], result["queries"]) == (size or 32, 100)

    def test_protocol_c_takes_256(self):
        with pytest.raises(ValueError, match="pool_size 256 and 100 samples"):
            retrieval_metrics(TEXTS, MOTIONS, "C")

    def test_dropping_the_last_pool(self):
        assert retrieval_metrics(TEXTS, MOTIONS, "D", drop_last=True)["queries"] == 96

    def test_random_candidates_for_each_query_have_the_same_expected_recall(self):
        """What HumanTOMATO's script draws: 31 other candidates per query, here in expectation over the draws."""
        similarity = cosine_similarity(TEXTS, MOTIONS)
        closer = (similarity > np.diag(similarity)[:, None]).sum(1)
        expected = scipy.stats.hypergeom.cdf(0, 99, closer, 31).mean()
        pools = [retrieval_metrics(TEXTS, MOTIONS, "D", seed=seed)["text_to_motion_r1"] for seed in range(300)]
        assert np.mean(pools) == pytest.approx(expected, abs=0.01)

    def test_equal_embeddings_are_chance(self):
        result = retrieval_metrics(np.ones((64, 4)), np.ones((64, 4)), "D")
        assert result["text_to_motion_r1"] == pytest.approx(1 / 32)
        assert result["text_to_motion_r10"] == pytest.approx(10 / 32)
        assert result["motion_to_text_median_rank"] == result["motion_to_text_mean_rank"] == 16.5

    def test_fewer_candidates_than_places(self):
        assert retrieval_metrics(TEXTS[:3], MOTIONS[:3])["text_to_motion_r10"] == 1

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"protocol": "E"}, "'A', 'B', 'C', 'D', got 'E'"),
            ({"protocol": "B"}, "needs `sentence_embeddings` or `labels`"),
            ({"sentence_embeddings": TEXTS}, "A takes no"),
            ({"protocol": "B", "sentence_embeddings": TEXTS[:9]}, "9 of them and 100"),
            ({"protocol": "B", "sentence_embeddings": TEXTS, "threshold": 90}, "cosine"),
            ({"pool_size": 32}, "A ranks all"),
        ],
    )
    def test_refuses(self, options: dict, message: str):
        with pytest.raises(ValueError, match=message):
            retrieval_metrics(TEXTS, MOTIONS, **options)

    def test_refuses_one_sample(self):
        with pytest.raises(ValueError, match="at least two samples"):
            retrieval_metrics(TEXTS[:1], MOTIONS[:1])
