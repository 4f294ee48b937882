"""Prompts for preference data, each with what it asks for: from our own templates, or worded by a chat model."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ..rewards.chat import Chat, ChatFailure, say
from ..rewards.specification import TASKS, Specification, Wanted
from ..utils.extras import require
from ..utils.text import tidy_text

EVENT_NUMBERS = {2: 250, 3: 1500, 4: 500, 5: 250}
"""How many integrity prompts have how many events: AToM, Table 4."""

_WORDS = Path(__file__).with_name("prompts.yaml")
_LONGEST = 60  # words of a prompt


@dataclass(frozen=True)
class Prompt:
    """A text to make motions of.

    Args:
        text (`str`): What to do.
        specification (`Specification`): The same, so that it can be checked.
        labels (`tuple[str, ...]`): The label group that it was made of.
        seconds (`float`): How long it takes.
    """

    text: str
    specification: Specification
    labels: tuple[str, ...]
    seconds: float


@cache
def words() -> dict[str, Any]:
    """What prompts are made of, as `prompts.yaml` holds it.

    Raises:
        ImportError: If PyYAML is not installed.
    """
    content: dict[str, Any] = require("yaml", "Making prompts").safe_load(_WORDS.read_text(encoding="utf-8"))
    return content


def make_prompts(task: str, count: int, seed: int = 0) -> list[Prompt]:
    """Put prompts together by templates. All are different.

    Args:
        task (`str`): `"integrity"` (2 to 5 events, in the shares of `EVENT_NUMBERS`), `"temporal"` (3 events) or `"frequency"`
            (one event, 1 to 5 times).
        count (`int`): How many.
        seed (`int`, defaults to 0): All chance comes from it.

    Returns:
        `list[Prompt]`: The prompts.

    Raises:
        ValueError: If the task is unknown, the count not positive, or there are not so many different prompts.

    Example:
    >>> from hf_motion.preferences import make_prompts
    >>> prompt = make_prompts("frequency", 1)[0]
    >>> prompt.text, prompt.specification.to_json()
    ('a woman waves with the right hand four times', '{"events": [{"count": 4, "event": "wave", "side": "right"}], "task": "frequency"}')
    """
    if task not in TASKS:
        raise ValueError(f"task must be one of {', '.join(map(repr, TASKS))}, got {task!r}.")
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}.")
    draw = random.Random(f"{task}/{seed}")
    numbers = {"integrity": event_numbers(count), "temporal": [3] * count, "frequency": [1] * count}[task]
    prompts: dict[str, Prompt] = {}
    for number in numbers:
        for _ in range(200):
            prompt = _frequency(draw) if task == "frequency" else _several(task, number, draw)
            if prompt.text not in prompts:
                prompts[prompt.text] = prompt
                break
        else:
            raise ValueError(f"There are no {count} different {task} prompts in our templates; found {len(prompts)}. Ask for fewer.")
    return list(prompts.values())


def event_numbers(count: int) -> list[int]:
    """How many events each of `count` integrity prompts has, in the shares of `EVENT_NUMBERS`, the largest remainders rounded up.

    Example:
    >>> from hf_motion.preferences.prompts import event_numbers
    >>> event_numbers(10)
    [2, 3, 3, 3, 3, 3, 3, 4, 4, 5]
    """
    total = sum(EVENT_NUMBERS.values())
    exact = {number: count * share / total for number, share in EVENT_NUMBERS.items()}
    whole = {number: int(value) for number, value in exact.items()}
    for number in sorted(exact, key=lambda number: whole[number] - exact[number])[: count - sum(whole.values())]:
        whole[number] += 1
    return [number for number, times in whole.items() for _ in range(times)]


def with_chat(prompts: Sequence[Prompt], chat: Chat, attempts: int = 3, seed: int = 0) -> tuple[list[Prompt], Counter[str]]:
    """Let a chat model word prompts, by the instructions of AToM's Tables 3, 5 and 6. What they ask for stays.

    Args:
        prompts (`list[Prompt]`): As `make_prompts` gives them: their labels are what the model is told.
        chat (`Chat`): The model.
        attempts (`int`, defaults to 3): How often it is asked for a usable answer.
        seed (`int`, defaults to 0): Draws the conjunctions that it is shown.

    Returns:
        `tuple[list[Prompt], Counter]`: Those that were worded, and the outcomes: `"worded"`, or why a prompt was left out.

    Raises:
        ChatFailure: If the server is not there, or turns requests down.
    """
    worded, outcomes, draw = [], Counter[str](), random.Random(seed)
    for prompt in prompts:
        text, outcome = _ask(prompt, chat, attempts, draw)
        outcomes[outcome] += 1
        if text is not None:
            worded.append(Prompt(text, prompt.specification, prompt.labels, prompt.seconds))
    return worded, outcomes


def compose(says: Sequence[str], conjunctions: Sequence[str], draw: random.Random) -> str:
    """Clauses joined to a sentence, by conjunctions drawn without the same one twice in a row."""
    text, last = f"{draw.choice(words()['subjects'])} {says[0]}", ""
    for clause in says[1:]:
        last = draw.choice([one for one in conjunctions if one != last])
        text += last + clause
    return text


def options(action: dict[str, Any]) -> dict[str, str]:
    """The options of an action's event."""
    return {name: action[name] for name in ("side", "direction") if name in action}


def _several(task: str, number: int, draw: random.Random) -> Prompt:
    left, chosen = list(words()["actions"]), []
    for _ in range(number):
        action = draw.choice(left)
        chosen.append(action)
        left = [one for one in left if one["group"] != action["group"]]
    text = compose([draw.choice(one["says"]) for one in chosen], words()["ordering" if task == "temporal" else "conjunctions"], draw)
    events = tuple(Wanted(one["event"], options(one)) for one in chosen)
    return Prompt(text, Specification(task, events), tuple(one["says"][0] for one in chosen), sum(one["seconds"] for one in chosen))


def _frequency(draw: random.Random) -> Prompt:
    action = draw.choice([one for one in words()["actions"] if "again" in one])
    count = draw.choice(list(words()["frequencies"]))
    text = compose([f"{draw.choice(action['says'])} {draw.choice(words()['frequencies'][count])}"], [], draw)
    wanted = Wanted(action["event"], options(action), count)
    return Prompt(text, Specification("frequency", (wanted,)), (action["says"][0],), action["seconds"] + (count - 1) * action["again"])


def _ask(prompt: Prompt, chat: Chat, attempts: int, draw: random.Random) -> tuple[str | None, str]:
    task, told = prompt.specification.task, words()["chat"]
    count = prompt.specification.events[0].count
    conjunctions = [one.strip(" ,") for one in words()["ordering" if task == "temporal" else "conjunctions"]]
    draw.shuffle(conjunctions)
    request = told[task].format(
        labels=", ".join(prompt.labels), conjunctions=", ".join(conjunctions), frequency=words()["frequencies"].get(count, ["often"])[0]
    )
    outcome = "nonsense"
    for _ in range(attempts):
        try:
            reply = chat([say(f"{request}\n\n{told['answer']}")])
        except ChatFailure as failure:
            if not failure.passing:
                raise
            return None, failure.kind
        text = tidy_text(reply.text.strip().strip('"'))
        outcome = "refusal" if reply.refused else "nonsense"
        if text and "\n" not in reply.text.strip() and len(text.split()) <= _LONGEST and len(text.split()) > 1 and not reply.refused:
            return text, "worded"
    return None, outcome
