"""Joint names of the known rigs: plain tables, of which `hf_motion.formats.rigs.recognise` makes `RIGS`.

Several names of a joint stand with `|` between; the first that a file has is taken. `^` is a file's first joint, `<joint>_end` an
End Site, and a name that ends with `|` may be missing, for spine joints and collars, which are then placed between others. The
order matters: the first rig that has all its joints in a file is the file's rig.
"""

from __future__ import annotations

from typing import Any

_SIDES = (("left", "Left", "L", "l"), ("right", "Right", "R", "r"))


def _both(**joints: str) -> dict[str, str]:
    """Joints of both sides from a pattern: `{Left}` is Left or Right, `{L}` L or R, `{l}` l or r, `{left}` left or right."""
    return {
        f"{left}_{part}": pattern.format(left=left, Left=long, L=letter, l=small)
        for part, pattern in joints.items()
        for left, long, letter, small in _SIDES
    }


_HIPS_LEGS_ARMS = {
    "hip": "{Left}UpLeg", "knee": "{Left}Leg", "ankle": "{Left}Foot", "shoulder": "{Left}Arm", "elbow": "{Left}ForeArm",
    "wrist": "{Left}Hand",
}  # fmt: skip
_HUMAN = {"pelvis": "Hips", "spine1": "Spine", "spine2": "Spine1", "spine3": "Spine2", "neck": "Neck", "head": "Head"}

_SPINE_ARMS = {"collar": "{Left}Shoulder", **_HIPS_LEGS_ARMS}
_HUMANOID = {
    "hip": "{Left}UpperLeg", "knee": "{Left}LowerLeg", "ankle": "{Left}Foot", "collar": "{Left}Shoulder|",
    "shoulder": "{Left}UpperArm", "elbow": "{Left}LowerArm", "wrist": "{Left}Hand",
}  # fmt: skip

# Arguments of `hf_motion.formats.rigs.Rig` by name.
RIG_NAMES: dict[str, dict[str, Any]] = {
    "smpl": {
        "joints": {"pelvis": "Pelvis", "spine1": "Spine1|Torso", "spine2": "Spine2|Spine", "spine3": "Spine3|Chest", "neck": "Neck"}
        | {"head": "Head"}
        | _both(
            hip="{left}_hip|{L}_Hip", knee="{left}_knee|{L}_Knee", ankle="{left}_ankle|{L}_Ankle",
            foot="{left}_foot|{L}_Foot|{L}_Toe", collar="{left}_collar|{L}_Collar|{L}_Thorax",
            shoulder="{left}_shoulder|{L}_Shoulder", elbow="{left}_elbow|{L}_Elbow", wrist="{left}_wrist|{L}_Wrist",
        ),
    },
    "bandai-namco": {
        "joints": {"pelvis": "Hips", "spine1": "Spine", "spine3": "Chest", "neck": "Neck", "head": "Head"}
        | _both(
            hip="UpperLeg_{L}", knee="LowerLeg_{L}", ankle="Foot_{L}", foot="Toes_{L}", collar="Shoulder_{L}",
            shoulder="UpperArm_{L}", elbow="LowerArm_{L}", wrist="Hand_{L}",
        ),
    },
    "cmu-asf": {
        "joints": {"pelvis": "root", "spine1": "upperback", "spine2": "thorax", "spine3": {"thorax": 0.67, "lowerneck": 0.33}}
        | {"neck": "upperneck", "head": "head"}
        | _both(
            hip="{l}femur", knee="{l}tibia", ankle="{l}foot", foot="{l}toes", shoulder="{l}humerus", elbow="{l}radius",
            wrist="{l}wrist",
        ),
    },
    "cmu-cgspeed": {
        "joints": {"pelvis": "Hips", "spine1": {"LowerBack": 0.37, "Spine": 0.63}, "spine2": {"Spine": 0.68, "Spine1": 0.32}}
        | {"spine3": {"Spine": 0.35, "Spine1": 0.65}, "neck": "Neck1", "head": "Head"}
        | _both(foot="{Left}ToeBase", **_HIPS_LEGS_ARMS),
        "needs": ("LHipJoint", "RHipJoint"), "in_place": ("LowerBack",), "starts_in_t_pose": True,
    },
    "cmu": {
        "joints": {"pelvis": "Hips", "spine1": "LowerBack", "spine2": "Spine", "spine3": "Spine1", "neck": "Neck", "head": "Head"}
        | _both(foot="{Left}ToeBase", **_SPINE_ARMS),
        "needs": ("LHipJoint", "RHipJoint"),
    },
    "cmu-cgspeed-max": {
        "joints": {"pelvis": "Hips", "spine1": {"lowerback": 0.37, "Chest": 0.63}, "spine2": {"Chest": 0.68, "Chest2": 0.32}}
        | {"spine3": {"Chest": 0.35, "Chest2": 0.65}, "neck": "Neck", "head": "Head"}
        | _both(
            hip="{Left}Hip", knee="{Left}Knee", ankle="{Left}Ankle", foot="{Left}Toe", shoulder="{Left}Shoulder",
            elbow="{Left}Elbow", wrist="{Left}Wrist",
        ),
        "needs": ("LHipJoint", "RHipJoint"), "starts_in_t_pose": True,
    },
    "reallusion": {
        "joints": {"pelvis": "CC_Base_Hip", "spine1": "CC_Base_Spine01", "spine2": "CC_Base_Spine02"}
        | {"spine3": {"CC_Base_Spine02": 0.78, "CC_Base_NeckTwist01": 0.22}}
        | {"neck": "CC_Base_NeckTwist01", "head": "CC_Base_Head"}
        | _both(
            hip="CC_Base_{L}_Thigh", knee="CC_Base_{L}_Calf", ankle="CC_Base_{L}_Foot", foot="CC_Base_{L}_ToeBase",
            collar="CC_Base_{L}_Clavicle", shoulder="CC_Base_{L}_Upperarm", elbow="CC_Base_{L}_Forearm",
            wrist="CC_Base_{L}_Hand",
        ),
        "needs": ("CC_Base_Waist",),
    },
    "reactidle": {
        "joints": {"pelvis": "pelvis", "spine2": "spine.001", "neck": "neck", "head": "face"}
        | _both(
            hip="thigh.{L}", knee="shin.{L}", ankle="foot.{L}", foot="foot.{L}_end", shoulder="upper_arm.{L}",
            elbow="forearm.{L}", wrist="forearm.{L}_end",
        ),
    },
    "mixamo": {"joints": _HUMAN | _both(foot="{Left}ToeBase", **_SPINE_ARMS)},
    "lafan1": {"joints": _HUMAN | {"spine3": "Spine2|"} | _both(foot="{Left}Toe|{Left}ToeBase", **_SPINE_ARMS)},
    "axis-neuron": {"joints": _HUMAN | _both(foot="{Left}Foot_end", **_SPINE_ARMS)},
    "rokoko": {
        "joints": {"pelvis": "Hips", "spine1": "Spine1|Spine", "spine2": "Spine2", "spine3": "Spine3", "neck": "Neck", "head": "Head"}
        | _both(
            hip="{Left}Thigh|{Left}UpLeg", knee="{Left}Shin|{Left}Leg", ankle="{Left}Foot", foot="{Left}Toe|{Left}ToeBase",
            collar="{Left}Shoulder", shoulder="{Left}Arm", elbow="{Left}ForeArm", wrist="{Left}Hand",
        ),
    },
    "unity": {
        "joints": {"pelvis": "Hips", "spine1": "Spine", "spine2": "Chest", "spine3": "UpperChest|", "neck": "Neck", "head": "Head"}
        | _both(foot="{Left}Toes|{Left}Toe|{Left}ToeBase|{Left}Foot_end", **_HUMANOID),
    },
    "vrm": {
        "joints": {"pelvis": "J_Bip_C_Hips", "spine1": "J_Bip_C_Spine", "spine2": "J_Bip_C_Chest", "spine3": "J_Bip_C_UpperChest|"}
        | {"neck": "J_Bip_C_Neck", "head": "J_Bip_C_Head"}
        | _both(
            hip="J_Bip_{L}_UpperLeg", knee="J_Bip_{L}_LowerLeg", ankle="J_Bip_{L}_Foot", foot="J_Bip_{L}_ToeBase|J_Bip_{L}_Foot_end",
            collar="J_Bip_{L}_Shoulder|", shoulder="J_Bip_{L}_UpperArm", elbow="J_Bip_{L}_LowerArm", wrist="J_Bip_{L}_Hand",
        ),
    },
    "unreal": {
        "joints": {"pelvis": "pelvis", "spine1": "spine_01", "spine2": "spine_02", "spine3": "spine_03", "neck": "neck_01"}
        | {"head": "head"}
        | _both(
            hip="thigh_{l}", knee="calf_{l}", ankle="foot_{l}", foot="ball_{l}", collar="clavicle_{l}",
            shoulder="upperarm_{l}", elbow="lowerarm_{l}", wrist="hand_{l}",
        ),
    },
    "biped": {
        "joints": {"pelvis": "Bip01 Pelvis", "spine1": "Bip01 Spine", "spine2": "Bip01 Spine1", "spine3": "Bip01 Spine2|"}
        | {"neck": "Bip01 Neck", "head": "Bip01 Head"}
        | _both(
            hip="Bip01 {L} Thigh", knee="Bip01 {L} Calf", ankle="Bip01 {L} Foot", foot="Bip01 {L} Toe0|Bip01 {L} Foot_end",
            collar="Bip01 {L} Clavicle", shoulder="Bip01 {L} UpperArm", elbow="Bip01 {L} Forearm", wrist="Bip01 {L} Hand",
        ),
    },
    "xsens": {
        "joints": {"pelvis": "Hips", "spine1": "Chest", "spine2": "Chest2", "spine3": "Chest3|Chest4", "neck": "Neck", "head": "Head"}
        | _both(
            hip="{Left}Hip", knee="{Left}Knee", ankle="{Left}Ankle", foot="{Left}Toe|{Left}Ankle_end", collar="{Left}Collar",
            shoulder="{Left}Shoulder", elbow="{Left}Elbow", wrist="{Left}Wrist",
        ),
    },
    "daz": {
        "joints": {"pelvis": "hip", "spine1": "abdomenLower|abdomen", "spine2": "abdomenUpper|abdomen2|", "spine3": "chestLower|chest"}
        | {"neck": "neckLower|neck", "head": "head"}
        | _both(
            hip="{l}ThighBend|{l}Thigh", knee="{l}Shin", ankle="{l}Foot", foot="{l}Toe|{l}Foot_end", collar="{l}Collar",
            shoulder="{l}ShldrBend|{l}Shldr", elbow="{l}ForearmBend|{l}ForeArm", wrist="{l}Hand",
        ),
    },
    "optitrack": {
        "joints": {"pelvis": "Hips|Hip|^", "spine1": "Ab", "spine2": "Chest", "spine3": "Chest2|", "neck": "Neck", "head": "Head"}
        | _both(
            hip="{L}Thigh", knee="{L}Shin", ankle="{L}Foot", foot="{L}Toe|{L}Foot_end", collar="{L}Shoulder", shoulder="{L}UArm",
            elbow="{L}FArm", wrist="{L}Hand",
        ),
    },
}  # fmt: skip

# What the 22 joints are called where a file is written for a rig, in our order.
_SMPL = (
    "Pelvis", "L_Hip", "R_Hip", "Spine1", "L_Knee", "R_Knee", "Spine2", "L_Ankle", "R_Ankle", "Spine3", "L_Foot", "R_Foot", "Neck",
    "L_Collar", "R_Collar", "Head", "L_Shoulder", "R_Shoulder", "L_Elbow", "R_Elbow", "L_Wrist", "R_Wrist",
)  # fmt: skip
_MIXAMO = (
    "Hips", "LeftUpLeg", "RightUpLeg", "Spine", "LeftLeg", "RightLeg", "Spine1", "LeftFoot", "RightFoot", "Spine2", "LeftToeBase",
    "RightToeBase", "Neck", "LeftShoulder", "RightShoulder", "Head", "LeftArm", "RightArm", "LeftForeArm", "RightForeArm", "LeftHand",
    "RightHand",
)  # fmt: skip
_UNITY = (
    "Hips", "LeftUpperLeg", "RightUpperLeg", "Spine", "LeftLowerLeg", "RightLowerLeg", "Chest", "LeftFoot", "RightFoot", "UpperChest",
    "LeftToes", "RightToes", "Neck", "LeftShoulder", "RightShoulder", "Head", "LeftUpperArm", "RightUpperArm", "LeftLowerArm",
    "RightLowerArm", "LeftHand", "RightHand",
)  # fmt: skip
_UNREAL = (
    "pelvis", "thigh_l", "thigh_r", "spine_01", "calf_l", "calf_r", "spine_02", "foot_l", "foot_r", "spine_03", "ball_l", "ball_r",
    "neck_01", "clavicle_l", "clavicle_r", "head", "upperarm_l", "upperarm_r", "lowerarm_l", "lowerarm_r", "hand_l", "hand_r",
)  # fmt: skip
_CMU_SPINE = {"Spine": "LowerBack", "Spine1": "Spine", "Spine2": "Spine1"}


def _fingers(pattern: str, bones: tuple[str, ...] = ("1", "2", "3"), little: str = "Pinky") -> tuple[str, ...]:
    """The 30 joints of fingers in our order from a pattern with `%` for the finger and `#` for the bone, sides as in `_both`."""
    words = ("Index", "Middle", little, "Ring", "Thumb")
    names = (_both(joint=pattern.replace("%", word).replace("#", bone)) for word in words for bone in bones)
    left, right = zip(*(sides.values() for sides in names), strict=True)
    return left + right


# Arguments `written`, `between` and `fingers` of `hf_motion.formats.rigs.Rig` by name.
WRITTEN_NAMES: dict[str, dict[str, Any]] = {
    "smpl": {"written": _SMPL, "fingers": _fingers("{L}_%#")},
    "mixamo": {"written": tuple(f"mixamorig:{name}" for name in _MIXAMO), "fingers": _fingers("mixamorig:{Left}Hand%#")},
    "cmu": {
        "written": tuple(_CMU_SPINE.get(name, name) for name in _MIXAMO),
        "between": {"LeftUpLeg": "LHipJoint", "RightUpLeg": "RHipJoint", "Head": "Neck1"},
    },
    "unity": {"written": _UNITY, "fingers": _fingers("{Left}%#", ("Proximal", "Intermediate", "Distal"), little="Little")},
    "unreal": {"written": _UNREAL, "fingers": tuple(name.lower() for name in _fingers("%_0#_{l}"))},
}
