"""A small BVH file of every rig in common use, made of a real pose: its 22 joints come back where they were.

The names are those that the programs write, typed here a second time on purpose; the pose is a frame of a real file.
"""

import itertools
from pathlib import Path

import numpy as np
import pytest
from test_read_motion import JOINT, few

from hf_motion.formats.read import inspect_motion, read_motion
from hf_motion.formats.rigs import RIGS, recognise_rig
from hf_motion.skeletons import HUMANML3D_22

CENTRE = ("pelvis", "spine1", "spine2", "spine3", "neck", "head")
PARTS = ("hip", "knee", "ankle", "foot", "collar", "shoulder", "elbow", "wrist")
LEFT_RIGHT = (("Left", "Right"), ("left", "right"), ("L", "R"), ("l", "r"))
# For each rig: how it is called here, joints on the spine, and a pattern with the limbs: {0} Left, {1} left, {2} L, {3} l.
FILES = {
    "LAFAN1": ("lafan1", "Hips Spine Spine1 Spine2 Neck Head", "{0}%", "UpLeg Leg Foot Toe Shoulder Arm ForeArm Hand"),
    "Mixamo": (
        "mixamo", "mixamorig:Hips mixamorig:Spine mixamorig:Spine1 mixamorig:Spine2 mixamorig:Neck mixamorig:Head",
        "mixamorig:{0}%", "UpLeg Leg Foot ToeBase Shoulder Arm ForeArm Hand",
    ),
    "BEAT": (
        "mixamo", "hips_JNT spine_JNT spine1_JNT spine2_JNT neck_JNT head_JNT", "{1}%_JNT",
        "UpLeg Leg Foot ToeBase Shoulder Arm ForeArm Hand",
    ),
    "VRM 0": (
        "vrm", "J_Bip_C_Hips J_Bip_C_Spine J_Bip_C_Chest J_Bip_C_UpperChest J_Bip_C_Neck J_Bip_C_Head", "J_Bip_{2}_%",
        "UpperLeg LowerLeg Foot ToeBase Shoulder UpperArm LowerArm Hand",
    ),
    "VRM 1": (
        "unity", "hips spine chest upperChest neck head", "{1}%", "UpperLeg LowerLeg Foot Toes Shoulder UpperArm LowerArm Hand",
    ),
    "Unity": (
        "unity", "Hips Spine Chest UpperChest Neck Head", "{0}%", "UpperLeg LowerLeg Foot Toes Shoulder UpperArm LowerArm Hand",
    ),
    "Biped": (
        "biped", "Bip01_Pelvis Bip01_Spine Bip01_Spine1 Bip01_Spine2 Bip01_Neck Bip01_Head", "Bip01 {2} %",
        "Thigh Calf Foot Toe0 Clavicle UpperArm Forearm Hand",
    ),
    "Biped of another name": (
        "biped", "Bob_Pelvis Bob_Spine Bob_Spine1 Bob_Spine2 Bob_Neck Bob_Head", "Bob {2} %",
        "Thigh Calf Foot Toe0 Clavicle UpperArm Forearm Hand",
    ),
    "Xsens": ("xsens", "Hips Chest Chest2 Chest4 Neck Head", "{0}%", "Hip Knee Ankle Toe Collar Shoulder Elbow Wrist"),
    "100STYLE": ("xsens", "Hips Chest Chest2 Chest3 Neck Head", "{0}%", "Hip Knee Ankle Toe Collar Shoulder Elbow Wrist"),
    "Daz Genesis 8": (
        "daz", "hip abdomenLower abdomenUpper chestLower neckLower head", "{3}%",
        "ThighBend Shin Foot Toe Collar ShldrBend ForearmBend Hand",
    ),
    "Daz Genesis": ("daz", "hip abdomen abdomen2 chest neck head", "{3}%", "Thigh Shin Foot Toe Collar Shldr ForeArm Hand"),
    "OptiTrack": ("optitrack", "Skeleton_001 Ab Chest Chest2 Neck Head", "{2}%", "Thigh Shin Foot Toe Shoulder UArm FArm Hand"),
    "Unreal": (
        "unreal", "pelvis spine_01 spine_02 spine_03 neck_01 head", "%_{3}", "thigh calf foot ball clavicle upperarm lowerarm hand",
    ),
    "Axis Neuron": ("axis-neuron", "Hips Spine Spine1 Spine2 Neck Head", "{0}%", "UpLeg Leg Foot Foot_end Shoulder Arm ForeArm Hand"),
}  # fmt: skip
# Joints that the rigs have besides, and where: child to parent.
EXTRA = {
    "Mixamo": {"mixamorig:LeftHandIndex1": "mixamorig:LeftHand", "mixamorig:HeadTop_End": "mixamorig:Head"},
    "Biped": {"Bip01 L Finger0": "Bip01 L Hand", "Bip01 Footsteps": "Bip01 Pelvis", "Bip01 HeadNub": "Bip01 Head"},
    "Daz Genesis 8": {
        "pelvis": "hip",
        "lThighTwist": "lThighBend",
        "lThumb1": "lHand",
        "chestUpper": "chestLower",
        "rMetatarsals": "rFoot",
    },
    "Axis Neuron": {"LeftInHandIndex": "LeftHand"},
    "100STYLE": {"Chest4": "Chest3"},
    "VRM 0": {"J_Sec_Hair1": "J_Bip_C_Head", "J_Bip_L_Index1": "J_Bip_L_Hand"},
}


def names_of(centre: str, pattern: str, parts: str) -> dict[str, str]:
    """The file's name of each of our joints."""
    names = dict(
        zip(
            CENTRE,
            (name.replace("_001", " 001").replace("Bip01_", "Bip01 ").replace("Bob_", "Bob ") for name in centre.split()),
            strict=True,
        )
    )
    for side, (ours, part) in itertools.product((0, 1), zip(PARTS, parts.split(), strict=True)):
        names[f"{('left', 'right')[side]}_{ours}"] = pattern.format(*(pair[side] for pair in LEFT_RIGHT)).replace("%", part)
    return names


def write(path: Path, names: dict[str, str], extra: dict[str, str], scale: float = 100.0) -> Path:
    """The pose as a rest pose that does not turn: OFFSETs alone place the joints."""
    pose = few().joints[-1].astype(float) * scale
    root = names["pelvis"].partition(" ")[0] if names["pelvis"].startswith("Bob") else ""
    children: dict[str, list[str]] = {root: [names["pelvis"]]} if root else {}
    for joint, parent in zip(HUMANML3D_22.joint_names[1:], HUMANML3D_22.parents[1:], strict=True):
        children.setdefault(names[HUMANML3D_22.joint_names[parent]], []).append(names[joint])
    for child, parent in extra.items():
        children.setdefault(parent, []).append(child)
    place = {name: pose[JOINT[joint]] for joint, name in names.items()}
    lines, count = ["HIERARCHY"], 0

    def joint(name: str, above: np.ndarray) -> None:
        nonlocal count
        here = place.get(name, above + scale * np.array([0.02, 0.03, 0.0]))
        offset = "OFFSET {:.6f} {:.6f} {:.6f}".format(*(here - above))
        if name.endswith("Foot_end"):
            lines.extend(("End Site", "{", offset, "}"))
            return
        count += 1
        lines.extend((f"{'JOINT' if count > 1 else 'ROOT'} {name}", "{", offset, "CHANNELS 3 Zrotation Xrotation Yrotation"))
        for child in children.get(name, []):
            joint(child, here)
        lines.append("}")

    joint(root or names["pelvis"], np.zeros(3))
    rows = [" ".join(["0"] * 3 * count)] * 2
    path.write_text("\n".join([*lines, "MOTION", "Frames: 2", "Frame Time: 0.0333333", *rows, ""]))
    return path


@pytest.mark.parametrize("file", FILES)
def test_a_rig_in_common_use_is_recognised(tmp_path, file):
    rig, *parts = FILES[file]
    names, extra = names_of(*parts), EXTRA.get(file, {})
    source = inspect_motion(write(tmp_path / "a.bvh", names, extra))
    assert (source.rig, source.units_per_metre, source.up, source.interpolated, source.notes) == (rig, 100, "y", (), ())
    assert np.abs(source.motion.joints - few().joints[-1]).max() < 1e-5
    fingers = [name for name in extra if any(part in name for part in ("Index", "Finger", "Thumb"))]
    assert any("finger joints" in item for item in source.left_out) == bool(fingers)
    others = [item for item in source.left_out if item.startswith("other joints")]
    assert all(name in others[0] for name in extra if name not in fingers)
    kept = inspect_motion(tmp_path / "a.bvh", skeleton=None)
    assert (kept.recognised, kept.rig, kept.units_per_metre, kept.left_out) == (rig, None, 100, ())
    assert len(kept.motion.skeleton) == 22 + len(extra) - 2 * (rig == "axis-neuron") + (file == "Biped of another name")


@pytest.mark.parametrize(
    ("file", "spine3"), [("VRM 0", "J_Bip_C_UpperChest"), ("VRM 1", "upperChest"), ("OptiTrack", "Chest2"), ("LAFAN1", "Spine2")]
)
def test_a_chest_that_a_rig_may_lack_is_placed_between(tmp_path, file, spine3):
    rig, *parts = FILES[file]
    path = write(tmp_path / "a.bvh", names_of(*parts), {})
    path.write_text(path.read_text().replace(f"JOINT {spine3}\n", "JOINT Middle\n"))
    source = inspect_motion(path)
    assert (source.rig, source.interpolated, source.left_out) == (rig, ("spine3",), ("other joints: Middle",))
    off = np.linalg.norm(source.motion.joints - few().joints[-1], axis=-1)[0]
    assert off[JOINT["spine3"]] < 0.12
    assert np.delete(off, JOINT["spine3"]).max() < 1e-5


def test_the_whole_set_decides_what_a_name_means():
    """LeftShoulder is a collar for Mixamo and a shoulder for Xsens."""
    mixamo, xsens = ([*names_of(*FILES[file][1:]).values()] for file in ("Mixamo", "Xsens"))
    assert "LeftShoulder" in xsens
    for names, joint in ((mixamo, "left_collar"), (xsens, "left_shoulder")):
        bare = [name.removeprefix("mixamorig:") for name in names]
        weights, _ = recognise_rig(bare).weights(bare)
        assert bare[int(weights[JOINT[joint]].argmax())] == "LeftShoulder"


def test_every_known_rig_has_a_file_here_or_elsewhere():
    elsewhere = {"smpl", "bandai-namco", "cmu-asf", "cmu-cgspeed", "cmu", "cmu-cgspeed-max", "reallusion", "reactidle", "rokoko"}
    assert elsewhere | {rig for rig, *_ in FILES.values()} == set(RIGS)


def test_hints_for_unknown_names_keep_to_the_side_and_know_toes(tmp_path):
    """Daz's names with one joint called otherwise: rShin is not proposed for the left knee, nor a foot for the toes."""
    names = names_of(*FILES["Daz Genesis 8"][1:]) | {"left_knee": "lCalfBend", "left_foot": "lBall"}
    path = write(tmp_path / "a.bvh", names, {})
    with pytest.raises(ValueError, match="no known rig") as error:
        read_motion(path)
    knee = str(error.value).partition("left_knee (lShin")[2].partition(")")[0]
    assert "rShin" not in knee
    others = (
        dict.fromkeys(names, "") | {joint: f"{name}Xq" for joint, name in names.items()} | {"left_foot": "lToe7", "right_foot": "rToe7"}
    )
    with pytest.raises(ValueError, match="no known rig") as error:
        recognise_rig([*others.values()])
    message = str(error.value)
    for joint, name in (("left_foot", "lToe7"), ("right_foot", "rToe7")):
        assert f"{joint} ({name})" in message
    for side, other in (("left", "r"), ("right", "l")):
        for part in PARTS:
            hint = message.partition(f"{side}_{part} (")[2].partition(")")[0]
            assert not any(name.startswith(other) for name in hint.split(", "))
            assert ("Toe" in hint) == (part == "foot")
