"""Rotations of files: what positions cannot say comes through reading, changing and writing."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from test_amass import amass, body_model
from test_export_glb import Glb

from hf_motion import Motion, Skeleton
from hf_motion.alignment import on_body_of
from hf_motion.canonical import uniform_skeleton
from hf_motion.data.motion_text import mirror_motion
from hf_motion.formats import read_motion, take_motion
from hf_motion.pose import local_rotations, multiply, place_joints, world_rotations
from hf_motion.skeletons import HUMANML3D_22

FIXTURES = Path(__file__).parent / "fixtures"
BVH = ["bandai_wave.bvh", "reactidle_003.bvh", "cmu/02_01_iclone.bvh", "cmu/12_01_cgspeed.bvh", "cmu/131_01_cgspeed_max.bvh"]
FILES = [*BVH, "cmu/02_01.amc"]


def in_world(motion: Motion) -> dict[str, Rotation]:
    """World rotations by the name of the joint."""
    world = world_rotations(motion.rotations.astype(np.float64), motion.skeleton)
    turns = Rotation.from_quat(world[..., [1, 2, 3, 0]].reshape(-1, 4))
    count = len(motion.skeleton)
    return {name: turns[np.arange(len(motion)) * count + joint] for joint, name in enumerate(motion.skeleton.joint_names)}


def degrees(one: Rotation, other: Rotation) -> float:
    return float(np.degrees((one.inv() * other).magnitude()).max())


def turning(frames: int = 30, fps: float = 30.0) -> Motion:
    """A head that turns and wrists that roll while no joint moves, on a body that walks off to its left."""
    rest = HUMANML3D_22.body_offsets.astype(np.float32)
    angle = np.linspace(0, 1.2, frames)
    rotations = np.zeros((frames, 22, 4))
    rotations[..., 0] = 1
    for name, axis in (("head", 2), ("left_wrist", 1), ("right_elbow", 1)):
        rotations[:, HUMANML3D_22.joint(name), 0], rotations[:, HUMANML3D_22.joint(name), axis] = np.cos(angle / 2), np.sin(angle / 2)
    rotations[:, 0, 0], rotations[:, 0, 2] = np.cos(angle), np.sin(angle)
    root = np.stack((angle, 0.9 + 0 * angle, 0.2 * angle), axis=-1)
    joints = place_joints(rotations, root, rest, HUMANML3D_22)
    return Motion(joints, fps=fps, text="turns", rotations=rotations, rest_offsets=rest)


@pytest.mark.parametrize("file", BVH)
@pytest.mark.parametrize("skeleton", [None, "humanml3d-22"])
def test_every_rotation_survives_a_bvh_file(tmp_path, file, skeleton):
    motion = read_motion(FIXTURES / file, skeleton=skeleton)
    again = read_motion(motion.save(tmp_path / "again.bvh", **({} if skeleton else {"constant_bones": False})), skeleton=skeleton)
    before, after = in_world(motion), in_world(again)
    assert max(degrees(before[name], after[name]) for name in before) < 0.1


@pytest.mark.parametrize("file", FILES)
def test_mapped_joints_turn_as_those_of_the_file_do(file):
    own, mapped = read_motion(FIXTURES / file, skeleton=None), read_motion(FIXTURES / file)
    skipped = len(own) - len(mapped)
    before, after = in_world(own), in_world(mapped)
    names = {"bandai_wave.bvh": ("Head", "Hand_L"), "reactidle_003.bvh": ("face", "forearm.L"), "cmu/02_01.amc": ("head", "lwrist")}
    more = {"cmu/02_01_iclone.bvh": ("CC_Base_Head", "CC_Base_L_Hand"), "cmu/131_01_cgspeed_max.bvh": ("Head", "LeftWrist")}
    head, hand = (names | more).get(file, ("Head", "LeftHand"))
    for ours, theirs in (("head", head), ("left_elbow" if file.startswith("react") else "left_wrist", hand)):
        turned = before[theirs][skipped:] * before[theirs][skipped].inv()
        assert degrees(turned, after[ours] * after[ours][0].inv()) < 0.1
    placed = place_joints(mapped.rotations, mapped.joints[:, 0], mapped.rest_offsets, mapped.skeleton)
    np.testing.assert_allclose(placed, mapped.joints, atol=1e-3)


def test_our_rest_pose_is_a_t_pose_whatever_the_rig_rests_in():
    for file in FILES:
        offsets = read_motion(FIXTURES / file).rest_offsets
        offsets = offsets if offsets.ndim == 2 else offsets.mean(axis=0)
        bones = offsets / np.linalg.norm(offsets, axis=-1, keepdims=True).clip(1e-9)
        for name, direction in (
            ("left_elbow", (1, 0, 0)),
            ("right_wrist", (-1, 0, 0)),
            ("left_knee", (0, -1, 0)),
            ("right_ankle", (0, -1, 0)),
        ):
            assert bones[HUMANML3D_22.joint(name)] @ direction > 0.99, (file, name)


@pytest.mark.parametrize("rig", [None, "mixamo", "cmu"])
def test_head_and_wrists_turn_in_glb(tmp_path, rig):
    motion = turning()
    file = Glb(motion.save(tmp_path / "a.glb", rig=rig))
    index = dict(zip(file.names, file.document["skins"][0]["joints"], strict=True))
    names = {"mixamo": ("mixamorig:Head", "mixamorig:LeftHand"), "cmu": ("Head", "LeftHand")}.get(rig, ("head", "left_wrist"))
    expected = in_world(motion)
    for ours, theirs in zip(("head", "left_wrist"), names, strict=True):
        found = Rotation.from_matrix(file.globals(29)[index[theirs]][:3, :3])
        assert degrees(found, expected[ours][29]) < 0.1


@pytest.mark.parametrize("suffix", ["npz", "json"])
def test_our_own_files_keep_them(tmp_path, suffix):
    motion = turning()
    again = Motion.load(motion.save(tmp_path / f"a.{suffix}"))
    if suffix == "npz":
        assert again == motion
    before, after = in_world(motion), in_world(again)
    assert max(degrees(before[name], after[name]) for name in before) < 0.1
    solved = Motion(motion.joints, fps=30)
    assert Motion.load(solved.save(tmp_path / f"b.{suffix}")).rotations is None
    if suffix == "json":
        assert [json.loads((tmp_path / name).read_text())["animation"]["recorded"] for name in ("a.json", "b.json")] == [True, False]


@pytest.mark.parametrize("model", ["smplh", "smplx"])
def test_amass_poses_come_back(tmp_path, model):
    """Of a body whose joints do not rest where SMPL's do: no turn is lost, the rest pose is another."""
    folder = tmp_path / "models" / model / ("male" if model == "smplh" else "")
    body_model(folder / ("model.npz" if model == "smplh" else "SMPLX_MALE.npz"), joints=52 if model == "smplh" else 55)
    values = amass(tmp_path / "a.npz", model)
    motion = read_motion(tmp_path / "a.npz", body_models=tmp_path / "models", unit="m")
    upright = Rotation.from_euler("x", -90, degrees=True)
    for joint in range(22):
        found = Rotation.from_quat(motion.rotations[:, joint][:, [1, 2, 3, 0]])
        pose = Rotation.from_rotvec(values["poses"][:, 3 * joint : 3 * joint + 3])
        assert degrees(found, upright * pose if not joint else pose) < 0.1


def test_amass_files_are_written_from_them(tmp_path):
    from hf_motion.formats import write_amass
    from hf_motion.formats.amass import smpl_rest_joints

    rest = smpl_rest_joints()
    random = np.random.default_rng(0)
    poses = Rotation.from_rotvec(random.normal(0, 0.4, (5 * 22, 3)))
    rotations = poses.as_quat()[:, [3, 0, 1, 2]].reshape(5, 22, 4)
    offsets = rest - rest[[max(parent, 0) for parent in HUMANML3D_22.parents]]
    joints = place_joints(rotations, random.normal(0, 1, (5, 3)), offsets, HUMANML3D_22)
    written = np.load(write_amass(Motion(joints, rotations=rotations, rest_offsets=offsets), tmp_path / "a.npz"))["poses"].reshape(5, -1, 3)
    found = Rotation.from_rotvec(written[:, 1:22].reshape(-1, 3))
    expected = Rotation.from_quat(rotations[:, 1:][..., [1, 2, 3, 0]].reshape(-1, 4))
    assert degrees(found, expected) < 0.1


def test_a_t_pose_is_counted_from_the_rest_pose_of_smpl(tmp_path):
    from hf_motion.formats import write_amass
    from hf_motion.formats.amass import smpl_rest_joints

    motion = turning()
    written = np.load(write_amass(motion, tmp_path / "a.npz"))["poses"].reshape(30, -1, 3)[:, :22]
    rest = smpl_rest_joints()
    offsets = rest - rest[[max(parent, 0) for parent in HUMANML3D_22.parents]]
    quaternions = Rotation.from_rotvec(written.reshape(-1, 3)).as_quat()[:, [3, 0, 1, 2]].reshape(30, 22, 4)
    world = world_rotations(quaternions, HUMANML3D_22)
    head = Rotation.from_quat(world[:, 15][:, [1, 2, 3, 0]])
    ours = in_world(motion)["head"]
    upright = Rotation.from_euler("x", 90, degrees=True)
    assert degrees((upright.inv() * head) * (upright.inv() * head)[0].inv(), ours * ours[0].inv()) < 0.1
    joints = place_joints(quaternions, np.zeros((30, 3)), offsets, HUMANML3D_22)
    thigh = (joints[:, 5] - joints[:, 2]) @ [0, 0, 1]
    assert np.abs(thigh / np.linalg.norm(joints[:, 5] - joints[:, 2], axis=-1)).min() > 0.99  # it hangs, in files with Z up


def test_cut_resampled_turned_mirrored_joined():
    motion = turning()
    assert in_world(motion[10:20:2])["head"][1].approx_equal(in_world(motion)["head"][12])
    double = motion.resample(60)
    assert len(double) == 59
    half_way = Rotation.from_quat(double.rotations[1, 15, [1, 2, 3, 0]])
    assert half_way.magnitude() == pytest.approx(1.2 / 29 / 2, abs=1e-5)
    np.testing.assert_allclose(double[::2].joints, motion.joints, atol=1e-6)
    for changed in (
        motion.in_place(),
        motion.turn(1.0, about=(3, 0, 1)),
        motion.mirror(),
        mirror_motion(motion),
        replace(motion, text="x"),
    ):
        assert changed.rotations is not None
        placed = place_joints(changed.rotations, changed.joints[:, 0], changed.rest_offsets, changed.skeleton)
        np.testing.assert_allclose(placed, changed.joints, atol=1e-5)
    mirrored, ours = in_world(motion.mirror()), in_world(motion)
    reflect = np.diag([-1, 1, 1])
    np.testing.assert_allclose(mirrored["right_wrist"].as_matrix(), reflect @ ours["left_wrist"].as_matrix() @ reflect, atol=1e-5)
    joined = Motion.concatenate([motion, motion, motion.resample(15)], fps=30)
    placed = place_joints(joined.rotations, joined.joints[:, 0], joined.rest_offsets, joined.skeleton)
    np.testing.assert_allclose(placed, joined.joints, atol=1e-4)
    assert joined.rest_offsets.ndim == 2
    taller = Motion(motion.joints * 1.1, fps=30, rotations=motion.rotations, rest_offsets=motion.rest_offsets * 1.1)
    assert Motion.concatenate([motion, taller]).rest_offsets.ndim == 3
    assert Motion.concatenate([motion, Motion(motion.joints, fps=30)]).rotations is None


def test_other_bone_lengths_keep_them():
    motion = read_motion(FIXTURES / "bandai_wave.bvh")
    for changed in (uniform_skeleton(motion), on_body_of(motion, turning())):
        assert np.abs(changed.joints - motion.joints).max() > 0.01
        placed = place_joints(changed.rotations, changed.joints[:, 0], changed.rest_offsets, changed.skeleton)
        np.testing.assert_allclose(placed, changed.joints, atol=1e-3)
        np.testing.assert_array_equal(changed.rotations, motion.rotations)


def test_joints_that_change_drop_them():
    motion = turning()
    bent = motion.joints.copy()
    bent[:, 20] += 0.1
    assert replace(motion, joints=bent).rotations is None
    assert replace(motion, joints=motion.joints + np.array([1, 0, 2])).rotations is not None
    motion.joints = bent
    assert (motion.rotations, motion.rest_offsets) == (None, None)


def test_motions_of_another_rig_are_taken_with_them():
    own = read_motion(FIXTURES / "bandai_wave.bvh", skeleton=None)
    taken, read = in_world(take_motion(own)), in_world(read_motion(FIXTURES / "bandai_wave.bvh"))
    assert max(degrees(taken[name], read[name]) for name in read) < 0.1


def test_wrong_rotations_are_named(caplog):
    motion = turning()
    rotations, rest, joints = np.array(motion.rotations), motion.rest_offsets, motion.joints

    def make(**changes):
        return Motion(joints, fps=30, **({"rotations": rotations, "rest_offsets": rest} | changes))

    zero = rotations.copy()
    zero[3, 15] = 0
    with pytest.raises(ValueError, match="length zero, which is no rotation: frame 3, joint 'head'"):
        make(rotations=zero)
    with pytest.raises(ValueError, match="hold NaN"):
        make(rotations=rotations * np.nan)
    with pytest.raises(ValueError, match=r"rotations must have shape \(30, 22, 4\)"):
        make(rotations=rotations[:, :21])
    with pytest.raises(ValueError, match="come with rest_offsets"):
        make(rest_offsets=None)
    with pytest.raises(ValueError, match="rest_offsets belong to rotations"):
        make(rotations=None)
    turned = rotations.copy()
    turned[:, 0] = multiply(np.array([0.7071068, 0, 0.7071068, 0]), turned[:, 0])
    with pytest.raises(ValueError, match=r"put joint .* cm from where joints has it .*right-handed system"):
        make(rotations=turned)
    with pytest.raises(ValueError, match="right-handed"):
        make(rotations=rotations * [1, -1, -1, -1])
    np.testing.assert_allclose(make(rotations=3 * rotations).rotations, motion.rotations, atol=1e-6)
    assert "660 of 660 rotations are not of unit length" in caplog.text


def test_local_rotations_undo_world_rotations():
    chain = Skeleton("chain", ("a", "b", "c"), (-1, 0, 1))
    local = Rotation.random(12, rng=0).as_quat().reshape(4, 3, 4)
    np.testing.assert_allclose(np.abs((local_rotations(world_rotations(local, chain), chain) * local).sum(-1)), 1)
