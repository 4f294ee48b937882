"""Editing a motion by its sentence: attention of the new motion is that of the old one, but for the words that change (SALAD, section 3.3).

Hertz et al., *Prompt-to-Prompt Image Editing with Cross Attention Control*, ICLR 2023, brought to motion by SALAD.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from ..models.salad.body_parts import PART_NAMES

EDIT_MODES = ("word_swap", "refine", "reweight", "mirror")
"""What can be done to cross-attention maps."""

MIRRORS = {"lower": ("leg",), "upper": ("arm",), "all": ("leg", "arm")}
"""Whose attention left and right exchange."""


@dataclass(frozen=True)
class AttentionChange:
    """What an edit does to attention maps.

    Args:
        mode (`str`): `"word_swap"`: the source's cross-attention up to `swap_share` of the steps, then its own. `"refine"`: the source's,
            but its own at tokens that the source does not have. `"reweight"`: the source's, some words stronger or weaker. `"mirror"`: the
            source's with left and right exchanged.
        self_share (`float`, defaults to 0.2): Share of the steps in which attention over time and over parts is the source's.
        swap_share (`float`, defaults to 0.5): See above.
        weights (`Mapping[str, float]`): For `"reweight"`, factors of words.
        mirror (`str`, defaults to `"all"`): For `"mirror"`, one of `MIRRORS`.

    Raises:
        ValueError: If an option is unknown or out of range, or does not go with the mode.
    """

    mode: str
    self_share: float = 0.2
    swap_share: float = 0.5
    weights: Mapping[str, float] = field(default_factory=dict)
    mirror: str = "all"

    def __post_init__(self) -> None:
        if self.mode not in EDIT_MODES:
            raise ValueError(f"edit_mode must be one of {', '.join(map(repr, EDIT_MODES))}, got {self.mode!r}.")
        for name in ("self_share", "swap_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a share of the steps, from 0 to 1, got {getattr(self, name)!r}.")
        if bool(self.weights) != (self.mode == "reweight"):
            raise ValueError(
                'word_weights={"high": 2.0} goes with edit_mode="reweight", and is needed there; '
                f"got {dict(self.weights)} with {self.mode!r}."
            )
        if self.mirror not in MIRRORS:
            raise ValueError(f"mirror must be one of {', '.join(map(repr, MIRRORS))}, got {self.mirror!r}.")

    def cross(self, source: Tensor, own: Tensor, share: float, tokens: Tensor | None) -> Tensor:
        """Cross-attention of the edited motion.

        Args:
            source (`torch.Tensor`): The source's, (motions, 1, heads, steps * parts, tokens).
            own (`torch.Tensor`): What the edited motion's would be, of the same shape.
            share (`float`): Of the steps that are done.
            tokens (`torch.Tensor`, *optional*): What `token_changes` gives.
        """
        if self.mode == "word_swap":
            return source if share < self.swap_share else own
        if self.mode == "refine":
            return torch.where(tokens[:, None, None, None].bool(), own, source)
        if self.mode == "reweight":
            return source * tokens[:, None, None, None]
        order = list(range(len(PART_NAMES)))
        for limb in MIRRORS[self.mirror]:
            left, right = (PART_NAMES.index(f"{side}_{limb}") for side in ("left", "right"))
            order[left], order[right] = right, left
        return source.unflatten(3, (-1, len(order)))[:, :, :, :, order].flatten(3, 4)

    def token_changes(self, sources: Sequence[str], edits: Sequence[str], width: int, tokenizer: PreTrainedTokenizerBase) -> Tensor | None:
        """What happens at each token of sentences, (sentences, width) float32: 1 where it is new, or the factor of its word.

        Raises:
            ValueError: If a word to reweight is in none of the sentences.
        """
        if self.mode == "refine":
            rows = [new_tokens(*(tokenizer(text)["input_ids"] for text in pair)) for pair in zip(sources, edits, strict=True)]
            values = torch.zeros(len(rows), width)
            for row, new in zip(values, rows, strict=True):
                row[[place for place in new if place < width]] = 1.0
            return values
        if self.mode != "reweight":
            return None
        values, found = torch.ones(len(sources), width), set()
        for row, text in zip(values, sources, strict=True):
            offsets = tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
            for word, factor in self.weights.items():
                for match in re.finditer(rf"\b{re.escape(word)}\b", text, re.IGNORECASE):
                    found.add(word)
                    inside = [place for place, (a, b) in enumerate(offsets) if a < match.end() and b > match.start() and place < width]
                    row[inside] *= factor
        if missing := sorted(set(self.weights) - found):
            raise ValueError(
                f"word_weights names {missing}, which are in none of the sentences {list(sources)}. Write words as they stand there."
            )
        return values


class AttentionMaps:
    """Records attention weights of a pass of `SALADDenoiser`, or gives it others.

    Args:
        given (`dict[str, list[torch.Tensor]]`, *optional*): Weights to use, by kind, one per layer; other kinds are left alone.
    """

    def __init__(self, given: dict[str, list[Tensor]] | None = None) -> None:
        self.given = given
        self.seen: dict[str, list[Tensor]] = {"temporal": [], "skeletal": [], "cross": []}

    def __call__(self, kind: str, weights: Tensor) -> Tensor:
        """See `AttentionEdit`."""
        layer = len(self.seen[kind])
        used = self.given[kind][layer] if self.given is not None and kind in self.given else weights
        self.seen[kind].append(used)
        return used


def guess_mode(source: str, edit: str) -> str:
    """`"refine"` where a sentence has only been added to, `"word_swap"` otherwise.

    Example:
        >>> guess_mode("a person walks", "a person walks slowly"), guess_mode("a person walks", "a person runs")
        ('refine', 'word_swap')
    """
    words = iter(edit.lower().split())
    return "refine" if source.lower() != edit.lower() and all(word in words for word in source.lower().split()) else "word_swap"


def new_tokens(source: Sequence[int], edit: Sequence[int]) -> list[int]:
    """Places of tokens of an edited sentence that are no part of the longest common subsequence with its source.

    Where several are longest, that one counts whose common tokens come earlier in the edited sentence.

    Example:
        >>> new_tokens([1, 5, 6, 2], [1, 5, 9, 6, 2])
        [2]
    """
    length = [[0] * (len(edit) + 1) for _ in range(len(source) + 1)]
    for i, one in enumerate(source, 1):
        for j, other in enumerate(edit, 1):
            length[i][j] = max(length[i - 1][j], length[i][j - 1], length[i - 1][j - 1] + (one == other))
    new, i, j = [], len(source), len(edit)
    while j > 0:
        if i == 0 or length[i][j] == length[i][j - 1]:
            j -= 1
            new.append(j)
        elif length[i][j] == length[i - 1][j]:
            i -= 1
        else:
            i, j = i - 1, j - 1
    return new[::-1]
