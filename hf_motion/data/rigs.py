"""Known rigs: which of their joints are the 22 of `humanml3d-22`, and mapping files for any other.

| rig | recognised by | placed between other joints | tried on |
|---|---|---|---|
| `smpl` | SMPL, SMPL-H and SMPL-X names (`left_hip`, `L_Hip`, `m_avg_L_Hip`), our own files | none | our own files; others by name |
| `bandai-namco` | Bandai-Namco-Research-Motiondataset 1 and 2 | spine2 | real files |
| `cmu-asf` | CMU's ASF/AMC files | spine3, collars | real files |
| `cmu-cgspeed` | Hahne's BVH conversion of CMU, MotionBuilder names | spine1-3, collars | real files |
| `cmu-cgspeed-max` | the same, 3ds Max names | spine1-3, collars | real files |
| `cmu` | the names of `cmu-cgspeed` where `LowerBack` is a joint of its own, as in our `rig="cmu"` | none | our own files |
| `reallusion` | iClone and Character Creator (`CC_Base_`) | spine3 | a real file |
| `reactidle` | ReActIdle; toes and wrists are its End Sites | spine1, spine3, collars | a real file |
| `lafan1` | Ubisoft LAFAN1 | none | names only |
| `mixamo` | Mixamo (`mixamorig:`) | none | names only |
| `rokoko` | Rokoko Studio, Newton skeleton | none | names only |
| `unity`, `unreal` | Unity's humanoid, Unreal's mannequin | none | our own files |

Prefixes such as `mixamorig:`, `CC_Base_` or a name space are ignored, and so are case, spaces, dots, dashes and underscores. Where
a rig's spine has other joints than SMPL's, the three of ours are put at SMPL's relative heights between its own, because bone
directions, which are all that `uniform_skeleton` keeps, would else tilt. Hahne's files lack one vertebra (the thorax bone of the
ASF files), so that shoulders and head stand about 11 cm lower than in CMU's own; `uniform_skeleton` gives the length back. They
also start with one frame of T-pose, which is left out.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from ..skeletons import HUMANML3D_22
from ..utils.extras import require

# Heights of SMPL's spine joints on the way from pelvis to neck, for rigs and mappings that do not name them.
_SPINE = {"pelvis": 0.0, "spine1": 0.24, "spine2": 0.5, "spine3": 0.6, "neck": 1.0}
# Where SMPL's collar lies between these three.
_COLLAR = {"spine3": 0.3, "neck": 0.3, "shoulder": 0.4}
_ALIKE = 0.6  # how alike two names are, 0 to 1, before one is named for the other in a message
_OTHER_SIDE = {"left": re.compile(r"right|(?<![a-z])r(?![a-z])", re.I), "right": re.compile(r"left|(?<![a-z])l(?![a-z])", re.I)}
_PREFIX = re.compile(r"^(mixamorig\d*|[mf]avg|ccbase|character\d+|armature)+")
_NAME_SPACE = re.compile(r"^.*[:|]")
_ENCODINGS = {"json": "JSON", "yaml": "YAML", "yml": "YAML"}
# File units in one metre. CMU's files count in inches / 0.45.
UNITS = MappingProxyType({"m": 1.0, "dm": 10.0, "cm": 100.0, "mm": 1000.0, "inch": 1 / 0.0254, "cmu": 0.45 / 0.0254})
JointSource = str | Mapping[str, float]


@dataclass(frozen=True)
class Rig:
    """Which joints of a rig are the 22 of `humanml3d-22`.

    Args:
        name (`str`): Name of the rig.
        joints (`Mapping[str, str | Mapping[str, float]]`): For each of the 22 joints, the rig's joint, several names of it with
            `|` between (the first that a file has is taken), or weights of several joints of the rig that add up to one. Joints
            called `<joint>_end` are a BVH file's End Sites. spine1-3 and the collars may be left out: they are placed between
            their neighbours, at SMPL's proportions.
        unit (`str` or `float`, *optional*): Unit of the rig's files, see `read_motion`; detected by default.
        up (`str`, *optional*): Up axis of the rig's files, `"y"` or `"z"`; detected by default.
        needs (`tuple[str, ...]`, defaults to `()`): Other joints that a file of this rig has, by which it is told from similar ones.
        in_place (`tuple[str, ...]`, defaults to `()`): Joints that stand where their parents do, unlike in rigs of the same names.
        starts_in_t_pose (`bool`, defaults to `False`): The first frame may be a T-pose that is no part of the motion; a BVH file's
            first frame is left out if it lies far from the second.

    Raises:
        ValueError: If a joint is not one of the 22, one is missing that cannot be placed between others, or weights do not add
            up to one.

    Example:
    >>> from hf_motion.data.rigs import RIGS
    >>> RIGS["bandai-namco"].joints["left_elbow"]
    'LowerArm_L'
    """

    name: str
    joints: Mapping[str, JointSource]
    unit: str | float | None = None
    up: str | None = None
    needs: tuple[str, ...] = ()
    in_place: tuple[str, ...] = ()
    starts_in_t_pose: bool = False

    def __post_init__(self) -> None:
        ours = HUMANML3D_22.joint_names
        unknown = [joint for joint in self.joints if joint not in ours]
        if unknown:
            raise ValueError(f"Rig {self.name!r} maps {_close(unknown, ours)}, which are not joints of ours. Ours are: {', '.join(ours)}.")
        missing = [joint for joint in ours if joint not in self.joints and not _can_be_placed(joint)]
        if missing:
            raise ValueError(
                f"Rig {self.name!r} does not say which of its joints {_are(missing)} {', '.join(missing)}. "
                "Only spine1, spine2, spine3 and the collars can be placed between others."
            )
        for joint, source in self.joints.items():
            _check_source(self.name, joint, source)
        if self.unit is not None:
            units_per_metre(self.unit)
        if self.up is not None:
            check_up(self.up)
        object.__setattr__(self, "joints", MappingProxyType(dict(self.joints)))

    def weights(self, joint_names: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...]]:
        """How to make the 22 joints of a file's joints.

        Args:
            joint_names (`Sequence[str]`): The file's joints.

        Returns:
            `tuple[numpy.ndarray, tuple[str, ...]]`: Weights (22, joints) float64, rows adding up to one, so that
            `weights @ positions` are our joints; and the names of those placed between several joints of the file.

        Raises:
            ValueError: If joints are missing; the message lists them with the closest names that the file has.
        """
        index = _index(joint_names)
        rows: dict[str, np.ndarray] = {}
        missing = []
        for joint, source in self.joints.items():
            row = np.zeros(len(joint_names))
            for names, weight in _parts(source).items():
                found = [index[key] for key in map(_key, names.split("|")) if key in index]
                if found:
                    row[found[0]] += weight
                else:
                    missing.append((joint, names))
            rows[joint] = row
        if missing:
            raise ValueError(_unmapped(self.name, missing, joint_names))
        _place_between(rows)
        matrix = np.stack([rows[joint] for joint in HUMANML3D_22.joint_names])
        between = (matrix != 0).sum(axis=1) > 1
        return matrix, tuple(joint for joint, several in zip(HUMANML3D_22.joint_names, between, strict=True) if several)

    def fits(self, joint_names: Sequence[str], in_place: Collection[str] | None = None) -> bool:
        """Whether a file with these joints has all that the rig needs; `in_place` as in `recognise_rig`."""
        index = _index(joint_names)
        if in_place is not None and not {_key(name) for name in self.in_place} <= {_key(name) for name in in_place}:
            return False
        names = [names for source in self.joints.values() for names in _parts(source)]
        return all(any(_key(name) in index for name in alternatives.split("|")) for alternatives in (*names, *self.needs))


def recognise_rig(joint_names: Sequence[str], in_place: Collection[str] | None = None) -> Rig:
    """The known rig that joint names belong to.

    Args:
        joint_names (`Sequence[str]`): The file's joints, with any prefix.
        in_place (`Collection[str]`, *optional*): Those that stand where their parents stand, if that is known.

    Returns:
        `Rig`: The rig.

    Raises:
        ValueError: If it is none of the known ones. The message says which comes closest, which of its joints are missing and
            what in the file resembles them; where no rig comes close, what resembles each of the 22 joints.

    Example:
    >>> from hf_motion.data.rigs import recognise_rig
    >>> sides = [f"{side}{part}" for side in ("Left", "Right") for part in "UpLeg Leg Foot ToeBase Shoulder Arm ForeArm Hand".split()]
    >>> recognise_rig([f"mixamorig:{name}" for name in ["Hips", "Spine", "Spine1", "Spine2", "Neck", "Head", *sides]]).name
    'mixamo'
    """
    for rig in RIGS.values():
        if rig.fits(joint_names, in_place):
            return rig
    nearest = max(RIGS.values(), key=lambda rig: _hits(rig, joint_names))
    detail = f"The file has: {_listed(joint_names)}."
    if _hits(nearest, joint_names) > len(HUMANML3D_22) // 2:
        try:
            nearest.weights(joint_names)
            detail = f"The closest is {nearest.name!r}, whose files also have {', '.join(nearest.needs)}. {detail}"
        except ValueError as error:
            detail = f"The closest is {nearest.name!r}. {error}"
    else:
        detail = f"Unmapped joints, with the closest names of the file: {_resembling(joint_names)}. {detail}"
    raise ValueError(
        f"The joints are those of no known rig ({', '.join(RIGS)}). {detail} Pass a mapping file: "
        'a JSON object such as {"name": "my-rig", "joints": {"pelvis": "Hips", "left_hip": "LeftUpLeg", ...}} as `mapping=` (--mapping).'
    )


def units_per_metre(unit: str | float) -> float:
    """File units in one metre.

    Args:
        unit (`str` or `float`): `"m"`, `"dm"`, `"cm"`, `"mm"`, `"inch"` or `"cmu"` (inch / 0.45, CMU's own), or the number itself.

    Raises:
        ValueError: If it is neither.

    Example:
    >>> from hf_motion.data.rigs import units_per_metre
    >>> units_per_metre("cm"), units_per_metre(39.37)
    (100.0, 39.37)
    """
    if isinstance(unit, str) and unit in UNITS:
        return UNITS[unit]
    if isinstance(unit, (int, float)) and not isinstance(unit, bool) and 0 < unit < float("inf"):
        return float(unit)
    raise ValueError(f"unit must be one of {', '.join(UNITS)}, or a positive number of file units per metre, got {unit!r}.")


def check_up(up: str) -> str:
    """An up axis in lower case.

    Raises:
        ValueError: If it is not `"y"` or `"z"`.
    """
    if str(up).lower() not in ("y", "z"):
        raise ValueError(f"up must be 'y' or 'z', got {up!r}.")
    return str(up).lower()


def get_rig(rig: str | Rig) -> Rig:
    """The known rig called `rig`; a `Rig` passes through.

    Raises:
        ValueError: If the name is unknown; the message lists the known ones.
    """
    if isinstance(rig, Rig):
        return rig
    if rig not in RIGS:
        raise ValueError(f"Unknown rig {rig!r}. Known rigs: {', '.join(RIGS)}. For another one pass a mapping file as `mapping=`.")
    return RIGS[rig]


def load_mapping(mapping: str | os.PathLike | Mapping[str, Any]) -> Rig:
    """A rig from a small mapping file, or from what such a file holds.

    The file is an object with `joints` (see `Rig`) and, if wanted, `name`, `unit` (`"cm"`, see `read_motion`) and `up` (`"y"` or
    `"z"`). YAML needs the package `pyyaml`.

    Args:
        mapping (`str`, `os.PathLike` or `Mapping`): A .json, .yaml or .yml file, or its content.

    Returns:
        `Rig`: The rig.

    Raises:
        ValueError: If the file is not JSON or YAML, or not such an object; the message names the file and the key.
        FileNotFoundError: If there is no such file.
        ImportError: If pyyaml is missing.
    """
    if isinstance(mapping, Mapping):
        return _rig(mapping, "the mapping", "custom")
    path = Path(mapping)
    suffix = path.suffix.lower()[1:]
    if suffix not in _ENCODINGS:
        raise ValueError(f"A mapping file is .json, .yaml or .yml, got {str(path)!r}.")
    if not path.is_file():
        raise FileNotFoundError(f"No mapping file at {str(path)!r}.")
    try:
        content = _parse(path.read_text(encoding="utf-8-sig"), suffix)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{str(path)!r} is not {_ENCODINGS[suffix]}: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{str(path)!r} must hold an object with the key 'joints', got {type(content).__name__}.")
    return _rig(content, repr(str(path)), path.stem)


def _parse(text: str, suffix: str) -> Any:
    if suffix == "json":
        return json.loads(text)
    yaml = require("yaml", "Reading a YAML mapping", "Or write the mapping as JSON.")
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(error) from error


def _rig(content: Mapping[str, Any], where: str, name: str) -> Rig:
    unknown = [key for key in content if key not in ("name", "joints", "unit", "up")]
    if unknown:
        raise ValueError(f"{where} has the key {unknown[0]!r}; a mapping holds name, joints, unit and up.")
    if not isinstance(content.get("joints"), Mapping):
        raise ValueError(f"{where} must have a key 'joints' that maps our joints to the rig's, got {content.get('joints')!r}.")
    try:
        return Rig(str(content.get("name", name)), content["joints"], unit=content.get("unit"), up=content.get("up"))
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _parts(source: JointSource) -> Mapping[str, float]:
    return {source: 1.0} if isinstance(source, str) else source


def _check_source(rig: str, joint: str, source: Any) -> None:
    if isinstance(source, str) and source:
        return
    numbers = list(source.values()) if isinstance(source, Mapping) else []
    real = bool(numbers) and all(isinstance(number, (int, float)) and not isinstance(number, bool) for number in numbers)
    if not real or not all(isinstance(name, str) for name in source) or not abs(sum(numbers) - 1) < 1e-6:
        raise ValueError(
            f"Rig {rig!r} maps {joint} to {source!r}; expected the name of a joint, or names with weights that add up to one, "
            'such as {"Spine": 0.5, "Chest": 0.5}.'
        )


def _can_be_placed(joint: str) -> bool:
    return joint.startswith("spine") or joint.endswith("_collar")


def _place_between(rows: dict[str, np.ndarray]) -> None:
    """Fill in the spine joints and collars that a rig does not name."""
    named = {joint: at for joint, at in _SPINE.items() if joint in rows}
    for joint, at in _SPINE.items():
        if joint not in named:
            below = max((other for other in named if named[other] < at), key=named.get)
            above = min((other for other in named if named[other] > at), key=named.get)
            share = (at - named[below]) / (named[above] - named[below])
            rows[joint] = rows[below] * (1 - share) + rows[above] * share
    for side in ("left", "right"):
        if f"{side}_collar" not in rows:
            rows[f"{side}_collar"] = sum(rows[joint.replace("shoulder", f"{side}_shoulder")] * share for joint, share in _COLLAR.items())


def _key(name: str) -> str:
    """What is left of a joint's name without name space, prefix, case and punctuation."""
    return _PREFIX.sub("", re.sub(r"[\W_]+", "", _NAME_SPACE.sub("", name)).lower())


def _index(joint_names: Sequence[str]) -> dict[str, int]:
    return {_key(name): joint for joint, name in reversed(list(enumerate(joint_names)))}


def _hits(rig: Rig, joint_names: Sequence[str]) -> int:
    index, names = _index(joint_names), [names for source in rig.joints.values() for names in _parts(source)]
    return sum(any(_key(name) in index for name in alternatives.split("|")) for alternatives in names)


def _unmapped(rig: str, missing: Sequence[tuple[str, str]], joint_names: Sequence[str]) -> str:
    keys = {_key(name): name for name in reversed(joint_names)}
    parts = []
    for joint, names in missing:
        near = [keys[key] for name in names.split("|") for key in difflib.get_close_matches(_key(name), keys, n=2, cutoff=0.5)]
        similar = f"; closest: {', '.join(dict.fromkeys(near))}" if near else ""
        parts.append(f"{joint} ({names.replace('|', ' or ')}{similar})")
    return f"Joints that rig {rig!r} needs and the file lacks: {', '.join(parts)}. The file has: {_listed(joint_names)}."


def _resembling(joint_names: Sequence[str]) -> str:
    """Each of the 22 joints with the file's joints whose names come closest to one that it has on any known rig."""
    keys = {_key(name): name for name in reversed(joint_names)}
    parts = []
    for joint in HUMANML3D_22.joint_names:
        sources = [rig.joints.get(joint, {}) for rig in RIGS.values()]
        called = {joint, *(name for source in sources for names in _parts(source) for name in names.split("|"))}
        alike = {key: max(difflib.SequenceMatcher(None, key, _key(name)).ratio() for name in called) for key in keys}
        other = _OTHER_SIDE.get(joint.partition("_")[0])
        near = [keys[key] for key in sorted(alike, key=alike.get, reverse=True) if alike[key] >= _ALIKE]
        near = [name for name in near if other is None or not other.search(name)]
        parts.append(f"{joint} ({', '.join(near[:2]) or 'none'})")
    return ", ".join(parts)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:40]) + (", ..." if len(names) > 40 else "")


def _close(names: Sequence[str], known: Sequence[str]) -> str:
    near = {name: difflib.get_close_matches(str(name), known, n=1) for name in names}
    return ", ".join(f"{name!r}" + (f" (did you mean {close[0]}?)" if close else "") for name, close in near.items())


def _are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


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

RIGS: Mapping[str, Rig] = MappingProxyType(
    {
        rig.name: rig
        for rig in (
            Rig(
                "smpl",
                {"pelvis": "Pelvis", "spine1": "Spine1|Torso", "spine2": "Spine2|Spine", "spine3": "Spine3|Chest", "neck": "Neck"}
                | {"head": "Head"}
                | _both(
                    hip="{left}_hip|{L}_Hip", knee="{left}_knee|{L}_Knee", ankle="{left}_ankle|{L}_Ankle",
                    foot="{left}_foot|{L}_Foot|{L}_Toe", collar="{left}_collar|{L}_Collar|{L}_Thorax",
                    shoulder="{left}_shoulder|{L}_Shoulder", elbow="{left}_elbow|{L}_Elbow", wrist="{left}_wrist|{L}_Wrist",
                ),
            ),
            Rig(
                "bandai-namco",
                {"pelvis": "Hips", "spine1": "Spine", "spine3": "Chest", "neck": "Neck", "head": "Head"}
                | _both(
                    hip="UpperLeg_{L}", knee="LowerLeg_{L}", ankle="Foot_{L}", foot="Toes_{L}", collar="Shoulder_{L}",
                    shoulder="UpperArm_{L}", elbow="LowerArm_{L}", wrist="Hand_{L}",
                ),
            ),
            Rig(
                "cmu-asf",
                {"pelvis": "root", "spine1": "upperback", "spine2": "thorax", "spine3": {"thorax": 0.67, "lowerneck": 0.33}}
                | {"neck": "upperneck", "head": "head"}
                | _both(
                    hip="{l}femur", knee="{l}tibia", ankle="{l}foot", foot="{l}toes", shoulder="{l}humerus", elbow="{l}radius",
                    wrist="{l}wrist",
                ),
            ),
            Rig(
                "cmu-cgspeed",
                {"pelvis": "Hips", "spine1": {"LowerBack": 0.37, "Spine": 0.63}, "spine2": {"Spine": 0.68, "Spine1": 0.32}}
                | {"spine3": {"Spine": 0.35, "Spine1": 0.65}, "neck": "Neck1", "head": "Head"}
                | _both(foot="{Left}ToeBase", **_HIPS_LEGS_ARMS),
                needs=("LHipJoint", "RHipJoint"), in_place=("LowerBack",), starts_in_t_pose=True,
            ),
            Rig(
                "cmu",
                {"pelvis": "Hips", "spine1": "LowerBack", "spine2": "Spine", "spine3": "Spine1", "neck": "Neck", "head": "Head"}
                | _both(foot="{Left}ToeBase", collar="{Left}Shoulder", **_HIPS_LEGS_ARMS),
                needs=("LHipJoint", "RHipJoint"),
            ),
            Rig(
                "cmu-cgspeed-max",
                {"pelvis": "Hips", "spine1": {"lowerback": 0.37, "Chest": 0.63}, "spine2": {"Chest": 0.68, "Chest2": 0.32}}
                | {"spine3": {"Chest": 0.35, "Chest2": 0.65}, "neck": "Neck", "head": "Head"}
                | _both(
                    hip="{Left}Hip", knee="{Left}Knee", ankle="{Left}Ankle", foot="{Left}Toe", shoulder="{Left}Shoulder",
                    elbow="{Left}Elbow", wrist="{Left}Wrist",
                ),
                needs=("LHipJoint", "RHipJoint"), starts_in_t_pose=True,
            ),
            Rig(
                "reallusion",
                {"pelvis": "CC_Base_Hip", "spine1": "CC_Base_Spine01", "spine2": "CC_Base_Spine02"}
                | {"spine3": {"CC_Base_Spine02": 0.78, "CC_Base_NeckTwist01": 0.22}}
                | {"neck": "CC_Base_NeckTwist01", "head": "CC_Base_Head"}
                | _both(
                    hip="CC_Base_{L}_Thigh", knee="CC_Base_{L}_Calf", ankle="CC_Base_{L}_Foot", foot="CC_Base_{L}_ToeBase",
                    collar="CC_Base_{L}_Clavicle", shoulder="CC_Base_{L}_Upperarm", elbow="CC_Base_{L}_Forearm",
                    wrist="CC_Base_{L}_Hand",
                ),
                needs=("CC_Base_Waist",),
            ),
            Rig(
                "reactidle",
                {"pelvis": "pelvis", "spine2": "spine.001", "neck": "neck", "head": "face"}
                | _both(
                    hip="thigh.{L}", knee="shin.{L}", ankle="foot.{L}", foot="foot.{L}_end", shoulder="upper_arm.{L}",
                    elbow="forearm.{L}", wrist="forearm.{L}_end",
                ),
            ),
            Rig("mixamo", _HUMAN | _both(foot="{Left}ToeBase", collar="{Left}Shoulder", **_HIPS_LEGS_ARMS)),
            Rig("lafan1", _HUMAN | _both(foot="{Left}Toe", collar="{Left}Shoulder", **_HIPS_LEGS_ARMS)),
            Rig(
                "rokoko",
                {"pelvis": "Hips", "spine1": "Spine1|Spine", "spine2": "Spine2", "spine3": "Spine3", "neck": "Neck", "head": "Head"}
                | _both(
                    hip="{Left}Thigh|{Left}UpLeg", knee="{Left}Shin|{Left}Leg", ankle="{Left}Foot", foot="{Left}Toe|{Left}ToeBase",
                    collar="{Left}Shoulder", shoulder="{Left}Arm", elbow="{Left}ForeArm", wrist="{Left}Hand",
                ),
            ),
            Rig(
                "unity",
                {"pelvis": "Hips", "spine1": "Spine", "spine2": "Chest", "spine3": "UpperChest", "neck": "Neck", "head": "Head"}
                | _both(
                    hip="{Left}UpperLeg", knee="{Left}LowerLeg", ankle="{Left}Foot", foot="{Left}Toes", collar="{Left}Shoulder",
                    shoulder="{Left}UpperArm", elbow="{Left}LowerArm", wrist="{Left}Hand",
                ),
            ),
            Rig(
                "unreal",
                {"pelvis": "pelvis", "spine1": "spine_01", "spine2": "spine_02", "spine3": "spine_03", "neck": "neck_01", "head": "head"}
                | _both(
                    hip="thigh_{l}", knee="calf_{l}", ankle="foot_{l}", foot="ball_{l}", collar="clavicle_{l}",
                    shoulder="upperarm_{l}", elbow="lowerarm_{l}", wrist="hand_{l}",
                ),
            ),
        )
    }
)  # fmt: skip
