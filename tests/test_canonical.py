from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from hf_motion import Motion, Skeleton
from hf_motion.canonical import face_forward, put_on_floor, start_at_origin, uniform_skeleton
from hf_motion.data.motion_text import load_motion_rows, read_row
from hf_motion.representation import HumanML3DRepresentation
from hf_motion.skeletons import HUMANML3D_22, KIT_21

ROWS = load_motion_rows(str(Path(__file__).parent / "fixtures" / "clips.parquet"))
CLIPS = [read_row(row, "humanml3d-22")[0] for row in ROWS]
PARENTS = [max(parent, 0) for parent in HUMANML3D_22.parents]


def moved(motion: Motion, degrees: float = 0, by: tuple[float, float, float] = (0, 0, 0)) -> Motion:
    return replace(motion, joints=motion.joints @ Rotation.from_euler("y", degrees, degrees=True).as_matrix().T + np.array(by))


@pytest.mark.parametrize("clip", range(len(CLIPS)))
def test_the_result_does_not_depend_on_where_and_which_way_a_clip_was(clip):
    motion = CLIPS[clip]

    def canonical(motion: Motion) -> np.ndarray:
        return face_forward(start_at_origin(put_on_floor(motion))).joints

    expected = canonical(motion)
    assert expected[..., 1].min() == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(expected[0, 0, [0, 2]], 0, atol=1e-6)
    right_hip, left_hip, right_shoulder, left_shoulder = expected[0, list(HUMANML3D_22.facing)]
    across = right_hip - left_hip + right_shoulder - left_shoulder
    assert across[0] < 0
    assert abs(across[2]) < 1e-5
    for degrees in (90, 180, -37):
        np.testing.assert_allclose(canonical(moved(motion, degrees, (3, -1, 2))), expected, atol=2e-5)
    representation = HumanML3DRepresentation(uniform_skeleton=False)
    np.testing.assert_allclose(representation.canonicalize(torch.from_numpy(motion.joints)).numpy(), expected, atol=1e-5)


def test_turning_keeps_the_place_and_the_other_fields():
    motion = moved(CLIPS[0], 50, (3, 1, 2))
    turned = face_forward(motion)
    np.testing.assert_allclose(turned.joints[0, 0], motion.joints[0, 0], atol=1e-6)
    assert (turned.fps, turned.text, turned.skeleton) == (motion.fps, motion.text, motion.skeleton)
    np.testing.assert_allclose(turned.joints[..., 1], motion.joints[..., 1], atol=1e-6)


def test_a_clip_without_a_heading_stays():
    joints = np.zeros((2, 22, 3))
    np.testing.assert_array_equal(face_forward(Motion(joints)).joints, joints)
    with pytest.raises(ValueError, match=r"does not say what its hips and shoulders are. Read the file with read_motion"):
        face_forward(Motion(np.zeros((2, 1, 3)), skeleton=Skeleton("dot", ("dot",), (-1,))))


@pytest.mark.parametrize("clip", range(len(CLIPS)))
def test_bones_get_the_targets_lengths_and_keep_their_directions(clip):
    motion = CLIPS[clip]
    result = uniform_skeleton(motion)
    assert result.skeleton is HUMANML3D_22
    before, after = (joints - joints[:, PARENTS] for joints in (motion.joints, result.joints))
    lengths = np.linalg.norm(after, axis=-1)
    np.testing.assert_allclose(lengths, np.broadcast_to(HUMANML3D_22.rest_lengths, lengths.shape), atol=1e-5)
    cosine = (before * after).sum(-1)[:, 1:] / np.linalg.norm(before, axis=-1)[:, 1:] / lengths[:, 1:]
    np.testing.assert_allclose(cosine, 1, atol=1e-4)
    leg = [np.linalg.norm(joints[0, [5, 8]], axis=-1).sum() for joints in (before, after)]
    np.testing.assert_allclose(result.joints[:, 0], motion.joints[:, 0] * leg[1] / leg[0], atol=1e-5)


def test_another_clip_as_the_target():
    one, other = CLIPS[0], CLIPS[-1]
    result = uniform_skeleton(one, other)
    lengths = np.linalg.norm(result.joints - result.joints[:, PARENTS], axis=-1)
    wanted = np.linalg.norm(other.joints[0] - other.joints[0, PARENTS], axis=-1)
    np.testing.assert_allclose(lengths, np.broadcast_to(wanted, lengths.shape), atol=1e-5)
    assert result.skeleton is HUMANML3D_22
    np.testing.assert_allclose(uniform_skeleton(uniform_skeleton(one), "humanml3d-22").joints, uniform_skeleton(one).joints, atol=1e-5)


def test_bones_without_length_stay_finite():
    joints = CLIPS[0].joints.copy()
    joints[:, 6] = joints[:, 3]
    assert np.isfinite(uniform_skeleton(Motion(joints)).joints).all()


def test_targets_that_do_not_fit_are_explained():
    with pytest.raises(ValueError, match="both must have the same joints"):
        uniform_skeleton(CLIPS[0], "kit-21")
    kit = Motion(np.random.default_rng(0).random((2, 21, 3)), skeleton=KIT_21)
    with pytest.raises(ValueError, match="has no bone lengths"):
        uniform_skeleton(kit, "kit-21")
    assert uniform_skeleton(kit, kit).skeleton is KIT_21
