"""Attempts at triplets: attempt number i chooses its clip, instruction and amount by the seed and i alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..motion import Motion
from .editing import Editor, KinematicEditor
from .filters import agreement, fault
from .instructions import Instruction
from .kinematic import can_edit, default_amount, edit_motion
from .limbs import NotApplicable
from .measure import measure_change
from .sources import SourceClip, SourceClips, cut_clip
from .triplet import CHANGE_KINDS, Change

if TYPE_CHECKING:
    from .building import BuildRequest

# Instructions that are tried on a clip until one has a meaning there, and how many of a kind before another kind is.
_TRIES, _TURN = 16, 4
# Share of exact edits that are in force for a part of the clip only, and how much of it they take.
_SPANS, _SPAN_SHARES, _SPAN_FRAMES = 0.4, (0.5, 0.9), 60


@dataclass
class _Attempt:
    """One try, and what came of it."""

    number: int
    clip: SourceClip
    instruction: Instruction
    sentence: int
    target: Motion
    change: Change
    span: tuple[int, int]
    gain: float | None = None


class Maker:
    """Makes triplets.

    Args:
        clips (`SourceClips`): What is corrected.
        instructions (`Sequence[Instruction]`): How.
        editor (`Editor`): By what.
        request (`BuildRequest`): Its seed, kinds, filters and what is held out are read.
        judge (`Reward`, *optional*): Of sentences and motions.

    Raises:
        ValueError: If a kind is unknown, or no instruction is left for a split.
    """

    def __init__(
        self, clips: SourceClips, instructions: Sequence[Instruction], editor: Editor, request: BuildRequest, judge: Any = None
    ) -> None:
        unknown = sorted(set(request.kinds or ()) - set(CHANGE_KINDS))
        if unknown:
            raise ValueError(f"Unknown kinds {unknown} of change. There are: {', '.join(CHANGE_KINDS)}.")
        self.clips, self.editor, self.request, self.judge = clips, editor, request, judge
        self.exact = isinstance(editor, KinematicEditor)
        usable = [
            one for one in instructions
            if (request.kinds is None or one.change.kind in request.kinds)
            and (_drawable(one) if self.exact else one.change.kind != "speed")
        ]  # fmt: skip
        self.usable = {
            split: [one for one in usable if not request.held_out_instructions or one.split == split]
            for split in sorted({clips.split(place) for place in range(len(clips))})
        }
        for split, left in self.usable.items():
            if not left:
                raise ValueError(
                    f"No instruction is left for the split {split!r} with the editor {editor.name!r}. Take other kinds, leave the split "
                    "out, or do not hold instructions out."
                )

    def make(self, numbers: Sequence[int]) -> tuple[list[dict[str, Any]], Counter[str], Counter[str]]:
        """Make attempts.

        Args:
            numbers (`Sequence[int]`): Theirs.

        Returns:
            `tuple[list[dict], Counter, Counter]`: Rows of those that are kept, why others were dropped, and why instructions were refused
            on the way to one that had a meaning for its clip.
        """
        dropped, refused = Counter[str](), Counter[str]()
        made = self._exact(numbers, dropped, refused) if self.exact else self._edited(numbers, dropped)
        kept = []
        for one in made:
            why = fault(one.clip.motion, one.target, one.change, one.instruction.mask, self.exact, self.request.filters, one.span)
            if why is None:
                kept.append(one)
            else:
                dropped[why] += 1
        if self.judge is not None and kept:
            kept = self._judged(kept, dropped)
        return [self._row(one) for one in kept], dropped, refused

    def _judged(self, made: Sequence[_Attempt], dropped: Counter[str]) -> list[_Attempt]:
        sentences = [one.instruction.sentences[one.sentence] for one in made]
        gains = agreement(self.judge, [one.clip.motion for one in made], [one.target for one in made], sentences)
        kept, least = [], self.request.filters.min_gain
        for one, gain in zip(made, gains.tolist(), strict=True):
            one.gain = gain
            if least is not None and not gain >= least:
                dropped["the judge does not see it"] += 1
            else:
                kept.append(one)
        return kept

    def _clip(self, number: int, draw: np.random.Generator, dropped: Counter[str]) -> SourceClip | None:
        """The clip of an attempt: every clip once in some order, then every clip again in another."""
        turn, place = divmod(number, len(self.clips))
        order = np.random.default_rng((self.request.seed, turn, 15)).permutation(len(self.clips))
        try:
            return cut_clip(self.clips[int(order[place])], self.request.max_frames, draw)
        except ValueError:
            dropped["an unreadable clip"] += 1
            return None

    def _exact(self, numbers: Sequence[int], dropped: Counter[str], refused: Counter[str]) -> list[_Attempt]:
        made = []
        for number in numbers:
            draw = np.random.default_rng((self.request.seed, number))
            clip = self._clip(number, draw, dropped)
            if clip is None:
                continue
            for instruction in self._ordered(self.usable[clip.split], draw)[:_TRIES]:
                change, span = self._amount(instruction, draw), self._span(len(clip.motion), draw)
                try:
                    edit = edit_motion(clip.motion, change, span, self.request.max_frames)
                except NotApplicable as error:
                    refused[error.reason] += 1
                    continue
                sentence = int(draw.integers(len(instruction.sentences)))
                made.append(_Attempt(number, clip, instruction, sentence, edit.motion, edit.change, edit.span))
                break
            else:
                dropped["no instruction has a meaning for the clip"] += 1
        return made

    def _edited(self, numbers: Sequence[int], dropped: Counter[str]) -> list[_Attempt]:
        chosen = []
        for number in numbers:
            draw = np.random.default_rng((self.request.seed, number))
            clip = self._clip(number, draw, dropped)
            if clip is not None:
                instruction = self._ordered(self.usable[clip.split], draw)[0]
                chosen.append((number, clip, instruction, int(draw.integers(len(instruction.sentences))), int(draw.integers(2**62))))
        if not chosen:
            return []
        targets = self.editor(
            [clip.motion for _, clip, _, _, _ in chosen], [instruction.sentences[index] for _, _, instruction, index, _ in chosen],
            [instruction.mask for _, _, instruction, _, _ in chosen], [seed for _, _, _, _, seed in chosen],
        )  # fmt: skip
        return [
            _Attempt(number, clip, instruction, sentence, target, instruction.change, (0, len(target)))
            for (number, clip, instruction, sentence, _), target in zip(chosen, targets, strict=True)
        ]

    def _ordered(self, instructions: Sequence[Instruction], draw: np.random.Generator) -> list[Instruction]:
        """Instructions in an order in which all kinds of change come first equally often; which of a kind is chance."""
        kinds: dict[str, list[Instruction]] = {}
        for one in instructions:
            kinds.setdefault(one.change.kind, []).append(one)
        queues = [_shuffled(found, draw) for found in kinds.values()]
        return [
            one
            for turn in range(0, max(map(len, queues)), _TURN)
            for queue in _shuffled(queues, draw)
            for one in queue[turn : turn + _TURN]
        ]

    def _amount(self, instruction: Instruction, draw: np.random.Generator) -> Change:
        low, high = instruction.amounts or (0.0, 0.0)
        return replace(instruction.change, amount=round(float(draw.uniform(low, high)), 3), unit=default_amount(instruction.change)[1])

    def _span(self, frames: int, draw: np.random.Generator) -> tuple[int, int] | None:
        partly, share, place = draw.random(), draw.uniform(*_SPAN_SHARES), draw.random()
        if partly > _SPANS or frames < _SPAN_FRAMES:
            return None
        length = round(share * frames)
        first = round(place * (frames - length))
        return first, first + length

    def _row(self, one: _Attempt) -> dict[str, Any]:
        target, change, clip, instruction = one.target, one.change, one.clip, one.instruction
        return {
            "id": f"{one.number:08d}", "source_id": clip.id, "split": clip.split, "caption": clip.captions[0], "attempt": one.number,
            "instruction": instruction.sentences[one.sentence],
            "wordings": [text for place, text in enumerate(instruction.sentences) if place != one.sentence],
            "instruction_id": instruction.id, "instruction_split": instruction.split, "mask": list(instruction.mask),
            "part": change.part, "kind": change.kind, "direction": change.direction, "amount": change.amount, "unit": change.unit,
            "measured": measure_change(clip.motion, target, change, one.span), "agreement": one.gain, "editor": self.editor.name,
            "fps": target.fps, "skeleton": target.skeleton.name, "license": clip.license,
            "span_start": one.span[0], "span_end": one.span[1],
            "source_frames": len(clip.motion), "source_joints": clip.motion.joints.ravel(),
            "target_frames": len(target), "target_joints": target.joints.ravel(),
        }  # fmt: skip


def _shuffled(values: Sequence[Any], draw: np.random.Generator) -> list[Any]:
    return [values[index] for index in draw.permutation(len(values))]


def _drawable(instruction: Instruction) -> bool:
    return instruction.amounts is not None and can_edit(instruction.change)
