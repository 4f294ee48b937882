"""Skeletons with the names and extra joints of the rigs that retargeting programs know."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ...skeletons import HUMANML3D_22, Skeleton
from .fingers import has_fingers
from .names import WRITTEN_NAMES
from .recognise import RIGS, Rig

WRITTEN_RIGS: Mapping[str, Rig] = MappingProxyType({name: RIGS[name] for name in WRITTEN_NAMES})
"""Rigs that files are written for: `smpl` (SMPL's joint names), `mixamo` (with the `mixamorig:` prefix), `cmu` (the names of the BVH
conversion of CMU's database, with its hip joints and second neck joint; it has no fingers), `unity` (Unity's humanoid bones) and `unreal`
(its mannequin)."""


def rigged(skeleton: Skeleton, rig: str | None) -> tuple[Skeleton, list[int]]:
    """A skeleton with the names and extra joints of a rig.

    Args:
        skeleton (`Skeleton`): The motion's skeleton.
        rig (`str`, *optional*): A key of `WRITTEN_RIGS`; None leaves the skeleton as it is.

    Returns:
        `tuple[Skeleton, list[int]]`: The rig's skeleton, and for each of its joints the joint of `skeleton` in whose place it
        stands; -1 for an extra joint.

    Raises:
        ValueError: If there is no such rig, or it does not fit the skeleton.

    Example:
    >>> from hf_motion.formats.rigs import rigged
    >>> from hf_motion.skeletons import HUMANML3D_22
    >>> skeleton, source = rigged(HUMANML3D_22, "cmu")
    >>> [(skeleton.joint_names[joint], source[joint]) for joint in range(4)]
    [('Hips', 0), ('LHipJoint', -1), ('LeftUpLeg', 1), ('RHipJoint', -1)]
    """
    if rig is None:
        return skeleton, list(range(len(skeleton)))
    if rig not in WRITTEN_RIGS:
        raise ValueError(f"Unknown rig {rig!r}. There are: {', '.join(WRITTEN_RIGS)}; leave it out for the joint names of the motion.")
    fingers = has_fingers(skeleton)
    if not fingers and (skeleton.joint_names, skeleton.parents) != (HUMANML3D_22.joint_names, HUMANML3D_22.parents):
        raise ValueError(
            f"Rig {rig!r} names the joints of {HUMANML3D_22.name!r}, this motion is on {skeleton.name!r}. "
            "Leave the rig out, or map the motion to those joints, or to these and fingers (smplx-52), first."
        )
    preset = WRITTEN_RIGS[rig]
    if fingers and not preset.fingers:
        able = ", ".join(name for name, other in WRITTEN_RIGS.items() if other.fingers)
        raise ValueError(
            f"Rig {rig!r} has no names for the fingers of a motion on {skeleton.name!r}. Those that have: {able}. Or leave the fingers "
            "out: hf_motion.hands.without_hands(motion) (--skeleton humanml3d-22)."
        )
    called = preset.written + (preset.fingers if fingers else ())
    names: list[str] = []
    parents: list[int] = []
    source: list[int] = []
    for joint, name in enumerate(called):
        parent = names.index(called[skeleton.parents[joint]]) if joint else -1
        if name in preset.between:
            names.append(preset.between[name])
            parents.append(parent)
            source.append(-1)
            parent = len(names) - 1
        names.append(name)
        parents.append(parent)
        source.append(joint)
    return Skeleton(f"{rig}-{len(names)}", tuple(names), tuple(parents)), source
