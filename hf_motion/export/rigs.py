"""Names and extra joints of the rigs that retargeting programs know."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..skeletons import HUMANML3D_22, Skeleton


@dataclass(frozen=True)
class Rig:
    """How the 22 joints are called on a rig.

    Args:
        names (`tuple[str, ...]`): Name of each joint of `humanml3d-22`, in its order.
        between (`dict[str, str]`, *optional*): Joints that the rig has besides: the name of a joint of `names` to the name of the
            joint above it, which stands in the place of their common parent and never turns.
    """

    names: tuple[str, ...]
    between: dict[str, str] = field(default_factory=dict)


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

RIGS = {
    "smpl": Rig(_SMPL),
    "mixamo": Rig(tuple(f"mixamorig:{name}" for name in _MIXAMO)),
    "cmu": Rig(
        tuple(_CMU_SPINE.get(name, name) for name in _MIXAMO),
        {"LeftUpLeg": "LHipJoint", "RightUpLeg": "RHipJoint", "Head": "Neck1"},
    ),
    "unity": Rig(_UNITY),
    "unreal": Rig(_UNREAL),
}
"""Presets by name: `smpl` (SMPL's joint names), `mixamo` (with the `mixamorig:` prefix), `cmu` (the names of the BVH conversion of
CMU's database, with its hip joints and second neck joint), `unity` (Unity's humanoid bones) and `unreal` (its mannequin)."""


def rigged(skeleton: Skeleton, rig: str | None) -> tuple[Skeleton, list[int]]:
    """A skeleton with the names and extra joints of a rig.

    Args:
        skeleton (`Skeleton`): The motion's skeleton.
        rig (`str`, *optional*): A key of `RIGS`; None leaves the skeleton as it is.

    Returns:
        `tuple[Skeleton, list[int]]`: The rig's skeleton, and for each of its joints the joint of `skeleton` in whose place it
        stands; -1 for an extra joint.

    Raises:
        ValueError: If there is no such rig, or it does not fit the skeleton.

    Example:
    >>> from hf_motion.export.rigs import rigged
    >>> from hf_motion.skeletons import HUMANML3D_22
    >>> skeleton, source = rigged(HUMANML3D_22, "cmu")
    >>> [(skeleton.joint_names[joint], source[joint]) for joint in range(4)]
    [('Hips', 0), ('LHipJoint', -1), ('LeftUpLeg', 1), ('RHipJoint', -1)]
    """
    if rig is None:
        return skeleton, list(range(len(skeleton)))
    if rig not in RIGS:
        raise ValueError(f"Unknown rig {rig!r}. There are: {', '.join(RIGS)}; leave it out for the joint names of the motion.")
    if (skeleton.joint_names, skeleton.parents) != (HUMANML3D_22.joint_names, HUMANML3D_22.parents):
        raise ValueError(
            f"Rig {rig!r} names the joints of {HUMANML3D_22.name!r}, this motion is on {skeleton.name!r}. "
            "Leave the rig out, or map the motion to those joints first."
        )
    preset = RIGS[rig]
    names: list[str] = []
    parents: list[int] = []
    source: list[int] = []
    for joint, name in enumerate(preset.names):
        parent = names.index(preset.names[skeleton.parents[joint]]) if joint else -1
        if name in preset.between:
            names.append(preset.between[name])
            parents.append(parent)
            source.append(-1)
            parent = len(names) - 1
        names.append(name)
        parents.append(parent)
        source.append(joint)
    return Skeleton(f"{rig}-{len(names)}", tuple(names), tuple(parents)), source
