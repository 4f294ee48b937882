"""`pipeline("motion-correction")`."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from ..alignment import Alignment, align_motions
from ..correction import correction
from ..deviation import THRESHOLD, Deviation, is_same, measure_deviation
from ..formats.take import MotionInput, take_motion
from ..motion import Motion
from ..nn.generators import spawn_generators
from ..pipelines.task import MotionPipeline
from ..utils.asked import asked_generator
from ..utils.text import say_once

logger = logging.getLogger("hf_motion")

Inputs = MotionInput | Sequence[MotionInput]


class MotionCorrectionPipeline(MotionPipeline):
    """What somebody did and what was meant to one sentence of advice, with any model that answers `correct_motion`.

    The two motions may differ in rig, length and frame rate; they are aligned by dynamic time warping. Two of one length are read by the
    model as they are, as in the paper (CigTime, Fang et al., NeurIPS 2024), and so are two whose poses agree and whose pace does not;
    otherwise it reads the second on the time line of the first.

    Example:
        >>> import hf_motion
        >>> from transformers import pipeline
        >>> correct = pipeline("motion-correction", model="org/cigtime")  # doctest: +SKIP
        >>> correct("mine.bvh", "teacher.bvh")["generated_text"]  # doctest: +SKIP
        'raise your left arm higher'
    """

    _method = "correct_motion"

    def __call__(
        self,
        sources: Inputs,
        targets: Inputs,
        *,
        num_candidates: int = 1,
        rerank: Any = None,
        threshold: float | None = None,
        return_alignment: bool = False,
        fps: float | None = None,
        generator: torch.Generator | list[torch.Generator] | None = None,
        seed: int | None = None,
        batch_size: int | None = None,
        show_progress: bool = False,
        **options: Any,
    ) -> dict[str, Any] | list[dict[str, Any]]:
        """Say what to change.

        Args:
            sources (`Motion`, `str`, `os.PathLike`, joints, or a list of them): What was done: motions of any known rig, files of them, or
                joints (frames, 22, 3).
            targets (the same): What was meant, one for each.
            num_candidates (`int`, defaults to 1): Sentences that are drawn for each pair.
            rerank (`MDMPipeline` or another editor, *optional*): Does what each candidate says to the source
                (`hf_motion.corrections.apply_instruction`); the one that lands nearest the target is said.
            threshold (`float`, *optional*): Metres below which nothing is corrected; what the model has learned by default
                (`config.motion["nothing_to_correct"]`), or else `hf_motion.deviation.THRESHOLD`.
            return_alignment (`bool`, defaults to `False`): Return the warp too.
            fps (`float`, *optional*): Frames per second of joints, 20 by default.
            generator (`torch.Generator` or list, *optional*): For reproducible draws, whatever the batch size; a list has one for each
                candidate of each pair.
            seed (`int`, *optional*): In place of `generator`; also the editor's.
            batch_size (`int`, *optional*): Pairs that the model reads at once, 16 by default.
            show_progress (`bool`, defaults to `False`): Show progress bars.
            **options: The model's own, such as `temperature` or `max_new_tokens`: see `MotionLanguageModel.correct_motion`.

        Returns:
            `dict`, or a list of them for lists: `generated_text`; `said_by`: `"model"`, or `"measurement"` where there is nothing to
            correct or one motion is the mirror image of the other; `measured`, the same in a sentence made of measurements; `part` that the
            sentence names (or, where it names none, that differs most: `names_part` is False), its greatest `deviation` in metres, and when
            that is, `seconds` (start, end) and `peak` in the source; `same`, `mirrored`; and of several `candidates`, all of them, with
            `distances` (metres to the target after each was done) where they were ranked. `alignment` on request.

        Raises:
            OSError: If a file cannot be read.
            ValueError: If there are not as many targets as sources, a motion cannot be mapped, is NaN, a single pose or too long, or an
                option does not fit.
        """
        several = isinstance(sources, (list, tuple))
        if several != isinstance(targets, (list, tuple)) or (several and len(sources) != len(targets)):
            counts = [len(side) if isinstance(side, (list, tuple)) else "one" for side in (sources, targets)]
            raise ValueError(f"Got {counts[0]} sources and {counts[1]} targets; pass two motions, or two lists of as many.")
        options = {**self._forward_params, **options}
        seed = options.pop("seed", None) if seed is None else seed
        batch_size = self._checked_batch_size(batch_size)
        pairs = list(zip(sources, targets, strict=True)) if several else [(sources, targets)]
        threshold = self._threshold(threshold)
        with say_once():
            found = [
                measure_deviation(align_motions(*(take_motion(one, self.model.feature_extractor.skeleton, fps) for one in pair)))
                for pair in tqdm(pairs, desc="Aligning", disable=not show_progress)
            ]
            asked = [place for place, one in enumerate(found) if not is_same(one, threshold) and not one.alignment.mirrored]
            generators = spawn_generators(asked_generator(generator, seed), len(pairs) * num_candidates, self.model.device)
            said: dict[int, list[str]] = {}
            for start in tqdm(range(0, len(asked), batch_size), desc="Correcting", disable=not show_progress):
                part = asked[start : start + batch_size]
                read = [_read_by_model(found[place], threshold) for place in part]
                draws = [one for place in part for one in generators[place * num_candidates : (place + 1) * num_candidates]]
                sentences = self._answer(
                    [one for one, _ in read], [two for _, two in read], num_candidates, generator=draws, **options
                )  # fmt: skip
                said.update(zip(part, ([one] if isinstance(one, str) else one for one in sentences), strict=True))
            results = [
                self._result(one, said.get(place, []), threshold, rerank, seed, return_alignment)
                for place, one in enumerate(tqdm(found, desc="Ranking", disable=not show_progress or rerank is None))
            ]
        return results if several else results[0]

    def _threshold(self, threshold: float | None) -> float:
        own = self.model.config.motion.get("nothing_to_correct", THRESHOLD)
        threshold = own if threshold is None else threshold
        if not threshold >= 0:
            raise ValueError(f"threshold must be a number of metres of at least 0, got {threshold!r}.")
        return float(threshold)

    def _result(
        self, deviation: Deviation, candidates: list[str], threshold: float, rerank: Any, seed: int | None, return_alignment: bool
    ) -> dict[str, Any]:
        distances: list[float] = []
        if candidates and rerank is not None:
            distances = distances_after(candidates, deviation.alignment, rerank, seed or 0, self.model.max_frames)
        best = int(np.argmin(distances)) if distances else 0
        result = correction(deviation, candidates[best] if candidates else None, threshold)
        if len(candidates) > 1:
            result["candidates"] = candidates
        return result | ({"distances": distances} if distances else {}) | ({"alignment": deviation.alignment} if return_alignment else {})


def distances_after(candidates: Sequence[str], alignment: Alignment, editor: Any, seed: int, max_frames: int | None = None) -> list[float]:
    """How far the source is from the target after an editor did what sentences say.

    Args:
        candidates (`Sequence[str]`): Sentences; equal ones are done once.
        alignment (`Alignment`): Source and target.
        editor (`MDMPipeline` or another editor): See `hf_motion.corrections.apply_instruction`.
        seed (`int`): The editor's.
        max_frames (`int`, *optional*): Do it to the first frames only.

    Returns:
        `list[float]`: `Alignment.cost` of each, metres; infinity where the editor cannot do it, which a warning says.
    """
    from .editing import apply_instruction

    source, target = (motion[: max_frames or len(motion)] for motion in (alignment.source, alignment.warped))
    known: dict[str, float] = {}
    for sentence in candidates:
        if sentence not in known:
            try:
                known[sentence] = align_motions(apply_instruction(source, sentence, editor, seed), target).cost
            except ValueError as error:
                logger.warning("Cannot do %r, which comes last therefore: %s", sentence, error)
                known[sentence] = math.inf
    return [known[sentence] for sentence in candidates]


def _read_by_model(deviation: Deviation, threshold: float) -> tuple[Motion, Motion]:
    alignment = deviation.alignment
    as_they_are = len(alignment.source) == len(alignment.target) or deviation.distance <= threshold
    return alignment.source, alignment.target if as_they_are else alignment.warped
