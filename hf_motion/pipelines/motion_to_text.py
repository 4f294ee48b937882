"""`pipeline("motion-to-text")`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tqdm.auto import tqdm

from ..formats.read import read_motion
from ..motion import Motion
from ..nn.generators import spawn_generators
from ..utils.asked import asked_generator
from ..utils.text import say_once
from .task import MotionPipeline

Source = Motion | str | os.PathLike


class MotionToTextPipeline(MotionPipeline):
    """Motions to sentences, with any model that answers `caption_motion`.

    Example:
        >>> import hf_motion
        >>> from transformers import pipeline
        >>> motion_to_text = pipeline("motion-to-text", model="org/motion-lm")  # doctest: +SKIP
        >>> motion_to_text("walk.bvh")  # doctest: +SKIP
        [{'generated_text': 'a person walks forward'}]
    """

    _method = "caption_motion"

    def __call__(
        self,
        motions: Source | Sequence[Source],
        *,
        generator: torch.Generator | list[torch.Generator] | None = None,
        seed: int | None = None,
        batch_size: int | None = None,
        show_progress: bool = False,
        **options: Any,
    ) -> list[dict[str, str]]:
        """Say what motions show.

        Args:
            motions (`Motion`, `str`, `os.PathLike` or a list of them): Motions, or files of them.
            generator (`torch.Generator` or list, *optional*): For reproducible draws, whatever the batch size.
            seed (`int`, *optional*): In place of `generator`.
            batch_size (`int`, *optional*): How many to read at once, 16 by default.
            show_progress (`bool`, defaults to `False`): Show a progress bar over batches.
            **options: The model's own, such as `temperature` or `max_new_tokens`: see `MotionLanguageModel.caption_motion`.

        Returns:
            `list[dict[str, str]]`: For each motion `{"generated_text": ...}`, as other pipelines that write text.

        Raises:
            OSError: If a file cannot be read.
            ValueError: If there is no motion, or an option does not fit.
        """
        sources = list(motions) if isinstance(motions, (list, tuple)) else [motions]
        options = {**self._forward_params, **options}
        seed = options.pop("seed", None) if seed is None else seed
        batch_size = self._checked_batch_size(batch_size)
        generators = spawn_generators(asked_generator(generator, seed), len(sources), self.model.device)
        extractor, texts = self.model.feature_extractor, []
        with say_once():
            clips = [
                source if isinstance(source, Motion) else read_motion(Path(source), fps=extractor.fps, skeleton=extractor.skeleton)
                for source in sources
            ]
            for start in tqdm(range(0, max(1, len(clips)), batch_size), desc="Describing", disable=not show_progress):
                part = slice(start, start + batch_size)
                texts += self._answer(clips[part], generator=generators[part], **options)
        return [{"generated_text": text} for text in texts]
