"""`Face`: what a face does, as coefficients over time, beside the body of a `Motion`."""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from .utils.limits import check_face

logger = logging.getLogger("hf_motion")

# ARKit's ARFaceAnchor.BlendShapeLocation, in the order in which Live Link Face writes them.
_ARKIT = (
    "eyeBlinkLeft", "eyeLookDownLeft", "eyeLookInLeft", "eyeLookOutLeft", "eyeLookUpLeft", "eyeSquintLeft", "eyeWideLeft", "eyeBlinkRight",
    "eyeLookDownRight", "eyeLookInRight", "eyeLookOutRight", "eyeLookUpRight", "eyeSquintRight", "eyeWideRight", "jawForward", "jawRight",
    "jawLeft", "jawOpen", "mouthClose", "mouthFunnel", "mouthPucker", "mouthRight", "mouthLeft", "mouthSmileLeft", "mouthSmileRight",
    "mouthFrownLeft", "mouthFrownRight", "mouthDimpleLeft", "mouthDimpleRight", "mouthStretchLeft", "mouthStretchRight", "mouthRollLower",
    "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthPressLeft", "mouthPressRight", "mouthLowerDownLeft",
    "mouthLowerDownRight", "mouthUpperUpLeft", "mouthUpperUpRight", "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft",
    "browOuterUpRight", "cheekPuff", "cheekSquintLeft", "cheekSquintRight", "noseSneerLeft", "noseSneerRight", "tongueOut",
)  # fmt: skip
_ANGLES = tuple(f"{part}{axis}" for part in ("head", "leftEye", "rightEye") for axis in ("Yaw", "Pitch", "Roll"))
_EXPRESSION = tuple(f"expression_{number}" for number in range(100))
_JAW = ("jaw_x", "jaw_y", "jaw_z")

FACE_SETS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "arkit-52": _ARKIT,
        "livelink-61": _ARKIT + _ANGLES,
        "flame-50": _EXPRESSION[:50],
        "flame-53": _EXPRESSION[:50] + _JAW,
        "flame-100": _EXPRESSION,
        "flame-103": _EXPRESSION + _JAW,
    }
)
"""Names of coefficients by kind.

- `arkit-52`: Apple's blend shapes, 0 (neutral) to 1.
- `livelink-61`: these and the angles of head and eyes that Live Link Face records with them, in radians.
- `flame-50`: the first 50 expression components of FLAME, as in SMPL-X files of Motion-X and in HumanTOMATO; 0 is neutral, mostly -3 to 3.
- `flame-53`: these and the jaw's rotation vector, in radians.
- `flame-100`, `flame-103`: the same with all 100 components.
"""

OWN = "own"
"""Kind of coefficients with names of somebody's own."""

_SIDES = ((r"Left", "Right"), (r"left", "right"), (r"(?<=[_.])L$", "R"), (r"(?<=[_.])l$", "r"))


@dataclass(eq=False)
class Face:
    """Coefficients of a face over time, at the frame rate of the motion that they belong to.

    Args:
        coefficients (`numpy.ndarray` or `torch.Tensor`): (frames, coefficients). Kept as a C-contiguous float32 array.
        names (`tuple[str, ...]` or `str`): One name per column, or the kind whose names they all are, in its order, such as
            `"arkit-52"`. Other spellings of known names (`BrowDownLeft`, `browDown_L`) become the known ones.
        kind (`str`, *optional*): A key of `FACE_SETS`, found out by the names, or `"own"` for names of your own. A face may have a part
            of the names of its kind, in any order.

    Raises:
        ValueError: If the array is not (frames >= 1, coefficients >= 1), holds NaN or infinity, does not fit the names, names repeat, or
            a name is unknown; the message tells the nearest known ones.

    Coefficients of ARKit outside 0 to 1 are kept; a warning counts them.

    Example:
    >>> import numpy as np
    >>> from hf_motion import Face
    >>> face = Face(np.zeros((60, 52)), "arkit-52")
    >>> face, face["jawOpen"].shape, len(face[:30])
    (Face(60 frames, 52 coefficients of arkit-52), (60,), 30)
    """

    coefficients: np.ndarray
    names: tuple[str, ...] | str
    kind: str | None = None

    def __post_init__(self) -> None:
        values = _checked(self.coefficients)
        if isinstance(self.names, str):
            self.kind = _known_kind(self.names if self.kind is None else self.kind)
            self.names = FACE_SETS.get(self.names, ())
        self.names, self.kind = known_names(self.names, self.kind)
        if values.shape[1] != len(self.names):
            raise ValueError(
                f"The face has {values.shape[1]} coefficients and {len(self.names)} names ({self.kind}); give one name for each."
            )
        self.coefficients = values
        note = outside_note(self)
        if note:
            logger.warning("%s.", note)

    def __len__(self) -> int:
        return len(self.coefficients)

    def __eq__(self, other: object) -> bool:
        """Whether names and coefficients are equal, each exactly."""
        if not isinstance(other, Face):
            return NotImplemented
        return (self.kind, self.names) == (other.kind, other.names) and np.array_equal(self.coefficients, other.coefficients)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Face({len(self)} frames, {self})"

    def __str__(self) -> str:
        """What it holds, for messages: `"51 coefficients of arkit-52"`."""
        return f"{len(self.names)} coefficients{' of their own names' if self.kind == OWN else f' of {self.kind}'}"

    def __getitem__(self, which: slice | str) -> Any:
        """A part in time, `face[10:50]`, as a `Face`; or one coefficient, `face["jawOpen"]`, (frames,) float32.

        Raises:
            KeyError: If it has no such coefficient; the message tells the nearest.
            ValueError: If the slice is empty.
            TypeError: If it is something else.
        """
        if isinstance(which, str):
            if which not in self.names:
                raise KeyError(f"No coefficient {which!r}. {_nearest([which], self.names)}")
            return self.coefficients[:, self.names.index(which)]
        if not isinstance(which, slice):
            raise TypeError(f"A face is cut with a slice of frames such as face[10:50], or asked for a name, got {which!r}.")
        values = self.coefficients[which]
        if not len(values):
            raise ValueError(f"Slice {which} of a face of {len(self)} frames is empty.")
        return self.filled(values)

    def at(self, places: np.ndarray) -> Face:
        """The face at places between its frames, linearly.

        Args:
            places (`numpy.ndarray`): (wanted,) in frames; before the first and after the last frame, that is held.
        """
        places = np.clip(np.asarray(places, np.float64), 0, len(self) - 1)
        left = np.minimum(places.astype(int), max(len(self) - 2, 0))
        right = np.minimum(left + 1, len(self) - 1)
        weight = (places - left)[:, None]
        return self.filled(self.coefficients[left] * (1 - weight) + self.coefficients[right] * weight)

    def resample(self, source_fps: float, fps: float) -> Face:
        """The face at another frame rate, linearly, from its first frame to its last and never beyond.

        Args:
            source_fps (`float`): Frames per second that it has.
            fps (`float`): Wanted frames per second.
        """
        count = int(np.floor((len(self) - 1) * fps / source_fps + 1e-6)) + 1
        check_face(count, len(self.names), f"Is the frame rate of {source_fps:g} fps right for a result at {fps:g}?")
        return self.at(np.arange(count) * (source_fps / fps))

    def mirrored(self) -> Face:
        """The face seen in a mirror.

        Left and right names are exchanged, and so are the signs of yaw and roll, and of FLAME's jaw about Y and Z. FLAME's expression
        components have no sides: each moves both halves of a face, most of them nearly alike. They stay as they are, so that what is
        lopsided in an expression is not mirrored. Of names of one's own, those are exchanged that say left and right.
        """
        values = self.coefficients[:, [self.names.index(other) for other in _mirrored_names(self.names)]].copy()
        turned = [name.endswith(("Yaw", "Roll")) or name in _JAW[1:] for name in self.names]
        values[:, turned] *= -1
        return self.filled(values)

    def select(self, names: Sequence[str] | str, *, fill: float | None = None) -> Face:
        """Some coefficients, in the order asked for.

        Args:
            names (`Sequence[str]` or `str`): Names, or a kind for all of its names.
            fill (`float`, *optional*): Value of those that the face does not have.

        Raises:
            ValueError: If it lacks some and there is no `fill`, or a name is asked for twice.

        Example:
        >>> import numpy as np
        >>> from hf_motion import Face
        >>> Face(np.zeros((2, 1)), ["jawOpen"]).select("arkit-52", fill=0.0)
        Face(2 frames, 52 coefficients of arkit-52)
        """
        kind = names if isinstance(names, str) else self.kind
        wanted = FACE_SETS[_known_kind(names)] if isinstance(names, str) else tuple(names)
        missing = [name for name in wanted if name not in self.names]
        if missing and fill is None:
            raise ValueError(f"The face has no {_listed(missing)}. {_nearest(missing, self.names)} Or give `fill=0.0`.")
        columns = {name: self.coefficients[:, self.names.index(name)] for name in wanted if name not in missing}
        values = [columns.get(name, np.full(len(self), fill, np.float32)) for name in wanted]
        return Face(np.stack(values, axis=1), wanted, kind)

    def rename(self, names: Mapping[str, str], *, kind: str | None = None) -> Face:
        """The same coefficients under other names.

        Args:
            names (`Mapping[str, str]`): Old to new name; the rest keep theirs.
            kind (`str`, *optional*): Kind of the new names, found out by default.

        Raises:
            ValueError: If a name is not there, or the new ones repeat or are unknown.
        """
        unknown = [name for name in names if name not in self.names]
        if unknown:
            raise ValueError(f"The face has no {_listed(unknown)}. {_nearest(unknown, self.names)}")
        return Face(self.coefficients, tuple(names.get(name, name) for name in self.names), kind)

    @classmethod
    def concatenate(cls, faces: Sequence[Face]) -> Face:
        """One face after another.

        Raises:
            ValueError: If there is none, or they have different names.
        """
        faces = list(faces)
        if not faces:
            raise ValueError("There is no face to concatenate; pass a list with at least one.")
        for index, face in enumerate(faces):
            if face.names != faces[0].names:
                raise ValueError(
                    f"Face {index} has {face}, the first has {faces[0]}, or in another order. Bring them to one order with select()."
                )
        return faces[0].filled(np.concatenate([face.coefficients for face in faces]))

    def neutral(self, frames: int) -> Face:
        """A face that does nothing, with the same names.

        Raises:
            ValueError: If the names are its own, of which nobody knows what is neutral.
        """
        if self.kind == OWN:
            raise ValueError(f"What is neutral is not known of {self}. Give every motion a face, or none.")
        return self.filled(np.zeros((frames, len(self.names))))

    def filled(self, values: np.ndarray) -> Face:
        """A face with these names and other coefficients, (frames, coefficients), that are known to be finite; no warning counts them."""
        face = copy(self)
        face.coefficients = np.array(values, dtype=np.float32, order="C")
        return face


def outside_note(face: Face) -> str | None:
    """How many coefficients of ARKit are not in 0 to 1, in words; None if none is."""
    columns = [column for column, name in enumerate(face.names) if name in _ARKIT]
    values = face.coefficients[:, columns]
    outside = (values < -1e-4) | (values > 1 + 1e-4)
    if face.kind not in ("arkit-52", "livelink-61") or not outside.any():
        return None
    frame, column = np.argwhere(outside)[0]
    return (
        f"{int(outside.sum()):,} of {values.size:,} coefficients of the face are outside 0 to 1 ({values.min():.3g} to {values.max():.3g}, "
        f"first {face.names[columns[column]]} in frame {frame}); they are kept"
    )


def known_names(names: Sequence[str], kind: str | None = None) -> tuple[tuple[str, ...], str]:
    """Names of coefficients as their kind spells them, and the kind.

    Args:
        names (`Sequence[str]`): Names, also spelled as `BrowDownLeft`, `browDown_L` or `brow_down_left`.
        kind (`str`, *optional*): A key of `FACE_SETS` or `"own"`; by default the smallest set that has them all.

    Raises:
        ValueError: If there are none, they repeat, or one is unknown.

    Example:
    >>> from hf_motion.face import known_names
    >>> known_names(["JawOpen", "browDown_L"])
    (('jawOpen', 'browDownLeft'), 'arkit-52')
    """
    names = tuple(map(str, names))
    if not names:
        raise ValueError(f"The face has no coefficients. Kinds are: {', '.join(FACE_SETS)}.")
    kinds = [*FACE_SETS] if kind is None else [_known_kind(kind)]
    if kinds == [OWN]:
        found = names
    else:
        spelled = {_plain(name): name for one in kinds for name in FACE_SETS[one]}
        unknown = [name for name in names if _plain(name) not in spelled]
        if unknown:
            known = [name for one in kinds for name in FACE_SETS[one]]
            raise ValueError(f"Unknown coefficients: {_listed(unknown)}. {_nearest(unknown, known)} Names of your own: kind='own'.")
        found = tuple(spelled[_plain(name)] for name in names)
    repeated = sorted({name for name in found if found.count(name) > 1})
    if repeated:
        raise ValueError(f"Coefficients repeat: {_listed(repeated)}. Give every column a name of its own.")
    fitting = [one for one in kinds if one == OWN or set(found) <= set(FACE_SETS[one])]
    if not fitting:
        raise ValueError(
            f"The coefficients belong to different kinds: {_listed(list(found))}. Keep those of one of {', '.join(FACE_SETS)}."
        )
    return found, fitting[0]


def recognised_names(names: Sequence[str], kind: str) -> dict[int, str]:
    """Which of some names are coefficients of a kind, place to known name; of two for one coefficient the first.

    Example:
    >>> from hf_motion.face import recognised_names
    >>> recognised_names(["Basis", "JawOpen", "browDown_L"], "arkit-52")
    {1: 'jawOpen', 2: 'browDownLeft'}
    """
    spelled = {_plain(name): name for name in FACE_SETS[_known_kind(kind)]}
    places: dict[str, int] = {}
    for place, name in enumerate(names):
        if _plain(name) in spelled:
            places.setdefault(spelled[_plain(name)], place)
    return {place: name for name, place in places.items()}


def _known_kind(kind: str) -> str:
    if kind != OWN and kind not in FACE_SETS:
        raise ValueError(f"Unknown kind of face {kind!r}. Use one of {', '.join(FACE_SETS)}, or names and kind='own'.")
    return kind


def _checked(values: Any) -> np.ndarray:
    if hasattr(values, "detach"):
        values = values.detach().cpu().float().numpy()
    shape = getattr(values, "shape", None)
    if shape is not None and len(shape) == 2:
        check_face(*shape)
    try:
        with np.errstate(over="ignore"):  # what a float32 cannot hold becomes infinity, which is refused
            values = np.array(values, dtype=np.float32, order="C")
    except (TypeError, ValueError) as error:
        raise ValueError(f"coefficients must be an array of numbers of shape (frames, coefficients): {error}.") from error
    if values.ndim != 2 or not values.size:
        raise ValueError(f"coefficients must have shape (frames >= 1, coefficients >= 1), got {values.shape}.")
    check_face(*values.shape)
    finite = np.isfinite(values).all(axis=1)
    if not finite.all():
        frames = np.flatnonzero(~finite)
        raise ValueError(
            f"coefficients holds NaN or infinity in {len(frames)} of {len(values)} frames, first in frame {frames[0]}. "
            "Repair or drop these frames first."
        )
    return values


def _plain(name: str) -> str:
    """A name as it compares with others: `browDown_L` is `BrowDownLeft`."""
    name = re.sub(r"[_.\s-]([LR])$", lambda side: {"L": "Left", "R": "Right"}[side[1]], name.strip())
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _mirrored_names(names: Sequence[str]) -> list[str]:
    """For each name the one on the other side, itself where there is none."""
    swaps = {}
    for name in names:
        for left, right in _SIDES:
            other = re.sub(left, right, name)
            if other != name and other in names:
                swaps[name], swaps[other] = other, name
    return [swaps.get(name, name) for name in names]


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name[:60]) for name in names[:5])
    return shown + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _nearest(unknown: Sequence[str], known: Sequence[str]) -> str:
    found = {near: None for name in unknown[:5] for near in difflib.get_close_matches(name[:60], known, 2, 0.6)}
    return f"The nearest are {', '.join(found)}." if found else f"It could be {', '.join(known[:3])} and so on."
