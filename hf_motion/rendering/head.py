"""A plain face on the head of a figure: brows, eyes with lids, nose and a mouth, moved by the coefficients of a `Face`.

It is one drawing for all: pictures and player fill its parts as polygons, glTF files take it as a mesh with morph targets. Every part is a
strip between two edges, in head radii about the middle of the head: x to the character's left, y up, z forward.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from ..face import FACE_SETS, Face
from ..motion import Motion
from ..pose import rotate, world_rotations
from .figure import bone_radii, facing, head_capsule

logger = logging.getLogger("hf_motion")

SKIN, LINE = (226, 198, 178), (58, 44, 44)
_WHITE, _IRIS, _PUPIL, _LID, _BROW, _NOSE = (250, 250, 248), (74, 116, 150), (24, 26, 32), (212, 180, 160), (84, 62, 52), (198, 160, 140)
_INSIDE, _TEETH, _LIP, _LOWER_LIP, _TONGUE = (84, 26, 34), (248, 246, 240), (176, 92, 92), (190, 104, 102), (208, 104, 110)
_MOUTH_Y, _MOUTH_WIDTH = -0.55, 0.3
_EYE_X, _EYE_Y, _EYE_WIDTH = 0.35, 0.1, 0.21
# Half the height of the straight part of the head that figures have, in radii, and how far the layers of the face stand apart.
_STRAIGHT, _LAYER = 0.225, 0.012
# Radians of FLAME's jaw that count as fully open and as fully aside.
_JAW_OPEN, _JAW_ASIDE = 0.4, 0.2
# Least height of the head over its distance from the root in a rest pose that counts as standing.
_UPRIGHT = 0.7


@dataclass(frozen=True)
class Part:
    """One area of the face.

    Args:
        name (`str`): Such as `"iris_left"`.
        colour (`tuple[int, int, int]`): RGB.
        start (`int`): Its first point: those of its upper edge from the character's right to the left come first, then the lower edge's.
        count (`int`): Points of one edge.
    """

    name: str
    colour: tuple[int, int, int]
    start: int
    count: int

    @property
    def outline(self) -> np.ndarray:
        """Points around it, (2 count,) int64."""
        edge = np.arange(self.count) + self.start
        return np.concatenate((edge, edge[::-1] + self.count))

    @property
    def triangles(self) -> np.ndarray:
        """(triangles, 3) int64, counter-clockwise seen from the front."""
        edge = np.arange(self.count - 1) + self.start
        low = edge + self.count
        return np.concatenate((np.stack((edge, low, low + 1), axis=1), np.stack((edge, low + 1, edge + 1), axis=1)))


@dataclass(frozen=True, eq=False)
class Head:
    """The face at rest and what moves it.

    Args:
        parts (`tuple[Part, ...]`): From the hindmost to the foremost.
        points (`numpy.ndarray`): (points, 3) float64, in head radii.
        targets (`dict[str, numpy.ndarray]`): (points, 3) float64 by coefficient of `"arkit-52"`: how far each point moves at 1.
    """

    parts: tuple[Part, ...]
    points: np.ndarray
    targets: dict[str, np.ndarray]


@dataclass
class _Draft:
    """A part under construction: edges (count, 2) and what moves them."""

    name: str
    colour: tuple[int, int, int]
    upper: np.ndarray
    lower: np.ndarray
    moves: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)

    def move(self, target: str, *, both: tuple = (0, 0), upper: tuple = (0, 0), lower: tuple = (0, 0)) -> None:
        """Let a coefficient move the edges by (x, y), numbers or one per point."""
        old = self.moves.get(target, (np.zeros_like(self.upper), np.zeros_like(self.lower)))
        shifts = [[np.broadcast_to(a + b, len(self.upper)) for a, b in zip(both, edge, strict=True)] for edge in (upper, lower)]
        self.moves[target] = tuple(before + np.stack(shift, axis=1) for before, shift in zip(old, shifts, strict=True))

    def mirrored(self) -> _Draft:
        """The part on the other side."""

        def turned(edge: np.ndarray) -> np.ndarray:
            return (edge * [-1, 1])[::-1]

        moves = {target.replace("Left", "Right"): (turned(one), turned(other)) for target, (one, other) in self.moves.items()}
        return _Draft(self.name.replace("left", "right"), self.colour, turned(self.upper), turned(self.lower), moves)


@lru_cache(maxsize=1)
def plain_head() -> Head:
    """The head that is drawn."""
    drafts = [_skin(), *_eyes(), *_brows(), _nose(), *_mouth()]
    parts, points, start = [], [], 0
    targets = {name: [] for name in FACE_SETS["arkit-52"]}
    for layer, draft in enumerate(drafts):
        count = len(draft.upper)
        parts.append(Part(draft.name, draft.colour, start, count))
        flat = np.concatenate((draft.upper, draft.lower))
        points.append(_raised(flat, layer))
        for target, moves in targets.items():
            shift = np.concatenate(draft.moves[target]) if target in draft.moves else np.zeros_like(flat)
            moves.append(_raised(flat + shift, layer) - points[-1])
        start += 2 * count
    return Head(tuple(parts), np.concatenate(points), {target: np.concatenate(moves) for target, moves in targets.items()})


def drawn_weights(face: Face) -> dict[str, np.ndarray]:
    """How far each target of `plain_head` is moved, (frames,) from 0 to 1, those that never move left out.

    ARKit's coefficients are these. Of FLAME's, the jaw is drawn, 0.4 rad about X as fully open and 0.2 rad about Y as fully aside; what its
    expression components look like is in a model with a licence of its own, so they are not drawn, which a warning says. Names of one's
    own are drawn if they are ARKit's.
    """
    known = {name: face[name] for name in FACE_SETS["arkit-52"] if name in face.names}
    if "jaw_x" in face.names:
        aside = face["jaw_y"] / _JAW_ASIDE if "jaw_y" in face.names else np.zeros(len(face))
        known |= {"jawOpen": face["jaw_x"] / _JAW_OPEN, "jawLeft": aside, "jawRight": -aside}
    hidden = [name for name in face.names if name not in known and not name.startswith(("jaw_", "head", "leftEye", "rightEye"))]
    if hidden:
        logger.warning("The drawn head does not show %d of %d coefficients: %s ...", len(hidden), len(face.names), ", ".join(hidden[:3]))
    clipped = {name: np.clip(values, 0, 1).astype(np.float64) for name, values in known.items()}
    return {name: values for name, values in clipped.items() if values.any()}


def coefficient_targets(face: Face) -> dict[str, np.ndarray]:
    """What one unit of each coefficient that is drawn moves, (points, 3) in head radii; radians for FLAME's jaw."""
    targets = plain_head().targets
    known = {name: targets[name] for name in face.names if name in targets}
    jaw = {"jaw_x": targets["jawOpen"] / _JAW_OPEN, "jaw_y": targets["jawLeft"] / _JAW_ASIDE}
    return known | {name: moves for name, moves in jaw.items() if name in face.names}


def head_points(face: Face) -> np.ndarray:
    """Points of the face in every frame, (frames, points, 3) float64, in head radii."""
    head, weights = plain_head(), drawn_weights(face)
    points = np.tile(head.points, (len(face), 1, 1))
    for name, values in weights.items():
        moved = np.flatnonzero(head.targets[name].any(axis=1))
        points[:, moved] += values[:, None, None] * head.targets[name][moved]
    return points


def head_frames(motion: Motion) -> tuple[np.ndarray, np.ndarray, float] | None:
    """Where the head is: its middle (frames, 3), its axes (frames, 3, 3) with rows left, up and forward, and its radius in metres.

    A head turns as its rotation says; without rotations it turns with the body, and leans as the bone below it does against its rest.
    None where the skeleton has no head.
    """
    skeleton, joints = motion.skeleton, motion.joints.astype(np.float64)
    capsule = head_capsule(skeleton, bone_radii(motion)[1])
    if capsule is None:
        return None
    head, neck, radius, length = capsule
    up = np.array([0.0, 1.0, 0.0])
    bone = _unit(joints[:, head] - joints[:, neck], up)
    axes = _turned_axes(motion, head)
    if axes is not None:
        return joints[:, head] + bone * length / 2, axes, radius
    x, z = facing(motion).astype(np.float64).T
    zero, one = np.zeros_like(x), np.ones_like(x)
    body = np.stack([np.stack([z, zero, -x], axis=-1), np.stack([zero, one, zero], axis=-1), np.stack([x, zero, z], axis=-1)], axis=1)
    rest = up if skeleton.body_directions is None else np.asarray(skeleton.body_directions[head], np.float64)
    rest = np.einsum("i,fij->fj", _unit(rest, up), body)
    axes = np.stack([_turned(body[:, axis], rest, bone) for axis in range(3)], axis=1)
    return joints[:, head] + bone * length / 2, axes, radius


def _turned_axes(motion: Motion, head: int) -> np.ndarray | None:
    """The head's axes by the motion's rotations, (frames, 3, 3), where it has some and rests upright."""
    if motion.rotations is None or motion.rest_offsets is None:
        return None
    offsets = motion.rest_offsets if motion.rest_offsets.ndim == 2 else motion.rest_offsets[0]
    rest = offsets.astype(np.float64)
    for parent, joint in motion.skeleton.bones:
        rest[joint] += rest[parent]
    if rest[head, 1] < _UPRIGHT * np.linalg.norm(rest[head]) or not rest[head].any():
        return None
    x, z = facing(Motion(rest[None], skeleton=motion.skeleton))[0].astype(np.float64)
    axes = np.array([[z, 0, -x], [0, 1, 0], [x, 0, z]])
    turns = world_rotations(np.asarray(motion.rotations, np.float64), motion.skeleton)[:, head]
    return np.stack([rotate(turns, np.broadcast_to(axis, (len(motion), 3))) for axis in axes], axis=1)


def _turned(vectors: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Vectors after the shortest turn from one unit vector to another, (frames, 3) each."""
    axis, cosine = np.cross(one, other), (one * other).sum(-1, keepdims=True)
    along = (axis * vectors).sum(-1, keepdims=True) / np.maximum(1 + cosine, 1e-3)
    return _unit(vectors * cosine + np.cross(axis, vectors) + axis * along, vectors)


def _unit(vectors: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.where(length > 1e-6, vectors / np.maximum(length, 1e-6), otherwise)


def _raised(flat: np.ndarray, layer: int) -> np.ndarray:
    """Points (x, y) on the front of the head, (points, 3)."""
    beyond = np.maximum(np.abs(flat[:, 1]) - _STRAIGHT, 0)
    depth = np.sqrt(np.maximum(1 - flat[:, 0] ** 2 - beyond**2, 0.02))
    return np.column_stack((flat, depth + 0.01 + layer * _LAYER / 4))


def _skin() -> _Draft:
    t = np.linspace(-1, 1, 15)
    round_ = np.sqrt(1 - t**2)
    skin = _Draft("skin", SKIN, np.stack((0.8 * t, 0.2 + 0.7 * round_), axis=1), np.stack((0.8 * t, -0.1 - 0.95 * round_**1.2), axis=1))
    skin.move("jawOpen", lower=(0, -0.2 * round_))
    skin.move("jawLeft", lower=(0.12 * round_, 0))
    skin.move("jawRight", lower=(-0.12 * round_, 0))
    skin.move("jawForward", lower=(0.03 * t * round_, -0.04 * round_))
    skin.move("mouthShrugLower", lower=(0, 0.05 * round_))
    skin.move("cheekPuff", both=(0.1 * t, 0), lower=(0, -0.03 * round_))
    return skin


def _eyes() -> list[_Draft]:
    u = np.linspace(-1, 1, 11)
    bow, x = 1 - u**2, _EYE_X + _EYE_WIDTH * u

    def band(name: str, colour: tuple, high: np.ndarray, low: np.ndarray) -> _Draft:
        return _Draft(f"{name}_left", colour, np.stack((x, _EYE_Y + high), axis=1), np.stack((x, _EYE_Y + low), axis=1))

    def disc(name: str, colour: tuple, radius: float) -> _Draft:
        high = np.sqrt(bow) * radius
        ends = [np.stack((_EYE_X + radius * u, _EYE_Y + side * high), axis=1) for side in (1, -1)]
        return _Draft(f"{name}_left", colour, *ends)

    white = band("white", _WHITE, 0.15 * bow, -0.13 * bow)
    balls = [disc("iris", _IRIS, 0.09), disc("pupil", _PUPIL, 0.045)]
    under = band("lower_lid", _LID, -0.085 * bow, -0.16 * bow - 0.012)
    over = band("upper_lid", _LID, 0.21 * bow + 0.012, 0.1 * bow)
    lash = band("lash", LINE, 0.1 * bow + 0.032 * np.sqrt(bow), 0.1 * bow)
    for ball in balls:
        for look, x_shift, y_shift in (("Up", 0, 0.06), ("Down", 0, -0.06), ("In", -0.085, 0), ("Out", 0.085, 0)):
            ball.move(f"eyeLook{look}Left", both=(x_shift, y_shift))
    for target, share in (("eyeBlink", -0.195), ("eyeWide", 0.05), ("eyeSquint", -0.03), ("eyeLookUp", 0.03), ("eyeLookDown", -0.055)):
        over.move(f"{target}Left", lower=(0, share * bow))
        lash.move(f"{target}Left", both=(0, share * bow))
    for target, share in (("eyeSquint", 0.05), ("cheekSquint", 0.045), ("mouthSmile", 0.02), ("eyeWide", -0.02)):
        under.move(f"{target}Left", upper=(0, share * bow))
    left = [white, *balls, under, over, lash]
    return [*left, *(part.mirrored() for part in left)]


def _brows() -> list[_Draft]:
    u = np.linspace(-1, 1, 7)
    inner, outer = (1 - u) / 2, (1 + u) / 2
    x, y = 0.12 + 0.5 * outer, 0.41 + 0.06 * (1 - u**2) - 0.03 * outer
    thick = 0.035 - 0.02 * outer
    brow = _Draft("brow_left", _BROW, np.stack((x, y + thick), axis=1), np.stack((x, y - thick), axis=1))
    brow.move("browDownLeft", both=(-0.03, -0.12 * inner - 0.05 * outer))
    brow.move("browInnerUp", both=(0, 0.15 * inner))
    brow.move("browOuterUpLeft", both=(0, 0.14 * outer + 0.02 * inner))
    brow.move("noseSneerLeft", both=(0, -0.03 * inner))
    return [brow, brow.mirrored()]


def _nose() -> _Draft:
    u = np.linspace(-1, 1, 9)
    bow = 1 - u**2
    nose = _Draft("nose", _NOSE, np.stack((0.13 * u, -0.2 + 0.05 * bow), axis=1), np.stack((0.13 * u, -0.22 - 0.035 * bow), axis=1))
    for side, half in (("Left", np.maximum(u, 0)), ("Right", np.maximum(-u, 0))):
        nose.move(f"noseSneer{side}", both=(0, 0.06 * half))
    return nose


def _mouth() -> list[_Draft]:
    t = np.linspace(-1, 1, 13)
    bow, x = 1 - t**2, _MOUTH_WIDTH * t

    def band(name: str, colour: tuple, high: np.ndarray, low: np.ndarray, width: float = 1.0) -> _Draft:
        return _Draft(name, colour, np.stack((width * x, _MOUTH_Y + high), axis=1), np.stack((width * x, _MOUTH_Y + low), axis=1))

    flat = np.zeros_like(t)
    inside = band("inside", _INSIDE, flat, flat)
    teeth = band("teeth", _TEETH, flat, flat, 0.8)
    under = band("lower_lip", _LOWER_LIP, flat, -0.1 * bow)
    tongue = band("tongue", _TONGUE, flat, flat, 0.45)
    over = band("upper_lip", _LIP, 0.08 * bow**0.8 * (1 - 0.3 * np.exp(-((t / 0.22) ** 2))), flat)
    for part in (inside, teeth, under, over, tongue):
        _move_whole_mouth(part, part.upper[:, 0], t, bow)
    # Teeth show as far as the lips go apart.
    for target, share in (("jawOpen", -0.08), ("mouthClose", 0.08), ("mouthFunnel", -0.05)):
        teeth.move(target, lower=(0, share * np.sqrt(bow)))
    for side, place in (("Left", 0.4), ("Right", -0.4)):
        teeth.move(f"mouthLowerDown{side}", lower=(0, -0.06 * _beside(t, place) * bow))
        teeth.move(f"mouthUpperUp{side}", upper=(0, 0.07 * _beside(t, place) * bow))
    tongue.move("jawOpen", both=(0, -0.17))
    tongue.move("tongueOut", lower=(0, -0.3 * np.sqrt(bow)))
    # The inside ends where the lips begin: its upper edge goes with the upper lip, its lower edge with the lower one.
    _move_lower_lip(under, "both", t, bow)
    _move_lower_lip(inside, "lower", t, bow)
    _move_upper_lip(over, "both", t, bow)
    _move_upper_lip(inside, "upper", t, bow)
    for target, thinner in (("mouthRollLower", 0.075), ("mouthPucker", -0.03)):
        under.move(target, lower=(0, thinner * bow))
    for target, thinner in (("mouthRollUpper", -0.06), ("mouthPucker", 0.03)):
        over.move(target, upper=(0, thinner * bow))
    for side, half in (("Left", (1 + t) / 2), ("Right", (1 - t) / 2)):
        under.move(f"mouthPress{side}", lower=(0, 0.05 * bow * half))
        over.move(f"mouthPress{side}", upper=(0, -0.045 * bow * half))
    return [inside, teeth, under, tongue, over]


def _move_whole_mouth(part: _Draft, x: np.ndarray, t: np.ndarray, bow: np.ndarray) -> None:
    """What carries all of the mouth."""
    part.move("jawOpen", both=(-0.12 * x, -0.06 * t**2))
    part.move("mouthFunnel", both=(-0.38 * x, 0))
    part.move("mouthPucker", both=(-0.5 * x, 0))
    part.move("cheekPuff", both=(-0.12 * x, 0))
    part.move("mouthLeft", both=(0.14, 0))
    part.move("mouthRight", both=(-0.14, 0))
    for side, sign, corner in (("Left", 1, ((1 + t) / 2) ** 2), ("Right", -1, ((1 - t) / 2) ** 2)):
        for target, out, up in (("Smile", 0.09, 0.16), ("Frown", 0.01, -0.14), ("Dimple", 0.06, 0.03), ("Stretch", 0.1, -0.05)):
            part.move(f"mouth{target}{side}", both=(sign * out * corner, up * (corner - 0.25 * bow)))


def _move_lower_lip(part: _Draft, edge: str, t: np.ndarray, bow: np.ndarray) -> None:
    open_ = np.maximum(bow, 0) ** 0.7
    moves = {
        "jawOpen": (0, -0.36 * open_), "mouthClose": (0, 0.34 * open_), "mouthFunnel": (0, -0.07 * bow), "jawForward": (0, -0.02 * bow),
        "mouthShrugLower": (0, 0.05 * bow), "jawLeft": (0.1 * bow, 0), "jawRight": (-0.1 * bow, 0),
        "mouthLowerDownLeft": (0, -0.11 * _beside(t, 0.4) * bow), "mouthLowerDownRight": (0, -0.11 * _beside(t, -0.4) * bow),
    }  # fmt: skip
    for target, shift in moves.items():
        part.move(target, **{edge: shift})


def _move_upper_lip(part: _Draft, edge: str, t: np.ndarray, bow: np.ndarray) -> None:
    moves = {
        "mouthFunnel": (0, 0.06 * bow), "mouthClose": (0, -0.03 * bow), "mouthShrugUpper": (0, 0.05 * bow),
        "mouthShrugLower": (0, 0.03 * bow),
        "mouthUpperUpLeft": (0, 0.1 * _beside(t, 0.4) * bow), "mouthUpperUpRight": (0, 0.1 * _beside(t, -0.4) * bow),
        "noseSneerLeft": (0, 0.04 * _beside(t, 0.4) * bow), "noseSneerRight": (0, 0.04 * _beside(t, -0.4) * bow),
    }  # fmt: skip
    for target, shift in moves.items():
        part.move(target, **{edge: shift})


def _beside(t: np.ndarray, place: float) -> np.ndarray:
    return np.exp(-(((t - place) / 0.4) ** 2))
