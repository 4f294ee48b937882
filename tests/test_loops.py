"""Loops: the last pose is the first one, and nothing shows where they begin anew."""

import numpy as np
import pytest
import torch
from tiny import seeded, tiny_pipeline

from hf_motion import Motion, MotionFeatureExtractor, load_embedded_pipeline
from hf_motion.alignment import headings
from hf_motion.pipelines.loops import SEAM_CHANGE, _evened, close_loop, seam_change
from hf_motion.pipelines.plan import Plan
from hf_motion.skeletons import HUMANML3D_22

POSE = HUMANML3D_22.body_joints + np.array([0, 0.95, 0])


def round_of(joints: np.ndarray) -> tuple[MotionFeatureExtractor, torch.Tensor]:
    """Features of joints whose last frame is left out: a round of so many frames."""
    extractor = MotionFeatureExtractor(uniform_skeleton=False)
    return extractor, extractor.encode([Motion(joints)])[0]


def waving(frames: int, drift: float = 0.0) -> np.ndarray:
    """A right arm that goes up and down once, on a body that stands but drifts."""
    joints = np.repeat(POSE[None], frames + 1, axis=0)
    joints[:, 21, 1] += 0.2 * np.sin(np.arange(frames + 1) / frames * 2 * np.pi)
    joints[..., 0] += np.linspace(0, drift, frames + 1)[:, None]
    return joints


@pytest.mark.parametrize(("frames", "seen"), [(61, 30), (21, 10), (197, 30)])
def test_words_rule_the_round_and_its_border_belongs_to_what_leads_over_it(frames: int, seen: int) -> None:
    plan = Plan([[("a person squats", frames)]], 20.0, 196, 1, True, torch.device("cpu"))
    count = frames - 1
    assert plan.texts == ["a person squats", ""]
    assert plan.windows.lengths == [count, 2 * seen]
    motions = torch.randn(1, count, 3)
    torch.testing.assert_close(plan.windows.merge(plan.windows.cut(motions)), motions)
    (share,) = plan.windows.merge(torch.tensor([1.0, 0.0]).reshape(2, 1, 1).expand(2, max(count, 2 * seen), 1))[..., 0]
    assert float(share[[0, -1]].max()) < 0.05
    np.testing.assert_allclose(share[10 : count - 10], 1.0)


@pytest.mark.parametrize("clean", [False, True])
def test_a_loop_comes_back_to_its_first_pose(clean) -> None:
    motions = tiny_pipeline()(["a person walks", "a person waves"], [40, 27], loop=True, generator=seeded(), contact_cleanup=clean).motions
    assert [len(motion) for motion in motions] == [40, 27]
    for motion in motions:
        first, last = headings(motion.joints[[0, -1]].astype(float), motion.skeleton)
        turned = motion[:1].turn(last - first).joints[0]
        expected = turned + (motion.joints[-1, 0] - turned[0]) * [1, 0, 1]
        np.testing.assert_allclose(motion.joints[-1], expected, atol=1e-4)
        np.testing.assert_allclose(motion.joints[0, 0, [0, 2]], 0, atol=1e-5)
        assert seam_change(motion) <= SEAM_CHANGE


def test_what_goes_on_by_itself_is_left_as_it_is() -> None:
    extractor, latents = round_of(waving(40))
    loop = close_loop(extractor, latents, "a person waves", 40, False)
    assert seam_change(loop) <= SEAM_CHANGE
    assert np.ptp(loop.joints[:, 21, 1]) == pytest.approx(0.4, abs=0.01)


def test_tremble_is_taken_away_at_the_seam_alone() -> None:
    joints = waving(40)
    joints[:-1] += np.random.default_rng(0).normal(scale=0.004, size=(40, 22, 3))
    joints[-1] = joints[0]
    extractor, latents = round_of(joints)
    loop = close_loop(extractor, latents, "a person waves", 1, False)
    assert seam_change(loop) <= SEAM_CHANGE
    trembles = np.linalg.norm(np.diff(loop.joints.astype(float), n=2, axis=0), axis=-1).mean(-1)
    before = np.linalg.norm(np.diff(joints, n=2, axis=0), axis=-1).mean(-1)
    np.testing.assert_allclose(trembles[10:-10], before[10:-10], rtol=0.1)


def test_what_smoothing_leaves_bends_the_frames_around() -> None:
    joints = waving(40)
    joints[:, :, 0] += (0.02 * np.abs(np.linspace(-1, 1, 41)))[:, None]  # turns back at once in the first frame
    loop = Motion(joints).turn(np.linspace(0, 1.0, 41), about=(1, 0, 0))
    evened = _evened(loop)
    assert seam_change(evened) < 1e-3 < 0.05 < seam_change(loop)
    assert np.abs(evened.joints - loop.joints).max() < 0.002
    np.testing.assert_array_equal(evened.joints[10:-10], loop.joints[10:-10])


@pytest.mark.parametrize("starts", [1, 40])
def test_whatever_a_model_makes_goes_on(starts: int) -> None:
    extractor, latents = round_of(waving(40))
    loop = close_loop(extractor, latents + torch.randn(latents.shape, generator=seeded()), "a person waves", starts, False)
    assert seam_change(loop) <= SEAM_CHANGE


def test_who_stands_comes_back_to_his_place() -> None:
    extractor, latents = round_of(waving(40, drift=0.08))
    loop = close_loop(extractor, latents, "a person waves", 40, True)
    np.testing.assert_allclose(loop.joints[-1], loop.joints[0], atol=1e-3)
    assert np.ptp(loop.joints[:, [7, 8, 10, 11]], axis=0).max() < 0.01


def test_a_real_loop_goes_on_as_it_began() -> None:
    pipe = load_embedded_pipeline()
    pipe.set_progress_bar_config(disable=True)
    motion = pipe("a person walks forward", loop=True, seconds=2, seed=1, num_inference_steps=20).motions[0]
    assert seam_change(motion) <= SEAM_CHANGE
    assert np.linalg.norm(motion.joints[-1, 0] - motion.joints[0, 0]) > 1.0
