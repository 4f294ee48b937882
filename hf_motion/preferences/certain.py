"""Pairs whose better one is certain, because the worse one was made worse: cut from real clips and put together."""

from __future__ import annotations

import logging
import random
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..canonical import uniform_skeleton
from ..data.motion_text import read_row
from ..floor import level_floor
from ..motion import Motion
from ..rewards.specification import Specification, Wanted
from ..utils.extras import require
from ..utils.text import read_text
from .pairs import Pair
from .prompts import compose, options, words

logger = logging.getLogger("hf_motion")

KINDS = ("wrong order", "missing event", "wrong count", "broken motion")
FPS = 20.0
LONGEST = 9.8
"""Seconds: what evaluators read of a motion."""

_ACTIONS = Path(__file__).with_name("certain.yaml")
_TRIES = 500


class Action(NamedTuple):
    """An action and the clips that show it.

    Args:
        wanted (`Wanted`): The event.
        says (`str`): In words, after a subject.
        once (`bool`): Whether each clip shows it exactly once.
        clips (`list[tuple[str, Motion]]`): Ids and motions.
    """

    wanted: Wanted
    says: str
    once: bool
    clips: list[tuple[str, Motion]]


def find_actions(rows: Iterable[dict[str, Any]], file: Path = _ACTIONS, min_clips: int = 5) -> list[Action]:
    """Sort clips of a data set by the actions that their captions name, all on one body and with feet on the floor.

    Args:
        rows (`datasets.Dataset`): Captioned motion, see `hf_motion.data.motion_text.load_motion_rows`.
        file (`pathlib.Path`, *optional*): Which captions mean which action; `certain.yaml` beside this module by default.
        min_clips (`int`, defaults to 5): Leave out actions with fewer clips, which a warning says: they would come again and again.

    Returns:
        `list[Action]`: The actions.

    Raises:
        ValueError: If the file has the wrong form, a row is unreadable, or no caption names any action.
    """
    described = _read(file)
    found: list[list[tuple[str, Motion]]] = [[] for _ in described]
    captions = 0
    for row in rows:
        motion, texts = read_row(row, "humanml3d-22")
        captions += len(texts)
        named = [index for index, one in enumerate(described) if any(one["pattern"].search(text.lower()) for text in texts)]
        if len(named) == 1:  # one that names two does more than one thing
            (index,) = named
            cut = _cut(motion.resample(FPS), described[index].get("cut"))
            if cut.duration <= described[index].get("longest", LONGEST):
                found[index].append((str(row["id"]), level_floor(uniform_skeleton(cut))))
    actions = [
        Action(Wanted(one["event"], options(one)), one["says"], bool(one.get("once")), clips)
        for one, clips in zip(described, found, strict=True)
        if len(clips) >= min_clips
    ]
    rare = [f"{one['says']} ({len(clips)})" for one, clips in zip(described, found, strict=True) if 0 < len(clips) < min_clips]
    if rare:
        logger.warning("Left out for fewer than %d clips: %s.", min_clips, ", ".join(rare))
    if not actions:
        raise ValueError(
            f"Of {captions} captions not enough name an action of {str(file)!r}. Give a file with captions of this data set, or lower "
            "min_clips."
        )
    return actions


def certain_pairs(actions: Sequence[Action], count: int, seed: int = 0, kinds: Sequence[str] = KINDS) -> list[Pair]:
    """Make pairs whose better one is certain by construction.

    | kind | better | worse |
    |---|---|---|
    | wrong order | three actions in the order of the text | the same clips in another order |
    | missing event | two to four actions of the text | one of them left out, or another action in its place |
    | wrong count | an action as often as the text says, 2 to 4 times | more or less often, 1 to 5 times |
    | broken motion | one to three actions of the text | the same, shaken, with shuffled pieces, or leaving the floor |

    Clips follow each other without a transition, on both sides alike. No pair is longer than `LONGEST`.

    Args:
        actions (`list[Action]`): See `find_actions`.
        count (`int`): How many pairs, as many of each kind as of the others.
        seed (`int`, defaults to 0): All chance comes from it.
        kinds (`Sequence[str]`, defaults to all of `KINDS`): Kinds to make.

    Returns:
        `list[Pair]`: The pairs.

    Raises:
        ValueError: If a kind is unknown, or the clips do not suffice for one: too few actions, or all too long.
    """
    unknown = set(kinds) - set(KINDS)
    if unknown or not kinds:
        raise ValueError(f"kinds must be some of {', '.join(map(repr, KINDS))}, got {sorted(unknown) or list(kinds)!r}.")
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}.")
    draw = random.Random(f"certain/{seed}")
    makers = {"wrong order": _wrong_order, "missing event": _missing, "wrong count": _wrong_count, "broken motion": _broken}
    pairs = []
    for number in range(count):
        kind = kinds[number % len(kinds)]
        for _ in range(_TRIES):
            made = makers[kind](actions, draw)
            if made is not None and max(made[2].duration, made[3].duration) <= LONGEST:
                break
        else:
            names = ", ".join(f"{action.says} ({len(action.clips)})" for action in actions)
            raise ValueError(
                f"The clips do not suffice for {kind!r}: at most {LONGEST:g} s of {names}. Give more actions or shorter clips."
            )
        text, specification, better, worse, sources = made
        better, worse = (replace(motion, text=text) for motion in (better, worse))
        pairs.append(Pair(f"{kind.replace(' ', '_')}_{number:05d}", text, better, worse, specification, kind, {"sources": sources}))
    return pairs


_Made = tuple[str, Specification, Motion, Motion, list[str]]


def _wrong_order(actions: Sequence[Action], draw: random.Random) -> _Made | None:
    chosen = _apart(actions, 3, draw)
    if chosen is None:
        return None
    clips = [draw.choice(action.clips) for action in chosen]
    order = draw.choice([[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]])
    text = compose([action.says for action in chosen], words()["ordering"], draw)
    specification = Specification("temporal", tuple(action.wanted for action in chosen))
    return text, specification, _joined(clips), _joined([clips[index] for index in order]), [name for name, _ in clips]


def _missing(actions: Sequence[Action], draw: random.Random) -> _Made | None:
    chosen = _apart(actions, draw.choice([2, 3, 4]), draw)
    if chosen is None:
        return None
    clips = [draw.choice(action.clips) for action in chosen]
    gone = draw.randrange(len(clips))
    worse = [*clips]
    others = [action for action in actions if action.wanted.event not in {one.wanted.event for one in chosen}]
    if others and draw.random() < 0.5:
        worse[gone] = draw.choice(draw.choice(others).clips)
    else:
        del worse[gone]
    text = compose([action.says for action in chosen], words()["conjunctions"], draw)
    specification = Specification("integrity", tuple(action.wanted for action in chosen))
    return text, specification, _joined(clips), _joined(worse), [name for name, _ in clips]


def _wrong_count(actions: Sequence[Action], draw: random.Random) -> _Made | None:
    single = [action for action in actions if action.once]
    if not single:
        return None
    action = draw.choice(single)
    right = draw.choice([2, 3, 4])
    wrong = draw.choice([number for number in range(1, 6) if number != right])
    clips = [draw.choice(action.clips) for _ in range(max(right, wrong))]
    text = compose([f"{action.says} {draw.choice(words()['frequencies'][right])}"], [], draw)
    specification = Specification("frequency", (replace(action.wanted, count=right),))
    return text, specification, _joined(clips[:right]), _joined(clips[:wrong]), [name for name, _ in clips]


def _broken(actions: Sequence[Action], draw: random.Random) -> _Made | None:
    chosen = _apart(actions, draw.choice([1, 2, 3]), draw)
    if chosen is None:
        return None
    clips = [draw.choice(action.clips) for action in chosen]
    better = _joined(clips)
    noise = np.random.default_rng(draw.randrange(2**32))
    way = draw.choice((_shaken, _shuffled, _floating))
    text = compose([action.says for action in chosen], words()["ordering"], draw)
    specification = Specification("integrity", tuple(action.wanted for action in chosen))
    return text, specification, better, way(better, noise), [name for name, _ in clips]


def _shaken(motion: Motion, noise: np.random.Generator) -> Motion:
    """Every joint trembles by itself, 4 cm."""
    return replace(motion, joints=motion.joints + noise.normal(0, 0.04, motion.joints.shape))


def _shuffled(motion: Motion, noise: np.random.Generator) -> Motion:
    """Pieces of a third of a second in another order."""
    pieces = np.array_split(np.arange(len(motion)), max(3, round(motion.duration * 3)))
    return replace(motion, joints=motion.joints[np.concatenate([pieces[index] for index in noise.permutation(len(pieces))])])


def _floating(motion: Motion, noise: np.random.Generator) -> Motion:
    """Rises off the floor steadily, by one to two metres."""
    height = np.linspace(0, noise.uniform(1, 2), len(motion))[:, None, None]
    return replace(motion, joints=motion.joints + height * [0, 1, 0])


def _apart(actions: Sequence[Action], number: int, draw: random.Random) -> list[Action] | None:
    """Different events: two that look alike, such as raising a hand and waving it, do not stand in one text."""
    left, chosen = list(actions), []
    for _ in range(number):
        if not left:
            return None
        action = draw.choice(left)
        chosen.append(action)
        left = [one for one in left if not _alike(one.wanted, action.wanted)]
    return chosen


def _alike(one: Wanted, other: Wanted) -> bool:
    return bool(_parts(one) & _parts(other))


def _parts(wanted: Wanted) -> set[str]:
    """What a verifier looks at: two events that share it could be taken for each other."""
    if wanted.event in ("wave", "raise_hand"):
        side = wanted.options.get("side", "any")
        return {f"{side} hand"} if side in ("left", "right") else {"left hand", "right hand", f"{side} hands"}
    if wanted.event in ("walk", "run"):
        return {"backward" if wanted.options.get("direction") == "backward" else "forward"}
    return {{"squat": "legs", "lunge": "legs"}.get(wanted.event, wanted.event)}


def _cut(motion: Motion, seconds: float | None) -> Motion:
    if seconds is None or motion.duration <= seconds:
        return motion
    frames = round(seconds * motion.fps)
    start = (len(motion) - frames) // 2
    return motion[start : start + frames]


def _joined(clips: Sequence[tuple[str, Motion]]) -> Motion:
    return Motion.concatenate([motion for _, motion in clips])


def _read(file: Path) -> list[dict[str, Any]]:
    yaml = require("yaml", "Reading the actions")
    try:
        described: list[dict[str, Any]] = yaml.safe_load(read_text(file))
        for one in described:
            Wanted(one["event"], options(one))
            one["pattern"] = re.compile(one["caption"], re.IGNORECASE)
            one["says"] = str(one["says"])
    except (yaml.YAMLError, re.error, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{str(file)!r} does not name actions as certain.yaml does: {type(error).__name__}: {error}.") from error
    return described


def summary(pairs: Sequence[Pair]) -> str:
    """How many pairs of each kind."""
    return ", ".join(f"{count} {kind}" for kind, count in Counter(pair.kind for pair in pairs).items())
