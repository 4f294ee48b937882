import re
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation, Slerp

from hf_motion import Motion, Skeleton
from hf_motion.formats import write_bvh
from hf_motion.formats.bvh import euler_angles, parse_bvh, read_bvh
from hf_motion.kinematics import constant_bone_lengths
from hf_motion.skeletons import HUMANML3D_22, KIT_21

WAVE = Path(__file__).parent / "fixtures" / "bandai_wave.bvh"
# Joint of our skeleton for each joint of the fixture that has one.
WAVE_JOINTS = {
    "pelvis": "Hips", "spine1": "Spine", "spine3": "Chest", "neck": "Neck", "head": "Head", "left_collar": "Shoulder_L",
    "left_shoulder": "UpperArm_L", "left_elbow": "LowerArm_L", "left_wrist": "Hand_L", "right_collar": "Shoulder_R",
    "right_shoulder": "UpperArm_R", "right_elbow": "LowerArm_R", "right_wrist": "Hand_R", "left_hip": "UpperLeg_L",
    "left_knee": "LowerLeg_L", "left_ankle": "Foot_L", "left_foot": "Toes_L", "right_hip": "UpperLeg_R",
    "right_knee": "LowerLeg_R", "right_ankle": "Foot_R", "right_foot": "Toes_R",
}  # fmt: skip

STICK = """HIERARCHY
ROOT hips
{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT chest
  {
    OFFSET 0 80 0
    CHANNELS 3 Yrotation Zrotation Yrotation
    JOINT head
    {
      OFFSET 0 30 10
      CHANNELS 4 Yposition Xrotation Yrotation Zrotation
      End Site
      {
        OFFSET 0 20 0
      }
    }
  }
}
MOTION
Frames: 2
Frame Time: 0.0333333
0 90 0 10 20 30 40 50 60 25 5 6 7
1 91 2 -10 170 30 40 -50 60 35 5 6 7
"""


def wave() -> Motion:
    """The fixture on our skeleton."""
    motion = read_bvh(WAVE)
    joints = np.stack(
        [motion.joints[:, motion.skeleton.joint(WAVE_JOINTS.get(name, "Spine"))] for name in HUMANML3D_22.joint_names], axis=1
    )
    joints[:, 6] = (joints[:, 3] + joints[:, 9]) / 2
    return Motion(joints, fps=20, text="a person waves")


def kit(motion: Motion) -> Motion:
    joints = {name: motion.joints[:, joint] for joint, name in enumerate(HUMANML3D_22.joint_names)}
    joints |= {"root": joints["pelvis"], "thorax": joints["spine2"], "lower_neck": joints["spine3"], "upper_neck": joints["neck"]}
    joints |= {"pelvis": joints["spine1"]}
    for side in ("left", "right"):
        joints[f"{side}_heel"] = (joints[f"{side}_ankle"] + joints[f"{side}_foot"]) / 2
    return Motion(np.stack([joints[name] for name in KIT_21.joint_names], axis=1), fps=12.5, skeleton=KIT_21)


def constant(motion: Motion) -> np.ndarray:
    return constant_bone_lengths(torch.from_numpy(motion.joints), motion.skeleton).numpy()


def written(text: str, folder: Path) -> Path:
    path = folder / "file.bvh"
    path.write_text(text)
    return path


def farthest(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.linalg.norm(one - other, axis=-1).max())


def reference_positions(path: Path) -> dict[str, np.ndarray]:
    """Another reading of a BVH file, joint by joint: recursive, scipy's rotations."""
    head, body = path.read_text().split("MOTION")
    values = iter(np.array([line.split() for line in body.strip().splitlines()[2:]], float).T)
    tokens = iter(head.split()[1:])
    positions = {}

    def joint(place: np.ndarray, turned: Rotation) -> None:
        name, offset, local = next(tokens), None, Rotation.identity()
        assert next(tokens) == "{"
        for token in tokens:
            if token == "OFFSET":
                offset = np.array([float(next(tokens)) for _ in range(3)]) + np.zeros_like(place)
            elif token == "CHANNELS":
                for _ in range(int(next(tokens))):
                    axis, kind = (channel := next(tokens))[0], channel[1:]
                    if kind == "position":
                        offset[:, "XYZ".index(axis)] = next(values)
                    else:
                        local = local * Rotation.from_euler(axis.lower(), next(values)[:, None], degrees=True)
                positions[name] = place = place + turned.apply(offset)
                turned = turned * local
            elif token == "JOINT":
                joint(place, turned)
            elif token == "End":
                for _ in range(7):
                    next(tokens)
            else:
                return

    assert next(tokens) == "ROOT"
    frames = len(body.strip().splitlines()) - 2
    joint(np.zeros((frames, 3)), Rotation.identity())
    return positions


@pytest.mark.parametrize("source", ["wave", "stick"])
def test_positions_match_an_independent_reading(source, tmp_path):
    path = WAVE if source == "wave" else written(STICK, tmp_path)
    file = parse_bvh(path)
    expected = reference_positions(path)
    assert file.joint_names == tuple(expected)
    np.testing.assert_allclose(file.joint_positions(), np.stack(list(expected.values()), axis=1), atol=1e-8)


def test_a_real_file_comes_in_metres_upright():
    motion = read_bvh(WAVE)
    assert repr(motion) == "Motion(40 frames at 30 fps, 1.33 s, joint_root-22, with rotations)"
    joints = {name: motion.joints[:, joint] for joint, name in enumerate(motion.skeleton.joint_names)}
    assert 1.2 < (joints["Head"] - joints["Foot_L"])[:, 1].mean() < 1.7
    assert "End Site" not in joints
    assert read_bvh(WAVE).skeleton == motion.skeleton
    np.testing.assert_allclose(read_bvh(WAVE, scale=50).joints, 2 * motion.joints, rtol=1e-6)


@pytest.mark.parametrize("up_axis", ["y", "z"])
@pytest.mark.parametrize("scale", [100.0, 1.0, 1000.0])
def test_round_trip_is_within_a_millimetre(tmp_path, scale, up_axis):
    motion = wave()
    path = write_bvh(motion, tmp_path / "deep" / "a.bvh", scale=scale, up_axis=up_axis)
    first = read_bvh(path, up_axis=up_axis)
    assert first.skeleton is HUMANML3D_22
    assert (first.fps, len(first)) == (20.0, 40)
    assert farthest(first.joints, constant(motion)) < 0.01
    second = read_bvh(write_bvh(first, tmp_path / "b.bvh", scale=scale, up_axis=up_axis), up_axis=up_axis)
    assert farthest(second.joints, first.joints) < 1e-3


def test_saving_and_loading_a_motion(tmp_path):
    motion = wave()
    assert farthest(Motion.load(motion.save(tmp_path / "wave.bvh")).joints, constant(motion)) < 0.01


@pytest.mark.parametrize("order", ["XYZ", "XZY", "YXZ", "YZX", "ZXY", "ZYX", "yzx"])
def test_every_channel_order_reads_back(tmp_path, order):
    motion = wave()
    path = write_bvh(motion, tmp_path / "a.bvh", euler_order=order)
    assert " ".join(f"{letter}rotation" for letter in order.upper()) in path.read_text()
    assert farthest(read_bvh(path).joints, constant(motion)) < 0.01


def test_other_skeletons_round_trip(tmp_path):
    raw = read_bvh(WAVE)
    again = read_bvh(write_bvh(raw, tmp_path / "raw.bvh"))
    assert again.skeleton == raw.skeleton
    assert farthest(again.joints, raw.joints) < 0.01, "a root that carries the character keeps doing so"
    motion = kit(wave())
    again = read_bvh(write_bvh(motion, tmp_path / "kit.bvh"))
    assert (again.skeleton, again.fps) == (KIT_21, 12.5)
    assert farthest(again.joints, constant(motion)) < 0.01


def test_joints_of_our_skeleton_are_found_in_any_order(tmp_path):
    skeleton = HUMANML3D_22
    order = [0, 3, 2, 1, 6, 5, 4, 9, 8, 7, 14, 13, 12, 11, 10, 15, 17, 16, 19, 18, 21, 20]
    parents = tuple(-1 if not joint else order.index(skeleton.parents[joint]) for joint in order)
    shuffled = Skeleton("shuffled", tuple(skeleton.joint_names[joint] for joint in order), parents)
    motion = wave()
    again = read_bvh(write_bvh(Motion(motion.joints[:, order], skeleton=shuffled), tmp_path / "a.bvh"))
    assert again.skeleton is skeleton
    assert farthest(again.joints, constant(motion)) < 0.01


def test_the_file_reads_well_elsewhere(tmp_path):
    text = write_bvh(wave(), tmp_path / "a.bvh").read_text()
    head, body = text.split("MOTION\n")
    names = re.findall(r"(?:ROOT|JOINT) (\S+)", head)
    assert sorted(names) == sorted(HUMANML3D_22.joint_names)
    assert head.count("End Site") == 5
    assert head.count("{") == head.count("}") == 27
    lines = body.splitlines()
    assert lines[:2] == ["Frames: 40", "Frame Time: 0.0500000000"]
    channels = sum(map(int, re.findall(r"CHANNELS (\d)", head)))
    assert {len(line.split()) for line in lines[2:]} == {channels}
    assert "-0.000000 " not in text
    ends = re.findall(r"End Site\s*\{\s*OFFSET (\S+) (\S+) (\S+)", head)
    assert min(np.linalg.norm(np.array(ends, float), axis=1)) > 1, "Blender drops bones without length"


def test_the_rest_pose_in_the_file_is_a_t_pose(tmp_path):
    file = parse_bvh(write_bvh(wave(), tmp_path / "a.bvh"))
    place = {}
    for joint, (name, parent) in enumerate(zip(file.joint_names, file.parents, strict=True)):
        place[name] = file.offsets[joint] + (place[file.joint_names[parent]] if joint else 0)
    assert place["left_wrist"][0] > 50
    assert place["right_wrist"][0] < -50
    assert abs(place["left_wrist"][1] - place["left_collar"][1]) < 1
    assert place["head"][1] > place["neck"][1] > place["pelvis"][1] > place["left_knee"][1] > place["left_ankle"][1]
    assert place["left_foot"][2] > place["left_ankle"][2] + 5
    up = parse_bvh(write_bvh(wave(), tmp_path / "z.bvh", up_axis="z"))
    np.testing.assert_allclose(up.offsets, file.offsets[:, [0, 2, 1]] * [1, -1, 1], atol=2e-6)


def test_rotations_alone_when_asked(tmp_path):
    motion = wave()
    noise = np.random.default_rng(0).normal(0, 0.03, motion.joints.shape)
    noisy = Motion(motion.joints + noise, fps=20)
    for tolerance, bound in ((0.01, 0.0101), (0, 1e-4), (None, np.inf)):
        path = write_bvh(noisy, tmp_path / "a.bvh", tolerance=tolerance)
        assert (path.read_text().count("position") == 3) == (tolerance is None)
        assert farthest(read_bvh(path).joints, constant(noisy)) < bound


@pytest.mark.parametrize("order", ["XYZ", "XZY", "YXZ", "YZX", "ZXY", "ZYX"])
def test_angles_are_continuous_and_right(order):
    """Also where the middle angle passes 90 degrees, at which a plain conversion turns the other two by 180."""
    keys = Rotation.from_euler(order, [[0, 0, 0], [20, 140, 10], [60, -130, 300], [0, 0, 0]], degrees=True)
    rotation = Slerp([0, 1, 2, 3], keys)(np.linspace(0, 3, 400))
    angles = euler_angles(rotation.as_matrix(), order)
    assert (Rotation.from_euler(order, angles).inv() * rotation).magnitude().max() < 1e-7
    assert np.degrees(np.abs(np.diff(angles, axis=0))).max() < 30
    plain = np.unwrap(rotation.as_euler(order), axis=0)
    assert np.abs(np.diff(angles, axis=0)).sum() <= np.abs(np.diff(plain, axis=0)).sum() + 1e-6


@pytest.mark.parametrize("order", ["XYZ", "ZXY", "YXZ"])
def test_angles_in_gimbal_lock_still_make_the_rotation(order):
    lock = Rotation.from_euler(order, [[10, 90, 20], [40, 90, -70], [15, -90, 5]], degrees=True)
    made = Rotation.from_euler(order, euler_angles(lock.as_matrix(), order))
    assert (made.inv() * lock).magnitude().max() < 1e-7


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": 0}, "positive number of file units"), ({"scale": float("nan")}, "positive number"), ({"scale": "cm"}, "'cm'"),
        ({"euler_order": "XXY"}, "one of XYZ, XZY"), ({"up_axis": "x"}, "'y' or 'z', got 'x'"), ({"tolerance": -1}, "0 or more"),
        ({"tolerance": "no"}, "0 or more"),
    ],
)  # fmt: skip
def test_wrong_options_are_named(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        write_bvh(wave(), tmp_path / "a.bvh", **options)
    assert not list(tmp_path.iterdir())


def test_wrong_reading_options_are_named():
    with pytest.raises(ValueError, match="positive number of file units"):
        read_bvh(WAVE, scale=-1)
    with pytest.raises(ValueError, match="'y' or 'z'"):
        read_bvh(WAVE, up_axis="up")


def test_a_name_that_cannot_be_written_is_named(tmp_path):
    motion = Motion(np.zeros((2, 2, 3)), skeleton=Skeleton("odd", ("root", "a{b"), (-1, 0)))
    with pytest.raises(ValueError, match=r"'a\{b'"):
        write_bvh(motion, tmp_path / "a.bvh")


@pytest.mark.parametrize(
    ("frame_time", "fps"),
    [("0.0333333", 30), (".0083333", 120), ("0.016667", 60), ("0.033", 30), ("0.08", 12.5), ("0.0333667", 29.97), ("0.05", 20)],
)
def test_frame_rates(tmp_path, frame_time, fps):
    assert read_bvh(written(STICK.replace("0.0333333", frame_time), tmp_path)).fps == pytest.approx(fps, abs=1e-3)


@pytest.mark.parametrize("ending", ["\r\n", "\r"])
def test_layout_does_not_matter(tmp_path, ending):
    plain = read_bvh(written(STICK, tmp_path)).joints
    path = tmp_path / "other.bvh"
    other = (
        STICK.replace("\n  {\n", " {\n").replace("ROOT hips", "root\thips").replace("End Site", "End site").replace("Frames: ", "FRAMES:\t")
    )
    path.write_bytes(b"\xef\xbb\xbf" + other.replace("\n", ending).encode())
    np.testing.assert_array_equal(read_bvh(path).joints, plain)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (STICK, "", "line 1: expected the word HIERARCHY, found 'the end of the file'"),
        ("HIERARCHY", "ARCHIVE", "line 1: expected the word HIERARCHY, found 'ARCHIVE'"),
        ("OFFSET 0 80 0", "OFFSET 0 80", "line 8: expected three finite numbers after OFFSET, found '0 80'"),
        ("OFFSET 0 80 0", "OFFSET 0 nan 0", "line 8: expected three finite numbers"),
        ("CHANNELS 3", "CHANNELS 4", "line 9: expected CHANNELS, a count"),
        ("Xrotation Yrotation\n", "Xrotation Wrotation\n", "line 5: expected CHANNELS, a count"),
        ("JOINT head", "JOINT chest", "line 10: expected a joint name that occurs once"),
        ("JOINT head", "JOINT", "line 10: expected a joint name"),
        ("JOINT head", "ROOT head", "line 10: expected one ROOT"),
        ("    OFFSET 0 30 10\n", "", "expected an OFFSET before the closing brace"),
        ("}\nMOTION", "MOTION", "expected OFFSET, CHANNELS, JOINT, End Site or a closing brace, found 'MOTION'"),
        ("MOTION\n", "", "expected MOTION, found 'Frames: 2'"),
        ("Frames: 2", "Frames: two", "line 22: expected 'Frames: ' and a number of frames"),
        ("Frames: 2", "Frames: 4", "line 25: expected 4 frames, as the line 'Frames:' says, found 2"),
        ("Frames: 2", "Frames: 0", "at least one frame"),
        ("0.0333333", "0", "line 23: expected a positive frame time"),
        ("0.0333333", "inf", "line 23: expected a positive frame time"),
        ("1 91 2", "1 91", "line 25: expected 13 numbers, one per channel, found 12"),
        ("1 91 2", "1 x 2", "line 25: expected finite numbers, found 'x'"),
        ("1 91 2", "1 NaN 2", "line 25: expected finite numbers, found 'NaN'"),
        ("1 91 2", "1 1e300 2", "places joints beyond all bounds"),
    ],
)
def test_a_broken_file_is_explained(tmp_path, old, new, message):
    path = written(STICK.replace(old, new, 1), tmp_path)
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        read_bvh(path)
    assert str(path) in str(error.value)


def test_other_encodings_and_depths_are_refused(tmp_path):
    path = tmp_path / "file.bvh"
    for data in (STICK.encode("utf-16"), STICK.replace("chest", "poitrin\xe9").encode("latin-1"), bytes(range(256))):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"UTF-8 text"):
            read_bvh(path)
    deep = "HIERARCHY\nROOT a\n{\nOFFSET 0 0 0\n" + "".join(f"JOINT a{joint}\n{{\nOFFSET 0 0 0\n" for joint in range(5000))
    with pytest.raises(ValueError, match="at most 1,024 joints"):
        read_bvh(written(deep, tmp_path))


def test_damaged_files_never_break_the_reader(tmp_path):
    data = WAVE.read_bytes()
    head = data.index(b"MOTION") + 60
    random = np.random.default_rng(0)
    path = tmp_path / "damaged.bvh"
    damaged = [data[: random.integers(limit)] for limit in (head, len(data)) for _ in range(60)]
    for limit, low, high in ((head, 32, 127), (len(data), 0, 256), (len(data), 48, 58)):
        for _ in range(60):
            flipped = bytearray(data)
            flipped[random.integers(limit)] = random.integers(low, high)
            damaged.append(bytes(flipped))
    outcomes = set()
    for content in damaged:
        path.write_bytes(content)
        try:
            outcomes.add(type(read_bvh(path)))
        except ValueError as error:
            assert str(path) in str(error)  # noqa: PT017
            outcomes.add(ValueError)
    assert outcomes == {Motion, ValueError}


def test_end_sites_become_joints_when_asked(tmp_path):
    two = STICK.replace("      End Site\n", "      End Site\n      {\n        OFFSET 1 2 3\n      }\n      End Site\n")
    file = parse_bvh(written(two, tmp_path))
    assert file.end_sites == ((2, (1.0, 2.0, 3.0)), (2, (0.0, 20.0, 0.0)))
    ends = file.with_end_sites()
    assert (ends.joint_names, ends.parents, ends.end_sites) == (("hips", "chest", "head", "head_end"), (-1, 0, 1, 2), ())
    positions = ends.joint_positions()
    np.testing.assert_array_equal(positions[:, :3], file.joint_positions())
    np.testing.assert_allclose(np.linalg.norm(positions[:, 3] - positions[:, 2], axis=-1), np.sqrt(14))
    taken = parse_bvh(written(STICK.replace("chest", "head_end"), tmp_path))
    assert taken.with_end_sites().joint_names == taken.joint_names


@pytest.mark.parametrize("fps", [15, 20, 45, 60])
def test_resampling_interpolates_rotations(tmp_path, fps):
    text = STICK.replace("Frames: 2", "Frames: 4") + "2 90 0 15 25 30 45 50 60 30 5 6 7\n3 91 2 -10 170 -30 40 -50 -60 35 5 6 7\n"
    file = parse_bvh(written(text, tmp_path))
    positions = file.joint_positions(fps)
    times = np.arange(len(positions)) * 30 / fps
    assert len(positions) == int(3 * fps / 30) + 1
    frames = file.frames
    places = np.stack([np.interp(times, range(4), frames[:, axis]) for axis in range(3)], axis=-1)
    np.testing.assert_allclose(positions[:, 0], places, atol=1e-4)
    turns = [
        Slerp(range(4), Rotation.from_euler(order, frames[:, at : at + 3], degrees=True))(times) for order, at in (("ZXY", 3), ("YZY", 6))
    ]
    chest = places + turns[0].apply([0, 80, 0])
    np.testing.assert_allclose(positions[:, 1], chest, atol=1e-4)
    heads = np.stack([np.zeros_like(times), np.interp(times, range(4), frames[:, 9]), np.full_like(times, 10)], axis=-1)
    np.testing.assert_allclose(positions[:, 2], chest + (turns[0] * turns[1]).apply(heads), atol=1e-4)
