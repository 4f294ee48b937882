"""Skating ratio and position errors, beside SciPy and the formulas written out in loops."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.ndimage import uniform_filter1d
from scipy.spatial.transform import Rotation
from tiny import FIXTURES

from hf_motion import HumanML3DRepresentation, Skeleton
from hf_motion.data.motion_text import load_motion_rows, read_row
from hf_motion.metrics import acceleration_error, mpjpe, pa_mpjpe, skating_ratio

RANDOM = np.random.default_rng(0)
TARGET = RANDOM.normal(size=(12, 22, 3))
PREDICTED = TARGET + RANDOM.normal(size=TARGET.shape) * 0.2
HANDS = Skeleton("handy", ("root", "left_wrist", "left_index1", "left_index2", "right_wrist"), (-1, 0, 1, 2, 0))


def published_skating(joints: np.ndarray, fps: float, window: int) -> float:
    """Guided Motion Diffusion's rule, one foot and one step at a time."""
    steps = len(joints) - 1
    slides = np.zeros(steps, bool)
    for foot in (10, 11):
        speed = np.array([np.hypot(*(joints[t + 1, foot, [0, 2]] - joints[t, foot, [0, 2]])) * fps for t in range(steps)])
        average = uniform_filter1d(speed, window, mode="constant")
        for t in range(steps):
            low = joints[t, foot, 1] < 0.05 and joints[t + 1, foot, 1] < 0.05
            slides[t] |= low and speed[t] > 0.5 and average[t] > 0.5
    return slides.sum() / steps


def skater(frames: int, seed: int) -> np.ndarray:
    """A clip whose toes now and then slide and lift."""
    random = np.random.default_rng(seed)
    joints = np.cumsum(random.normal(size=(frames, 22, 3)) * 0.03, axis=0)
    joints[..., 1] = np.abs(joints[..., 1] % 0.1)
    return joints


class TestSkatingRatio:
    @pytest.mark.parametrize(("fps", "window", "frames"), [(20, 5, 90), (12.5, 3, 40), (30, 8, 60), (4, 1, 30)])
    def test_is_the_published_rule(self, fps: float, window: int, frames: int):
        joints = skater(frames, 1)
        joints[..., [0, 2]] *= 20 / fps
        expected = published_skating(joints, fps, window)
        assert 0 < expected < 1
        assert skating_ratio(joints, fps=fps) == pytest.approx(expected, abs=1e-12)
        assert skating_ratio(joints, fps=fps, window=window + 1) == pytest.approx(published_skating(joints, fps, window + 1), abs=1e-12)

    def test_the_plain_sentence_without_an_average(self):
        joints = skater(60, 2)
        moved = np.linalg.norm(np.diff(joints[:, [10, 11]][..., [0, 2]], axis=0), axis=-1) > 0.025
        low = joints[:, [10, 11], 1] < 0.05
        expected = (moved & low[1:] & low[:-1]).any(1).mean()
        assert skating_ratio(joints, fps=20, window=1) == pytest.approx(expected, abs=1e-12)

    def test_batches_do_not_depend_on_padding_or_neighbours(self):
        clips = [skater(frames, frames) for frames in (2, 30, 77)]
        alone = [skating_ratio(clip, fps=20) for clip in clips]
        assert all(isinstance(ratio, float) for ratio in alone)
        padded = np.full((3, 90, 22, 3), np.nan)
        for row, clip in zip(padded, clips, strict=True):
            row[: len(clip)] = clip
        for batch, lengths in [(clips, None), (padded, [2, 30, 77]), (torch.from_numpy(padded), torch.tensor([2, 30, 77]))]:
            assert skating_ratio(batch, fps=20, lengths=lengths).tolist() == alone

    def test_units_floor_feet_and_skeletons(self):
        joints = skater(50, 3)
        expected = skating_ratio(joints, fps=20)
        assert skating_ratio(joints * 1000, fps=20, unit="mm") == expected
        assert skating_ratio(joints + np.array([0, 0.7, 0]), fps=20, floor=0.7) == pytest.approx(expected)
        assert skating_ratio(joints, fps=20, feet=(10, 11)) == expected
        kit = np.zeros((50, 21, 3))
        kit[:, [15, 20]] = joints[:, [10, 11]]
        assert skating_ratio(kit, fps=20, skeleton="kit-21") == expected

    def test_standing_walking_in_place_and_sliding(self):
        standing = np.zeros((40, 22, 3))
        assert skating_ratio(standing, fps=20) == 0
        sliding = standing.copy()
        sliding[..., 2] = np.arange(40)[:, None] * 0.06
        assert skating_ratio(sliding, fps=20, window=1) == 1
        assert skating_ratio(sliding, fps=20) > 0.9
        assert skating_ratio(sliding + np.array([0, 0.06, 0]), fps=20) == 0
        assert skating_ratio(sliding, fps=5) == 0

    def test_catches_sliding_added_to_real_motion(self):
        motions = [read_row(row, "humanml3d-22")[0] for row in load_motion_rows(str(FIXTURES / "clips.parquet"))]
        clips = [motion.resample(20).joints.astype(float) for motion in motions]
        clips = [clip - [0, clip[..., 1].min(), 0] for clip in clips]
        drift = [clip + np.arange(len(clip))[:, None, None] * [0.05, 0, 0] for clip in clips]
        assert skating_ratio(drift, fps=20).mean() > skating_ratio(clips, fps=20).mean() + 0.3

    @pytest.mark.parametrize(
        ("joints", "options", "message"),
        [
            (TARGET[:1], {}, "clip of 1 frames; this metric needs at least 2"),
            (TARGET[:, :21], {}, "21 joints but skeleton 'humanml3d-22' has 22"),
            (TARGET[..., :2], {}, "must have shape"),
            (TARGET, {"fps": 0}, "fps"),
            (TARGET, {"unit": "inch"}, "'m', 'cm', 'mm', got 'inch'"),
            (TARGET, {"window": 0}, "window"),
            (TARGET, {"feet": (10, 22)}, "from 0 to 21"),
            (TARGET, {"feet": ()}, "feet must be"),
            (TARGET[:, :5], {"skeleton": HANDS}, "'handy' does not tell"),
            (TARGET[None], {"lengths": [13]}, "at most 12 frames"),
            (TARGET[None], {"lengths": [3, 4]}, "1 whole numbers"),
            ([TARGET], {"lengths": [3]}, "list of clips"),
            ([TARGET, TARGET[:, :3]], {}, "same joints"),
        ],
    )
    def test_refuses(self, joints: np.ndarray, options: dict, message: str):
        with pytest.raises(ValueError, match=message):
            skating_ratio(joints, **{"fps": 20, **options})


class TestPositionErrors:
    def test_mpjpe_is_the_mean_distance(self):
        expected = np.mean([np.sqrt(((p - t) ** 2).sum()) for p, t in zip(PREDICTED.reshape(-1, 3), TARGET.reshape(-1, 3), strict=True)])
        assert mpjpe(PREDICTED, TARGET) == pytest.approx(expected, abs=1e-12)
        assert mpjpe(torch.from_numpy(PREDICTED * 1000), torch.from_numpy(TARGET * 1000)) == pytest.approx(expected * 1000, abs=1e-9)

    def test_root_aligned(self):
        path = np.arange(12)[:, None, None] * [1.0, 0, 2]
        expected = np.linalg.norm((PREDICTED - PREDICTED[:, :1]) - (TARGET - TARGET[:, :1]), axis=-1).mean()
        assert mpjpe(PREDICTED + path, TARGET, root=0) == pytest.approx(expected, abs=1e-12)
        assert mpjpe(PREDICTED, TARGET, root="pelvis", skeleton="humanml3d-22") == pytest.approx(expected, abs=1e-12)

    def test_pa_mpjpe_is_that_of_scipys_rotation_and_the_best_scale(self):
        errors = []
        for p, t in zip(PREDICTED, TARGET, strict=True):
            p, t = p - p.mean(0), t - t.mean(0)
            turned = Rotation.align_vectors(t, p)[0].apply(p)
            scale = (turned * t).sum() / (p * p).sum()
            errors.append(np.linalg.norm(scale * turned - t, axis=1).mean())
        assert pa_mpjpe(PREDICTED, TARGET) == pytest.approx(np.mean(errors), abs=1e-6)

    def test_pa_mpjpe_forgives_place_turn_and_size_but_no_mirror(self):
        turned = Rotation.random(12, random_state=0).as_matrix()
        moved = 3 * TARGET @ turned + RANDOM.normal(size=(12, 1, 3))
        assert pa_mpjpe(moved, TARGET) == pytest.approx(0, abs=1e-9)
        mirrored = TARGET * [-1, 1, 1]
        errors = []
        for p, t in zip(mirrored, TARGET, strict=True):
            p, t = p - p.mean(0), t - t.mean(0)
            aligned = Rotation.align_vectors(t, p)[0].apply(p)
            errors.append(np.linalg.norm(aligned * (aligned * t).sum() / (p * p).sum() - t, axis=1).mean())
        assert pa_mpjpe(mirrored, TARGET) == pytest.approx(np.mean(errors), abs=1e-6)
        assert pa_mpjpe(mirrored, TARGET) > 0.3

    def test_pa_mpjpe_of_degenerate_poses(self):
        to_centre = np.linalg.norm(TARGET - TARGET.mean(1, keepdims=True), axis=-1).mean()
        assert pa_mpjpe(np.ones_like(TARGET), TARGET) == pytest.approx(to_centre, abs=1e-12)
        assert pa_mpjpe(PREDICTED, np.ones_like(TARGET)) == pytest.approx(0, abs=1e-12)
        line = TARGET[:, :, :1] * [1.0, 2, 3]
        assert pa_mpjpe(line @ Rotation.random(random_state=1).as_matrix(), line) == pytest.approx(0, abs=1e-9)
        assert pa_mpjpe(PREDICTED, TARGET, joints=[4]) == 0

    def test_acceleration_error_is_the_second_difference(self):
        total = 0.0
        for t in range(1, 11):
            for joint in range(22):
                p, q = (side[t - 1, joint] - 2 * side[t, joint] + side[t + 1, joint] for side in (PREDICTED, TARGET))
                total += np.sqrt(((p - q) ** 2).sum())
        assert acceleration_error(PREDICTED, TARGET) == pytest.approx(total / 220, abs=1e-12)
        assert acceleration_error(PREDICTED, TARGET, fps=20) == pytest.approx(400 * total / 220, abs=1e-9)
        steady = TARGET + np.arange(12)[:, None, None] * [1.0, 2, 3]
        assert acceleration_error(steady, TARGET) == pytest.approx(0, abs=1e-12)

    @pytest.mark.parametrize("metric", [mpjpe, pa_mpjpe, acceleration_error])
    def test_batches_do_not_depend_on_padding_or_neighbours(self, metric: Callable):
        lengths = [3, 12, 7]
        alone = [metric(PREDICTED[:length], TARGET[:length]) for length in lengths]
        lists = [[side[:length] for length in lengths] for side in (PREDICTED, TARGET)]
        assert metric(*lists).tolist() == pytest.approx(alone, abs=1e-15)
        padded = [
            np.stack([np.where(np.arange(12)[:, None, None] < length, side, np.nan) for length in lengths]) for side in (PREDICTED, TARGET)
        ]
        assert metric(*padded, lengths=lengths).tolist() == pytest.approx(alone, abs=1e-15)
        assert metric(PREDICTED, PREDICTED) == pytest.approx(0, abs=1e-12)

    @pytest.mark.parametrize("metric", [mpjpe, pa_mpjpe, acceleration_error])
    def test_parts_of_the_body(self, metric: Callable):
        predicted, target = PREDICTED[:, :5], TARGET[:, :5]
        for part, joints in {"body": [0, 1, 4], "hands": [2, 3], "all": range(5)}.items():
            expected = metric(predicted[:, list(joints)], target[:, list(joints)])
            assert metric(predicted, target, joints=part, skeleton=HANDS) == pytest.approx(expected, abs=1e-12)
            assert metric(predicted, target, joints=list(joints)) == pytest.approx(expected, abs=1e-12)
        named = metric(predicted, target, joints=["left_wrist", "root", 4], skeleton=HANDS)
        assert named == pytest.approx(metric(predicted[:, [1, 0, 4]], target[:, [1, 0, 4]]), abs=1e-12)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"joints": "hands", "skeleton": "humanml3d-22"}, "no joints behind its wrists"),
            ({"joints": "feet", "skeleton": "humanml3d-22"}, "'all', 'body', 'hands' or a list"),
            ({"joints": ["tail"], "skeleton": "humanml3d-22"}, "no joint 'tail'"),
            ({"joints": ["pelvis"]}, "pass the `skeleton=`"),
            ({"joints": "body"}, "pass the `skeleton=`"),
            ({"joints": [22]}, "from 0 to 21"),
            ({"joints": []}, "at least one"),
            ({"skeleton": "kit-21"}, "22 joints but skeleton 'kit-21' has 21"),
            ({"target": TARGET[:-1]}, r"\(12, 22, 3\) and \(11, 22, 3\)"),
            ({"target": TARGET[:0]}, "no axis empty|none of them empty"),
        ],
    )
    def test_refuses(self, options: dict, message: str):
        with pytest.raises(ValueError, match=message):
            mpjpe(PREDICTED, **{"target": TARGET, **options})

    def test_acceleration_needs_three_frames(self):
        with pytest.raises(ValueError, match="clip of 2 frames; this metric needs at least 3"):
            acceleration_error(PREDICTED[:2], TARGET[:2])


@pytest.mark.parametrize("bad", [np.nan, -np.inf])
@pytest.mark.parametrize(
    "metric",
    [
        lambda a: skating_ratio(a, fps=20),
        lambda a: mpjpe(np.stack([TARGET, TARGET]), a),
        lambda a: pa_mpjpe(a, np.stack([TARGET, TARGET])),
        lambda a: acceleration_error(a, np.stack([TARGET, TARGET])),
    ],
)
def test_nothing_is_averaged_away(metric: Callable[[np.ndarray], object], bad: float):
    damaged = np.stack([TARGET, TARGET])
    damaged[1, 5, 3, 0] = bad
    with pytest.raises(ValueError, match="NaN or infinity in 1 of 2 clips, first in number 1"):
        metric(damaged)


def test_joints_come_as_representations_decode_them():
    features = torch.zeros(2, 8, 263)
    assert skating_ratio(HumanML3DRepresentation().decode(features), fps=20, lengths=[8, 5]).tolist() == [0, 0]
