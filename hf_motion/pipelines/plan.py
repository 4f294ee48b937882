"""What is made in one call: which sentences in which windows, how long, and whether it loops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..utils.text import check_prompts
from .timeline import Segment, as_timeline, split_sentence
from .windows import Window, Windows, plan_windows

OVERLAP_SECONDS = 1.0
"""How much of a motion two sentences share where the one goes over into the other."""

SEAM_SECONDS = 1.0
"""How much of a loop of one sentence leads from its end to its beginning."""

_CONTEXT_SECONDS = 1.5
_SHORTEST_LOOP = 1.0

Segments = list[tuple[str, int]]
"""The sentences of one motion with the frames of each."""


def asked_segments(
    prompt: Any, timeline: Any, split: bool, seconds: Any, num_frames: Any, fps: float, controlled: bool
) -> list[Segments] | None:
    """The segments of the motions of a call; None where each has one sentence, which other options may go with.

    Raises:
        ValueError: If prompt and timeline are both given, or neither is and there is no control, or lengths are given twice.
    """
    if timeline is not None:
        given = [name for name, value in (("prompt", prompt), ("num_frames", num_frames), ("seconds", seconds)) if value is not None]
        if given or split:
            raise ValueError(f"A timeline says what is done and how long; leave out {', '.join([*given, *['split'] * split])}.")
        return [_frames(as_timeline(timeline), fps)]
    if prompt is None and (split or not controlled):
        raise ValueError('Say what to make: a sentence, or timeline=[("a person walks", 3.0), ...].')
    if not split:
        return None
    if num_frames is not None or isinstance(seconds, (list, tuple)):
        raise ValueError("With split=True give the length of the whole as seconds=, one for all prompts.")
    return [_frames(split_sentence(text, seconds), fps) for text in check_prompts(prompt)]


def _frames(segments: Sequence[Segment], fps: float) -> Segments:
    """Frames of each segment; roundings do not add up."""
    ends = [round(sum(one.seconds for one in segments[: index + 1]) * fps) for index in range(len(segments))]
    return [(segment.text, end - start) for segment, start, end in zip(segments, [0, *ends], ends, strict=False)]


class Plan:
    """Windows, sentences and lengths of the motions of a call.

    Args:
        segments (`list[list[tuple[str, int]]]`): For each motion its sentences with their frames.
        fps (`float`): Frame rate.
        longest (`int`): Frames that the model makes at once.
        repeats (`int`): How often each motion is made.
        loop (`bool`): The last pose of each is its first.
        device (`torch.device`): Where the loop runs.

    Raises:
        ValueError: If a loop is shorter than a second.
    """

    def __init__(self, segments: Sequence[Segments], fps: float, longest: int, repeats: int, loop: bool, device: torch.device) -> None:
        segments = [one for one in segments for _ in range(repeats)]
        self.loops = loop
        self.prompts = [", then ".join(text for text, _ in one if text) for one in segments]
        # The pose that closes a loop is made of the first one.
        parts = [[length for _, length in one] for one in segments]
        if loop:
            for one, text in zip(parts, self.prompts, strict=True):
                if sum(one) - 1 < _SHORTEST_LOOP * fps:
                    raise ValueError(
                        f"A loop lasts {_SHORTEST_LOOP:g} s or more; {text!r} has {sum(one)} frames at {fps:g} per second. Make it longer."
                    )
                one[-1] -= 1
        self.lengths = [sum(one) for one in parts]
        # A circle may begin anywhere; with several sentences only so late that the first is still the first.
        self.starts = [sum(one) if len(one) == 1 else round(OVERLAP_SECONDS * fps / 2) for one in parts]
        self.frames = max(self.lengths)
        self.device = device
        overlap = 2 * round(OVERLAP_SECONDS * fps / 2)
        windows, self.texts = [], []
        for motion, (lengths, one) in enumerate(zip(parts, segments, strict=True)):
            if loop and len(lengths) == 1 and lengths[0] <= longest:
                windows += _circle(lengths[0], fps, longest, motion)
                self.texts += [one[0][0], ""]
                continue
            for segment, window in plan_windows(lengths, overlap, longest, loop, motion):
                windows.append(window)
                self.texts.append(one[segment][0])
        self.windows = Windows(windows, self.frames, device)

    @property
    def mask(self) -> Tensor:
        """(motions, frames) int64, 1 on real frames."""
        lengths = torch.tensor(self.lengths, device=self.device)
        return (torch.arange(self.frames, device=self.device) < lengths[:, None]).long()


def _circle(length: int, fps: float, longest: int, motion: int) -> list[Window]:
    """Windows of a loop of one sentence: one for it, whole, and one, without words, that leads from its end to its beginning."""
    half = min(round(SEAM_SECONDS * fps / 2), length // 2)
    seen = min(round(_CONTEXT_SECONDS * fps), length // 2, longest // 2)
    return [
        Window(motion, 0, length, half, half, length),
        Window(motion, -seen, 2 * seen, half, half, length, seen - half),
    ]
