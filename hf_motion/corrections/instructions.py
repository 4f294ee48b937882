"""Corrective instructions: sentences with what they change, sides exchanged by code, and a look for those that contradict each other."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..skeletons import HUMANML3D_22
from ..utils.extras import require
from ..utils.text import read_text
from .triplet import Change

INSTRUCTIONS = Path(__file__).with_name("instructions.yaml")
"""The instructions that come with the package."""

SPLITS = ("train", "val", "test")

_SIDES = (("left", "right"), ("right", "left"))
_WORD = re.compile(r"[^\W_]+")
_DEFAULT_MASKS = {
    "left arm": ("left_arm",), "right arm": ("right_arm",), "both arms": ("left_arm", "right_arm"), "left leg": ("left_leg",),
    "right leg": ("right_leg",), "both legs": ("lower_body",), "torso": ("upper_body",), "head": ("head",), "upper body": ("upper_body",),
    "lower body": ("lower_body",), "whole body": ("upper_body", "lower_body"),
}  # fmt: skip


@dataclass(frozen=True)
class Instruction:
    """A correction in words.

    Args:
        id (`str`): Name: the number of its entry in the file, and the side where it is about one.
        change (`Change`): What it says, without an amount.
        sentences (`tuple[str, ...]`): Wordings, the foremost first.
        mask (`tuple[str, ...]`): Body parts that an editor makes anew, see `Skeleton.body_parts`.
        split (`str`): `"train"`, or `"val"` or `"test"` for one that is held out.
        amounts (`tuple[float, float]`, *optional*): From where to where exact edits draw the amount, in the unit of the kind.
    """

    id: str
    change: Change
    sentences: tuple[str, ...]
    mask: tuple[str, ...]
    split: str = "train"
    amounts: tuple[float, float] | None = None

    @property
    def entry(self) -> str:
        """The entry that it comes from: the same for both sides."""
        return self.id.partition("-")[0]


def default_mask(part: str) -> tuple[str, ...]:
    """The body parts of a skeleton that a part of a change means.

    Args:
        part (`str`): One of `hf_motion.corrections.PARTS`.

    Example:
    >>> from hf_motion.corrections.instructions import default_mask
    >>> default_mask("both arms")
    ('left_arm', 'right_arm')
    """
    return _DEFAULT_MASKS[part]


def load_instructions(file: str | Path | None = None) -> tuple[Instruction, ...]:
    """Read instructions, both sides of those that are about one.

    Args:
        file (`str` or `pathlib.Path`, *optional*): YAML as in `instructions.yaml` of this folder, which is the default: a list of mappings
            with `change` (part, kind, direction), `says` (sentences), and maybe `mask` (body parts), `amount` (from, to) and `split`.

    Returns:
        `tuple[Instruction, ...]`: In the order of the file; of an entry with `{side}` the left one, then the right one.

    Raises:
        ValueError: If the file is malformed, or instructions contradict or repeat each other; the message names them.
        ImportError: If PyYAML is not installed.

    Example:
    >>> from hf_motion.corrections import load_instructions
    >>> load_instructions()[1].sentences[0]
    'Raise your right hand higher.'
    """
    return _packaged() if file is None else _load(Path(file))


@functools.cache
def _packaged() -> tuple[Instruction, ...]:
    return _load(INSTRUCTIONS)


def _load(file: Path) -> tuple[Instruction, ...]:
    yaml = require("yaml", "Reading instructions")
    try:
        entries = yaml.safe_load(read_text(file))
    except yaml.YAMLError as error:
        raise ValueError(f"{str(file)!r} is not YAML: {error}.") from error
    if not isinstance(entries, list) or not entries:
        raise ValueError(f"{str(file)!r} must be a list of instructions, see instructions.yaml of hf_motion/corrections.")
    made: list[Instruction] = []
    for number, entry in enumerate(entries, 1):
        try:
            made += _instructions(f"{number:03d}", entry)
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise ValueError(f"{str(file)!r}, entry {number}: {type(error).__name__}: {error}") from error
    check_instructions(made)
    return tuple(made)


def _instructions(name: str, entry: dict[str, Any]) -> list[Instruction]:
    unknown = set(entry) - {"change", "says", "mask", "amount", "split"}
    if unknown:
        raise ValueError(f"there is no {sorted(unknown)}; an instruction has change, says, mask, amount, split")
    part, kind, direction = entry["change"]
    sentences = [" ".join(str(sentence).split()) for sentence in entry["says"]]
    if not sentences or not all(sentences):
        raise ValueError("says must hold at least one sentence")
    split = entry.get("split", "train")
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
    low, high = entry.get("amount", (None, None))
    if (low is None) != (high is None) or (low is not None and not 0 <= low <= high):
        raise ValueError(f"amount must be two numbers, the smaller one first, got {entry['amount']!r}")
    sided = "{side}" in "".join([part, direction or "", *sentences])
    if sided and not all("{side}" in sentence for sentence in sentences):
        raise ValueError("{side} must stand in every sentence of an instruction about one side")
    made = []
    for side, other in _SIDES if sided else (("", ""),):

        def filled(text: str, side: str = side, other: str = other) -> str:
            return text.replace("{side}", side).replace("{other}", other)

        change = Change(filled(part), kind, filled(direction) if direction else None)
        mask = entry.get("mask", default_mask(change.part))
        masks = tuple(filled(one) for one in ([mask] if isinstance(mask, str) else mask))
        missing = [one for one in masks if one not in HUMANML3D_22.body_parts]
        if missing:
            raise ValueError(f"mask names {missing}; there are {', '.join(HUMANML3D_22.body_parts)}")
        amounts = None if low is None else (float(low), float(high))
        made.append(
            Instruction(f"{name}-{side}" if sided else name, change, tuple(map(filled, sentences)), masks, split, amounts)
        )  # fmt: skip
    return made


def check_instructions(instructions: Sequence[Instruction]) -> None:
    """See whether a sentence stands for two different changes, or twice for one.

    Case, punctuation and white space do not tell sentences apart.

    Args:
        instructions (`list[Instruction]`): All of them.

    Raises:
        ValueError: If so; the message names every such sentence with its changes, and the way out.
    """
    first: dict[str, Instruction] = {}
    contradictions, repetitions = [], []
    for one in instructions:
        for sentence in one.sentences:
            known = first.setdefault(plain(sentence), one)
            if known is one and [plain(other) for other in one.sentences].count(plain(sentence)) < 2:
                continue
            if known.change != one.change:
                contradictions.append(f"{sentence!r} ({known.id}: {_words(known.change)}; {one.id}: {_words(one.change)})")
            else:
                repetitions.append(f"{sentence!r} ({known.id}, {one.id})")
    if contradictions:
        raise ValueError(
            f"Instructions contradict each other: {', '.join(dict.fromkeys(contradictions))}. A sentence can stand for one change only: "
            "reword it in one of them, or give both the same change."
        )
    if repetitions:
        raise ValueError(f"Sentences come twice: {', '.join(dict.fromkeys(repetitions))}. Leave them out of one of the instructions.")


def plain(sentence: str) -> str:
    """A sentence without what does not tell it from another: case, punctuation, white space."""
    return " ".join(_WORD.findall(sentence.lower()))


def _words(change: Change) -> str:
    return " ".join(filter(None, (change.part, change.kind, change.direction)))
