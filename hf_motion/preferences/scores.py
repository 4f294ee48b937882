"""Scores that are kept as they come, so that work that was paid for is never done twice."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tqdm.auto import tqdm

from ..motion import Motion
from ..rewards.base import Reward
from ..rewards.specification import Specification
from ..utils.faults import reading

_CHUNK = 64


class Score(NamedTuple):
    """A score with its reason."""

    value: float
    rationale: str | None


class ScoreFile:
    """JSON lines of scores, appended to as they come and read again by a later run.

    A line that a kill cut off is dropped. Only scores are kept: what has none is asked for again by the next run.

    Args:
        folder (`pathlib.Path`): Where the file is; each reward and its settings have a file of their own there.
        settings (`dict`): What the scores depend on besides motion and text, see `Reward.settings`.

    Raises:
        OSError: If it cannot be read or written.
        ValueError: If it holds something else.
    """

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]
        self.path = folder / f"{settings['reward']}-{digest}.jsonl"
        self._known: dict[str, Score] = {}
        folder.mkdir(parents=True, exist_ok=True)
        if not self.path.exists():
            return
        content = self.path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        with reading(self.path, "a file of scores, delete it to score anew"):
            for line in whole.splitlines():
                record = json.loads(line)
                self._known[record["key"]] = Score(record["score"], record["rationale"])
        if len(whole) < len(content):
            with self.path.open("r+b") as file:
                file.truncate(len(whole))

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: str) -> Score | None:
        """A known score."""
        return self._known.get(key)

    def add(self, scores: dict[str, Score]) -> None:
        """Keep scores; those that are not numbers are not kept."""
        good = {key: score for key, score in scores.items() if not math.isnan(score.value)}
        self._known.update(good)
        with self.path.open("a", encoding="utf-8") as file:
            for key, score in good.items():
                file.write(json.dumps({"key": key, "score": score.value, "rationale": score.rationale}) + "\n")
            file.flush()


def score_all(
    reward: Reward,
    motions: Sequence[Motion],
    texts: Sequence[str],
    specifications: Sequence[Specification],
    folder: Path,
    show_progress: bool = True,
) -> list[Score]:
    """Score motions, those with a kept score aside.

    Args:
        reward (`Reward`): The reward.
        motions (`list[Motion]`): What to score.
        texts (`list[str]`): One per motion.
        specifications (`list[Specification]`): One per motion.
        folder (`pathlib.Path`): Where scores are kept.
        show_progress (`bool`, defaults to `True`): Show a progress bar.

    Returns:
        `list[Score]`: In the order of the motions; NaN where there is none.
    """
    file = ScoreFile(folder, reward.settings())
    asked = list(zip(motions, texts, specifications, strict=True))
    keys = [_key(*one) for one in asked]
    todo = {key: one for key, one in zip(keys, asked, strict=True) if file.get(key) is None}
    size = getattr(reward, "workers", _CHUNK)
    waiting, made = list(todo.items()), dict[str, Score]()
    with tqdm(total=len(todo), desc=f"Scoring ({reward.name})", disable=not show_progress or not todo) as bar:
        for start in range(0, len(waiting), size):
            part = dict(waiting[start : start + size])
            values = reward(*(list(column) for column in zip(*part.values(), strict=True)))
            scores = {key: Score(value, reward.rationale(*part[key])) for key, value in zip(part, values, strict=True)}
            file.add(scores)
            made |= scores
            bar.update(len(part))
    return [file.get(key) or made[key] for key in keys]


def _key(motion: Motion, text: str, specification: Specification) -> str:
    content = motion.joints.tobytes() + json.dumps([motion.fps, motion.skeleton.name, text, specification.to_json()]).encode()
    return hashlib.sha256(content).hexdigest()[:32]
