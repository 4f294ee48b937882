"""HumanML3D features.

`fixtures/humanml3d_golden.safetensors` holds what the feature code published with HumanML3D returns (float32): for two clips of
`fixtures/clips.parquet` under their ids, with the bone lengths of `HUMANML3D_22` as target skeleton, and for `kit_joints`, with KIT-ML's
constants and `kit_lengths` as target. To make it again, run that code's `process_file` on the same joints (its uniform skeleton takes
directions from its own raw offsets and lengths from ours) and save what comes back.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file

from hf_motion import HumanML3DRepresentation
from hf_motion.representation.rotations import (
    matrix_to_quaternion,
    matrix_to_rotation_6d,
    quaternion_between,
    quaternion_rotate,
    quaternion_to_matrix,
    rotation_6d_to_matrix,
)
from hf_motion.skeletons import KIT_21

FIXTURES = Path(__file__).parent / "fixtures"
GOLDEN = load_file(FIXTURES / "humanml3d_golden.safetensors")
CLIPS = {row.id: row.joints.reshape(-1, 22, 3).copy() for row in pd.read_parquet(FIXTURES / "clips.parquet").itertuples()}


@pytest.fixture(scope="module")
def representation() -> HumanML3DRepresentation:
    return HumanML3DRepresentation()


@pytest.mark.parametrize("clip", ["cmu_02_04", "bnr_dataset-2_walk-turn-left_normal_001"])
def test_equals_the_published_features(representation: HumanML3DRepresentation, clip: str) -> None:
    ours = representation.encode(CLIPS[clip], fps=20).numpy()
    for name, part in representation.slices.items():
        tolerance = 5e-4 if name == "rotations" else 1e-4
        np.testing.assert_allclose(ours[:, part], GOLDEN[clip][:, part], atol=tolerance, err_msg=name)


def test_equals_the_published_features_of_kit() -> None:
    kit = HumanML3DRepresentation(replace(KIT_21, rest_lengths=tuple(GOLDEN["kit_lengths"].tolist())))
    ours = kit.encode(GOLDEN["kit_joints"]).numpy()
    assert ours.shape[-1] == 251
    for name, part in kit.slices.items():
        expected = GOLDEN["kit_features"][:, part]
        tolerance = 2e-3 if name == "rotations" else 1e-4 * max(1, np.abs(expected).max())
        np.testing.assert_allclose(ours[:, part], expected, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("clip", CLIPS)
def test_decode_inverts_encode(representation: HumanML3DRepresentation, clip: str) -> None:
    joints = torch.from_numpy(CLIPS[clip])
    expected = representation.canonicalize(joints)[:-1]
    decoded = representation.decode(representation.encode(joints))
    assert (decoded - expected).norm(dim=-1).max() < 1e-3


def test_leading_dimensions(representation: HumanML3DRepresentation) -> None:
    clips = torch.stack([torch.from_numpy(CLIPS[clip][:40]) for clip in list(CLIPS)[1:5]]).unflatten(0, (2, 2))
    features = representation.encode(clips)
    assert features.shape == (2, 2, 39, 263)
    torch.testing.assert_close(features[1, 0], representation.encode(clips[1, 0]), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(representation.decode(features)[1, 0], representation.decode(features[1, 0]))


def test_other_frame_rates_are_resampled(representation: HumanML3DRepresentation) -> None:
    clip = torch.from_numpy(CLIPS["cmu_02_04"])
    assert len(representation.encode(clip, fps=60)) == 26
    torch.testing.assert_close(representation.encode(clip, fps=40), representation.encode(clip[::2], fps=20), atol=1e-4, rtol=1e-3)


def test_never_nan_where_directions_are_opposite(representation: HumanML3DRepresentation) -> None:
    joints = np.tile(representation.canonicalize(torch.from_numpy(CLIPS["cmu_02_04"]))[:1].numpy(), (30, 1, 1))
    joints[10:, 3] = joints[10:, 0] - [0, 0.1, 0]  # a spine that points straight down, opposite to its rest direction
    joints[15:] *= [-1, 1, -1]  # facing -Z, opposite to the reference heading
    joints[20:, 7] = joints[20:, 4]  # a bone of no length
    assert representation.encode(joints).isfinite().all()
    assert HumanML3DRepresentation(uniform_skeleton=False).encode(joints).isfinite().all()


def test_retarget_gives_the_reference_lengths(representation: HumanML3DRepresentation) -> None:
    joints = representation.retarget(torch.from_numpy(CLIPS["idle_009_acted_c6"]))
    parents = list(representation.skeleton.parents[1:])
    lengths = (joints[:, 1:] - joints[:, parents]).norm(dim=-1)
    torch.testing.assert_close(lengths, torch.tensor(representation.skeleton.rest_lengths)[1:].expand_as(lengths), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("joints", "message"),
    [
        (np.zeros((5, 21, 3)), "22, 3"),
        (np.full((5, 22, 3), np.nan), "NaN"),
        (np.full((5, 22, 3), np.inf), "infinity"),
        (np.zeros((1, 22, 3)), "two frames"),
        (np.zeros((22, 3)), "22, 3"),
    ],
)
def test_bad_joints(representation: HumanML3DRepresentation, joints: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        representation.encode(joints)


@pytest.mark.parametrize("fps", [0, -5, float("inf"), float("nan")])
def test_bad_frame_rates(representation: HumanML3DRepresentation, fps: float) -> None:
    with pytest.raises(ValueError, match="fps must be a positive"):
        representation.encode(np.zeros((5, 22, 3)), fps=fps)


def test_bad_features_and_skeletons(representation: HumanML3DRepresentation) -> None:
    with pytest.raises(ValueError, match="263 wide"):
        representation.decode(torch.zeros(4, 251))
    with pytest.raises(ValueError, match="humanml3d-22, kit-21"):
        HumanML3DRepresentation("smpl")
    with pytest.raises(ValueError, match="lacks rest_directions"):
        HumanML3DRepresentation(replace(KIT_21, rest_directions=None))


def test_rotations_round_trip() -> None:
    quaternions = torch.nn.functional.normalize(torch.randn(200, 4, generator=torch.Generator().manual_seed(0)), dim=-1)
    matrices = quaternion_to_matrix(quaternions)
    torch.testing.assert_close(rotation_6d_to_matrix(matrix_to_rotation_6d(matrices)), matrices, atol=1e-5, rtol=0)
    torch.testing.assert_close(quaternion_to_matrix(matrix_to_quaternion(matrices)), matrices, atol=1e-5, rtol=0)
    vectors = torch.randn(200, 3, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(quaternion_rotate(quaternions, vectors), (matrices @ vectors[..., None])[..., 0], atol=1e-5, rtol=0)


def test_quaternion_between() -> None:
    sources = torch.tensor([[1.0, 0, 0], [0, 2, 0], [0, 0, 1], [1, 1, 0], [0, 0, 0]])
    targets = torch.tensor([[0.0, 3, 0], [0, -1, 0], [0, 0, 1], [-1, -1, 0], [1, 0, 0]])
    rotated = quaternion_rotate(quaternion_between(sources, targets), sources)
    expected = torch.nn.functional.normalize(targets, dim=-1) * sources.norm(dim=-1, keepdim=True)
    torch.testing.assert_close(rotated, expected, atol=1e-6, rtol=0)
