"""What a corrective sentence names, by our own vocabulary: part, side, direction and kind. It says nothing rather than guess."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .lexicon import (
    ACTIONS,
    ADVERBS,
    ARM,
    CLAUSES,
    HEAD,
    KINDS,
    LEG,
    MOVING,
    PART_WORD,
    REFERENCES,
    STEPS,
    TOO,
    TORSO,
    UNDO,
)  # fmt: skip
from .triplet import CHANGE_KINDS, Change

_OPPOSITE = {
    one: other
    for pair in (
        ("up", "down"), ("out", "in"), ("forward", "backward"), ("more", "less"), ("faster", "slower"), ("earlier", "later"),
    )
    for one, other in (pair, pair[::-1])
}  # fmt: skip
_SIDE = re.compile(r"\b(left|right)\b")


@dataclass(frozen=True)
class Reading:
    """What a sentence names; empty where it names nothing that we know.

    Args:
        parts (`tuple[str, ...]`): Of `hf_motion.corrections.PARTS`.
        side (`str`, *optional*): `"left"` or `"right"`, where all parts that it names are on that side.
        directions (`tuple[str, ...]`): Of `CHANGE_KINDS`.
        kinds (`tuple[str, ...]`): Of `CHANGE_KINDS`, in the order of the directions.
    """

    parts: tuple[str, ...] = ()
    side: str | None = None
    directions: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()

    @property
    def change(self) -> Change | None:
        """The one change that the sentence says; None if it says none, or several."""
        if len(self.parts) != 1 or len(self.kinds) != 1 or len(self.directions) > 1:
            return None
        direction = self.directions[0] if self.directions else None
        return Change(self.parts[0], self.kinds[0], direction) if direction in CHANGE_KINDS[self.kinds[0]] else None

    def names(self, change: Change) -> dict[str, bool]:
        """Whether the sentence names the part, side and direction of a change.

        Args:
            change (`Change`): The truth.

        Returns:
            `dict[str, bool]`: `part`, `side` (also right where there is none), `direction` and `kind`.
        """
        return {
            "part": self.parts == (change.part,), "side": self.side == change.side,
            "direction": self.directions == ((change.direction,) if change.direction else ()), "kind": self.kinds == (change.kind,),
        }  # fmt: skip


def read_instruction(sentence: str) -> Reading:
    """Read what a corrective sentence names.

    Sentences of two clauses are read clause by clause where each names a change of its own. Negations turn directions round: "your hand
    is too high" and "do not raise your hand so high" say down.

    Args:
        sentence (`str`): English.

    Returns:
        `Reading`: Empty where nothing is known, the parts and the side alone where only they are.

    Example:
    >>> from hf_motion.corrections import read_instruction
    >>> read_instruction("lift the hand on the left side more")
    Reading(parts=('left arm',), side='left', directions=('up',), kinds=('height',))
    >>> read_instruction("Lovely weather today.")
    Reading(parts=(), side=None, directions=(), kinds=())
    """
    text = _normal(sentence)
    clauses = [reading for clause in CLAUSES.split(text) if (reading := _read(clause)).parts and reading.kinds]
    distinct = list(dict.fromkeys(clauses))
    if len(distinct) > 1 and all(one.change is not None for one in distinct):
        parts = tuple(dict.fromkeys(part for one in distinct for part in one.parts))
        sides = {one.side for one in distinct}
        return Reading(
            parts, sides.pop() if len(sides) == 1 else None, tuple(d for one in distinct for d in one.directions),
            tuple(kind for one in distinct for kind in one.kinds),
        )  # fmt: skip
    return _read(text)


def _normal(sentence: str) -> str:
    text = " ".join(sentence.lower().replace("\u2019", "'").replace("-", " ").split())
    return ADVERBS.sub(" ", text)


def _read(text: str) -> Reading:
    action = _action(text)
    text = REFERENCES.sub(" ", text)
    for kind in ("timing", "speed", "stride", "amplitude", "bend", "turn", "lean"):
        directions = _directions(kind, text)
        if len(directions) > 1:
            return Reading()
        if directions:
            part = _part(text, kind)
            if part is None:
                break
            return _reading(part, (kind,), directions)
    else:
        part = _part(text, "")
        if part is not None and part not in ("torso", "head", "upper body", "lower body", "whole body"):
            found = [(kind, direction) for kind in ("width", "reach", "height") for direction in _directions(kind, text)]
            kinds = tuple(kind for kind, _ in found)
            if found and len(set(kinds)) == len(kinds) and action is None:
                return _reading(part, kinds, tuple(direction for _, direction in found))
    if action is not None:
        return _reading(action, ("action",), ())
    part = _part(text, "")
    return Reading() if part is None else _reading(part, (), ())


def _reading(part: str, kinds: tuple[str, ...], directions: tuple[str, ...]) -> Reading:
    side = part.partition(" ")[0]
    return Reading((part,), side if side in ("left", "right") else None, directions, kinds)


def _directions(kind: str, text: str) -> tuple[str, ...]:
    """Directions of a kind that a clause says, once each, negations turned round."""
    needed, patterns = KINDS[kind]
    if not needed.search(text):
        return ()
    found: dict[str, None] = {}
    rest = text
    for direction, pattern in patterns.items():
        for match in pattern.finditer(rest):
            turned = UNDO.search(text) is not None or TOO.search(text[: match.start()][-24:]) is not None
            found[_OPPOSITE.get(direction, direction) if turned else direction] = None
        rest = pattern.sub(lambda match: " " * len(match[0]), rest)
    return tuple(found)


def _part(text: str, kind: str) -> str | None:
    """The one part that a clause names, or that its kind has by itself; None if there is none, or several."""
    if kind in ("lean", "turn"):
        named = [part for part, words in (("head", HEAD), ("torso", TORSO)) if words.search(text)]
        limbs = PART_WORD.search(text) is not None
        return named[0] if named else None if limbs else "torso"
    if kind == "stride" or (kind in ("speed", "timing") and STEPS.search(text) and not ARM.search(text)):
        return "both legs"
    if kind == "bend" and not ARM.search(text):
        return _limb(text, LEG, "leg") or "both legs"
    if re.search(r"\bupper body\b", text):
        return "upper body"
    if re.search(r"\blower body\b", text):
        return "lower body"
    arm, leg = _limb(text, ARM, "arm"), _limb(text, LEG, "leg")
    if arm and leg:
        return None
    if arm or leg:
        return arm or leg
    if HEAD.search(text) and kind == "":
        return "head"
    if TORSO.search(text) and kind == "":
        return "torso"
    return "whole body" if kind == "speed" and (MOVING.search(text) or not PART_WORD.search(text)) else None


def _limb(text: str, words: re.Pattern[str], name: str) -> str | None:
    """Which arm or leg a clause names: one side, or both; None if it does not say which of the two it means."""
    nouns = [match[0] for match in words.finditer(text)]
    if not nouns:
        return None
    sides = set(_SIDE.findall(text))
    if len(sides) == 2 or (re.search(r"\bboth\b", text) and not sides):
        return f"both {name}s"
    if sides:
        return f"{sides.pop()} {name}"
    return f"both {name}s" if any(noun.endswith("s") or noun in ("feet", "stance") for noun in nouns) else None


def _action(text: str) -> str | None:
    """The part of the action that a clause names."""
    halves = {half for half, pattern in ACTIONS.items() if pattern.search(text)}
    told = re.search(r"\b(upper|lower) body\b", text)
    half = f"{told[1]} body" if told and halves else halves.pop() if len(halves) == 1 else None
    if half is None:
        return None
    limb, words = ("arm", ARM) if half == "upper body" else ("leg", LEG)
    sides = set(_SIDE.findall(text))
    return f"{sides.pop()} {limb}" if len(sides) == 1 and words.search(text) else half
