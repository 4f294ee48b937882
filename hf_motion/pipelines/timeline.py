"""Several sentences in a row, each with its seconds: how timelines are written and read."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

from ..utils.text import check_prompts

SHORTEST_SECONDS = 0.5
"""Shorter segments show nothing: a step takes that long."""

SPLIT_SECONDS = 3.0
"""Length of each part of a sentence that is split without a length being asked for."""

_THEN = re.compile(r"\s*(?:[,;.]\s*)?\b(?:and\s+)?(?:then|afterwards|after\s+that|next|finally)\b\s*,?\s*|\s*[;.]\s+(?=\w)", re.IGNORECASE)
_SUBJECT = re.compile(
    r"^((?:an?|the|some|this|that|one)\s+(?:\w+\s+){0,2}?(?:person|man|woman|figure|human|character|boy|girl|child|kid|guy|lady|dancer|"
    r"player|athlete|actor|someone|body)|someone|somebody|he|she|they|it|we|you|i)\b\s+",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Segment:
    """One sentence of a timeline, and how long it goes on.

    Args:
        text (`str`): What to do.
        seconds (`float`): For how long.
    """

    text: str
    seconds: float


def as_timeline(timeline: Any) -> list[Segment]:
    """A timeline in any of its forms, checked.

    Args:
        timeline (`str` or a sequence): `"walks:3; waves the right hand:3"`, or pairs `[("a person walks", 3.0), ...]`, or `Segment`s.

    Raises:
        ValueError: If there is no segment, one is not a sentence and a number of seconds, or is too short; the message names it.

    Example:
        >>> as_timeline("a person walks: 3; a person waves: 2.5")
        [Segment(text='a person walks', seconds=3.0), Segment(text='a person waves', seconds=2.5)]
    """
    if isinstance(timeline, str):
        timeline = [_pair(part, number) for number, part in enumerate(filter(str.strip, timeline.split(";")), 1)]
    if not isinstance(timeline, Sequence) or not len(timeline):
        raise ValueError(f'A timeline is a list of sentences with seconds, [("a person walks", 3.0), ...], got {timeline!r}.')
    segments = []
    for number, item in enumerate(timeline, 1):
        text, seconds = (item.text, item.seconds) if isinstance(item, Segment) else _two(item, number)
        if isinstance(seconds, bool) or not isinstance(seconds, Real) or not math.isfinite(seconds):
            raise ValueError(f"Segment {number} of the timeline ({text!r}) lasts {seconds!r}; give a number of seconds.")
        if seconds < SHORTEST_SECONDS:
            raise ValueError(
                f"Segment {number} of the timeline ({text!r}) lasts {seconds:g} s; the shortest that shows anything lasts "
                f"{SHORTEST_SECONDS:g} s."
            )
        segments.append(Segment(check_prompts(text)[0], float(seconds)))
    return segments


def split_sentence(sentence: str, seconds: float | None = None) -> list[Segment]:
    """A sentence that tells of several actions in a row as a timeline.

    It is cut at "then", "and then", "after that", "afterwards", "next", "finally", at semicolons and between sentences. A part that does
    not name who acts gets the subject of the first. "and" alone does not cut: what it joins may happen at once.

    Args:
        sentence (`str`): Such as `"a person walks, then turns left and finally waves"`.
        seconds (`float`, *optional*): Length of the whole, shared equally; three seconds for each part by default.

    Example:
        >>> [segment.text for segment in split_sentence("a person walks, then turns left and finally waves")]
        ['a person walks', 'a person turns left', 'a person waves']
    """
    whole = check_prompts(sentence)[0].strip().rstrip(".")
    parts = [part.strip(" ,.") for part in _THEN.split(whole)]
    parts = [re.sub(r"^and\s+", "", part, flags=re.IGNORECASE) for part in parts if part.strip(" ,.")] or [whole]
    found = _SUBJECT.match(parts[0])
    subject = found[1] if found else ""
    parts = [part if not index or _SUBJECT.match(part) or not subject else f"{subject} {part}" for index, part in enumerate(parts)]
    each = SPLIT_SECONDS if seconds is None else seconds / len(parts)
    return as_timeline([(part, each) for part in parts])


def _pair(part: str, number: int) -> tuple[str, float]:
    text, mark, seconds = part.rpartition(":")
    try:
        if mark:
            return text.strip(), float(seconds.strip().removesuffix("s"))
    except ValueError:
        pass
    raise ValueError(f'Segment {number} of the timeline is {part.strip()!r}; write "sentence: seconds", such as "walks: 3".')


def _two(item: Any, number: int) -> tuple[Any, Any]:
    if isinstance(item, str) or not isinstance(item, Sequence) or len(item) != 2:
        raise ValueError(f'Segment {number} of the timeline is {item!r}; give a sentence and seconds, ("a person walks", 3.0).')
    return item[0], item[1]
