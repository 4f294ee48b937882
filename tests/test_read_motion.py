import functools
import itertools
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hf_motion import Motion, Skeleton
from hf_motion.canonical import face_forward, put_on_floor, uniform_skeleton
from hf_motion.data.motion_text import mirror_motion
from hf_motion.formats import write_bvh
from hf_motion.formats.bvh import parse_bvh
from hf_motion.formats.read import inspect_motion, leg_units, read_motion, up_axis
from hf_motion.formats.rigs import RIGS
from hf_motion.skeletons import HUMANML3D_22, KIT_21

FIXTURES = Path(__file__).parent / "fixtures"
CMU = FIXTURES / "cmu"
# Rig, units per metre and frames of each real file.
REAL = {
    "bandai_wave.bvh": ("bandai-namco", 100, 40),
    "reactidle_003.bvh": ("reactidle", 1, 60),
    "cmu/02_01.amc": ("cmu-asf", 17.717, 72),
    "cmu/02_01_iclone.bvh": ("reallusion", 100, 36),
    "cmu/12_01_cgspeed.bvh": ("cmu-cgspeed", 17.717, 60),
    "cmu/131_01_cgspeed_max.bvh": ("cmu-cgspeed-max", 17.717, 24),
}
JOINT = {name: index for index, name in enumerate(HUMANML3D_22.joint_names)}


def farthest(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.linalg.norm(one - other, axis=-1).max())


def aligned_distance(one: np.ndarray, other: np.ndarray, joints: list[int]) -> np.ndarray:
    """Distances in millimetres, after the best rotation, translation and scale of the whole clip (Umeyama 1991)."""
    one, other = (joints_[:, joints].reshape(-1, 3).astype(float) for joints_ in (one, other))
    a, b = one - one.mean(axis=0), other - other.mean(axis=0)
    left, size, right = np.linalg.svd(a.T @ b)
    flip = np.array([1, 1, np.sign(np.linalg.det(left @ right))])
    scale = (size * flip).sum() / (b**2).sum()
    return 1000 * np.linalg.norm(a - scale * b @ (left * flip @ right).T, axis=-1)


@functools.cache
def wave() -> Motion:
    return read_motion(FIXTURES / "bandai_wave.bvh")


def few() -> Motion:
    """Six of its frames, the hand up in the last ones: enough for what concerns names, units and axes."""
    return wave()[::7]


def rigged(names: dict[str, str], extra: dict[str, str] | None = None) -> Motion:
    """Those frames on a skeleton with the joint names of a rig, and joints of its own (child: parent) in their parents' places."""
    joints = {names[ours]: few().joints[:, index] for ours, index in JOINT.items()}
    parents = {
        names[ours]: names[HUMANML3D_22.joint_names[max(parent, 0)]] for ours, parent in zip(JOINT, HUMANML3D_22.parents, strict=True)
    }
    for child, parent in (extra or {}).items():
        joints[child] = joints[parent] + np.float32([0, 0.03, 0.03])
        parents[child] = parent
    order = list(joints)
    skeleton = Skeleton("rig", tuple(order), (-1, *(order.index(parents[name]) for name in order[1:])))
    return Motion(np.stack(list(joints.values()), axis=1), fps=30, skeleton=skeleton)


@pytest.mark.parametrize(("file", "facts"), REAL.items())
def test_real_files_of_every_rig(file, facts):
    rig, units, frames = facts
    source = inspect_motion(FIXTURES / file)
    motion = source.motion
    assert (source.rig, source.frames, source.up, source.path) == (rig, frames, "y", FIXTURES / file)
    assert source.units_per_metre == pytest.approx(units, rel=1e-3)
    assert motion.skeleton is HUMANML3D_22
    assert len(motion) == frames - source.skipped
    joints = face_forward(put_on_floor(motion)).joints
    at = {name: joints[0, index] for name, index in JOINT.items()}
    for part in ("hip", "knee", "collar", "shoulder", "elbow", "wrist"):
        assert at[f"left_{part}"][0] > at[f"right_{part}"][0] + 0.02, f"left {part} is on the left"
    assert sum(at[f"{side}_foot"][2] - at[f"{side}_ankle"][2] for side in ("left", "right")) > 0.1, "toes point forward"
    assert 1.1 < at["head"][1] < 1.8, "the head of a standing adult"
    heights = [at[name][1] for name in ("pelvis", "spine1", "spine2", "spine3", "neck", "head")]
    assert heights == sorted(heights)
    leg = sum(np.linalg.norm(at[f"left_{one}"] - at[f"left_{two}"]) for one, two in (("hip", "knee"), ("knee", "ankle")))
    assert 0.6 < leg < 1.05


@pytest.mark.parametrize("file", REAL)
def test_file_to_motion_to_file_to_motion(tmp_path, file):
    """What one cycle through BVH makes of a clip stays the same in the next."""
    first = read_motion(read_motion(FIXTURES / file, fps=20).save(tmp_path / "a.bvh"))
    second = read_motion(first.save(tmp_path / "b.bvh"))
    assert (first.skeleton, first.fps, len(first)) == (second.skeleton, second.fps, len(second))
    assert farthest(first.joints, second.joints) < 1e-3


def test_a_rig_of_its_own_survives_the_same(tmp_path):
    raw = Motion.load(FIXTURES / "bandai_wave.bvh")
    again = read_motion(raw.save(tmp_path / "raw.bvh"), skeleton=None)
    assert again.skeleton == raw.skeleton
    assert farthest(again.joints, raw.joints) < 0.0101, "write_bvh's tolerance"


def test_cmus_two_formats_of_one_take_agree():
    """02_01 as CMU's ASF/AMC, and as retargeted to another body: limbs point the same way; the rest is the other body's shape."""
    one, other = read_motion(CMU / "02_01.amc", fps=60), read_motion(CMU / "02_01_iclone.bvh", fps=60)
    one, other = one.joints, other.joints[: len(one)]
    legs = [JOINT[f"{side}_{part}"] for side in ("left", "right") for part in ("hip", "knee", "ankle", "foot")]
    assert aligned_distance(one, other, legs).mean() < 25
    assert aligned_distance(one, other, list(range(22))).mean() < 50
    for part, upper in (("knee", "hip"), ("ankle", "knee"), ("elbow", "shoulder"), ("wrist", "elbow")):
        for side in ("left", "right"):
            a, b = (clip[:, JOINT[f"{side}_{part}"]] - clip[:, JOINT[f"{side}_{upper}"]] for clip in (one, other))
            cosine = (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)
            assert np.degrees(np.arccos(cosine)).mean() < 4, f"{side} {part}"


def test_the_t_pose_before_a_take_is_left_out(tmp_path):
    source = inspect_motion(CMU / "12_01_cgspeed.bvh", fps=20)
    assert (source.skipped, len(source.motion)) == (1, 10)
    assert inspect_motion(CMU / "131_01_cgspeed_max.bvh").skipped == 0
    everything = read_motion(CMU / "12_01_cgspeed.bvh", skeleton=None)
    assert len(everything) == 60
    arms = everything.joints[0, everything.skeleton.joint("LeftHand")] - everything.joints[0, everything.skeleton.joint("RightHand")]
    assert arms[0] > 1, "a T-pose"
    steps = np.abs(np.diff(read_motion(CMU / "12_01_cgspeed.bvh").joints, axis=0))
    assert steps.max() < 0.05


HIPS = {"pelvis": "Hips", "spine1": "Spine", "spine2": "Spine1", "spine3": "Spine2", "neck": "Neck", "head": "Head"}


def named(centre: dict[str, str], pattern: str, parts: str, sides: tuple[str, str]) -> dict[str, str]:
    ours = ("hip", "knee", "ankle", "foot", "collar", "shoulder", "elbow", "wrist")
    pairs = itertools.product(zip(ours, parts.split(), strict=True), zip(("left", "right"), sides, strict=True))
    return centre | {f"{left}_{joint}": pattern.format(side=side, part=part) for (joint, part), (left, side) in pairs}


BY_NAME = {
    "mixamo": (
        named(HIPS, "{side}{part}", "UpLeg Leg Foot ToeBase Shoulder Arm ForeArm Hand", ("Left", "Right")),
        {"HeadTop_End": "Head", "LeftToe_End": "LeftToeBase"}, "mixamorig:",
    ),
    "lafan1": (named(HIPS, "{side}{part}", "UpLeg Leg Foot Toe Shoulder Arm ForeArm Hand", ("Left", "Right")), {}, ""),
    "rokoko": (
        named(
            {"pelvis": "Hips", "spine1": "Spine1", "spine2": "Spine2", "spine3": "Spine3", "neck": "Neck", "head": "Head"},
            "{side}{part}", "Thigh Shin Foot Toe Shoulder Arm ForeArm Hand", ("Left", "Right"),
        ), {"Spine4": "Spine3", "LeftToeTip": "LeftToe"}, "",
    ),
    "smpl": (
        named(
            {"pelvis": "Pelvis", "spine1": "Spine1", "spine2": "Spine2", "spine3": "Spine3", "neck": "Neck", "head": "Head"},
            "{side}_{part}", "Hip Knee Ankle Foot Collar Shoulder Elbow Wrist", ("L", "R"),
        ), {"L_Hand": "L_Wrist"}, "m_avg_",
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("rig", "unit", "up"),
    [
        ("mixamo", "cm", "y"),
        ("lafan1", "cm", "z"),
        ("rokoko", "m", "y"),
        ("smpl", "m", "z"),
        ("smpl", "mm", "y"),
        ("mixamo", "inch", "z"),
        ("lafan1", "cmu", "y"),
    ],
)
def test_rigs_known_by_name_in_any_unit_and_axes(tmp_path, rig, unit, up):
    names, extra, prefix = BY_NAME[rig]
    motion = rigged({ours: prefix + name for ours, name in names.items()}, {prefix + k: prefix + v for k, v in extra.items()})
    scale = {"cm": 100, "m": 1, "mm": 1000, "inch": 1 / 0.0254, "cmu": 0.45 / 0.0254}[unit]
    path = write_bvh(motion, tmp_path / "a.bvh", scale=scale, up_axis=up)
    source = inspect_motion(path)
    assert (source.rig, source.up, source.interpolated) == (rig, up, ())
    assert source.units_per_metre == pytest.approx(scale)
    assert farthest(source.motion.joints, few().joints) < 0.011
    given = read_motion(path, unit=unit, up=up, rig=rig)
    np.testing.assert_array_equal(given.joints, source.motion.joints)
    assert farthest(read_motion(path, unit=2 * scale, up=up).joints, source.motion.joints / 2) < 1e-6


def test_left_stays_left(tmp_path):
    """The waving hand is the right one in every rig, and the left one in the mirror."""

    def raised(motion: Motion) -> str:
        return max(("left", "right"), key=lambda side: motion.joints[:, JOINT[f"{side}_wrist"], 1].max())

    assert raised(wave()) == "right"
    for (names, extra, prefix), up in zip(BY_NAME.values(), "yzyz", strict=True):
        prefixed = {ours: prefix + name for ours, name in names.items()}
        path = write_bvh(rigged(prefixed, {prefix + k: prefix + v for k, v in extra.items()}), tmp_path / "a.bvh", up_axis=up)
        assert raised(read_motion(path)) == "right"
        np.testing.assert_allclose(face_forward(read_motion(path)).joints, face_forward(few()).joints, atol=0.011)
    assert raised(read_motion(mirror_motion(few()).save(tmp_path / "m.bvh"))) == "left"


def test_a_mapping_file_reads_an_unknown_rig(tmp_path):
    names = {ours: f"bone.{ours.upper()}" for ours in JOINT}
    path = write_bvh(rigged(names), tmp_path / "a.bvh", up_axis="z", scale=39.37)
    with pytest.raises(ValueError, match="no known rig") as error:
        read_motion(path)
    assert str(path) in str(error.value)
    wanted = {joint: names[joint] for joint in JOINT if joint != "spine2"}
    source = inspect_motion(path, mapping={"name": "mine", "joints": wanted, "up": "z", "unit": "inch"})
    assert (source.rig, source.interpolated, source.up) == ("mine", ("spine2",), "z")
    others = [index for name, index in JOINT.items() if name != "spine2"]
    assert farthest(source.motion.joints[:, others], few().joints[:, others]) < 0.011
    with pytest.raises(ValueError, match="either `rig=` or `mapping=`"):
        read_motion(path, rig="smpl", mapping={"joints": wanted})
    with pytest.raises(ValueError, match=r"a.bvh.*Joints that rig 'mixamo' needs"):
        read_motion(path, rig="mixamo")


def test_end_sites_stand_in_for_joints_that_a_rig_lacks():
    file = parse_bvh(FIXTURES / "reactidle_003.bvh")
    with_ends = file.with_end_sites()
    assert len(with_ends.joint_names) == 19 + 7
    assert with_ends.joint_names[:19] == file.joint_names
    positions = with_ends.joint_positions()
    np.testing.assert_array_equal(positions[:, :19], file.joint_positions())
    motion = read_motion(FIXTURES / "reactidle_003.bvh")
    for joint, end in (("left_wrist", "forearm.L_end"), ("right_foot", "foot.R_end")):
        np.testing.assert_allclose(motion.joints[:, JOINT[joint]], positions[:, with_ends.joint_names.index(end)], atol=1e-6)
    hand = np.linalg.norm(motion.joints[:, JOINT["left_wrist"]] - motion.joints[:, JOINT["left_elbow"]], axis=-1)
    np.testing.assert_allclose(hand, np.linalg.norm([0.205039, -0.001158, 0.003486]), atol=1e-5)


def test_resampling_turns_rotations():
    """Down to a third exactly the frames that there are; in between on the arc, not on the chord."""
    path = FIXTURES / "bandai_wave.bvh"
    full, third = read_motion(path), read_motion(path, fps=10)
    assert (third.fps, len(third)) == (10, 14)
    np.testing.assert_allclose(third.joints, full.joints[::3], atol=1e-6)
    coarse = read_motion(path, source_fps=3, fps=6)
    bone = np.linalg.norm(coarse.joints[:, JOINT["right_wrist"]] - coarse.joints[:, JOINT["right_elbow"]], axis=-1)
    np.testing.assert_allclose(bone, bone[0], atol=1e-5)
    linear = read_motion(path, source_fps=3).resample(6)
    assert farthest(linear.joints, coarse.joints) < 0.02
    assert read_motion(path, source_fps=60).duration == pytest.approx(wave().duration / 2)


def test_only_the_frame_rate_wanted_may_be_huge(tmp_path):
    path = tmp_path / "slow.bvh"
    path.write_text((FIXTURES / "bandai_wave.bvh").read_text().replace("0.0333333", "1000000"))
    with pytest.raises(ValueError, match=r"slow.bvh.*at most 1,000,000 are taken"):
        read_motion(path, fps=20)
    assert len(read_motion(path, fps=20, source_fps=20)) == 40


def test_our_own_files_in_every_format(tmp_path):
    motion = replace(wave(), text="a person waves")
    read = read_motion(motion.save(tmp_path / "a.npz"))
    np.testing.assert_array_equal(read.joints, motion.joints)
    assert (read.fps, read.text) == (30, "a person waves")
    assert len(read_motion(tmp_path / "a.npz", fps=10)) == 14
    np.save(tmp_path / "a.npy", motion.joints)
    source = inspect_motion(tmp_path / "a.npy", fps=10)
    assert (source.fps, source.rig, len(source.motion)) == (20, None, 20)
    np.testing.assert_array_equal(read_motion(tmp_path / "a.npy").joints, motion.joints)
    np.save(tmp_path / "flat.npy", motion.joints.reshape(40, 66))
    np.testing.assert_array_equal(read_motion(tmp_path / "flat.npy", source_fps=30).joints, motion.joints)


def test_kit_files(tmp_path):
    joints = np.zeros((30, 21, 3)) + np.random.default_rng(0).random((1, 21, 3))
    joints[:] = np.random.default_rng(0).normal(0, 30, (21, 3))
    for name, height in (("hip", 900), ("knee", 480), ("ankle", 60), ("shoulder", 1400)):
        for side in ("left", "right"):
            joints[:, KIT_21.joint(f"{side}_{name}"), 1] = height
    np.save(tmp_path / "03950.npy", joints)
    source = inspect_motion(tmp_path / "03950.npy", skeleton="kit-21")
    assert (source.motion.skeleton, source.motion.fps, source.units_per_metre) == (KIT_21, 12.5, 1000)
    np.testing.assert_allclose(source.motion.joints, joints / 1000, rtol=1e-6)
    with pytest.raises(ValueError, match=r"03950.npy.*pass skeleton='kit-21'"):
        read_motion(tmp_path / "03950.npy")
    with pytest.raises(ValueError, match="not those of skeleton 'kit-21'"):
        read_motion(FIXTURES / "bandai_wave.bvh", skeleton="kit-21")


@pytest.mark.parametrize(
    ("legs", "units"), [
    ((0.45, 1.1), 1), ((1.5, 3.6), 3.281), ((4.5, 10.9), 10), ((11, 19.4), 17.717), ((22, 43), 39.37), ((46, 110), 100),
    ((450, 1100), 1000),
])  # fmt: skip
def test_units_of_legs_from_a_child_to_a_tall_adult(legs, units):
    for leg in legs:
        joints = wave().joints[:1].astype(float) * leg / 0.8
        for side in ("left", "right"):
            joints[:, JOINT[f"{side}_knee"]] = joints[:, JOINT[f"{side}_hip"]] - [0, 0.55 * leg, 0]
            joints[:, JOINT[f"{side}_ankle"]] = joints[:, JOINT[f"{side}_knee"]] - [0, 0, 0.45 * leg]
        assert leg_units(joints) == pytest.approx(units, rel=1e-3)


def test_up_axis():
    standing = put_on_floor(wave()).joints
    assert up_axis(standing) == "y"
    z_up = standing[..., [0, 2, 1]] * np.array([1, -1, 1])
    assert up_axis(z_up) == up_axis(100 * z_up) == "z"
    lying = z_up + np.array([0, 0.3, 4.0])
    assert up_axis(lying) == "y", "someone on the floor, four metres from the origin"
    half_lying = np.concatenate((standing, lying))
    assert up_axis(half_lying) == "y"


def test_wrong_arguments_and_files_are_explained(tmp_path):
    path = FIXTURES / "bandai_wave.bvh"
    for options, message in (
        ({"unit": "yard"}, "unit must be one of"), ({"up": "x"}, "'y' or 'z'"), ({"fps": 0}, "fps must be"),
        ({"rig": "maya"}, "Unknown rig"), ({"skeleton": "smpl"}, "Unknown skeleton"), ({"source_fps": -3}, "fps must be"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            read_motion(path, **options)
    with pytest.raises(FileNotFoundError, match="No motion file"):
        read_motion(tmp_path / "none.bvh")
    with pytest.raises(ValueError, match=r"Cannot read a motion from '.dae'.*Use one of: .bvh, .amc, .*, .npz, .npy"):
        read_motion(tmp_path / "a.dae")
    shutil.copy(CMU / "02_01.amc", tmp_path / "02_01.amc")
    with pytest.raises(FileNotFoundError, match=re.escape("`asf=`")):
        read_motion(tmp_path / "02_01.amc")
    assert len(read_motion(tmp_path / "02_01.amc", asf=CMU / "02.asf")) == 72
    assert read_motion(tmp_path / "02_01.amc", asf=CMU / "02.asf", source_fps=60).fps == 60


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((0, 22, 3)), r"shape \(0, 22, 3\)"), (np.zeros((5, 263)), "HumanML3DRepresentation"),
        (np.zeros((5, 22, 2)), "expected joint"),
        (np.full((5, 22, 3), np.nan), "holds NaN"),
        (np.array(["a"] * 66).reshape(1, 66), "expected numbers"), (np.array(3.0), "expected joint"),
        (np.zeros((5, 22, 3), complex), "expected numbers"), (np.array([{}], dtype=object), "a.npy"),
    ],
)  # fmt: skip
def test_arrays_that_are_no_motion(tmp_path, array, message):
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(ValueError, match=message) as error:
        read_motion(tmp_path / "a.npy")
    assert "a.npy" in str(error.value)


def test_skeleton_none_keeps_the_joints(tmp_path):
    motion = read_motion(CMU / "02_01.amc", skeleton=None)
    assert len(motion.skeleton) == 38
    np.testing.assert_allclose(
        motion.joints[:, motion.skeleton.joint("ltibia")], read_motion(CMU / "02_01.amc").joints[:, JOINT["left_knee"]]
    )
    raw = read_motion(FIXTURES / "bandai_wave.bvh", skeleton=None)
    np.testing.assert_array_equal(raw.joints, Motion.load(FIXTURES / "bandai_wave.bvh").joints)
    assert read_motion(few().save(tmp_path / "a.bvh"), skeleton=None).skeleton is HUMANML3D_22


def test_uniform_skeleton_makes_bodies_alike():
    clips = [uniform_skeleton(read_motion(FIXTURES / file)).joints for file in REAL]
    parents = [max(parent, 0) for parent in HUMANML3D_22.parents]
    for joints in clips:
        lengths = np.linalg.norm(joints - joints[:, parents], axis=-1)
        np.testing.assert_allclose(lengths, np.broadcast_to(HUMANML3D_22.rest_lengths, lengths.shape), atol=1e-5)
    assert set(RIGS) > {rig for rig, *_ in REAL.values()}


@pytest.mark.parametrize("path", [FIXTURES / file for file in REAL], ids=lambda path: path.name)
def test_file_to_motion_to_file_to_motion_is_the_same(path: Path, tmp_path: Path) -> None:
    motion = read_motion(path, fps=20)
    written = motion.save(tmp_path / "again.bvh", constant_bones=False)
    np.testing.assert_allclose(read_motion(written).joints, motion.joints, atol=1e-3)
    np.testing.assert_allclose(Motion.load(motion.save(tmp_path / "again.npz")).joints, motion.joints, atol=0)


@pytest.mark.parametrize(
    ("key", "value"), [("joints", np.full((4, 22, 3), np.nan)), ("fps", np.float64(-3)), ("joints", np.zeros((0, 22, 3)))]
)
def test_a_damaged_file_of_ours_is_named(tmp_path, key, value):
    path = few().save(tmp_path / "a.npz")
    np.savez(path, **{**np.load(path), key: value})
    with pytest.raises(ValueError, match=f"^{re.escape(repr(str(path)))}: {key} "):
        read_motion(path)
