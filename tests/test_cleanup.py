"""Foot-contact clean-up on real clips, on clips made to slide, and on odd ones."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hf_motion import Motion, Skeleton
from hf_motion.cleanup import foot_contacts, foot_slide, lock_feet
from hf_motion.data.motion_text import load_motion_rows, read_row
from hf_motion.metrics.skating import skating_ratio
from hf_motion.skeletons import HUMANML3D_22, KIT_21

CLIPS = str(Path(__file__).parent / "fixtures" / "clips.parquet")
LEGS = [HUMANML3D_22.joint(f"{side}_{part}") for side in ("left", "right") for part in ("knee", "ankle", "foot")]
FEET = [7, 10, 8, 11]


@pytest.fixture(scope="module")
def motions() -> list[Motion]:
    return [read_row(row, "humanml3d-22")[0] for row in load_motion_rows(CLIPS)]


def gliding(frames: int = 80, speed: float = 0.1) -> Motion:
    """A body with bent knees that slides over the floor."""
    pose = np.zeros((22, 3))
    for parent, joint in HUMANML3D_22.bones:
        pose[joint] = pose[parent] + HUMANML3D_22.rest_offsets[joint] * (0.97 if joint in LEGS else 1)
    pose[:, 1] -= pose[:, 1].min()
    joints = np.repeat(pose[None], frames, axis=0)
    joints[:, [4, 5], 2] += 0.08
    joints[..., 2] += np.arange(frames)[:, None] * speed / 20
    return Motion(joints, fps=20)


def lengths(motion: Motion) -> np.ndarray:
    return np.linalg.norm(motion.joints[:, LEGS] - motion.joints[:, [HUMANML3D_22.parents[joint] for joint in LEGS]], axis=-1)


def test_real_clips_slide_less_and_keep_their_bones(motions):
    slides, ratios = [], []
    for motion in motions:
        locked = lock_feet(motion)
        np.testing.assert_allclose(lengths(locked), lengths(motion), atol=1e-5)
        others = [joint for joint in range(22) if joint not in LEGS]
        np.testing.assert_array_equal(locked.joints[:, others], motion.joints[:, others])
        assert np.linalg.norm(locked.joints - motion.joints, axis=-1).max() < 0.2
        slides.append((foot_slide(motion), foot_slide(locked, like=motion)))
        ratios.append((skating_ratio(motion.joints, fps=20), skating_ratio(locked.joints, fps=20)))
    before, after = np.mean(slides, axis=0)
    assert after < 0.15 * before
    before, after = np.mean(ratios, axis=0)
    assert after <= before


def test_legs_do_not_jerk(motions):
    for motion in motions:
        fastest = [np.linalg.norm(np.diff(m.joints[:, LEGS], 2, axis=0), axis=-1).max() * 400 for m in (motion, lock_feet(motion))]
        assert fastest[1] < fastest[0] + 40


def test_feet_that_glide_are_held():
    motion = gliding(40)
    locked = lock_feet(motion)
    assert np.ptp(motion.joints[:, FEET], axis=0).max() > 0.18
    assert np.ptp(locked.joints[:, FEET], axis=0).max() < 0.002
    assert (locked.joints[:, [4, 5], 2] > locked.joints[:, [1, 2], 2] - 0.11).all(), "knees stay in front"
    again = lock_feet(locked)
    np.testing.assert_allclose(again.joints, locked.joints, atol=1e-3)


def test_a_foot_that_strays_far_is_taken_for_a_step():
    motion = gliding(80, speed=0.15)
    assert not foot_contacts(motion).any()
    assert foot_contacts(motion, stray=0.5).all()


def walking(drag: float, frames: int = 60) -> Motion:
    """Steps of half a second, one foot up and the other on the floor, where it drags along at so many metres per second."""
    motion = gliding(frames, speed=1.0)
    joints = motion.joints.astype(np.float64)
    for leg, side in ((slice(1, 11, 3), 0), (slice(2, 12, 3), 1)):
        place, step = 0.0, (np.arange(frames) // 10 + side) % 2 == 0
        for frame in range(frames):
            place += (drag if step[frame] else 2.0 - drag) / 20
            swing = 0 if step[frame] else np.sin(np.pi * (frame % 10 + 0.5) / 10)
            joints[frame, leg][2:, 2] += place - frame / 20
            joints[frame, leg][2:, 1] += 0.15 * swing
    return replace(motion, joints=joints)


def test_a_stance_that_slides_too_fast_for_a_contact_is_held_where_nothing_else_bears_the_body():
    motion = walking(drag=0.6)
    slow = np.linalg.norm(np.diff(motion.joints[:, [10, 11]], axis=0), axis=-1).min(axis=1) * 20
    assert np.median(slow) > 0.5
    held = foot_contacts(motion)
    assert held[:, [1, 3]].any(axis=1).mean() > 0.8
    assert not held[:, [1, 3]].all(axis=1).any(), "the foot that swings is left alone"
    before, after = (skating_ratio(clip.joints, fps=20) for clip in (motion, lock_feet(motion)))
    assert before > 0.5
    assert after < 0.3 * before


def test_a_body_in_the_air_is_not_held():
    motion = walking(drag=0.6)
    joints = motion.joints.copy()
    joints[20:40, :, 1] += 0.3
    assert not foot_contacts(replace(motion, joints=joints))[22:38].any()


def test_known_contacts_are_obeyed(motions):
    motion = motions[4]
    none = lock_feet(motion, contacts=np.zeros((len(motion), 4), bool))
    np.testing.assert_allclose(none.joints, motion.joints, atol=1e-5)
    held = np.zeros((len(motion), 4), bool)
    held[60:70, 1] = True
    locked = lock_feet(motion, contacts=held).joints
    assert np.ptp(locked[60:70, 10], axis=0).max() < 0.01
    np.testing.assert_allclose(locked[:, [5, 8, 11]], motion.joints[:, [5, 8, 11]], atol=1e-5)
    np.testing.assert_allclose(locked[:45], motion.joints[:45], atol=1e-5)


def test_a_straight_leg_that_must_shorten_bends_forward():
    pose = np.zeros((22, 3))
    for parent, joint in HUMANML3D_22.bones:
        pose[joint] = pose[parent] + HUMANML3D_22.rest_offsets[joint]
    joints = np.repeat(pose[None] - [0, pose[:, 1].min(), 0], 30, axis=0)
    joints[..., 1] -= 0.05 * np.sin(np.linspace(0, np.pi, 30))[:, None]
    joints[:, FEET] = joints[:1, FEET]
    joints[:, [4, 5]] = (joints[:, [1, 2]] + joints[:, [7, 8]]) / 2
    joints[:, FEET, 0] += 0.004 * np.sin(np.arange(30))[:, None]
    locked = lock_feet(Motion(joints), contacts=np.ones((30, 4), bool)).joints
    assert np.isfinite(locked).all()
    assert (locked[:, [4, 5], 2] >= locked[:, [1, 2], 2] - 1e-4).all()


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_short_clips_come_through(motions, frames):
    short = motions[0][:frames]
    locked = lock_feet(short)
    assert locked.joints.shape == short.joints.shape
    assert np.isfinite(locked.joints).all()
    assert np.isfinite(lock_feet(Motion(np.zeros((frames, 22, 3)))).joints).all()


def test_the_rate_does_not_matter_much(motions):
    fast = lock_feet(motions[4].resample(60))
    slow = lock_feet(motions[4]).resample(60)
    assert np.linalg.norm(fast.joints[: len(slow)] - slow.joints[: len(fast)], axis=-1).mean() < 0.02


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"speed": 0}, "speed must be a positive number, got 0"), ({"blend": float("nan")}, "blend"), ({"stray": "far"}, "'far'"),
        ({"contacts": np.ones((3, 4))}, r"\(80, 4\), got \(3, 4\)"),
    ],
)  # fmt: skip
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        lock_feet(gliding(), **options)


def test_skeletons_without_such_legs_are_named():
    with pytest.raises(ValueError, match=r"'kit-21' has no joint left_foot|'kit-21' has other joints"):
        lock_feet(Motion(np.zeros((3, 21, 3)), skeleton=KIT_21))
    with pytest.raises(ValueError, match="has no joint left_hip"):
        lock_feet(Motion(np.zeros((3, 1, 3)), skeleton=Skeleton("point", ("a",), (-1,))))
    with pytest.raises(ValueError, match="80 and 40 frames"):
        foot_slide(gliding(), like=replace(gliding(), joints=gliding().joints[:40]))
