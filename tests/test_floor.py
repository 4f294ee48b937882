"""Where the floor is: clips that float, drift or dip, climbs and jumps that must stay what they are."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hf_motion import Motion, MotionFeatureExtractor, Skeleton
from hf_motion.canonical import uniform_skeleton
from hf_motion.data.motion_text import MotionTextDataset, load_motion_rows, read_row
from hf_motion.floor import floor_height, level_floor, settle_on_floor

ROWS = load_motion_rows(str(Path(__file__).parent / "fixtures" / "clips.parquet"))
CLIPS = [uniform_skeleton(read_row(row, "humanml3d-22")[0]) for row in ROWS]
TOES = [10, 11]


def raised(motion: Motion, by: float | np.ndarray) -> Motion:
    joints = motion.joints.copy()
    joints[..., 1] += np.reshape(by, (-1, 1))
    return replace(motion, joints=joints)


def standing(frames: int = 120) -> Motion:
    """One pose, its toes at height 0."""
    pose = level_floor(CLIPS[0]).joints[:1].copy()
    pose[:, TOES, 1] = 0
    pose[..., 1] = pose[..., 1].clip(0)
    return Motion(np.repeat(pose, frames, axis=0))


@pytest.mark.parametrize("clip", range(len(CLIPS)))
@pytest.mark.parametrize("change", [level_floor, settle_on_floor])
def test_the_height_of_a_clip_does_not_matter(change, clip):
    expected = change(CLIPS[clip]).joints
    np.testing.assert_allclose(change(raised(CLIPS[clip], 0.7)).joints, expected, atol=1e-5)
    lowest = expected[..., 1].min()
    assert lowest > -0.0201
    # Hands that reach far below the feet let settled feet stay above: one amount for all frames.
    assert abs(floor_height(change(CLIPS[clip]))) < 0.02 or lowest == pytest.approx(-0.02, abs=1e-4)
    np.testing.assert_array_equal(expected[..., [0, 2]], CLIPS[clip].joints[..., [0, 2]])


def test_a_floor_that_drifts_is_levelled():
    motion = raised(standing(), np.linspace(0, 0.08, 120))
    np.testing.assert_allclose(level_floor(motion).joints[:, TOES, 1], 0, atol=0.015)


def test_one_dip_does_not_let_a_clip_float():
    motion = standing()
    motion.joints[60, 10, 1] = -0.12
    levelled = level_floor(motion).joints
    assert levelled[..., 1].min() == pytest.approx(-0.01, abs=1e-3)
    far = np.abs(np.arange(120) - 60) > 20
    np.testing.assert_allclose(levelled[far], motion.joints[far], atol=1e-3)
    assert settle_on_floor(motion).joints[..., 1].min() == pytest.approx(-0.02, abs=1e-3)


def test_jumps_and_stairs_keep_their_height():
    time = np.arange(120) / 20
    for height in (
        np.where((time > 2) & (time < 2.6), 4.9 * (time - 2) * (2.6 - time), 0),  # a jump of 44 cm
        np.repeat([0.0, 0.2, 0.4, 0.6], 30),  # four steps
    ):
        motion = raised(standing(), height)
        for change in (level_floor, settle_on_floor):
            np.testing.assert_allclose(change(raised(motion, 0.3)).joints, motion.joints, atol=2e-3)


def test_levelled_clips_stand_on_the_floor_of_the_features():
    extractor = MotionFeatureExtractor()
    plain, levelled = (MotionTextDataset(ROWS, extractor, show_progress=False, level_floor=level) for level in (False, True))
    heights = slice(4 + 3 * 9 + 1, 4 + 3 * 11, 3)  # of the toes, joints 10 and 11
    for before, after, motion in zip(plain.features, levelled.features, CLIPS, strict=True):
        assert len(before) == len(after)
        again = extractor.encode(level_floor(motion))[0]
        assert (again - after).abs().max() < 1e-2
        assert after[:, heights].amin(1).median() < before[:, heights].amin(1).median() + 2e-3


def test_a_skeleton_without_feet_is_explained():
    with pytest.raises(ValueError, match=r"no joints left_foot and right_foot, .* Map the motion to 'humanml3d-22' first"):
        level_floor(Motion(np.zeros((2, 1, 3)), skeleton=Skeleton("dot", ("dot",), (-1,))))
