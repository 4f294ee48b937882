"""Alignment in time, and what is measured between two aligned motions."""

import time

import numpy as np
import pytest
from correction_clips import bend_knees, raise_arm, standing

from hf_motion import Motion
from hf_motion.alignment import align_motions, body_poses, pose_distances, warp_path
from hf_motion.deviation import describe, is_same, learn_threshold, measure_deviation
from hf_motion.skeletons import Skeleton


def deviation_of(one: np.ndarray, two: np.ndarray, **options):
    return measure_deviation(align_motions(Motion(one), Motion(two), **options))


class TestAlignment:
    def test_the_path_is_the_cheapest(self) -> None:
        cost = np.random.default_rng(0).random((7, 9))
        best = np.full((7, 9), np.inf)
        for i in range(7):
            for j in range(9):
                before = [best[i - 1, j - 1]] if i and j else []
                before += [best[i - 1, j] + 0.1] if i else []
                before += [best[i, j - 1] + 0.2] if j else []
                best[i, j] = cost[i, j] + min(before, default=0)
        path = warp_path(cost, 0.1, 0.2)
        steps = np.diff(path, axis=0)
        price = cost[path[:, 0], path[:, 1]].sum() + 0.1 * (steps == [1, 0]).all(1).sum() + 0.2 * (steps == [0, 1]).all(1).sum()
        assert price == pytest.approx(best[-1, -1])
        assert path[0].tolist() == [0, 0]
        assert path[-1].tolist() == [6, 8]

    def test_place_heading_size_rate_and_pace_do_not_count(self) -> None:
        joints = raise_arm(standing(60))
        turned = (joints @ np.array([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]])) * 1.2 + [3, 0, -2]
        alignment = align_motions(Motion(joints), Motion(np.repeat(turned, 2, axis=0), fps=30))
        assert alignment.tempo == pytest.approx(4 / 3, rel=0.03)
        assert len(alignment.warped) == 60
        assert measure_deviation(alignment).distance < 0.05

    def test_what_comes_later_is_put_beside_it(self) -> None:
        early, late = raise_arm(standing(100), first=0.1, last=0.5), raise_arm(standing(100), first=0.4, last=0.8)
        deviation = deviation_of(early, late)
        assert deviation.of("left arm").max() < 0.05
        assert deviation.alignment.lag.max() == pytest.approx(1.5, abs=0.3)
        assert "s later: move later there" in describe(deviation)

    def test_identical_motions(self) -> None:
        deviation = deviation_of(raise_arm(standing()), raise_arm(standing()))
        assert np.array_equal(deviation.alignment.path, np.repeat(np.arange(40)[:, None], 2, axis=1))
        assert deviation.distance == 0
        assert is_same(deviation)
        assert "nothing to correct" in describe(deviation)

    def test_a_mirror_image_is_recognised_and_said(self) -> None:
        motion = Motion(raise_arm(standing(60), "left", 110))
        deviation = measure_deviation(align_motions(motion, motion.mirror()))
        assert deviation.alignment.mirrored
        assert describe(deviation).startswith("The second looks like the mirror image of the first")
        assert is_same(measure_deviation(align_motions(motion, motion.mirror(), mirror=True)))
        assert not deviation_of(raise_arm(standing(60)), bend_knees(standing(60))).alignment.mirrored

    def test_six_seconds_are_fast(self) -> None:
        one, two = Motion(raise_arm(standing(120))), Motion(raise_arm(standing(110), degrees=120))
        start = time.process_time()
        align_motions(one, two)
        assert time.process_time() - start < 0.1

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda joints: Motion(joints[:1]), "single pose"),
            (lambda joints: Motion(np.tile(joints, (300, 1, 1))), "at most 120 s are compared. Cut it"),
            (lambda joints: Motion(joints[:, :21], skeleton="kit-21"), "must have the same joints"),
            (lambda joints: Motion(joints[:, :2], skeleton=Skeleton("x", ("a", "b"), (-1, 0))), "must have the same joints"),
        ],
    )
    def test_what_cannot_be_aligned(self, change, message: str) -> None:
        joints = standing()
        with pytest.raises(ValueError, match=message):
            align_motions(Motion(joints), change(joints))

    def test_distances_of_poses(self) -> None:
        poses = body_poses(Motion(raise_arm(standing(9))))
        expected = np.sqrt(np.square(poses[:, None] - poses[None]).sum(-1).mean(-1))
        np.testing.assert_allclose(pose_distances(poses, poses), expected, atol=1e-6)


class TestDeviation:
    @pytest.mark.parametrize("side", ["left", "right"])
    def test_the_part_the_side_how_far_and_when(self, side: str) -> None:
        deviation = deviation_of(raise_arm(standing(100), side, 70), raise_arm(standing(100), side, 130))
        assert deviation.largest == f"{side} arm"
        assert deviation.distance == pytest.approx(0.52, abs=0.06)
        span = deviation.span(f"{side} arm")
        assert 40 <= span.start + 3 <= 50 <= span.end
        sentence = describe(deviation)
        assert f"your {side} hand" in sentence
        assert sentence.endswith(f"raise your {side} arm.")
        back = describe(deviation_of(raise_arm(standing(100), side, 130), raise_arm(standing(100), side, 70)))
        assert back.endswith(f"lower your {side} arm.")

    def test_both_sides_and_knees(self) -> None:
        both = raise_arm(raise_arm(standing(60), "left", 120), "right", 120)
        assert deviation_of(standing(60), both).largest == "both arms"
        deeper = deviation_of(bend_knees(standing(60), 0.1), bend_knees(standing(60), 0.3))
        assert deeper.largest in ("hips", "both legs")
        assert "lower" in describe(deeper) or "bend both knees more" in describe(deeper)
        unlike = deviation_of(
            raise_arm(raise_arm(standing(60), "left", 90), "right", 30), raise_arm(raise_arm(standing(60), "left", 20), "right", 110)
        )
        assert " 0 cm" not in describe(unlike)

    def test_pace(self) -> None:
        slow = measure_deviation(align_motions(Motion(raise_arm(standing(60))), Motion(raise_arm(standing(60)), fps=15)))
        assert "takes 32 % longer: slow down" in describe(slow)
        assert not is_same(slow)

    def test_a_threshold_is_learned_of_pairs(self) -> None:
        base = Motion(raise_arm(standing(60), degrees=90))
        pairs = [(base, Motion(raise_arm(standing(60), degrees=90 + more))) for more in (2, 4, 6, 8)]
        assert 0.04 < learn_threshold(pairs, 1.0) < 0.1
        assert learn_threshold(pairs, 0.5) < learn_threshold(pairs, 1.0)
        with pytest.raises(ValueError, match="at least one pair"):
            learn_threshold([])

    def test_an_unknown_part(self) -> None:
        with pytest.raises(ValueError, match="parts are: head"):
            deviation_of(standing(), standing()).of("tail")
