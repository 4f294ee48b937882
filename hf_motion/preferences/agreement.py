"""How often a reward prefers what people, or the construction, prefer."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tqdm.auto import tqdm

from ..rewards.base import Reward
from ..utils.text import say_once
from .pairs import Pair

_CHUNK = 64


@dataclass
class Agreement:
    """Counts of pairs.

    Args:
        aligned (`int`): The reward prefers the better motion.
        opposed (`int`): It prefers the worse one.
        tied (`int`): It gives both the same.
        unjudged (`int`): It has no score of one of them.
        kinds (`dict[str, Agreement]`): The same by kind of pair.
    """

    aligned: int = 0
    opposed: int = 0
    tied: int = 0
    unjudged: int = 0
    kinds: dict[str, Agreement] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """All pairs."""
        return self.aligned + self.opposed + self.tied + self.unjudged

    @property
    def accuracy(self) -> float:
        """Share of all pairs that are aligned: what Table 1 of AToM calls so. Ties and pairs without a score are not aligned."""
        return self.aligned / self.total if self.total else math.nan

    @property
    def decided_accuracy(self) -> float:
        """Share of those pairs that the reward decides."""
        decided = self.aligned + self.opposed
        return self.aligned / decided if decided else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """95 % confidence interval of `accuracy` (Wilson)."""
        if not self.total:
            return math.nan, math.nan
        z, n, p = 1.959964, self.total, self.accuracy
        middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        low, high = self.interval
        content: dict[str, Any] = {name: getattr(self, name) for name in ("aligned", "opposed", "tied", "unjudged", "total", "accuracy")}
        content |= {"decided_accuracy": None if math.isnan(self.decided_accuracy) else self.decided_accuracy, "interval": [low, high]}
        return content | ({"kinds": {kind: one.to_dict() for kind, one in self.kinds.items()}} if self.kinds else {})

    def count(self, better: float, worse: float) -> None:
        """Count a pair with these scores."""
        name = "unjudged" if math.isnan(better) or math.isnan(worse) else "aligned" if better > worse else "opposed"
        name = "tied" if better == worse else name
        setattr(self, name, getattr(self, name) + 1)


def accuracy(pairs: Sequence[Pair], reward: Reward, show_progress: bool = False) -> Agreement:
    """Compare a reward with pairs whose better one is known.

    Args:
        pairs (`list[Pair]`): The pairs.
        reward (`Reward`): Scores each motion by itself; higher is better.
        show_progress (`bool`, defaults to `False`): Show a progress bar.

    Returns:
        `Agreement`: Over all pairs, and by kind.

    Raises:
        ValueError: If the reward needs specifications and a pair has none.
    """

    def scored(part: Sequence[Pair]) -> list[tuple[float, float]]:
        motions = [motion for pair in part for motion in (pair.chosen, pair.rejected)]
        texts = [pair.text for pair in part for _ in range(2)]
        specifications = [pair.specification for pair in part for _ in range(2)]
        scores = reward(motions, texts, specifications)
        return list(zip(scores[::2], scores[1::2], strict=True))

    return _counted(pairs, scored, reward.name, show_progress)


def pairwise_accuracy(pairs: Sequence[Pair], judge: Any, show_progress: bool = False) -> Agreement:
    """Ask a `VisionJudge` which motion of each pair is better: AToM's section 1.4. Which comes first alternates.

    Args:
        pairs (`list[Pair]`): The pairs.
        judge (`VisionJudge`): The judge.
        show_progress (`bool`, defaults to `False`): Show a progress bar.

    Returns:
        `Agreement`: Over all pairs, and by kind.
    """

    def compared(part: Sequence[Pair]) -> list[tuple[float, float]]:
        results = []
        for number, pair in enumerate(part):
            first = number % 2 == 0
            shown = (pair.chosen, pair.rejected) if first else (pair.rejected, pair.chosen)
            rating = judge.compare(*shown, pair.text).rating
            results.append((math.nan, math.nan) if math.isnan(rating) else (1.0, 0.0) if (rating == 1) == first else (0.0, 1.0))
        return results

    return _counted(pairs, compared, judge.name, show_progress)


def _counted(
    pairs: Sequence[Pair], score: Callable[[Sequence[Pair]], list[tuple[float, float]]], name: str, show_progress: bool
) -> Agreement:
    result = Agreement()
    with say_once(), tqdm(total=len(pairs), desc=f"Scoring ({name})", disable=not show_progress) as bar:
        for start in range(0, len(pairs), _CHUNK):
            part = pairs[start : start + _CHUNK]
            for pair, scores in zip(part, score(part), strict=True):
                result.count(*scores)
                result.kinds.setdefault(pair.kind, Agreement()).count(*scores)
            bar.update(len(part))
    return result


def table(results: dict[str, Agreement]) -> str:
    """Rewards and kinds of pairs side by side, as Markdown; aligned of all, then ties and pairs without a score."""
    kinds = list(dict.fromkeys(kind for result in results.values() for kind in result.kinds))
    lines = ["| reward | accuracy | 95 % | aligned | tied | no score | " + " | ".join(kinds) + " |", "|---|" + "---|" * (5 + len(kinds))]
    for name, one in results.items():
        low, high = one.interval
        cells = [f"{100 * one.accuracy:.2f}", f"{100 * low:.1f} ... {100 * high:.1f}", f"{one.aligned} of {one.total}", str(one.tied)]
        shares = [f"{100 * one.kinds[kind].accuracy:.1f} of {one.kinds[kind].total}" for kind in kinds]
        lines.append(f"| {name} | {' | '.join([*cells, str(one.unjudged), *shares])} |")
    return "\n".join(lines)
