"""Units, up axes and frame rates of motion files: one table, and what is plausible for a person."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from ..skeletons import HUMANML3D_22, Skeleton

# File units in one metre. CMU's files count in inches / 0.45.
UNITS: Mapping[str, float] = MappingProxyType(
    {"m": 1.0, "dm": 10.0, "cm": 100.0, "mm": 1000.0, "ft": 1 / 0.3048, "inch": 1 / 0.0254, "in": 1 / 0.0254, "cmu": 0.45 / 0.0254}
)
UNIT_HELP = "unit= (--unit) with " + ", ".join(UNITS) + ", or how many file units make a metre"
# Metres: shortest and longest of a person, from a child of four to a tall adult, and the usual. Legs go from hip to ankle, the
# trunk from pelvis to head, the reach from hand to toe, all along the bones.
_LEG, _TRUNK, _REACH = (0.45, 1.1, 0.82), (0.2, 1.3, 0.6), (1.0, 2.6, 2.1)
# Limits of a reach in file units for what has nothing of a person's size, and the unit that it is then taken for.
_ANY_SIZE = ((10.0, "m"), (60.0, "cmu"), (600.0, "cm"), (np.inf, "mm"))
_FPS = (5.0, 1000.0)
_LIMBS = (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist"))
_TRUNK_JOINTS = ("pelvis", "spine1", "spine2", "spine3", "neck", "head")


def units_per_metre(unit: str | float) -> float:
    """File units in one metre.

    Args:
        unit (`str` or `float`): `"m"`, `"dm"`, `"cm"`, `"mm"`, `"ft"`, `"inch"` or `"in"`, `"cmu"` (inch / 0.45, CMU's own), or the
            number itself, which may be a string.

    Raises:
        ValueError: If it is neither.

    Example:
    >>> from hf_motion.formats.units import units_per_metre
    >>> units_per_metre("cm"), units_per_metre(39.37), units_per_metre("39.37")
    (100.0, 39.37, 39.37)
    """
    if isinstance(unit, str) and unit in UNITS:
        return UNITS[unit]
    try:
        number = float(unit) if isinstance(unit, (int, float, str)) and not isinstance(unit, bool) else 0.0
    except ValueError:
        number = 0.0
    if 0 < number < float("inf"):
        return number
    raise ValueError(f"unit must be one of {', '.join(UNITS)}, or a positive number of file units per metre, got {unit!r}.")


def unit_name(units: float) -> str:
    """What a number of file units in one metre is called, for messages.

    Example:
    >>> from hf_motion.formats.units import unit_name
    >>> unit_name(100.0), unit_name(42.0)
    ('cm', '1/42 m')
    """
    return next((name for name, known in UNITS.items() if abs(units / known - 1) < 1e-6), f"1/{units:g} m")


def check_up(up: str) -> str:
    """An up axis in lower case.

    Raises:
        ValueError: If it is not `"y"` or `"z"`.
    """
    if str(up).lower() not in ("y", "z"):
        raise ValueError(f"up must be 'y' or 'z', got {up!r}.")
    return str(up).lower()


def rate_note(fps: float) -> str | None:
    """What to say about a frame rate that a file declares, if anything.

    Raises:
        ValueError: If it is above 1,000 frames per second.
    """
    if fps > _FPS[1]:
        raise ValueError(f"the frame rate is {fps:g} fps, above {_FPS[1]:,.0f}; say the right one: source_fps= (--source-fps).")
    return None if fps >= _FPS[0] else f"the frame rate is {fps:g} fps; if that is wrong, say it: source_fps= (--source-fps)"


def leg_units(joints: np.ndarray, skeleton: Skeleton = HUMANML3D_22) -> float:
    """Units in one metre, from the size of a body.

    Of the units in which the legs measure 0.45 to 1.1 m, hip to ankle, and the trunk 0.2 to 1.3 m, the one in which the legs come
    closest to an adult's 0.82 m.

    Args:
        joints (`numpy.ndarray`): Positions, (frames, joints, 3).
        skeleton (`Skeleton`): With hips, knees and ankles.

    Returns:
        `float`: File units in one metre.

    Raises:
        ValueError: If limbs have no length, or the body is a person's in no unit; the message names `unit=`.
    """
    leg, trunk = _body(joints, skeleton)
    _check_limbs(joints, skeleton, leg)
    fitting = [units for units in UNITS.values() if _fits(leg / units, _LEG) and (not trunk or _fits(trunk / units, _TRUNK))]
    if not fitting:
        size = f"the legs measure {leg:.4g} file units from hip to ankle" + (f", the trunk {trunk:.4g}" if trunk else "")
        raise ValueError(f"{size}, which is a person's size in no known unit ({', '.join(UNITS)}). Say it: {UNIT_HELP}.")
    return min(fitting, key=lambda units: _distance(leg / units, _LEG))


def size_note(joints: np.ndarray, skeleton: Skeleton, units: float) -> str | None:
    """What to say about the size of a body in a unit that was given, if anything; the arguments are those of `leg_units`."""
    leg = _body(joints, skeleton)[0] / units
    if _fits(leg, _LEG):
        return None
    return f"the legs measure {leg:.3g} m from hip to ankle with {unit_name(units)} as unit; if that is wrong, say another: {UNIT_HELP}"


def reach_units(reach: float) -> tuple[float, str | None]:
    """Units in one metre, from the longest way through the bones, for bodies of which nothing else is known.

    Args:
        reach (`float`): About 2 m on an adult, hand to toe; in file units.

    Returns:
        `tuple[float, str | None]`: Units in one metre, and what to say about it if that is no person's size.
    """
    fitting = [units for units in UNITS.values() if _fits(reach / units, _REACH)]
    if fitting:
        return min(fitting, key=lambda units: _distance(reach / units, _REACH)), None
    name = next(name for limit, name in _ANY_SIZE if reach < limit)
    note = f"the longest way through the bones measures {reach:.4g} file units, no person's reach in any unit; {name} is taken. {UNIT_HELP}"
    return UNITS[name], note


def up_axis(joints: np.ndarray, skeleton: Skeleton = HUMANML3D_22) -> str:
    """`"y"` or `"z"`: along which axis shoulders are above ankles on average, Y where neither is clear.

    A character that lies along Z for the whole clip looks like one that stands in a file with Z up. It is taken for standing only
    if its lowest joint stays near zero along Z, as on a floor.

    Args:
        joints (`numpy.ndarray`): Positions, (frames, joints, 3), any unit.
        skeleton (`Skeleton`): With shoulders and ankles.
    """
    _, y, z = _upward(joints, skeleton)
    shoulders, ankles = _ends(joints, skeleton)
    length = np.linalg.norm(shoulders - ankles, axis=-1)
    lowest = joints[..., 2].min(axis=1)
    on_floor = np.abs(np.percentile(lowest, (10, 50, 90))).max() < np.median(length) / 2
    return "z" if z > 0.7 and z > y + 0.4 and on_floor else "y"


def up_note(joints: np.ndarray, skeleton: Skeleton, up: str) -> str | None:
    """What to say about an up axis that was found out, if anything; the arguments are those of `up_axis`."""
    direction = _upward(joints, skeleton)["xyz".index(up)]
    if direction > 0.5:
        return None
    return f"the body does not stand along any axis, so that up is a guess: {up}; if that is wrong, say it: up= (--up)"


def _upward(joints: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    shoulders, ankles = _ends(joints, skeleton)
    body = shoulders - ankles
    return (body / np.maximum(np.linalg.norm(body, axis=-1, keepdims=True), 1e-12)).mean(axis=0)


def _ends(joints: np.ndarray, skeleton: Skeleton) -> list[np.ndarray]:
    sides = [[skeleton.joint(f"{side}_{part}") for side in ("left", "right")] for part in ("shoulder", "ankle")]
    return [joints[:, pair].mean(axis=1) for pair in sides]


def _length(joints: np.ndarray, skeleton: Skeleton, one: str, other: str) -> float:
    bone = joints[:, skeleton.joint(other)] - joints[:, skeleton.joint(one)]
    return float(np.median(np.linalg.norm(bone, axis=-1)))


def _body(joints: np.ndarray, skeleton: Skeleton) -> tuple[float, float]:
    """Length of the legs and, where the skeleton has all its joints, of the trunk; 0 where not."""
    parts = [_length(joints, skeleton, f"{side}_{one}", f"{side}_{two}") for side in ("left", "right") for one, two in _LIMBS[:2]]
    whole = set(_TRUNK_JOINTS) <= set(skeleton.joint_names)
    pairs = itertools.pairwise(_TRUNK_JOINTS) if whole else ()
    return sum(parts) / 2, sum(_length(joints, skeleton, *pair) for pair in pairs)


def _check_limbs(joints: np.ndarray, skeleton: Skeleton, leg: float) -> None:
    empty = [
        f"{side}_{one} to {side}_{two}"
        for side in ("left", "right")
        for one, two in _LIMBS
        if _length(joints, skeleton, f"{side}_{one}", f"{side}_{two}") <= 0.01 * leg
    ]
    if empty:
        raise ValueError(
            f"these bones have no length: {', '.join(empty)}. Its OFFSETs or position channels are damaged, or a mapping= (--mapping) "
            "gives two joints one name."
        )


def _fits(metres: float, size: tuple[float, float, float]) -> bool:
    return size[0] * (1 - 1e-6) <= metres <= size[1] * (1 + 1e-6)


def _distance(metres: float, size: tuple[float, float, float]) -> float:
    return abs(np.log(metres / size[2]))
