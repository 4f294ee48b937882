"""What is made in one call: which sentences in which windows, how long, and whether it loops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..alignment import headings
from ..cleanup import lock_feet
from ..floor import settle_on_floor
from ..motion import Motion
from ..representation import MotionFeatureExtractor
from ..utils.text import check_prompts
from .timeline import Segment, as_timeline, split_sentence
from .windows import Windows, plan_windows

OVERLAP_SECONDS = 1.0
"""How much of a motion two sentences share where the one goes over into the other."""

_SHORTEST_LOOP = 1.0
_ROUNDS = 4

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
            wide = min(2 * (lengths[0] // 4), longest // 2) if loop and len(lengths) == 1 else overlap
            for segment, window in plan_windows(lengths, wide, longest, loop, motion):
                windows.append(window)
                self.texts.append(one[segment][0])
        self.windows = Windows(windows, self.frames, device)

    @property
    def mask(self) -> Tensor:
        """(motions, frames) int64, 1 on real frames."""
        lengths = torch.tensor(self.lengths, device=self.device)
        return (torch.arange(self.frames, device=self.device) < lengths[:, None]).long()


def close_loop(extractor: MotionFeatureExtractor, latents: Tensor, text: str, starts: int, clean: bool) -> Motion:
    """A motion whose last pose is its first, where the way has led meanwhile.

    It begins where the joints go on most evenly from one frame to the next, so that nothing shows where a player begins anew.

    Args:
        extractor (`MotionFeatureExtractor`): The model's.
        latents (`torch.Tensor`): One round, (frames, features), normalised.
        text (`str`): What is done.
        starts (`int`): Among so many of its first frames.
        clean (`bool`): Settle it on the floor and hold its feet, all around.

    Returns:
        `Motion`: One frame more than there are latents.
    """
    count = len(latents)
    rounds = torch.cat([latents] * _ROUNDS + [latents[:1]])
    motion = extractor.decode(rounds, texts=[text])[0]
    if clean:
        motion = lock_feet(settle_on_floor(motion))
    # A round in the middle has others on both sides of it, as all have that are played.
    turns = np.linalg.norm(np.diff(motion.joints[count - 1 : 2 * count + 1].astype(float), n=2, axis=0), axis=-1).mean(-1)
    first = count + int(turns[:starts].argmin())
    middle = motion[first : first + count + 1]
    start = middle.joints[0, 0] * [1, 0, 1]
    turn = -_heading(middle, 0)
    placed = middle.turn(turn, about=start)
    placed = replace(placed, joints=placed.joints - start)
    last = placed[:1].turn(_heading(placed, count)).joints[0]
    last = last + (placed.joints[-1, 0] - last[0]) * [1, 0, 1]
    # Feet that were held on their way through several rounds stand a little elsewhere at the end of one: that is made up for on the way.
    share = np.linspace(0, 1, count + 1)[:, None, None]
    joints = placed.joints + share**2 * (3 - 2 * share) * (last - placed.joints[-1])
    return replace(placed, joints=joints)


def _heading(motion: Motion, frame: int) -> float:
    return float(headings(motion.joints[frame : frame + 1].astype(float), motion.skeleton)[0])
