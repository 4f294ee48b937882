"""A vision-language model as judge, with AToM's criteria."""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ..motion import Motion
from ..utils.extras import require
from .base import Reward, check_lengths
from .chat import Chat, ChatFailure, Message, say
from .images import FORMS, motion_images
from .specification import TASKS, Specification

_RATING = re.compile(r"^\s*Rating:\s*\[?\s*(\S+?)\s*\]?\s*$", re.MULTILINE)
_RATIONALE = re.compile(r"^\s*Rationale:[ \t]*(\S.*?)\s*$", re.MULTILINE)
_DECLINES = re.compile(
    r"\b(sorry|apologi[sz]e|(can ?not|can't|unable to|won't|not able to) (\w+ )?(assist|help|evaluat|rat|judg|comply|view|see))",
    re.IGNORECASE,
)
_MOST_WORDS = 20


@dataclass(frozen=True)
class Judgement:
    """What a judge said of a motion.

    Args:
        rating (`float`): By the criteria of the task; NaN if there is none.
        rationale (`str`, *optional*): Why.
        outcome (`str`): `"rated"`, or why there is no rating: `"nonsense"`, `"refusal"`, `"timeout"`, `"busy"` or `"format"`.
        attempts (`int`): How often the model was asked.
        prompt_tokens (`int`): Read in all attempts.
        completion_tokens (`int`): Written in all attempts.
    """

    rating: float
    rationale: str | None
    outcome: str
    attempts: int
    prompt_tokens: int = 0
    completion_tokens: int = 0


class VisionJudge(Reward):
    """Ratings by a vision-language model that looks at pictures of a motion.

    What the model answers is read strictly: one line `Rating:` with a number of the task's scale and one line `Rationale:`. Anything else
    is nonsense; the model is reminded of the format and asked again. Motions without a rating get NaN, and `counts` says why.

    Args:
        chat (`Chat`): The model: `ChatClient` or `LocalChat`.
        task (`str`, *optional*): `"integrity"`, `"temporal"` or `"frequency"`, for motions without a specification.
        form (`str`, defaults to `"full"`): How motions are shown, see `motion_images`.
        frames (`int`, defaults to 12): Poses that are shown.
        size (`tuple[int, int]`, defaults to `(200, 240)`): Width and height of a pose's picture.
        attempts (`int`, defaults to 3): How often the model is asked for an answer in the right format.
        workers (`int`, defaults to 4): Requests at a time; a `LocalChat` gets one.

    Raises:
        ValueError: If an option is unknown or out of range.
    """

    def __init__(
        self,
        chat: Chat,
        task: str | None = None,
        *,
        form: str = "full",
        frames: int = 12,
        size: tuple[int, int] = (200, 240),
        attempts: int = 3,
        workers: int = 4,
    ) -> None:
        if task not in (None, *TASKS):
            raise ValueError(f"task must be one of {', '.join(map(repr, TASKS))}, got {task!r}.")
        if form not in FORMS:
            raise ValueError(f"form must be one of {', '.join(map(repr, FORMS))}, got {form!r}.")
        if attempts < 1 or workers < 1:
            raise ValueError(f"attempts and workers must be at least 1, got {attempts} and {workers}.")
        self.chat, self.task, self.form, self.frames, self.size, self.attempts = chat, task, form, frames, size, attempts
        self.workers = workers if hasattr(chat, "base_url") else 1
        self.name = f"vision-{form}"
        self.counts: Counter[str] = Counter()
        self.tokens: Counter[str] = Counter()
        self._rationales: dict[str, str | None] = {}

    def __call__(
        self, motions: Sequence[Motion], texts: Sequence[str], specifications: Sequence[Specification | None] | None = None
    ) -> list[float]:
        """Rate motions; see `Reward`.

        Raises:
            ValueError: If the lists differ in length, or nothing says which task a motion is of.
            ChatFailure: If the server is not there, or turns the requests down: then no later one would fare better.
        """
        return [judgement.rating for judgement in self.judge(motions, texts, specifications)]

    def judge(
        self, motions: Sequence[Motion], texts: Sequence[str], specifications: Sequence[Specification | None] | None = None
    ) -> list[Judgement]:
        """Rate motions, with reasons; arguments and errors as for a call."""
        check_lengths(motions, texts, specifications)
        given = specifications if specifications is not None else [None] * len(motions)
        tasks = [self._task(text, one) for text, one in zip(texts, given, strict=True)]
        with ThreadPoolExecutor(self.workers) as pool:
            judgements = list(pool.map(self._judge, motions, texts, tasks))
        for motion, text, judgement in zip(motions, texts, judgements, strict=True):
            self._count(judgement)
            self._rationales[_key(motion, text)] = judgement.rationale
        return judgements

    def compare(self, first: Motion, second: Motion, text: str) -> Judgement:
        """Ask which of two motions fits a text better, as AToM's section 1.4 does.

        Args:
            first (`Motion`): One.
            second (`Motion`): The other.
            text (`str`): What they were made for.

        Returns:
            `Judgement`: With the rating 1 for the first, 2 for the second, or NaN.

        Raises:
            ChatFailure: As for a call.
        """
        words = criteria()
        pictures = [self._pictures(motion) for motion in (first, second)]
        parts = [words["pair"]["task"], words["forms"][self.form], "The first motion:", *pictures[0], "The second motion:", *pictures[1]]
        judgement = self._ask(say(*parts, f'T = "{text}"\n\n{words["pair"]["answer"]}'), (1, 2))
        self._count(judgement)
        return judgement

    def settings(self) -> dict[str, Any]:
        """See `Reward.settings`."""
        words = hashlib.sha256(_CRITERIA.read_bytes()).hexdigest()[:16]
        shown = {"form": self.form, "frames": self.frames, "size": list(self.size)}
        return {"reward": self.name, "model": self.chat.model, "task": self.task, "criteria": words, **shown}

    def rationale(self, motion: Motion, text: str, specification: Specification | None = None) -> str | None:
        """What the model said of this motion and text."""
        return self._rationales.get(_key(motion, text))

    def _task(self, text: str, specification: Specification | None) -> str:
        task = specification.task if specification is not None else self.task
        if task is None:
            raise ValueError(f"Nothing says which criteria {text!r} is rated by. Pass specifications=[...], or make VisionJudge(task=...).")
        return task

    def _pictures(self, motion: Motion) -> list[Any]:
        return motion_images(motion, self.form, frames=self.frames, size=self.size)

    def _judge(self, motion: Motion, text: str, task: str) -> Judgement:
        return self._ask(say(*self._pictures(motion), instruction(task, text, self.form)), tuple(criteria()["tasks"][task]["ratings"]))

    def _ask(self, message: Message, scale: Sequence[int]) -> Judgement:
        messages, spent, outcome = [message], Counter[str](), "nonsense"
        attempt = 0
        for attempt in range(1, self.attempts + 1):
            try:
                reply = self.chat(messages)
            except ChatFailure as failure:
                if not failure.passing:
                    raise
                outcome = failure.kind
                break
            spent.update(prompt=reply.prompt_tokens, completion=reply.completion_tokens)
            rating, rationale = parse(reply.text, scale)
            if rating is not None:
                return Judgement(rating, rationale, "rated", attempt, spent["prompt"], spent["completion"])
            outcome = "refusal" if reply.refused or _DECLINES.search(reply.text.replace("\u2019", "'")) else "nonsense"
            reminder = criteria()["reminder"].format(numbers=", ".join(map(str, sorted(scale))))
            messages = [message, say(reply.text or "(nothing)", role="assistant"), say(reminder)]
        return Judgement(math.nan, None, outcome, attempt, spent["prompt"], spent["completion"])

    def _count(self, judgement: Judgement) -> None:
        self.counts[judgement.outcome] += 1
        self.counts["asked again"] += judgement.attempts - 1
        self.tokens.update(prompt=judgement.prompt_tokens, completion=judgement.completion_tokens)
        if judgement.rationale and len(judgement.rationale.split()) > _MOST_WORDS:
            self.counts["long rationales"] += 1


_CRITERIA = Path(__file__).with_name("criteria.yaml")


@cache
def criteria() -> dict[str, Any]:
    """The criteria, as `criteria.yaml` holds them.

    Raises:
        ImportError: If PyYAML is not installed.
    """
    words: dict[str, Any] = require("yaml", "Judging with a chat model").safe_load(_CRITERIA.read_text(encoding="utf-8"))
    return words


def instruction(task: str, text: str, form: str = "full") -> str:
    r"""What a judge is told besides the pictures.

    Args:
        task (`str`): `"integrity"`, `"temporal"` or `"frequency"`.
        text (`str`): The description.
        form (`str`, defaults to `"full"`): How the motion is shown.

    Example:
    >>> from hf_motion.rewards.vision_judge import instruction
    >>> print(instruction("frequency", "a person jumps twice").partition("twice\"\n\n")[2])
    Scoring criteria:
    3: The motion is correct and the frequency is accurate.
    2: The motion is present but the frequency is incorrect.
    1: The motion is incorrect, regardless of the frequency.
    <BLANKLINE>
    Answer in exactly two lines, in this format:
    Rating: [1 to 3]
    Rationale: [why, in no more than 20 words]
    """
    words = criteria()
    asked = words["tasks"][task]
    lines = "\n".join(f"{rating}: {meaning}" for rating, meaning in asked["ratings"].items())
    return "\n\n".join((
        words["task"], f"{asked['intro']} {words['forms'][form]}", f"For example:\n{asked['example']}", f'The description: T = "{text}"',
        f"Scoring criteria:\n{lines}", words["answer"].format(scale=asked["scale"]),
    ))  # fmt: skip


def parse(answer: str, scale: Sequence[int]) -> tuple[float | None, str | None]:
    r"""Read a judge's answer, strictly: emphasis by asterisks aside, it holds one rating of the scale and one rationale, or it is nonsense.

    Args:
        answer (`str`): The model's words.
        scale (`Sequence[int]`): Ratings that there are.

    Returns:
        `tuple[float | None, str | None]`: Rating and rationale, or (None, None).

    Example:
    >>> from hf_motion.rewards.vision_judge import parse
    >>> parse("**Rating:** 5\nRationale: Both motions appear.", (0, 5)), parse("I would say 5 of 5.", (0, 5)), parse("Rating: 4", (0, 5))
    ((5.0, 'Both motions appear.'), (None, None), (None, None))
    """
    plain = answer.replace("*", "")
    ratings, rationales = _RATING.findall(plain), _RATIONALE.findall(plain)
    if len(ratings) != 1 or len(rationales) != 1 or ratings[0] not in map(str, scale):
        return None, None
    return float(ratings[0]), rationales[0]


def _key(motion: Motion, text: str) -> str:
    return hashlib.sha256(motion.joints.tobytes() + text.encode()).hexdigest()
