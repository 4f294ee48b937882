import math
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from hf_motion import Skeleton
from hf_motion.data.motion_text import load_motion_rows, read_row
from hf_motion.kinematics import constant_bone_lengths, forward_kinematics, solve_rotations
from hf_motion.representation import HumanML3DRepresentation
from hf_motion.representation.rotations import quaternion_to_matrix, rotation_6d_to_matrix
from hf_motion.skeletons import HUMANML3D_22, KIT_21

CHAIN = Skeleton("chain", ("a", "b", "c", "d"), (-1, 0, 1, 2))
# Two children in the root's place, as in CMU's files: the root's rotation must come from their children.
STACKED = Skeleton("stacked", ("hips", "lhip", "lleg", "rhip", "rleg", "low", "spine", "head"), (-1, 0, 1, 0, 3, 0, 5, 6))


def t_pose_offsets() -> torch.Tensor:
    place = {
        "pelvis": (0, 0, 0), "hip": (0.08, -0.05, 0), "spine": (0, 0.12, 0), "knee": (0, -0.4, 0), "ankle": (0, -0.42, 0),
        "foot": (0, 0, 0.14), "neck": (0, 0.2, 0), "head": (0, 0.1, 0), "collar": (0.06, 0.13, 0), "shoulder": (0.1, 0, 0),
        "elbow": (0.26, 0, 0), "wrist": (0.25, 0, 0),
    }  # fmt: skip
    offsets = [place[name.split("_")[-1].rstrip("123")] for name in HUMANML3D_22.joint_names]
    side = [-1.0 if name.startswith("right") else 1.0 for name in HUMANML3D_22.joint_names]
    return torch.tensor(offsets, dtype=torch.float64) * torch.tensor([[s, 1.0, 1.0] for s in side], dtype=torch.float64)


def quaternions(rotation: Rotation) -> torch.Tensor:
    return torch.from_numpy(rotation.as_quat(scalar_first=True))


def dance(frames: int = 60, seed: int = 0, skeleton: Skeleton = HUMANML3D_22, size: float = 0.5) -> tuple[torch.Tensor, torch.Tensor]:
    """Smooth random local rotations and a root path."""
    random = np.random.default_rng(seed)
    time = np.linspace(0, 1, frames)[:, None, None]
    waves = size * np.sin(2 * np.pi * (time + random.random((1, len(skeleton), 3))) * random.integers(1, 3, (1, len(skeleton), 3)))
    rotations = quaternions(Rotation.from_rotvec(waves.reshape(-1, 3))).reshape(frames, len(skeleton), 4)
    return rotations, torch.from_numpy(random.normal(0, 0.01, (frames, 3)).cumsum(axis=0) + np.array([0, 0.9, 0]))


def clip(frames: int = 60, seed: int = 0) -> torch.Tensor:
    rotations, root = dance(frames, seed)
    return forward_kinematics(rotations, root, t_pose_offsets(), HUMANML3D_22)


def turns(rotations: torch.Tensor) -> torch.Tensor:
    return torch.rad2deg(2 * torch.acos((rotations[1:] * rotations[:-1]).sum(-1).abs().clamp(max=1)))


def test_forward_kinematics_matches_a_joint_by_joint_computation():
    rotations, root = dance(5)
    offsets = t_pose_offsets()
    for frame in range(5):
        turned, positions = {}, {}
        for joint, parent in enumerate(HUMANML3D_22.parents):
            local = Rotation.from_quat(rotations[frame, joint].numpy(), scalar_first=True)
            turned[joint] = turned[parent] * local if joint else local
            positions[joint] = positions[parent] + turned[parent].apply(offsets[joint].numpy()) if joint else root[frame].numpy()
        found = forward_kinematics(rotations, root, offsets, "humanml3d-22")[frame]
        np.testing.assert_allclose(found, np.stack([positions[joint] for joint in range(22)]), atol=1e-12)


def test_forward_kinematics_takes_matrices_batches_and_gradients():
    rotations, root = dance(4)
    rotations.requires_grad_()
    joints = forward_kinematics(rotations, root, t_pose_offsets(), HUMANML3D_22)
    torch.testing.assert_close(joints, forward_kinematics(quaternion_to_matrix(rotations), root, t_pose_offsets(), HUMANML3D_22))
    batch = forward_kinematics(rotations.expand(2, 3, 4, 22, 4), root, t_pose_offsets(), HUMANML3D_22)
    torch.testing.assert_close(batch, joints.expand(2, 3, 4, 22, 3))
    joints.square().sum().backward()
    assert torch.isfinite(rotations.grad).all()
    assert rotations.grad[:, 0].abs().sum() > 0


@pytest.mark.parametrize("shape", [(4, 22, 5), (4, 21, 4), (22, 3), (4, 22, 4, 3)])
def test_forward_kinematics_names_a_wrong_shape(shape):
    with pytest.raises(ValueError, match=r"quaternions \(\.\.\., 22, 4\)"):
        forward_kinematics(torch.zeros(shape), torch.zeros(4, 3), torch.zeros(22, 3), HUMANML3D_22)


def test_bone_lengths_become_constant_and_directions_stay():
    joints = clip() + 0.01 * torch.randn(60, 22, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    fixed = constant_bone_lengths(joints, HUMANML3D_22)
    before, after = (j[:, 1:] - j[:, list(HUMANML3D_22.parents[1:])] for j in (joints, fixed))
    lengths = after.norm(dim=-1)
    torch.testing.assert_close(lengths, before.norm(dim=-1).median(0).values.expand_as(lengths))
    assert torch.nn.functional.cosine_similarity(before, after, dim=-1).min() > 1 - 1e-9
    torch.testing.assert_close(fixed[:, 0], joints[:, 0])
    torch.testing.assert_close(constant_bone_lengths(fixed, HUMANML3D_22), fixed)
    doubled = constant_bone_lengths(joints, HUMANML3D_22, 2 * torch.cat((torch.zeros(1), lengths[0])))
    torch.testing.assert_close((doubled[:, 1] - doubled[:, 0]).norm(dim=-1), 2 * lengths[:, 0])


def test_a_bone_that_vanishes_for_a_frame_keeps_its_length():
    joints = clip()
    joints[7, 20] = joints[7, 18]
    fixed = constant_bone_lengths(joints, HUMANML3D_22)
    torch.testing.assert_close((fixed[:, 20] - fixed[:, 18]).norm(dim=-1), torch.full((60,), 0.25, dtype=torch.float64))


@pytest.mark.parametrize("function", [constant_bone_lengths, solve_rotations])
def test_wrong_joints_are_named(function):
    with pytest.raises(ValueError, match="frames, 22, 3"):
        function(torch.zeros(5, 21, 3), HUMANML3D_22)
    with pytest.raises(ValueError, match="at least one frame"):
        function(torch.zeros(0, 22, 3), HUMANML3D_22)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rigid_motion_is_solved_exactly(dtype):
    joints = clip().to(dtype)
    rotations, root, offsets = solve_rotations(joints, HUMANML3D_22)
    assert (rotations.dtype, rotations.shape, root.shape, offsets.shape) == (dtype, (60, 22, 4), (60, 3), (1, 22, 3))
    torch.testing.assert_close(rotations.norm(dim=-1), torch.ones(60, 22, dtype=dtype))
    torch.testing.assert_close(forward_kinematics(rotations, root, offsets, HUMANML3D_22), joints, atol=1e-4, rtol=0)
    assert turns(rotations).max() < 60


def test_the_rest_pose_is_a_t_pose():
    _, _, offsets = solve_rotations(clip(), HUMANML3D_22)
    wanted = t_pose_offsets()
    cosine = torch.nn.functional.cosine_similarity(offsets[0, 1:], wanted[1:], dim=-1)
    assert cosine.min() > math.cos(math.radians(35)), "directions"
    torch.testing.assert_close(offsets[0].norm(dim=-1), wanted.norm(dim=-1))
    for name in ("elbow", "wrist", "shoulder"):
        assert offsets[0, HUMANML3D_22.joint(f"left_{name}"), 0] > 0 > offsets[0, HUMANML3D_22.joint(f"right_{name}"), 0]


def test_the_t_pose_itself_has_no_rotation_whichever_way_it_faces():
    yaw = Rotation.from_euler("y", [[0], [90], [179], [-120]], degrees=True)
    joints = torch.from_numpy(np.stack([turn.apply(forward_rest()) for turn in yaw]))
    rotations, _, _ = solve_rotations(joints, HUMANML3D_22)
    torch.testing.assert_close(quaternion_to_matrix(rotations[:, 0]), torch.from_numpy(yaw.as_matrix()), atol=1e-4, rtol=0)
    torch.testing.assert_close(rotations[:, 1:, 0].abs(), torch.ones(4, 21, dtype=torch.float64), atol=1e-4, rtol=0)


def forward_rest() -> np.ndarray:
    rest = torch.tensor([1.0, 0, 0, 0], dtype=torch.float64).expand(22, 4)
    return forward_kinematics(rest, torch.zeros(3, dtype=torch.float64), t_pose_offsets(), HUMANML3D_22).numpy()


@pytest.mark.parametrize(
    ("joint", "axis"), [("left_knee", (1, 0, 0)), ("right_knee", (1, 0, 0)), ("left_elbow", (0, -1, 0)), ("right_elbow", (0, 1, 0))]
)
def test_elbows_and_knees_bend_about_their_hinge(joint, axis):
    """Whatever turn about the upper bone makes the limb bend where it does belongs to the shoulder or hip."""
    rotations, root = dance(80, seed=1)
    middle = HUMANML3D_22.joint(joint)
    bend = np.radians(60 + 50 * np.sin(np.linspace(0, 9, 80)))
    rotations[:, middle] = quaternions(Rotation.from_rotvec(bend[:, None] * np.array(axis)))
    joints = forward_kinematics(rotations, root, t_pose_offsets(), HUMANML3D_22)
    found, _, _ = solve_rotations(joints, HUMANML3D_22)
    vector = Rotation.from_quat(found[:, middle].numpy(), scalar_first=True).as_rotvec()
    bent = bend > np.radians(15)
    np.testing.assert_allclose(vector[bent], (bend[:, None] * np.array(axis))[bent], atol=0.02)


def test_twist_is_continuous_while_a_limb_is_straight():
    """The elbow straightens twice between bends about quite different axes; the shoulder must not jump."""
    frames = 90
    rotations = torch.tensor([1.0, 0, 0, 0], dtype=torch.float64).repeat(frames, 22, 1)
    twist = np.linspace(-2.4, 2.4, frames)
    bend = np.clip(np.radians(70 * np.cos(np.linspace(0, 4 * np.pi, frames))), 0, None)
    rotations[:, 16] = quaternions(Rotation.from_rotvec(twist[:, None] * [1.0, 0, 0]))
    rotations[:, 18] = quaternions(Rotation.from_rotvec(bend[:, None] * [0, -1.0, 0]))
    joints = forward_kinematics(rotations, torch.zeros(frames, 3, dtype=torch.float64), t_pose_offsets(), HUMANML3D_22)
    joints += 2e-4 * torch.randn(joints.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found, _, _ = solve_rotations(joints, HUMANML3D_22)
    assert turns(found)[:, [16, 18]].max() < 15
    error = torch.rad2deg(2 * torch.acos((found[:, 16] * rotations[:, 16]).sum(-1).abs().clamp(max=1)))
    assert error.max() < 25


def test_leaves_keep_their_parents_frame():
    rotations, _, _ = solve_rotations(clip(), HUMANML3D_22)
    leaves = [joint for joint in range(22) if not HUMANML3D_22.children[joint]]
    assert rotations[:, leaves, 0].abs().min() > 1 - 1e-9


def test_a_batch_gives_what_single_clips_give():
    clips = torch.stack([clip(seed=seed) for seed in range(4)])
    rotations, root, offsets = solve_rotations(clips.reshape(2, 2, 60, 22, 3), HUMANML3D_22, tolerance=0.01)
    assert (rotations.shape, root.shape, offsets.shape) == ((2, 2, 60, 22, 4), (2, 2, 60, 3), (2, 2, 60, 22, 3))
    for index in range(4):
        alone = solve_rotations(clips[index], HUMANML3D_22, tolerance=0.01)
        for one, many in zip(alone, (rotations, root, offsets), strict=True):
            torch.testing.assert_close(many.flatten(0, 1)[index], one, atol=1e-9, rtol=0)


def test_given_offsets_are_kept():
    joints = clip()
    rotations, root, offsets = solve_rotations(joints, HUMANML3D_22, t_pose_offsets())
    torch.testing.assert_close(offsets[0], t_pose_offsets())
    torch.testing.assert_close(forward_kinematics(rotations, root, offsets, HUMANML3D_22), joints, atol=1e-4, rtol=0)
    arms_down = torch.from_numpy(HUMANML3D_22.rest_offsets).double()
    rotations, root, offsets = solve_rotations(joints, HUMANML3D_22, arms_down)
    assert torch.isfinite(rotations).all()
    torch.testing.assert_close(offsets[0], arms_down)


def test_tolerance_lets_a_sliding_joint_loose():
    joints = clip()
    slide = torch.zeros_like(joints)
    slide[:, [3, 6, 9, 12, 13, 14, 15, *range(16, 22)], 0] = 0.06 * torch.sin(torch.linspace(0, 9, 60, dtype=torch.float64))[:, None]
    joints = constant_bone_lengths(joints + slide, HUMANML3D_22)
    rigid = forward_kinematics(*solve_rotations(joints, HUMANML3D_22), HUMANML3D_22)
    assert (rigid - joints).norm(dim=-1).max() > 0.02
    assert (rigid - joints).norm(dim=-1)[:, [7, 8, 10, 11, 20, 21]].max() < 0.006, "feet and hands are met all the same"
    rotations, root, offsets = solve_rotations(joints, HUMANML3D_22, tolerance=0.01)
    assert (forward_kinematics(rotations, root, offsets, HUMANML3D_22) - joints).norm(dim=-1).max() <= 0.01
    moving = (offsets - offsets[:1]).norm(dim=-1).amax(0) > 1e-9
    assert [HUMANML3D_22.joint_names[joint] for joint in torch.nonzero(moving)[:, 0]] == ["spine1"]


@pytest.mark.parametrize("skeleton", [HUMANML3D_22, KIT_21, CHAIN, STACKED], ids=lambda skeleton: skeleton.name)
@pytest.mark.parametrize("frames", [1, 9])
def test_degenerate_poses_give_finite_rotations(skeleton, frames):
    count = len(skeleton)
    generator = torch.Generator().manual_seed(0)
    line = torch.arange(count, dtype=torch.float32)[:, None] * torch.tensor([0.0, 0.1, 0.0])
    flip = torch.where(torch.arange(frames) % 2 == 0, 1.0, -1.0)[:, None, None]
    noise = torch.randn(frames, count, 3, generator=generator)
    once = noise.clone()
    once[0] = 0
    for joints in (torch.zeros(frames, count, 3), line.expand(frames, -1, -1), -line.expand(frames, -1, -1), line * flip, noise, once):
        for tolerance in (None, 0.01):
            rotations, root, offsets = solve_rotations(joints, skeleton, tolerance=tolerance)
            found = forward_kinematics(rotations, root, offsets, skeleton)
            assert torch.isfinite(rotations).all()
            assert torch.isfinite(found).all()
        assert (found - joints).norm(dim=-1).max() <= 0.0101
        assert torch.isfinite(constant_bone_lengths(joints, skeleton)).all()


@pytest.mark.parametrize("skeleton", [KIT_21, CHAIN, STACKED], ids=lambda skeleton: skeleton.name)
def test_other_skeletons_are_solved_exactly(skeleton):
    offsets = torch.from_numpy(np.random.default_rng(3).normal(0, 0.2, (len(skeleton), 3)))
    if skeleton is STACKED:
        offsets[[1, 3, 5]] = 0
    rotations, root = dance(50, seed=2, skeleton=skeleton)
    joints = forward_kinematics(rotations, root, offsets, skeleton)
    rotations, root, offsets = solve_rotations(joints, skeleton)
    torch.testing.assert_close(forward_kinematics(rotations, root, offsets, skeleton), joints, atol=1e-4, rtol=0)


@pytest.fixture(scope="module")
def real_clips() -> dict[str, torch.Tensor]:
    """Real clips with bones of one length each."""
    rows = load_motion_rows(str(Path(__file__).parent / "fixtures" / "clips.parquet"))
    joints = {row["id"]: torch.from_numpy(read_row(row, "humanml3d-22")[0].joints).double() for row in rows}
    return {name: constant_bone_lengths(clip, HUMANML3D_22) for name, clip in joints.items()}


def test_hands_and_feet_of_real_clips_are_met(real_clips):
    ends = [HUMANML3D_22.joint(f"{side}_{part}") for side in ("left", "right") for part in ("wrist", "ankle", "foot")]
    for name, joints in real_clips.items():
        found = forward_kinematics(*solve_rotations(joints, HUMANML3D_22), HUMANML3D_22)
        miss = (found - joints).norm(dim=-1)[:, ends]
        assert miss.max() < 0.01, name
        assert miss.mean() < 0.001, name


def test_pelvis_and_chest_of_real_clips_face_as_hips_and_shoulders_do(real_clips):
    """By the line between the two: the way up the spine is no measure, since CMU's first spine joint is drawn between pelvis and neck."""
    for name, joints in real_clips.items():
        rotations, _, _ = solve_rotations(joints, HUMANML3D_22)
        matrices = quaternion_to_matrix(rotations)
        chest = matrices[:, 0] @ matrices[:, 3] @ matrices[:, 6] @ matrices[:, 9]
        for turned, left, right, most in ((matrices[:, 0], 1, 2, 3), (chest, 16, 17, 15)):
            across = joints[:, left] - joints[:, right]
            off = torch.rad2deg(torch.acos(torch.nn.functional.cosine_similarity(turned[..., 0], across, dim=-1).clamp(-1, 1)))
            assert off.max() < most, name
            assert off.mean() < most / 3, name
            heading = torch.nn.functional.cosine_similarity(turned[:, ::2, 0], across[:, ::2], dim=-1)
            assert heading.min() > 0.97, name


def test_elbows_and_knees_of_real_clips_bend_the_right_way(real_clips):
    hinges = {"left_elbow": (0, -1, 0), "right_elbow": (0, 1, 0), "left_knee": (1, 0, 0), "right_knee": (1, 0, 0)}
    for name, joints in real_clips.items():
        rotations, _, _ = solve_rotations(joints, HUMANML3D_22)
        for joint, axis in hinges.items():
            turn = rotations[:, HUMANML3D_22.joint(joint)]
            vector = (turn[:, 1:] * turn[:, :1].sign()).numpy()
            bent = np.linalg.norm(vector, axis=-1) > np.sin(np.radians(20))
            assert (vector @ np.array(axis) > 0)[bent].all(), f"{name} {joint}"


def test_rotation_features_are_no_joint_rotations(real_clips):
    """The features hold one rotation per bone, from a heading that is not the body's: read as joint rotations they miss by far."""
    representation = HumanML3DRepresentation()
    offsets = torch.from_numpy(HUMANML3D_22.rest_offsets)
    read, solved = [], []
    for joints in real_clips.values():
        features = representation.encode(joints.float(), fps=20)
        positions = representation.decode(features)
        heading, root = representation.root_trajectory(features)
        local = rotation_6d_to_matrix(features[:, representation.slices["rotations"]].unflatten(-1, (-1, 6)))
        straight = torch.cat((quaternion_to_matrix(heading).mT[:, None], local), dim=1)
        read.append((forward_kinematics(straight, root, offsets, HUMANML3D_22) - positions).norm(dim=-1).mean())
        solved.append((forward_kinematics(*solve_rotations(positions, HUMANML3D_22), HUMANML3D_22) - positions).norm(dim=-1).mean())
    assert min(read) > 0.05
    assert max(solved) < 0.01
    assert sum(read) > 100 * sum(solved)


def test_a_long_clip_is_solved_in_a_moment():
    joints = clip(196).float()
    times = []
    for _ in range(5):
        start = time.process_time()
        solve_rotations(joints, HUMANML3D_22)
        times.append(time.process_time() - start)
    assert min(times) < 0.05 * max(1, torch.get_num_threads())
