"""Corrections: the question about two motions, and the sentences that answer it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ...nn.generators import spawn_generators
from .grammar import sampling

if TYPE_CHECKING:
    from .answers import MotionAnswers

TASK = "motion_correction"
_WAY_OUT = (
    "Two motions have to fit: cut both, take a motion tokenizer with fewer tokens a second (T2M-GPT's has five, CigTime's own forty), "
    "write them as tokens of their own (format 'motion') rather than as numbers, or take a base that reads more."
)


def check_corrects(model: MotionAnswers) -> None:
    """Refuse a model that did not learn to correct motions.

    Raises:
        ValueError: If it says which tasks it learned, and this is none of them, or it has no wording of it.
    """
    learned = model.config.motion.get("tasks")
    if learned is not None and TASK not in learned:
        raise ValueError(
            f"This model learned {', '.join(learned)}, and no motion_correction. Teach it with training/train_sft.py --model ... "
            "--triplets ..., or name a checkpoint that corrects motions."
        )
    if TASK not in model.instructions.templates:
        raise ValueError(
            f"This model was made before there was a task motion_correction, and has no wording of it; it has "
            f"{', '.join(model.instructions.templates)}. Teach it with training/train_sft.py --base ... --triplets ..., or name another."
        )


def correct_motions(
    model: MotionAnswers,
    sources: Sequence[Tensor],
    targets: Sequence[Tensor],
    num_candidates: int = 1,
    max_new_tokens: int = 60,
    *,
    temperature: float | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | list[torch.Generator] | None = None,
) -> list[str] | list[list[str]]:
    """`MotionLanguageModel.correct_motion` of motions that are codes already.

    Args:
        model (`MotionLanguageModel`): The model.
        sources (`Sequence[torch.Tensor]`): (quantizers, tokens) each, or latents, (width, tokens).
        targets (`Sequence[torch.Tensor]`): The same.
        num_candidates (`int`, defaults to 1): Sentences for each pair.
        max_new_tokens (`int`, defaults to 60): Longest answer.
        temperature (`float`, *optional*): See `MotionLanguageModel.correct_motion`.
        top_k (`int`, *optional*): The same.
        top_p (`float`, *optional*): The same.
        generator (`torch.Generator` or list, *optional*): The same.

    Raises:
        ValueError: As `MotionLanguageModel.correct_motion`.
    """
    if len(sources) != len(targets):
        raise ValueError(f"Got {len(sources)} sources and {len(targets)} targets; pass one target for each source.")
    if isinstance(num_candidates, bool) or not isinstance(num_candidates, int) or num_candidates < 1:
        raise ValueError(f"num_candidates must be a whole number of at least 1, got {num_candidates!r}.")
    temperature = float(num_candidates > 1) if temperature is None else temperature
    if num_candidates > 1 and temperature == 0:
        raise ValueError(f"num_candidates={num_candidates} at temperature 0 are one sentence {num_candidates} times; raise temperature.")
    pairs = [
        pair
        for place, both in enumerate(zip(sources, targets, strict=True))
        for pair in [tuple(model._cut(codes, place) for codes in both)] * num_candidates
    ]
    questions = [correction_question(model, *pair) for pair in pairs]
    generators = spawn_generators(generator, len(questions), model.device)
    shown = [codes for pair in pairs for codes in pair]
    said = model.say_words(questions, max_new_tokens, sampling(temperature, top_k, top_p, generators), shown, way_out=_WAY_OUT)
    if num_candidates == 1:
        return said
    return [said[start : start + num_candidates] for start in range(0, len(said), num_candidates)]


def correction_question(model: MotionAnswers, source: Tensor, target: Tensor) -> str:
    """The question about two motions, (quantizers, tokens) each: Fig. 2 of the paper, unless the model has another wording."""
    return model.instructions(TASK, source=model.motion_text(source), target=model.motion_text(target))
