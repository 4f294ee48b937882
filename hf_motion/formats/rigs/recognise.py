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
| `mixamo` | Mixamo (`mixamorig:`), BEAT (`_JNT`) | none | made files |
| `lafan1` | Ubisoft LAFAN1, and its names with two spine joints | none | made files |
| `axis-neuron` | the same without toes, where the feet have End Sites | none | made files |
| `rokoko` | Rokoko Studio, Newton skeleton | none | made files |
| `unity` | Unity's humanoid, VRM 1; chest and collars may be missing | none | made files |
| `vrm` | VRM 0 (`J_Bip_C_Hips`) | none | made files |
| `unreal` | Unreal's mannequin | none | made files |
| `biped` | 3ds Max's Biped (`Bip01 L Thigh`) | none | made files |
| `xsens` | Xsens MVN, 100STYLE | none | made files |
| `daz` | Daz Genesis and Genesis 3 to 8, Poser | none | made files |
| `optitrack` | OptiTrack's short names (`LUArm`); the root may have any name | none | made files |

The names are in `hf_motion.formats.rigs.names`, those of fingers, which every rig may have, in `hf_motion.formats.rigs.fingers`. The
whole set of them decides: `LeftShoulder` is a collar for Mixamo and a shoulder for Xsens. Prefixes such as `mixamorig:`, `Bip01`, a
name space or the root's own name, and the suffix `_JNT`, are ignored, and so are case, spaces, dots, dashes and underscores. Where a
rig's spine has other joints than SMPL's, the three of ours are put at SMPL's relative heights between its own, because bone directions,
which are all that `uniform_skeleton` keeps, would else tilt. Hahne's files lack one vertebra (the thorax bone of the ASF files), so
that shoulders and head stand about 11 cm lower than in CMU's own; `uniform_skeleton` gives the length back. They also start with one
frame of T-pose, which is left out.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from ...skeletons import HUMANML3D_22, Skeleton
from ...utils.extras import require
from ...utils.faults import reading
from ...utils.text import read_text
from ..units import check_up, units_per_metre
from .names import RIG_NAMES, WRITTEN_NAMES

# Heights of SMPL's spine joints on the way from pelvis to neck, for rigs and mappings that do not name them.
_SPINE = {"pelvis": 0.0, "spine1": 0.24, "spine2": 0.5, "spine3": 0.6, "neck": 1.0}
# Where SMPL's collar lies between these three.
_COLLAR = {"spine3": 0.3, "neck": 0.3, "shoulder": 0.4}
_ALIKE = 0.6  # how alike two names are, 0 to 1, before one is named for the other in a message
_SIDE_WORD = re.compile(r"(?i:left|right)|(?<![A-Za-z])[LRlr](?![A-Za-z])|^[lr](?=[A-Z])|^[LR](?=[A-Z][a-z])")
_TOE = re.compile(r"toe|ball", re.I)
_PREFIX = re.compile(r"^(mixamorig\d*|[mf]avg|ccbase|character\d+|armature|bip\d+)+")
_MANY = 12  # joints that make a second body, and more than a prop
_NAME_SPACE = re.compile(r"^.*[:|]")
_ENCODINGS = {"json": "JSON", "yaml": "YAML", "yml": "YAML"}
JointSource = str | Mapping[str, float]


@dataclass(frozen=True)
class Rig:
    """Which joints of a rig are the 22 of `humanml3d-22`.

    Args:
        name (`str`): Name of the rig.
        joints (`Mapping[str, str | Mapping[str, float]]`): For each of the 22 joints, the rig's joint, several names of it with
            `|` between (the first that a file has is taken), or weights of several joints of the rig that add up to one. Joints
            called `<joint>_end` are a BVH file's End Sites, `^` is the file's first joint. spine1-3 and the collars may be left
            out, or missing in a file if their names end with `|`: they are placed between their neighbours, at SMPL's proportions.
        unit (`str` or `float`, *optional*): Unit of the rig's files, see `read_motion`; detected by default.
        up (`str`, *optional*): Up axis of the rig's files, `"y"` or `"z"`; detected by default.
        needs (`tuple[str, ...]`, defaults to `()`): Other joints that a file of this rig has, by which it is told from similar ones.
        in_place (`tuple[str, ...]`, defaults to `()`): Joints that stand where their parents do, unlike in rigs of the same names.
        starts_in_t_pose (`bool`, defaults to `False`): The first frame may be a T-pose that is no part of the motion; a BVH file's
            first frame is left out if it lies far from the second.
        written (`tuple[str, ...]`, defaults to `()`): What the 22 joints are called in a file that is written for the rig, in our order.
        between (`Mapping[str, str]`, *optional*): Joints that such a file has besides: the name of a joint of `written` to the name of
            the joint above it, which stands in the place of their common parent and never turns.
        fingers (`tuple[str, ...]`, defaults to `()`): What the 30 joints of two hands are called in such a file, in AMASS's order; none
            for a rig that has no names for them.

    Raises:
        ValueError: If a joint is not one of the 22, one is missing that cannot be placed between others, or weights do not add
            up to one.

    Example:
    >>> from hf_motion.formats.rigs import RIGS
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
    written: tuple[str, ...] = ()
    between: Mapping[str, str] = field(default_factory=dict)
    fingers: tuple[str, ...] = ()

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
                found = _find(names, index)
                if found is not None:
                    row[found] += weight
                elif not (_may_be_missing(names) and _can_be_placed(joint)):
                    missing.append((joint, names))
            if row.any():
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
        return all(_may_be_missing(part) or _find(part, index) is not None for part in (*names, *self.needs))


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
    >>> from hf_motion.formats.rigs import recognise_rig
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


def one_body(joint_names: Sequence[str], rig: Rig | None = None) -> list[int]:
    """The joints of the first body in a file that holds several, told apart by name space or prefix (`A:Hips`, `Bip02 Pelvis`).

    Args:
        joint_names (`Sequence[str]`): The file's joints.
        rig (`Rig`, *optional*): Their rig, any known one by default.

    Returns:
        `list[int]`: Numbers of the joints that share a name space and a prefix and make up a rig; all where none does.
    """
    groups: dict[tuple[str, str], list[int]] = {}
    for joint, name in enumerate(joint_names):
        prefix = _PREFIX.match(_plain(_NAME_SPACE.sub("", name)))
        groups.setdefault(((_NAME_SPACE.match(name) or [""])[0], prefix[0] if prefix else ""), []).append(joint)
    rigs = RIGS.values() if rig is None else (rig,)
    fitting = (group for group in groups.values() if any(known.fits([joint_names[joint] for joint in group]) for known in rigs))
    return next(fitting, list(range(len(joint_names))))


def left_out(skeleton: Skeleton, used: Collection[int], wrists: Collection[int]) -> tuple[list[str], list[str]]:
    """What is left of a file's joints when some were taken.

    Args:
        skeleton (`Skeleton`): The file's joints.
        used (`Collection[int]`): Those that were taken.
        wrists (`Collection[int]`): Those of these that are wrists: what hangs below them are fingers.

    Returns:
        `tuple[list[str], list[str]]`: Other bodies, such as `"B:Hips (22 joints)"`, and the other joints, fingers as one item.
    """
    parents, names = skeleton.parents, skeleton.joint_names
    first, *others = (_line(joint, parents) for joint in used)
    shared = [joint for joint in first if all(joint in line for line in map(set, others))]
    branch, above, fingers = {}, set(shared), set(wrists)
    for joint, parent in enumerate(parents):
        fingers |= {joint} if parent in fingers else set()
        if joint not in above:
            branch[joint] = branch.get(parent, joint) if parent != shared[0] else shared[0]
    sizes = Counter(branch.values())
    apart = {top for top, size in sizes.items() if top != shared[0] and size >= _MANY}
    bodies = [f"{names[top]} ({sizes[top]} joints)" for top in sorted(apart)]
    rest = [joint for joint in branch.keys() - used if branch[joint] not in apart and not names[joint].endswith("_end")]
    others = [names[joint] for joint in sorted(rest) if joint not in fingers]
    listed = [f"other joints: {', '.join(others[:6])}{f' and {len(others) - 6} more' if len(others) > 6 else ''}"] if others else []
    return bodies, [*([f"{len(rest) - len(others)} finger joints"] if len(rest) > len(others) else []), *listed]


def _line(joint: int, parents: Sequence[int]) -> list[int]:
    """A joint and those above it, up to the root."""
    line = [joint]
    while parents[line[-1]] >= 0:
        line.append(parents[line[-1]])
    return line


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
    with reading(path, _ENCODINGS[suffix]):
        content = _parse(read_text(path), suffix)
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
    return _PREFIX.sub("", _plain(_NAME_SPACE.sub("", name)).removesuffix("jnt"))


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).lower()


def _index(joint_names: Sequence[str]) -> dict[str, int]:
    """Joints by the keys of their names; where most begin with the name of the first, without that."""
    keys = [_key(name) for name in joint_names]
    below = [key for key in keys[1:] if key.startswith(keys[0])] if keys and keys[0] else []
    if len(below) > len(keys) // 2:
        keys[1:] = [key.removeprefix(keys[0]) for key in keys[1:]]
    return {**{key: joint for joint, key in reversed(list(enumerate(keys)))}, "^": 0}


def _find(names: str, index: Mapping[str, int]) -> int | None:
    """The first of several names that there is."""
    keys = ["^" if name == "^" else _key(name) for name in names.split("|") if name]
    return next((index[key] for key in keys if key in index), None)


def _may_be_missing(names: str) -> bool:
    return names.endswith("|")


def _hits(rig: Rig, joint_names: Sequence[str]) -> int:
    index, names = _index(joint_names), [names for source in rig.joints.values() for names in _parts(source)]
    return sum(_find(part, index) is not None for part in names)


def _side(name: str, joint_names: Collection[str]) -> str | None:
    """`"left"`, `"right"` or None: by a word or letter of its own, or by a first or last letter that others have the other way."""
    bare = _NAME_SPACE.sub("", name)
    match = _SIDE_WORD.search(bare)
    if match:
        return "left" if match[0].lower().startswith("l") else "right"
    swapped = str.maketrans("lrLR", "rlRL")
    others = {_NAME_SPACE.sub("", other) for other in joint_names}
    for letter, pair in ((bare[:1], bare[:1].translate(swapped) + bare[1:]), (bare[-1:], bare[:-1] + bare[-1:].translate(swapped))):
        if letter in "lrLR" and pair in others:
            return "left" if letter in "lL" else "right"
    return None


def _on_side(joint: str, names: Sequence[str], joint_names: Collection[str]) -> list[str]:
    """Those of several names that are not of the other side, and toes for feet alone, if the file has any."""
    side, has_toes = joint.partition("_")[0], any(_TOE.search(name) for name in joint_names)
    kept = [name for name in names if side not in ("left", "right") or _side(name, joint_names) in (side, None)]
    return [name for name in kept if bool(_TOE.search(name)) == joint.endswith("_foot")] if has_toes else kept


def _unmapped(rig: str, missing: Sequence[tuple[str, str]], joint_names: Sequence[str]) -> str:
    keys = {_key(name): name for name in reversed(joint_names)}
    parts = []
    for joint, names in missing:
        close = [keys[key] for name in names.split("|") for key in difflib.get_close_matches(_key(name), keys, n=4, cutoff=0.5)]
        near = _on_side(joint, list(dict.fromkeys(close)), joint_names)[:2]
        similar = f"; closest: {', '.join(near)}" if near else ""
        parts.append(f"{joint} ({names.strip('|').replace('|', ' or ')}{similar})")
    return f"Joints that rig {rig!r} needs and the file lacks: {', '.join(parts)}. The file has: {_listed(joint_names)}."


def _resembling(joint_names: Sequence[str]) -> str:
    """Each of the 22 joints with the file's joints whose names come closest to one that it has on any known rig."""
    keys = {_key(name): name for name in reversed(joint_names)}
    parts = []
    for joint in HUMANML3D_22.joint_names:
        sources = [rig.joints.get(joint, {}) for rig in RIGS.values()]
        called = {joint, *(name for source in sources for names in _parts(source) for name in names.split("|") if name.strip("^"))}
        alike = {key: max(difflib.SequenceMatcher(None, key, _key(name)).ratio() for name in called) for key in keys}
        near = [keys[key] for key in sorted(alike, key=alike.get, reverse=True) if alike[key] >= _ALIKE]
        near = _on_side(joint, near, joint_names)
        parts.append(f"{joint} ({', '.join(near[:2]) or 'none'})")
    return ", ".join(parts)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:40]) + (", ..." if len(names) > 40 else "")


def _close(names: Sequence[str], known: Sequence[str]) -> str:
    near = {name: difflib.get_close_matches(str(name), known, n=1) for name in names}
    return ", ".join(f"{name!r}" + (f" (did you mean {close[0]}?)" if close else "") for name, close in near.items())


def _are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


RIGS: Mapping[str, Rig] = MappingProxyType({name: Rig(name, **facts, **WRITTEN_NAMES.get(name, {})) for name, facts in RIG_NAMES.items()})
"""Rigs that are recognised, by name."""
