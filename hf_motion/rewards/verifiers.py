"""Verifiers: do the events of a specification happen, in order, as often as asked? From the joints alone, without a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..metrics.occurrences import Occurrence, occurrences
from ..motion import Motion
from .base import Reward, check_lengths
from .specification import Specification, Wanted

SCALES = ("criteria", "share")


@dataclass(frozen=True)
class Verdict:
    """What a verifier found.

    Args:
        specification (`Specification`): What was asked for.
        found (`tuple[tuple[Occurrence, ...], ...]`): Every time that each event happens, by event.
        in_order (`bool`): Whether all events happen one after the other, in the order that was asked for.
    """

    specification: Specification
    found: tuple[tuple[Occurrence, ...], ...]
    in_order: bool

    @property
    def counts(self) -> tuple[int, ...]:
        """How often each event happens."""
        return tuple(map(len, self.found))

    @property
    def missing(self) -> tuple[Wanted, ...]:
        """Events that do not happen."""
        return tuple(wanted for wanted, count in zip(self.specification.events, self.counts, strict=True) if not count)

    @property
    def counted_right(self) -> bool:
        """Whether every event with a count happens that often."""
        return all(
            wanted.count is None or wanted.count == count for wanted, count in zip(self.specification.events, self.counts, strict=True)
        )

    @property
    def correct(self) -> bool:
        """Whether the motion is all that was asked for."""
        ordered = self.in_order or self.specification.task != "temporal"
        return not self.missing and ordered and self.counted_right

    @property
    def rating(self) -> int:
        """The rating that the criteria of the task give (AToM, Tables 7 to 9): integrity 0 or 5, temporal 1 to 5, frequency 1 to 3.

        The temporal scale is made for three events, and its 1 stands for none of them; with other numbers of events it says how many are
        missing just so, and not less than 1.
        """
        if self.specification.task == "integrity":
            return 5 if self.correct else 0
        if self.specification.task == "temporal":
            return (5 if self.correct else 4) if not self.missing else max(1, 4 - len(self.missing))
        return 1 if self.missing else 3 if self.counted_right else 2

    @property
    def share(self) -> float:
        """How much of it is right, 0 ... 1: finer than `rating`, for when the best of several imperfect motions is wanted.

        The mean over the events of 1 for one that happens, 0 for a missing one and, with a count, 1 / (1 + how far the count is off). For
        the temporal task, the mean of that and of the share of neighbours that are in order.
        """
        parts = [
            0.0 if not count else 1.0 if wanted.count is None else 1 / (1 + abs(wanted.count - count))
            for wanted, count in zip(self.specification.events, self.counts, strict=True)
        ]
        events = sum(parts) / len(parts)
        if self.specification.task != "temporal":
            return events
        pairs = list(zip(self.found[:-1], self.found[1:], strict=True))
        return (events + sum(_in_order(pair) for pair in pairs) / len(pairs)) / 2

    def rationale(self) -> str:
        """In words."""
        told = []
        for wanted, count in zip(self.specification.events, self.counts, strict=True):
            name = " ".join([*wanted.options.values(), wanted.event.replace("_", " ")])
            told.append(f"{name} {count} of {wanted.count} times" if wanted.count else f"{name} {'found' if count else 'missing'}")
        ordered = "" if self.specification.task != "temporal" or self.missing else ", in order" if self.in_order else ", in wrong order"
        return ", ".join(told) + ordered


def verify(motion: Motion, specification: Specification) -> Verdict:
    """Look for the events of a specification.

    Args:
        motion (`Motion`): On a skeleton with the joint names of `humanml3d-22`.
        specification (`Specification`): What to look for. An event that is wanted several times in the specification must be found at as
            many places.

    Returns:
        `Verdict`: What was found.

    Raises:
        ValueError: If the skeleton has other joints.

    Example:
    >>> import numpy as np
    >>> from hf_motion import Motion
    >>> from hf_motion.rewards import Specification, verify
    >>> from hf_motion.skeletons import HUMANML3D_22
    >>> pose = np.zeros((22, 3))
    >>> for parent, joint in HUMANML3D_22.bones:
    ...     pose[joint] = pose[parent] + HUMANML3D_22.rest_offsets[joint]
    >>> still = Motion(np.tile(pose, (40, 1, 1)))
    >>> verdict = verify(still, Specification.from_dict({"task": "integrity", "events": ["stand", "jump"]}))
    >>> verdict.counts, verdict.rating, verdict.rationale()
    ((1, 0), 0, 'stand found, jump missing')
    """
    found = tuple(tuple(occurrences(motion, wanted.event, **wanted.options)) for wanted in specification.events)
    return Verdict(specification, _apart(specification, found), _in_order(found))


def _apart(specification: Specification, found: tuple[tuple[Occurrence, ...], ...]) -> tuple[tuple[Occurrence, ...], ...]:
    """Without counts, an event that is wanted twice has to be found twice: the last of them are missing otherwise."""
    seen: dict[Wanted, int] = {}
    left = []
    for wanted, places in zip(specification.events, found, strict=True):
        earlier = seen.get(wanted, 0)
        seen[wanted] = earlier + 1
        left.append(places[earlier:] if wanted.count is None else places)
    return tuple(left)


def _in_order(found: Sequence[Sequence[Occurrence]]) -> bool:
    """Whether one place of each event can be chosen so that their middles follow each other.

    The earliest that still fits is chosen each time; if any choice works, this one does.
    """
    after = -1.0
    for places in found:
        later = [place.middle for place in places if place.middle > after]
        if not later:
            return False
        after = min(later)
    return True


class VerifierReward(Reward):
    """Ratings by verifiers.

    Args:
        scale (`str`, defaults to `"criteria"`): `"criteria"`: the task's own ratings, `Verdict.rating`; `"share"`: `Verdict.share`.
        specifications (`dict[str, Specification]`, *optional*): What texts ask for, for calls that do not say it.

    Raises:
        ValueError: If the scale is unknown.
    """

    name = "verifier"

    def __init__(self, scale: str = "criteria", specifications: Mapping[str, Specification] | None = None) -> None:
        if scale not in SCALES:
            raise ValueError(f"scale must be one of {', '.join(map(repr, SCALES))}, got {scale!r}.")
        self.scale, self.specifications = scale, dict(specifications or {})

    def __call__(
        self, motions: Sequence[Motion], texts: Sequence[str], specifications: Sequence[Specification | None] | None = None
    ) -> list[float]:
        """Score motions; see `Reward`.

        Raises:
            ValueError: If the lists differ in length, or nothing says what a text asks for: it is not guessed.
        """
        check_lengths(motions, texts, specifications)
        given = specifications if specifications is not None else [None] * len(motions)
        asked = [self._specification(text, one) for text, one in zip(texts, given, strict=True)]
        verdicts = [verify(motion, one) for motion, one in zip(motions, asked, strict=True)]
        return [float(verdict.rating if self.scale == "criteria" else verdict.share) for verdict in verdicts]

    def settings(self) -> dict[str, Any]:
        """See `Reward.settings`."""
        return {"reward": self.name, "scale": self.scale}

    def rationale(self, motion: Motion, text: str, specification: Specification | None = None) -> str | None:
        """What was found, in words."""
        return verify(motion, self._specification(text, specification)).rationale()

    def _specification(self, text: str, specification: Specification | None) -> Specification:
        found = specification or self.specifications.get(text)
        if found is None:
            raise ValueError(
                f"There is no specification of {text!r}, and verifiers do not guess what a text asks for. Pass specifications=[...], or "
                "score it with another reward."
            )
        return found
