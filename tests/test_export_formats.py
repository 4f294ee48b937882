"""Rig presets of BVH files, AMASS's layout, tables, and what happens when a disk is full."""

import csv
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from hf_motion import Motion
from hf_motion.data.motion_text import load_motion_rows, read_row
from hf_motion.formats import WRITTEN_RIGS, write_amass, write_bvh, write_csv
from hf_motion.formats.amass import smpl_rest_joints
from hf_motion.formats.bvh import parse_bvh, read_bvh
from hf_motion.formats.read import inspect_motion
from hf_motion.formats.rigs import rigged
from hf_motion.representation.rotations import axis_angle_to_quaternion, quaternion_to_axis_angle
from hf_motion.skeletons import HUMANML3D_22, KIT_21

CLIPS = str(Path(__file__).parent / "fixtures" / "clips.parquet")


@pytest.fixture(scope="module")
def motions() -> dict[str, Motion]:
    return {row["id"]: read_row(row, "humanml3d-22")[0] for row in load_motion_rows(CLIPS)}


@pytest.fixture(scope="module")
def wave(motions: dict[str, Motion]) -> Motion:
    return motions["bnr_dataset-2_wave-right-hand_active_002"]


@pytest.mark.parametrize("rig", list(WRITTEN_RIGS))
def test_a_rig_has_its_names_its_t_pose_and_rotations_alone(wave, rig, tmp_path):
    file = parse_bvh(write_bvh(wave, tmp_path / "a.bvh", rig=rig))
    assert set(file.joint_names) == set(WRITTEN_RIGS[rig].written) | set(WRITTEN_RIGS[rig].between.values())
    assert {channels[0] for channels in file.channels[1:]} == {"Zrotation"}
    positions = file.joint_positions() / 100
    found = np.stack([positions[:, file.joint_names.index(name)] for name in WRITTEN_RIGS[rig].written], axis=1)
    assert np.linalg.norm(found - wave.joints, axis=-1).max() < 0.01
    place = {}
    for name, parent, offset in zip(file.joint_names, file.parents, file.offsets, strict=True):
        place[name] = offset + (place[file.joint_names[parent]] if parent >= 0 else 0)
    names = dict(zip(HUMANML3D_22.joint_names, WRITTEN_RIGS[rig].written, strict=True))
    assert place[names["left_wrist"]][0] > 40
    assert place[names["right_wrist"]][0] < -40
    assert place[names["left_foot"]][2] > place[names["left_ankle"]][2]


def test_the_cmu_rig_has_its_extra_joints_in_place(wave, tmp_path):
    file = parse_bvh(write_bvh(wave, tmp_path / "a.bvh", rig="cmu"))
    names = list(file.joint_names)
    for joint, above in (("LHipJoint", "Hips"), ("LeftUpLeg", "LHipJoint"), ("Neck1", "Neck"), ("Head", "Neck1"), ("Spine", "LowerBack")):
        assert names[file.parents[names.index(joint)]] == above
    assert not file.offsets[[names.index("LHipJoint"), names.index("RHipJoint"), names.index("Neck1")]].any()


@pytest.mark.parametrize(
    ("rig", "recognised"),
    [("smpl", "smpl"), ("mixamo", "mixamo"), ("cmu", "cmu"), ("unity", "unity"), ("unreal", "unreal")],
)
def test_our_reader_recognises_the_rig(wave, rig, recognised, tmp_path):
    found = inspect_motion(write_bvh(wave, tmp_path / "a.bvh", rig=rig))
    assert found.rig == recognised
    limbs = [joint for joint, name in enumerate(HUMANML3D_22.joint_names) if name.split("_")[-1] in ("wrist", "elbow", "knee", "foot")]
    miss = np.linalg.norm(found.motion.joints - wave.joints, axis=-1)
    assert miss[:, limbs].max() < 0.002
    assert miss.max() < 0.012
    assert found.interpolated == ()


def test_rigs_say_what_they_need(wave, tmp_path):
    with pytest.raises(ValueError, match=r"Unknown rig 'maya'\. There are: smpl, mixamo, cmu, unity, unreal"):
        wave.save(tmp_path / "a.bvh", rig="maya")
    with pytest.raises(ValueError, match="names the joints of 'humanml3d-22', this motion is on 'kit-21'"):
        Motion(np.zeros((2, 21, 3)), skeleton=KIT_21).save(tmp_path / "a.bvh", rig="smpl")
    assert not list(tmp_path.iterdir())
    assert rigged(KIT_21, None) == (KIT_21, list(range(21)))


def smpl_joints(path: Path, rest: np.ndarray) -> np.ndarray:
    """Joints of an AMASS file on a body with these rest joints, Y up: rotations composed one by one with scipy."""
    file = np.load(path)
    turns = file["poses"][:, :66].reshape(-1, 22, 3)
    place, turned = {}, {}
    for joint, parent in enumerate(HUMANML3D_22.parents):
        local = Rotation.from_rotvec(turns[:, joint])
        turned[joint] = turned[parent] * local if joint else local
        place[joint] = place[parent] + turned[parent].apply(rest[joint] - rest[parent]) if joint else rest[0] + file["trans"]
    joints = np.stack([place[joint] for joint in range(22)], axis=1)
    return np.stack((joints[..., 0], joints[..., 2], -joints[..., 1]), axis=-1)


def directions(joints: np.ndarray) -> np.ndarray:
    bones = (joints - joints[:, [max(parent, 0) for parent in HUMANML3D_22.parents]])[:, 1:]
    return bones / np.linalg.norm(bones, axis=-1, keepdims=True)


def test_amass_arrays(wave, tmp_path):
    file = np.load(wave.save(tmp_path / "a.npz", layout="amass"))
    shapes = {name: file[name].shape for name in file.files}
    frames = len(wave)
    assert shapes == {
        "poses": (frames, 156), "trans": (frames, 3), "betas": (16,), "dmpls": (frames, 8), "gender": (), "mocap_framerate": (),
    }  # fmt: skip
    assert (str(file["gender"]), float(file["mocap_framerate"])) == ("neutral", wave.fps)
    assert not file["poses"][:, 66:].any()
    body = np.load(write_amass(wave, tmp_path / "b.npz", pose_width=66))
    np.testing.assert_array_equal(body["poses"], file["poses"][:, :66])
    assert np.linalg.norm(file["poses"].reshape(frames, 52, 3), axis=-1).max() <= np.pi + 1e-6


def test_amass_poses_point_the_bones_where_they_pointed(motions, tmp_path):
    """On the body that the poses were solved for, however long its bones; bones of limbs exactly, others as its torso allows."""
    ends = [joint - 1 for joint, parent in enumerate(HUMANML3D_22.parents) if joint and len(HUMANML3D_22.children[parent]) == 1]
    for motion in motions.values():
        path = write_amass(motion, tmp_path / "a.npz")
        found = smpl_joints(path, smpl_rest_joints())
        np.testing.assert_allclose(found[:, 0, [0, 2]], motion.joints[:, 0, [0, 2]], atol=1e-5)
        feet = [joints[:, [7, 8, 10, 11], 1].min(axis=-1) for joints in (found, motion.joints)]
        assert np.median(feet[0] - feet[1]) == pytest.approx(0, abs=1e-3), "feet stand on the floor"
        cosine = (directions(found) * directions(motion.joints)).sum(axis=-1)
        assert np.degrees(np.arccos(cosine[:, ends].clip(-1, 1))).max() < 0.1
        assert np.degrees(np.arccos(cosine.clip(-1, 1))).mean() < 15


def test_amass_keeps_left_right_up_and_facing(motions, tmp_path):
    turn = motions["bnr_dataset-2_walk-turn-left_normal_001"]
    found = smpl_joints(write_amass(turn, tmp_path / "a.npz"), smpl_rest_joints())
    for left, right in (("left_hip", "right_hip"), ("left_shoulder", "right_shoulder"), ("left_ankle", "right_ankle")):
        one, other = ((joints[:, HUMANML3D_22.joint(left)] - joints[:, HUMANML3D_22.joint(right)]) for joints in (found, turn.joints))
        cosine = (one * other).sum(axis=-1) / np.linalg.norm(one, axis=-1) / np.linalg.norm(other, axis=-1)
        assert np.median(cosine) > 0.9
    file = np.load(tmp_path / "a.npz")
    # Z is up, and the pelvis stands 23 cm below and 3 cm before the origin of SMPL's own space, whose axes do not turn.
    lift = file["trans"][:, 2] - (turn.joints[:, 0, 1] - smpl_rest_joints()[0, 2])
    np.testing.assert_allclose(file["trans"][:, 1], -turn.joints[:, 0, 2] - smpl_rest_joints()[0, 1], atol=1e-5)
    assert np.ptp(lift) < 1e-5
    assert abs(lift[0]) < 0.15


def test_amass_takes_the_rest_joints_of_a_body(wave, tmp_path):
    rest = smpl_rest_joints() * 1.1 + [0.02, 0.01, 0]
    found = smpl_joints(write_amass(wave, tmp_path / "a.npz", rest_joints=torch.from_numpy(np.concatenate((rest, rest)))), rest)
    np.testing.assert_allclose(found[:, 0, [0, 2]], wave.joints[:, 0, [0, 2]], atol=1e-5)
    cosine = (directions(found) * directions(wave.joints)).sum(axis=-1)[:, HUMANML3D_22.joint("left_elbow") - 1]
    assert cosine.min() > 0.9999
    for bad in (np.zeros((21, 3)), np.full((22, 3), np.nan), np.zeros(66)):
        with pytest.raises(ValueError, match="rest_joints must be finite"):
            write_amass(wave, tmp_path / "b.npz", rest_joints=bad)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layout": "smpl"}, "layout='smpl': layout is 'hf_motion' .* or 'amass'"),
        ({"pose_width": 66}, "with layout='hf_motion', pose_width"),
        ({"layout": "amass", "pose_width": 72}, r"156 .* or 66 .* got 72"),
    ],
)  # fmt: skip
def test_npz_options_are_checked(wave, options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        wave.save(tmp_path / "a.npz", **options)
    with pytest.raises(ValueError, match="humanml3d-22"):
        Motion(np.zeros((2, 21, 3)), skeleton=KIT_21).save(tmp_path / "a.npz", layout="amass")
    assert not list(tmp_path.iterdir())


def test_axis_angles_are_those_of_scipy():
    turns = Rotation.random(200, random_state=0)
    quaternions = torch.from_numpy(turns.as_quat(scalar_first=True) * np.where(np.arange(200) % 2, 1, -1)[:, None])
    np.testing.assert_allclose(quaternion_to_axis_angle(quaternions), turns.as_rotvec(), atol=1e-7)
    back = axis_angle_to_quaternion(torch.from_numpy(turns.as_rotvec()))
    np.testing.assert_allclose(Rotation.from_quat(back.numpy(), scalar_first=True).as_matrix(), turns.as_matrix(), atol=1e-7)
    small = torch.tensor([[1.0, 0, 0, 0], [1, 1e-9, 0, 0]], dtype=torch.float64)
    np.testing.assert_allclose(quaternion_to_axis_angle(small), [[0, 0, 0], [2e-9, 0, 0]], atol=1e-15)
    assert torch.isfinite(axis_angle_to_quaternion(torch.zeros(3))).all()


def test_csv_holds_times_and_joints(wave, tmp_path):
    path = wave.save(tmp_path / "a.csv")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[:4] == ["time", "pelvis_x", "pelvis_y", "pelvis_z"]
    assert len(rows) == len(wave)
    np.testing.assert_allclose([float(row["time"]) for row in rows], np.arange(len(wave)) / wave.fps, atol=1e-6)
    wrist = [[float(row[f"left_wrist_{axis}"]) for axis in "xyz"] for row in rows]
    np.testing.assert_allclose(wrist, wave.joints[:, HUMANML3D_22.joint("left_wrist")], atol=1e-6)
    named = write_csv(wave, tmp_path / "b.csv", rig="cmu").read_text().splitlines()
    assert named[0].startswith("time,Hips_x,")
    assert named[1:] == path.read_text().splitlines()[1:]


def test_a_second_trip_changes_nothing(wave, tmp_path):
    first = read_bvh(write_bvh(wave, tmp_path / "a.bvh"))
    again = read_bvh(write_bvh(first, tmp_path / "b.bvh"))
    assert np.linalg.norm(first.joints - again.joints, axis=-1).max() < 1e-3


@contextmanager
def small_disk() -> Iterator[None]:
    """No file may grow beyond 2 kB."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(
    ("suffix", "options"), [(".bvh", {}), (".glb", {}), (".csv", {}), (".html", {}), (".npz", {}), (".npz", {"layout": "amass"})]
)
def test_a_full_disk_leaves_nothing(suffix, options, tmp_path):
    motion = Motion(np.random.default_rng(0).random((60, 22, 3)))
    path = tmp_path / f"a{suffix}"
    with small_disk(), pytest.raises(OSError, match=r"Cannot write '.*a\..*': File too large") as error:
        motion.save(path, **options)
    assert str(path) in str(error.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".bvh", ".glb", ".csv", ".npz", ".html"])
def test_an_unwritable_folder_is_named(wave, suffix, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match=r"Cannot write .*file"):
        wave.save(tmp_path / "file" / f"a{suffix}")
    with pytest.raises(ValueError, match="NaN or infinity in 1 of 2 frames"):
        Motion(np.stack((wave.joints[0], np.full((22, 3), np.nan)))).save(tmp_path / f"a{suffix}")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
