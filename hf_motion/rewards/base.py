"""What all rewards answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from ..motion import Motion
from .specification import Specification


class Reward(ABC):
    """A number for each motion and its text, higher for a better one.

    Attributes:
        name (`str`): For reports.
    """

    name: str

    @abstractmethod
    def __call__(
        self, motions: Sequence[Motion], texts: Sequence[str], specifications: Sequence[Specification | None] | None = None
    ) -> list[float]:
        """Score motions.

        Args:
            motions (`list[Motion]`): What was made.
            texts (`list[str]`): What was asked for, one per motion.
            specifications (`list[Specification]`, *optional*): What the texts ask for, one per motion, for rewards that read it.

        Returns:
            `list[float]`: In the order of the motions; NaN where a motion could not be judged, which is not the same as a bad one: leave
            it out and count it.

        Raises:
            ValueError: If the lists differ in length.
        """

    def settings(self) -> dict[str, Any]:
        """All that scores depend on, as JSON; what is cached under other settings is not used again."""
        return {"reward": self.name}

    def rationale(self, motion: Motion, text: str, specification: Specification | None = None) -> str | None:
        """Why the last score of this motion and text is what it is, in words, if the reward knows."""
        return None


def check_lengths(motions: Sequence[Motion], texts: Sequence[str], specifications: Sequence[Specification | None] | None) -> None:
    """See whether there is one text, and one specification where there are any, for each motion.

    Raises:
        ValueError: If not, or a single text comes in place of a list.
    """
    if isinstance(texts, str) or len(texts) != len(motions):
        raise ValueError(f"texts must be a list of one text per motion, got {len(motions)} motions and {texts!r:.80}.")
    if specifications is not None and len(specifications) != len(motions):
        raise ValueError(f"specifications must be one per motion, got {len(specifications)} for {len(motions)} motions.")
