"""Decoding ends on one body: bones of one length, hands and feet where they were."""

from pathlib import Path

import numpy as np
import pytest
import torch

from hf_motion import Motion, MotionFeatureExtractor
from hf_motion.data.motion_text import MotionTextDataset, load_motion_rows, read_row
from hf_motion.kinematics import forward_kinematics
from hf_motion.representation.fixed_bones import fixed_bones
from hf_motion.skeletons import HUMANML3D_22

ROWS = load_motion_rows(str(Path(__file__).parent / "fixtures" / "clips.parquet"))
CLIPS = [read_row(row, "humanml3d-22")[0] for row in ROWS]
LENGTHS = torch.tensor(HUMANML3D_22.rest_lengths, dtype=torch.float64)
FEET, ANKLES, TOES, SHOULDERS, WRISTS = list(HUMANML3D_22.feet), [7, 8], [10, 11], [16, 17], [20, 21]


def lengths(joints: torch.Tensor) -> torch.Tensor:
    return (joints - joints[..., [max(parent, 0) for parent in HUMANML3D_22.parents], :]).norm(dim=-1)


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, 22, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def extractor() -> MotionFeatureExtractor:
    return MotionFeatureExtractor()


@pytest.mark.parametrize("clip", range(len(CLIPS)))
def test_decoded_bones_have_one_length_and_feet_and_hands_stay(extractor: MotionFeatureExtractor, clip: int) -> None:
    """With bones that change as those of generated motions do, by a centimetre or two."""
    features = extractor.encode(CLIPS[clip])[0]
    wobble = 0.01 * torch.sin(torch.arange(len(features))[:, None] / 5 + torch.arange(63))
    features[:, extractor.features.slices["positions"]] += wobble
    raw = extractor.features.decode(features)
    decoded = torch.from_numpy(extractor.decode(features)[0].joints)
    assert (lengths(decoded) - LENGTHS).abs().max() < 1e-5
    moved = (decoded - raw).norm(dim=-1)
    assert moved[:, FEET].mean() < 0.015
    assert moved[:, TOES].mean() < 0.003
    assert moved[:, WRISTS].mean() < 0.005
    assert moved[:, SHOULDERS].mean() < 0.03


@pytest.mark.parametrize("clip", range(len(CLIPS)))
def test_hands_and_feet_stay_in_noise_and_shake_no_more(extractor: MotionFeatureExtractor, clip: int) -> None:
    """Each joint 2 cm off in every direction, on its own in each frame: bones change by 3 to 4 cm, arms get out of reach."""
    raw = extractor.features.canonicalize(torch.from_numpy(CLIPS[clip].joints)).double()
    raw = raw + 0.02 * noise(len(raw))
    placed = fixed_bones(raw)
    moved = (placed - raw).norm(dim=-1)
    assert moved[:, WRISTS].mean() < 0.012
    assert moved[:, ANKLES].mean() < 0.04
    assert moved[:, TOES].mean() < 0.015
    shaken, before = (joints[:, WRISTS].diff(n=2, dim=0).norm(dim=-1).mean() for joints in (placed, raw))
    assert shaken < 1.05 * before


def test_hands_that_arms_reach_stay_exactly() -> None:
    """Collars 3 cm longer than the body's, as far as shoulders go: arms that are bent still end where they did."""
    joints = torch.from_numpy(HUMANML3D_22.body_joints)[None].repeat(2, 1, 1)
    for shoulder, elbow, wrist, out in ((16, 18, 20, 1.0), (17, 19, 21, -1.0)):
        joints[:, [shoulder, elbow, wrist], 0] += 0.03 * out
        joints[:, wrist] = joints[:, elbow] + torch.tensor([0.0, 0.1, 0.2], dtype=torch.float64)
    placed = fixed_bones(joints)
    assert (lengths(placed) - LENGTHS).abs().max() < 1e-6
    assert (placed - joints)[:, WRISTS].norm(dim=-1).max() < 1e-6
    assert (placed - joints)[:, SHOULDERS].norm(dim=-1).max() > 0.02


def test_what_is_on_the_body_already_stays() -> None:
    """Poses of random rotations, so limbs, chest and pelvis in every direction."""
    quaternions = torch.nn.functional.normalize(torch.from_numpy(np.random.default_rng(0).normal(size=(30, 22, 4))), dim=-1)
    offsets = torch.from_numpy(HUMANML3D_22.body_offsets)
    posed = forward_kinematics(quaternions, noise(30)[:, 0], offsets, HUMANML3D_22)
    assert (fixed_bones(posed) - posed).abs().max() < 1e-5
    rest = torch.from_numpy(HUMANML3D_22.body_joints)
    assert (fixed_bones(rest) - rest).abs().max() < 1e-6


def test_a_real_clip_on_its_own_bones_moves_by_the_shape_of_its_pelvis_only(extractor: MotionFeatureExtractor) -> None:
    for clip in CLIPS:
        canonical = extractor.features.canonicalize(torch.from_numpy(clip.joints)).double()
        placed = fixed_bones(canonical)
        moved = (placed - canonical).norm(dim=-1)
        assert moved[:, FEET].mean() < 1e-3
        assert moved[:, WRISTS].mean() < 0.005
        assert (fixed_bones(placed) - placed).abs().max() < 1e-6


def test_frames_and_clips_do_not_depend_on_each_other() -> None:
    joints = noise(9, 37)
    together = fixed_bones(joints)
    for clip, frames in ((0, 1), (3, 5), (8, 37)):
        assert torch.equal(fixed_bones(joints[clip, :frames]), together[clip, :frames])


@pytest.mark.parametrize("joints", [torch.zeros(2, 22, 3).double(), 1e-12 * noise(2), torch.from_numpy(-HUMANML3D_22.body_joints)[None]])
def test_degenerate_poses_are_finite_and_have_their_bones(joints: torch.Tensor) -> None:
    joints = joints.requires_grad_()
    placed = fixed_bones(joints)
    assert (lengths(placed) - LENGTHS).abs().max() < 1e-5
    placed.square().sum().backward()
    assert joints.grad.isfinite().all()


def test_clips_of_a_training_set_can_be_put_on_the_body(extractor: MotionFeatureExtractor) -> None:
    dataset = MotionTextDataset(ROWS, extractor, show_progress=False, level_floor=True, fixed_bones=True)
    for features in dataset.features:
        raw = extractor.features.decode(features)
        assert (torch.from_numpy(extractor.decode(features)[0].joints) - raw).abs().max() < 1e-3


def test_decoding_can_be_had_without(extractor: MotionFeatureExtractor) -> None:
    features = extractor.encode(CLIPS[0])[0]
    plain = MotionFeatureExtractor(uniform_skeleton=False).decode(features)[0]
    assert np.array_equal(plain.joints, extractor.features.decode(features).numpy())


def test_other_skeletons_are_explained() -> None:
    with pytest.raises(ValueError, match="'kit-21' has no body of its own"):
        fixed_bones(torch.zeros(1, 21, 3), "kit-21")
    with pytest.raises(ValueError, match=r"\(\.\.\., 22, 3\)"):
        fixed_bones(torch.zeros(1, 21, 3))
    assert isinstance(MotionFeatureExtractor(skeleton="kit-21").decode(torch.zeros(2, 251))[0], Motion)
