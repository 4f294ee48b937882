"""Fingers of rigs: which joints of a file are the 30 of two hands, whatever the rig of the body.

| style | files | thumb, from its root | other fingers, from the knuckle |
|---|---|---|---|
| `numbered` | SMPL-H, SMPL-X, Mixamo, BEAT, Axis Neuron, Reallusion, VRM 0, Unreal, Daz, OptiTrack | Thumb1 to Thumb3 | Index1 to Index3 |
| `vrm-1` | VRM 1 | ThumbMetacarpal, ThumbProximal, ThumbDistal | IndexProximal, IndexIntermediate, IndexDistal |
| `humanoid` | Unity's humanoid, VRM 0 bones, Rokoko | ThumbProximal, ThumbIntermediate, ThumbDistal | as `vrm-1`; Rokoko says Medial |
| `xsens` | Xsens MVN | FirstMC, FirstPP, FirstDP | SecondPP, SecondMP, SecondDP |
| `rokoko` | Rokoko's Newton skeleton | Finger1Metacarpal, Finger1Proximal, Finger1Distal | Finger2Proximal, Finger2Medial, Finger2Distal |
| `biped` | 3ds Max's Biped | Finger0, Finger01, Finger02 | Finger1, Finger11, Finger12 |

Prefixes, case and punctuation are ignored as in names of bodies. A finger is taken when all of its three joints are there. Finger tips, and
the bones of the palm above the knuckles, have no joints on our skeletons.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from ...skeletons import FINGERS, HUMANML3D_22, Skeleton
from .recognise import Rig, _find, _index, _key

# Names as `hf_motion.formats.rigs.names` writes them, with `%` for the finger and `#` for the number of the joint.
_NUMBERED = "{left}_%#|{l}_%#|{Left}Hand%#|J_Bip_{L}_%#|%_0#_{l}|f_%.0#.{L}"
_BONES = ("{Left}%Proximal", "{Left}%Intermediate|{Left}%Medial", "{Left}%Distal")
_ORDINALS = {"index": "Second", "middle": "Third", "ring": "Fourth", "pinky": "Fifth"}
_WORDS = {"index": ("Index",), "middle": ("Middle", "Mid"), "pinky": ("Pinky", "Little"), "ring": ("Ring",), "thumb": ("Thumb",)}
_SIDES = (("left", "Left", "L", "l"), ("right", "Right", "R", "r"))
Finger = tuple[str, str, str]


def _named(patterns: Sequence[str], words: Sequence[str]) -> Finger:
    one, two, three = ("|".join(pattern.replace("%", word) for word in words for pattern in part.split("|")) for part in patterns)
    return one, two, three


_HUMANOID = {finger: _named(_BONES, words) for finger, words in _WORDS.items()}
STYLES: dict[str, dict[str, Finger]] = {
    "numbered": {finger: _named([_NUMBERED.replace("#", number) for number in "123"], words) for finger, words in _WORDS.items()},
    "vrm-1": _HUMANOID | {"thumb": ("{Left}ThumbMetacarpal", "{Left}ThumbProximal", "{Left}ThumbDistal")},
    "humanoid": _HUMANOID,
    "xsens": {finger: _named(("{Left}%PP", "{Left}%MP", "{Left}%DP"), (ordinal,)) for finger, ordinal in _ORDINALS.items()}
    | {"thumb": ("{Left}FirstMC", "{Left}FirstPP", "{Left}FirstDP")},
    "rokoko": {
        finger: _named(("{Left}Finger%Proximal", "{Left}Finger%Medial", "{Left}Finger%Distal"), (number,))
        for finger, number in zip(_ORDINALS, "2345", strict=True)
    }
    | {"thumb": ("{Left}Finger1Metacarpal", "{Left}Finger1Proximal", "{Left}Finger1Distal")},
    "biped": {
        finger: (f"{{L}}Finger{number}", f"{{L}}Finger{number}1", f"{{L}}Finger{number}2")
        for finger, number in (("thumb", 0), ("index", 1), ("middle", 2), ("ring", 3), ("pinky", 4))
    },
}
"""Patterns of the three joints of each finger by style, as in `hf_motion.formats.rigs.names`."""


def has_fingers(skeleton: Skeleton) -> bool:
    """Whether a skeleton is the 22 joints and two hands of 15."""
    return skeleton.joint_names[: len(HUMANML3D_22)] == HUMANML3D_22.joint_names and len(skeleton.groups.get("hands", ())) == 30


def recognise_fingers(joint_names: Sequence[str]) -> dict[str, int]:
    """Joints of whole fingers in a file.

    Args:
        joint_names (`Sequence[str]`): The file's joints, with any prefix.

    Returns:
        `dict[str, int]`: The file's joint of each of ours (`"left_index1"`), for all three joints of a finger or none. Of several styles
        the one with the most fingers is taken.

    Example:
    >>> from hf_motion.formats.rigs.fingers import recognise_fingers
    >>> names = [f"mixamorig:LeftHandIndex{number}" for number in (1, 2, 3, 4)]
    >>> recognise_fingers(["mixamorig:Hips", *names, "mixamorig:LeftHandThumb1"])
    {'left_index1': 1, 'left_index2': 2, 'left_index3': 3}
    """
    index = _index(joint_names)
    best: dict[str, int] = {}
    for style in STYLES.values():
        found: dict[str, int] = {}
        for left, long, letter, small in _SIDES:
            for finger in FINGERS:
                joints = [_find(pattern.format(left=left, Left=long, L=letter, l=small), index) for pattern in style[finger]]
                if None not in joints:
                    found |= {f"{left}_{finger}{number}": joint for number, joint in enumerate(joints, start=1)}
        best = found if len(found) > len(best) else best
    return best


def weights_onto(rig: Rig, joint_names: Sequence[str], target: Skeleton) -> tuple[np.ndarray, tuple[str, ...], tuple[str, ...], list[str]]:
    """How to make the joints of one of our skeletons of a file's, as `Rig.weights` does for the 22.

    Args:
        rig (`Rig`): The rig of the body.
        joint_names (`Sequence[str]`): The file's joints.
        target (`Skeleton`): `humanml3d-22`, or one with fingers.

    Returns:
        `tuple`: Weights (joints of ours, joints of the file), the wrist's for fingers that the file lacks; names of joints placed between
        several; names of the fingers' joints that are lacking; and what to warn of.

    Raises:
        ValueError: If joints of the body are missing.
    """
    weights, between = rig.weights(joint_names)
    if not has_fingers(target):
        return weights, between, (), []
    found = recognise_fingers(joint_names)
    rows = np.stack([weights[target.joint(f"{name.partition('_')[0]}_wrist")] for name in target.joint_names[len(weights) :]])
    for row, name in zip(rows, target.joint_names[len(weights) :], strict=True):
        if name in found:
            row[:] = np.arange(len(joint_names)) == found[name]
    lacking = tuple(name for name in target.joint_names[len(weights) :] if name not in found)
    keys = Counter(map(_key, joint_names))
    double = [joint_names[joint] for joint in found.values() if keys[_key(joint_names[joint])] > 1]
    notes = [f"{len(double)} finger joints stand in the file twice ({', '.join(double[:3])}, ...); the first is taken"] if double else []
    return np.concatenate([weights, rows]), between, lacking, notes


def lacking_fingers(lacking: Sequence[str]) -> str:
    """What to say of fingers that a file does not have, and the way out."""
    fingers = list(dict.fromkeys(name[:-1] for name in lacking))
    which = "any fingers" if len(lacking) == 30 else f"all fingers ({len(fingers)} are missing: {', '.join(fingers)})"
    return (
        f"the file does not have {which}. Read it onto 'humanml3d-22', which has none, or say relaxed_hands=True (--relaxed-hands) to "
        "put relaxed fingers in their place."
    )
