"""What a text asks for, said so that it can be checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..metrics.occurrences import EVENTS, check_event

TASKS = ("integrity", "temporal", "frequency")
"""AToM's three questions: do all events happen, do they happen in order, does one happen as often as it should."""


@dataclass(frozen=True)
class Wanted:
    """One event that is asked for.

    Args:
        event (`str`): One of `hf_motion.metrics.occurrences.EVENTS`.
        options (`dict`): Its options, such as `{"side": "left"}`.
        count (`int`, *optional*): How often it should happen; once or more by default.

    Raises:
        ValueError: If the event is unknown, an option does not fit, or the count is not positive or of an event that is not counted.

    Example:
    >>> from hf_motion.rewards import Wanted
    >>> Wanted("jump", count=3)
    Wanted(event='jump', options={}, count=3)
    """

    event: str
    options: Mapping[str, str] = field(default_factory=dict)
    count: int | None = None

    def __post_init__(self) -> None:
        check_event(self.event, dict(self.options))
        if self.count is None:
            return
        if isinstance(self.count, bool) or not isinstance(self.count, int) or self.count < 1:
            raise ValueError(f"count of {self.event!r} must be a whole number from 1 on, got {self.count!r}.")
        if not EVENTS[self.event].counted:
            counted = ", ".join(name for name, event in EVENTS.items() if event.counted)
            raise ValueError(f"{self.event!r} goes on rather than happens, so it cannot be counted. These can: {counted}.")

    def __hash__(self) -> int:
        return hash((self.event, tuple(sorted(self.options.items())), self.count))


@dataclass(frozen=True)
class Specification:
    """All that a text asks for.

    Args:
        task (`str`): `"integrity"` (all events happen), `"temporal"` (they happen in order) or `"frequency"` (one event, counted).
        events (`tuple[Wanted, ...]`): What should happen, in order of the text. Integrity takes from 1 on, the paper 2 to 5; temporal from
            2 on, the paper 3; frequency 1 with a count.

    Raises:
        ValueError: If the task is unknown or the events do not fit it.

    Example:
    >>> from hf_motion.rewards import Specification
    >>> Specification.from_dict({"task": "temporal", "events": ["walk", {"event": "wave", "side": "left"}, {"event": "jump", "count": 2}]})
    Specification(task='temporal', events=(Wanted(event='walk', ...), Wanted(event='wave', ...), Wanted(event='jump', ..., count=2)))
    """

    task: str
    events: tuple[Wanted, ...]

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise ValueError(f"task must be one of {', '.join(map(repr, TASKS))}, got {self.task!r}.")
        least = {"integrity": 1, "temporal": 2, "frequency": 1}[self.task]
        if len(self.events) < least or (self.task == "frequency" and len(self.events) > 1):
            raise ValueError(f"The {self.task} task takes {'one event' if self.task == 'frequency' else f'{least} events or more'}, "
                             f"got {len(self.events)}.")  # fmt: skip
        if self.task == "frequency" and self.events[0].count is None:
            raise ValueError(f"The frequency task needs a count of {self.events[0].event!r}.")

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Specification:
        """Read a mapping of `task` and `events`: names, or mappings of `event`, `count` and options.

        Raises:
            ValueError: If something in it does not fit.
        """
        try:
            events = []
            for one in content["events"]:
                fields: dict[str, Any] = (
                    {"event": one} if isinstance(one, str) else {name: value for name, value in one.items() if value is not None}
                )
                events.append(Wanted(fields.pop("event"), count=fields.pop("count", None), options=fields))
            return cls(content["task"], tuple(events))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"A specification is a mapping such as {{'task': 'frequency', 'events': [{{'event': 'jump', 'count': 3}}]}}, "
                f"got {content!r:.200}: {type(error).__name__}: {error}."
            ) from error

    @classmethod
    def from_json(cls, text: str) -> Specification:
        """Read what `to_json` wrote.

        Raises:
            ValueError: If it is not JSON, or something in it does not fit.
        """
        try:
            content = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"A specification is JSON, got {text!r:.200}: {error}.") from error
        return cls.from_dict(content)

    def to_dict(self) -> dict[str, Any]:
        """A mapping that `from_dict` reads."""
        events = [
            {"event": one.event, **one.options, **({} if one.count is None else {"count": one.count})} for one in self.events
        ]  # fmt: skip
        return {"task": self.task, "events": events}

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(self.to_dict(), sort_keys=True)
