"""Long motions from a model that makes short ones: stretches that overlap and are denoised together."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_AT_ONCE = 16


@dataclass(frozen=True)
class Window:
    """A stretch of a motion that the model makes at once.

    Args:
        motion (`int`): Which motion of the batch.
        start (`int`): First frame in it; in a loop it may lie before the first or reach over the last.
        length (`int`): Frames.
        rise (`int`, defaults to 0): Frames at its start that it shares with the window before it.
        fall (`int`, defaults to 0): Frames at its end that it shares with the one behind it.
        period (`int`, *optional*): Frames of a loop, which are counted in a circle.
        margin (`int`, defaults to 0): Frames beyond these, at both ends, that it sees alone.
    """

    motion: int
    start: int
    length: int
    rise: int = 0
    fall: int = 0
    period: int | None = None
    margin: int = 0


class Windows:
    """Cuts a batch of long motions into what the model makes at once, and puts that together again.

    At every step of a diffusion each window is denoised under its own sentence, and where two overlap their predictions are mixed, from
    the one to the other: there is one motion from the start, whose parts see each other through what they share (MultiDiffusion, Bar-Tal
    et al. 2023; for motion, DoubleTake, Shafir et al. 2024). Features of motion are relative to where the body is, so that they can be
    mixed as they are.

    Args:
        windows (`list[Window]`): They cover every frame.
        frames (`int`): Frames of the longest motion.
        device (`torch.device`, *optional*): Where the loop runs.
    """

    def __init__(self, windows: Sequence[Window], frames: int, device: torch.device | None = None) -> None:
        self.windows, self.frames = list(windows), frames
        self._whole = [(window.motion, window.start) for window in windows] == [(index, 0) for index in range(len(windows))]
        self.lengths = [window.length for window in windows]
        longest = max(self.lengths)
        inside = torch.arange(longest, device=device)
        starts = torch.tensor([window.start for window in windows], device=device)[:, None]
        lengths = torch.tensor(self.lengths, device=device)[:, None]
        periods = torch.tensor([window.period or frames for window in windows], device=device)[:, None]
        cyclic = torch.tensor([window.period is not None for window in windows], device=device)[:, None]
        self._place = torch.where(cyclic, (starts + inside) % periods, (starts + inside).clamp(max=frames - 1))
        self._motion = torch.tensor([window.motion for window in windows], device=device)[:, None].expand_as(self._place)
        real = inside < lengths
        rise, fall, margin = (torch.tensor([getattr(window, name) for window in windows], device=device)[:, None]
                              for name in ("rise", "fall", "margin"))  # fmt: skip
        up = ((inside - margin + 0.5) / rise.clamp(min=1)).clamp(0, 1)
        down = ((lengths - margin - inside - 0.5) / fall.clamp(min=1)).clamp(0, 1)
        weights = _smooth(torch.where(rise > 0, up, 1.0)) * _smooth(torch.where(fall > 0, down, 1.0)) * real
        self._count = max(window.motion for window in windows) + 1
        total = torch.zeros(self._count, frames, device=device).index_put_((self._motion, self._place), weights, accumulate=True)
        self.mask = None if min(self.lengths) == longest else real.long()
        """(windows, frames) int64, 1 on real frames; None where all are."""
        self._weights = (weights / total[self._motion, self._place].clamp(min=1e-6))[..., None]

    @property
    def overlap(self) -> bool:
        """Whether windows share frames."""
        return not self._whole

    @property
    def batches(self) -> list[slice]:
        """Windows that are denoised together: all of single sentences, of longer motions so many that memory does not grow with these."""
        if self._whole:
            return [slice(0, len(self.windows))]
        return [slice(start, start + _AT_ONCE) for start in range(0, len(self.windows), _AT_ONCE)]

    def cut(self, motions: Tensor) -> Tensor:
        """Windows (windows, frames, features) of motions (motions, frames, features)."""
        if self._whole:
            return motions[:, : max(self.lengths)]
        return motions[self._motion, self._place]

    def merge(self, windows: Tensor) -> Tensor:
        """Motions (motions, frames, features) of windows, mixed where these overlap."""
        if self._whole:
            return torch.nn.functional.pad(windows, (0, 0, 0, self.frames - windows.shape[1]))
        merged = windows.new_zeros(self._count, self.frames, windows.shape[-1])
        return merged.index_put_((self._motion, self._place), windows * self._weights.to(windows), accumulate=True)


def plan_windows(lengths: Sequence[int], overlap: int, longest: int, cyclic: bool = False, motion: int = 0) -> list[tuple[int, Window]]:
    """Windows over the segments of one motion.

    Args:
        lengths (`list[int]`): Frames of each segment.
        overlap (`int`): Frames that neighbours share, half on each side of their border; fewer where a segment is short.
        longest (`int`): Frames that the model makes at once. A longer segment is made in several windows.
        cyclic (`bool`, defaults to `False`): The last segment is followed by the first.
        motion (`int`, defaults to 0): Which motion of the batch it is.

    Returns:
        `list[tuple[int, Window]]`: The segment of each window, and the window.

    Example:
        >>> [(part, window.start, window.length) for part, window in plan_windows([40, 60], overlap=20, longest=196)]
        [(0, 0, 50), (1, 30, 70)]
    """
    parts: list[tuple[int, int]] = []
    for segment, length in enumerate(lengths):
        pieces = 2 if cyclic and len(lengths) == 1 else 1
        neighbours = 2 if cyclic else (segment > 0) + (segment + 1 < len(lengths))
        while -(-length // pieces) + (overlap if pieces > 1 else neighbours * overlap // 2) > longest:
            pieces += 1
        cuts = [round(length * piece / pieces) for piece in range(pieces + 1)]
        parts += [(segment, end - start) for start, end in itertools.pairwise(cuts)]
    count, start = len(parts), 0
    half = [min(overlap // 2, parts[index][1] // 2, parts[(index + 1) % count][1] // 2) for index in range(count)]
    windows = []
    for index, (segment, length) in enumerate(parts):
        before = half[index - 1] if index or cyclic else 0
        after = half[index] if index + 1 < count or cyclic else 0
        period = sum(lengths) if cyclic else None
        windows.append((segment, Window(motion, start - before, length + before + after, 2 * before, 2 * after, period)))
        start += length
    return windows


def _smooth(share: Tensor) -> Tensor:
    return share * share * (3 - 2 * share)
