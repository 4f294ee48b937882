import json
import re
from pathlib import Path

import numpy as np
import pytest

from hf_motion.formats.bvh import parse_bvh
from hf_motion.formats.rigs import RIGS, Rig, get_rig, load_mapping, recognise_rig
from hf_motion.formats.units import units_per_metre
from hf_motion.skeletons import HUMANML3D_22

FIXTURES = Path(__file__).parent / "fixtures"
REAL = {
    "bandai_wave.bvh": "bandai-namco", "reactidle_003.bvh": "reactidle", "cmu/02_01_iclone.bvh": "reallusion",
    "cmu/12_01_cgspeed.bvh": "cmu-cgspeed", "cmu/131_01_cgspeed_max.bvh": "cmu-cgspeed-max",
}  # fmt: skip
SIDES = [("Left", "L"), ("Right", "R")]
SIDE_WORDS = [("left", "right"), ("Left", "Right"), ("L", "R"), ("l", "r")]


def both(pattern: str, parts: str) -> list[str]:
    return [pattern.format(side=side, L=letter, part=part) for part in parts.split() for side, letter in SIDES]


# Joint names as these programs write them, with the joints that the 22 do not use.
HUMAN = ["Hips", "Spine", "Spine1", "Spine2", "Neck", "Head"]
NAMES = {
    "lafan1": [*HUMAN, *both("{side}{part}", "UpLeg Leg Foot Toe Shoulder Arm ForeArm Hand")],
    "mixamo": [*HUMAN, "HeadTop_End", *both("{side}{part}", "UpLeg Leg Foot ToeBase Toe_End Shoulder Arm ForeArm Hand HandIndex1")],
    "rokoko": [
        "Root", "Hips", "Spine1", "Spine2", "Spine3", "Spine4", "Neck", "Head",
        *both("{side}{part}", "Thigh Shin Foot Toe ToeTip Shoulder Arm ForeArm Hand"),
    ],
    "reallusion": [
        "RL_BoneRoot", "CC_Base_Hip", "CC_Base_Pelvis", "CC_Base_Waist", "CC_Base_Spine01", "CC_Base_Spine02", "CC_Base_NeckTwist01",
        "CC_Base_NeckTwist02", "CC_Base_Head",
        *both("CC_Base_{L}_{part}", "Thigh Calf Foot ToeBase Clavicle Upperarm Forearm Hand ThighTwist01 ToeBaseShareBone"),
    ],
    "smpl": [
        "Pelvis", "Spine1", "Spine2", "Spine3", "Neck", "Head", *both("{L}_{part}", "Hip Knee Ankle Foot Collar Shoulder Elbow Wrist Hand"),
    ],
}  # fmt: skip


@pytest.mark.parametrize(("file", "rig"), REAL.items())
def test_real_files_are_recognised(file, rig):
    assert recognise_rig(parse_bvh(FIXTURES / file).with_end_sites().joint_names) is RIGS[rig]


@pytest.mark.parametrize("prefix", ["", "mixamorig:", "mixamorig1:", "mixamorig", "Character1_", "Armature|", "man:mixamorig:", "m_avg_"])
@pytest.mark.parametrize(("rig", "names"), NAMES.items())
def test_names_are_recognised_with_any_prefix(rig, names, prefix):
    prefixed = [f"{prefix}{name}" for name in names]
    for variant in (prefixed, prefixed[::-1], [name.upper() for name in prefixed], [name.replace("_", " ") for name in prefixed]):
        assert recognise_rig(variant).name == rig


@pytest.mark.parametrize("rig", RIGS)
def test_left_is_mapped_to_left(rig):
    """The names of the two sides differ in the word for the side, and in nothing else."""
    for joint, source in RIGS[rig].joints.items():
        if joint.startswith("left_"):
            other = RIGS[rig].joints[joint.replace("left_", "right_")]
            for left, right in zip(source.split("|"), other.split("|"), strict=True):
                swapped = [
                    left[:at] + new + left[at + len(old) :]
                    for old, new in SIDE_WORDS
                    for at in range(len(left))
                    if left.startswith(old, at)
                ]
                assert not left or right in swapped


def test_our_own_skeleton_maps_to_itself():
    weights, between = RIGS["smpl"].weights(HUMANML3D_22.joint_names)
    np.testing.assert_array_equal(weights, np.eye(22))
    assert between == ()


@pytest.mark.parametrize(("file", "between"), [
    ("bandai_wave.bvh", {"spine2"}),
    ("reactidle_003.bvh", {"spine1", "spine3", "left_collar", "right_collar"}),
    ("cmu/02_01_iclone.bvh", {"spine3"}),
    ("cmu/12_01_cgspeed.bvh", {"spine1", "spine2", "spine3", "left_collar", "right_collar"}),
])  # fmt: skip
def test_joints_that_a_rig_lacks_are_named_and_lie_between_others(file, between):
    bvh = parse_bvh(FIXTURES / file).with_end_sites()
    weights, named = RIGS[REAL[file]].weights(bvh.joint_names)
    assert set(named) == between
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    assert (weights >= 0).all()
    joints = dict(zip(HUMANML3D_22.joint_names, np.moveaxis(weights @ bvh.joint_positions(), 1, 0), strict=True))
    length = np.linalg.norm(joints["neck"] - joints["pelvis"], axis=-1)
    heights = [np.linalg.norm(joints[name] - joints["pelvis"], axis=-1) / length for name in ("spine1", "spine2", "spine3")]
    for lower, upper in zip(heights, [*heights[1:], np.ones_like(length)], strict=True):
        assert (lower < upper).all()
    assert (np.abs(np.stack(heights) - np.array([[0.24], [0.5], [0.6]])) < 0.18).all(), "SMPL's proportions"


def test_unknown_joints_are_explained():
    names = ["mixamorig:" + name for name in NAMES["mixamo"] if name not in ("LeftForeArm", "Spine1")] + ["mixamorig:LeftLowerArm"]
    with pytest.raises(ValueError, match="no known rig") as error:
        recognise_rig(names)
    message = str(error.value)
    assert "The closest is 'mixamo'" in message
    assert "spine2 (Spine1; closest: " in message
    assert re.search(r"left_elbow \(LeftForeArm; closest: [^)]*mixamorig:LeftLowerArm", message)
    assert "`mapping=`" in message
    with pytest.raises(ValueError, match=r"pelvis \(none\), .*The file has: a, b"):
        recognise_rig(["a", "b"])
    with pytest.raises(ValueError, match=r"Unknown rig 'maximo'. Known rigs: smpl, "):
        get_rig("maximo")


def test_joints_that_no_rig_knows_are_explained_with_the_closest_names():
    sides = [f"{side}_{part}_jnt" for part in ("thigh", "calf", "heel", "ball", "clav", "uparm", "loarm", "hand") for side in "LR"]
    with pytest.raises(ValueError, match="no known rig") as error:
        recognise_rig(["hip_ctrl", "spine_low", "spine_mid", "spine_top", "neck_j", "head_j", *sides])
    for part in ("pelvis (hip_ctrl)", "left_hip (L_thigh_jnt", "right_hip (R_thigh_jnt", "right_wrist (R_hand_jnt", "neck (neck_j)"):
        assert part in str(error.value)
    suggested = dict(re.findall(r"(left_\w+|right_\w+) \(([^)]*)\)", str(error.value)))
    assert len(suggested) == 16
    for joint, names in suggested.items():
        assert f"{'R' if joint.startswith('left') else 'L'}_" not in names, "the other side is never suggested"


def test_rigs_with_the_same_names_are_told_apart_by_what_stands_in_one_place():
    names = parse_bvh(FIXTURES / "cmu/12_01_cgspeed.bvh").joint_names
    assert recognise_rig(names) is RIGS["cmu-cgspeed"]
    assert recognise_rig(names, in_place=["LHipJoint", "scene:LowerBack"]) is RIGS["cmu-cgspeed"]
    assert recognise_rig(names, in_place=["LHipJoint"]) is RIGS["cmu"]


def mapping() -> dict:
    joints = {joint: f"bone_{joint}" for joint in HUMANML3D_22.joint_names if joint not in ("spine2", "left_collar")}
    return {"name": "mine", "unit": "cm", "up": "z", "joints": joints | {"spine1": {"bone_pelvis": 0.75, "bone_neck": 0.25}}}


def test_a_mapping_file(tmp_path):
    import yaml

    (tmp_path / "mine.json").write_text(json.dumps(mapping()))
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(mapping()))
    names = ["prop", *(f"scene:bone_{joint}" for joint in HUMANML3D_22.joint_names)]
    for source in (tmp_path / "mine.json", str(tmp_path / "mine.yaml"), mapping()):
        rig = load_mapping(source)
        assert (rig.name, rig.unit, rig.up) == ("mine", "cm", "z")
        weights, between = rig.weights(names)
        assert between == ("spine1", "spine2", "left_collar")
        assert weights[3, names.index("scene:bone_neck")] == 0.25
        # Between spine1 and spine3, at SMPL's heights of 0.24, 0.5 and 0.6.
        np.testing.assert_allclose(weights[6], weights[3] * (1 - 26 / 36) + weights[9] * 26 / 36)
    with pytest.raises(ValueError, match=r"left_knee \(bone_left_knee; closest: [^)]*bone_left_kneee"):
        rig.weights([name.replace("left_knee", "left_kneee") for name in names])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"joints": []}, "must have a key 'joints'"), ({"up": "x"}, "'y' or 'z', got 'x'"), ({"unit": "furlong"}, "got 'furlong'"),
        ({"unit": -1}, "got -1"), ({"scale": 2}, "has the key 'scale'"),
        ({"joints": {"left_hip": "a"}}, "does not say which of its joints are pelvis, right_hip"),
        ({"joints": {"Left_hip": "a"}}, r"'Left_hip' \(did you mean left_hip\?\)"),
        ({"joints": mapping()["joints"] | {"neck": 3}}, "maps neck to 3; expected the name"),
        ({"joints": mapping()["joints"] | {"neck": {"a": 0.7}}}, "weights that add up to one"),
        ({"joints": mapping()["joints"] | {"neck": {"a": float("nan")}}}, "weights that add up to one"),
        ({"joints": mapping()["joints"] | {"neck": ""}}, "maps neck to ''"),
    ],
)  # fmt: skip
def test_a_wrong_mapping_is_explained(tmp_path, change, message):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(mapping() | change))
    with pytest.raises(ValueError, match=message) as error:
        load_mapping(path)
    assert str(path) in str(error.value)


def test_files_that_are_no_mapping(tmp_path):
    for name, content, message in (
        ("a.json", b"{", "is not JSON"), ("a.yaml", b"a: [", "is not YAML"), ("a.json", b"[]", "must hold an object"),
        ("a.json", b"\xff\xfe", "is not JSON"), ("a.json", b"[" * 100_000, "is not JSON"),
        ("a.yaml", b"!!python/object:os.system a", "is not"),
    ):  # fmt: skip
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=message):
            load_mapping(tmp_path / name)
    with pytest.raises(ValueError, match=r"is .json, .yaml or .yml"):
        load_mapping(tmp_path / "a.txt")
    with pytest.raises(FileNotFoundError, match="No mapping file"):
        load_mapping(tmp_path / "none.json")


def test_units():
    assert units_per_metre("inch") == pytest.approx(39.3701, abs=1e-4)
    assert units_per_metre(3) == units_per_metre("3") == 3.0
    assert units_per_metre("ft") == pytest.approx(3.28084, abs=1e-5)
    for unit in ("yard", 0, -1, float("inf"), float("nan"), True, None, "CM"):
        with pytest.raises(ValueError, match="unit must be one of m, dm, cm, mm, ft, inch, in, cmu"):
            units_per_metre(unit)
    assert isinstance(Rig("copy", RIGS["mixamo"].joints), Rig)
