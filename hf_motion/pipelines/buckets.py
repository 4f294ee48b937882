"""A few sizes for everything, so that compiled code serves any call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

_TOKENS = 16


@dataclass(frozen=True)
class Buckets:
    """Sizes to which inputs of a compiled denoiser are padded.

    Args:
        frames (`tuple[int, ...]`): Frames, rising; the last is the longest that is made at once.
        rows (`tuple[int, ...]`): Motions at once, rising; beyond the last a batch is as large as it is.

    Raises:
        ValueError: If sizes are not positive, or do not rise.
    """

    frames: tuple[int, ...]
    rows: tuple[int, ...]

    def __post_init__(self) -> None:
        for name in ("frames", "rows"):
            sizes = getattr(self, name)
            if not sizes or min(sizes) < 1 or list(sizes) != sorted(set(sizes)):
                raise ValueError(f"{name} of buckets must be positive and rise, got {list(sizes)}.")

    def length(self, frames: int) -> int:
        """The smallest bucket that holds so many frames."""
        return _smallest(frames, self.frames)

    def pad_rows(self, values: Tensor) -> Tensor:
        """Values (rows, ...) with the last row repeated up to a bucket."""
        missing = _smallest(len(values), self.rows) - len(values)
        return values if not missing else torch.cat((values, values[-1:].expand(missing, *values.shape[1:])))

    def pad_tokens(self, states: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Texts (rows, tokens, width), and their masks, padded to full steps of 16 tokens; pooled ones stay as they are."""
        if states.ndim != 3 or mask is None:
            return states, mask
        missing = -states.shape[1] % _TOKENS
        return F.pad(states, (0, 0, 0, missing)), F.pad(mask, (0, missing))


def default_buckets(longest: int) -> Buckets:
    """Four lengths up to the longest, and batches of powers of two.

    Example:
        >>> default_buckets(196).frames
        (49, 98, 147, 196)
    """
    return Buckets(tuple(sorted({-(-longest * part // 4) for part in (1, 2, 3, 4)})), (1, 2, 4, 8, 16, 32, 64))


def as_buckets(frames: Sequence[int] | None, rows: Sequence[int] | None, longest: int) -> Buckets:
    """What a call of `compile` asks for.

    Raises:
        ValueError: If the largest bucket does not hold the longest motion.
    """
    usual = default_buckets(longest)
    chosen = Buckets(tuple(frames or usual.frames), tuple(rows or usual.rows))
    if chosen.frames[-1] < longest:
        raise ValueError(f"The largest bucket holds {chosen.frames[-1]} frames, this pipeline makes {longest} at once. Add {longest}.")
    return chosen


def _smallest(value: int, sizes: Sequence[int]) -> int:
    return next((size for size in sizes if size >= value), value)
