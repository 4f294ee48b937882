"""What a motion language model is asked: wordings with placeholders, by task."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...utils.extras import require
from ...utils.faults import reading
from ...utils.text import read_text

TASKS: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "text_to_motion": (frozenset({"text"}), frozenset({"seconds", "frames", "video"})),
    "motion_to_text": (frozenset({"motion"}), frozenset()),
    "prediction": (frozenset({"motion"}), frozenset({"text", "seconds", "frames"})),
    "in_between": (frozenset({"start", "end"}), frozenset({"text", "seconds", "frames"})),
    "motion_correction": (frozenset({"source", "target"}), frozenset()),
}
"""Tasks, each with the placeholders that all its wordings have, and those that some may have."""

_BUILT_IN = Path(__file__).parent / "templates.yaml"
_PLACEHOLDER = re.compile(r"\{(\w*)\}")


class Instructions:
    """Wordings by task.

    Args:
        templates (`Mapping[str, Sequence[str]]`): For each task of `TASKS` at least one wording; a task that is left out cannot be asked.

    Raises:
        ValueError: If a task or a placeholder is unknown, or a wording lacks one that its task needs.

    Example:
        >>> instructions = Instructions({"text_to_motion": ["Generate motion: {text}", "Generate {seconds} s of motion: {text}"]})
        >>> instructions("text_to_motion", text="a person walks")
        'Generate motion: a person walks'
        >>> instructions("text_to_motion", text="a person walks", seconds="2.0")
        'Generate 2.0 s of motion: a person walks'
    """

    def __init__(self, templates: Mapping[str, Sequence[str]]) -> None:
        if not isinstance(templates, Mapping) or not templates:
            raise ValueError(f"Instructions are wordings by task, {', '.join(TASKS)}; got {templates!r}.")
        self.templates = {str(task): _checked(str(task), wordings) for task, wordings in templates.items()}

    @classmethod
    def from_file(cls, path: str | Path | None = None) -> Instructions:
        """Read a YAML file, the one of this package by default.

        Args:
            path (`str` or `pathlib.Path`, *optional*): A mapping of tasks to lists of wordings.

        Raises:
            OSError: If it cannot be read.
            ValueError: If it is no such file; the message names it.
        """
        yaml = require("yaml", "Reading instructions")
        path = Path(path or _BUILT_IN)
        with reading(path, "a YAML file of instructions"):
            return cls(yaml.safe_load(read_text(path)))

    def add(self, other: Instructions) -> None:
        """Take the wordings of others too, behind the own ones."""
        for task, wordings in other.templates.items():
            known = self.templates.setdefault(task, [])
            known += [wording for wording in wordings if wording not in known]

    def __call__(self, task: str, draw: random.Random | None = None, **values: Any) -> str:
        """The question: of the wordings that need nothing but these values, those that say most of them; the first, or a random one.

        Args:
            task (`str`): One of `TASKS`.
            draw (`random.Random`, *optional*): Draws the wording.
            **values: What stands in the place of the placeholders.

        Raises:
            ValueError: If no wording fits.
        """
        wordings = self.templates.get(task, [])
        fitting = [(len(names & values.keys()), wording) for wording in wordings if (names := _names(wording)) <= values.keys()]
        if not fitting:
            raise ValueError(
                f"These instructions have no wording of {task!r} that says {', '.join(sorted(values))} and nothing else; they have "
                f"{ {name: len(found) for name, found in self.templates.items()} }. Add one to the file of instructions."
            )
        most = max(said for said, _ in fitting)
        best = [wording for said, wording in fitting if said == most]
        wording = best[0] if draw is None else draw.choice(best)
        return _PLACEHOLDER.sub(lambda match: str(values[match[1]]), wording)


def _names(wording: str) -> set[str]:
    return set(_PLACEHOLDER.findall(wording))


def _checked(task: str, wordings: Any) -> list[str]:
    if task not in TASKS:
        raise ValueError(f"Unknown task {task!r}; tasks are {', '.join(map(repr, TASKS))}.")
    if not isinstance(wordings, (list, tuple)) or not wordings or not all(isinstance(wording, str) for wording in wordings):
        raise ValueError(f"{task} must have a list of at least one wording, got {wordings!r}.")
    needed, further = TASKS[task]
    for wording in wordings:
        names = _names(wording)
        if unknown := sorted(names - needed - further):
            known = ", ".join(f"{{{name}}}" for name in sorted(needed | further))
            raise ValueError(f"{task}: {wording!r} has the placeholder {{{unknown[0]}}}; it may have {known}.")
        if missing := sorted(needed - names):
            raise ValueError(f"{task}: {wording!r} lacks {{{missing[0]}}}.")
    return list(wordings)
