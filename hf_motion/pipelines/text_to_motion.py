"""`pipeline("text-to-motion")`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from ..motion import Motion
from ..nn.generators import spawn_generators
from ..utils.asked import asked_frames, asked_generator
from ..utils.text import check_prompts, say_once
from .task import MotionPipeline

_PER_TEXT = ("motion", "end_motion", "mask", "control")


class TextToMotionPipeline(MotionPipeline):
    """Sentences to motions, with any model that answers `generate_motion`.

    Example:
        >>> import hf_motion
        >>> from transformers import pipeline
        >>> text_to_motion = pipeline("text-to-motion")
        >>> motion = text_to_motion("a person walks forward", seconds=2, seed=0)
        >>> motion.joints.shape
        (40, 22, 3)
    """

    _method = "generate_motion"

    def __call__(
        self,
        texts: str | Sequence[str] | None = None,
        num_frames: int | Sequence[int] | None = None,
        *,
        seconds: float | Sequence[float] | None = None,
        generator: torch.Generator | list[torch.Generator] | None = None,
        seed: int | None = None,
        batch_size: int | None = None,
        show_progress: bool = False,
        **options: Any,
    ) -> Motion | list[Motion]:
        """Generate.

        Args:
            texts (`str` or `list[str]`, *optional*): What to do. Left out with `timeline=`, or with `control=` alone.
            num_frames (`int` or `list[int]`, *optional*): Lengths, the model's default if not given.
            seconds (`float` or `list[float]`, *optional*): In place of `num_frames`.
            generator (`torch.Generator` or list, *optional*): For reproducible results, whatever the batch size.
            seed (`int`, *optional*): In place of `generator`: `seed=0` is `generator=torch.Generator().manual_seed(0)`.
            batch_size (`int`, *optional*): How many to make at once, 16 by default.
            show_progress (`bool`, defaults to `False`): Show a progress bar over batches.
            **options: The model's own, such as `guidance_scale` or `num_inference_steps`, and for editing `motion`, `body_part`, ...: see
                `MDMPipeline.__call__`, as for `timeline`, `split`, `loop` and `control`. Lists under `motion`, `end_motion`, `mask` and
                `control` hold one per text.

        Returns:
            `Motion` for a string or none, `list[Motion]` for a list, or for a string with several motions per prompt.

        Raises:
            ValueError: If a text is not a string, the list is empty, or an option does not fit.
        """
        options = {**self._forward_params, **options}
        if texts is None or options.get("split"):
            given = {"num_frames": num_frames, "seconds": seconds, "generator": generator, "seed": seed}
            given = {name: value for name, value in given.items() if value is not None}
            motions = self._answer(texts, **given, **options)
            return motions[0] if (texts is None or isinstance(texts, str)) and len(motions) == 1 else motions
        prompts = check_prompts(texts)
        num_frames = options.pop("num_frames", None) if num_frames is None else num_frames
        seconds, seed = options.pop("seconds", None) if seconds is None else seconds, options.pop("seed", None) if seed is None else seed
        if seconds is not None:
            extractor = self.model.feature_extractor
            if isinstance(seconds, (list, tuple)) and len(seconds) != len(prompts):
                raise ValueError(f"seconds has {len(seconds)} entries for {len(prompts)} texts; pass one number, or one per text.")
            most = getattr(self.model, "max_frames", extractor.max_frames)
            num_frames = asked_frames(num_frames, seconds, extractor.fps, most)
        generator = asked_generator(generator, seed)
        batch_size = self._checked_batch_size(batch_size)
        per_prompt = isinstance(num_frames, (list, tuple))
        if per_prompt and len(num_frames) != len(prompts):
            raise ValueError(f"num_frames has {len(num_frames)} entries for {len(prompts)} texts; pass one number, or one per text.")
        lists = {name: options.pop(name) for name in _PER_TEXT if isinstance(options.get(name), (list, tuple))}
        for name, values in lists.items():
            if len(values) != len(prompts):
                raise ValueError(f"{name} has {len(values)} entries for {len(prompts)} texts; pass one for all, or one per text.")
        repeats = options.get("num_motions_per_prompt", 1)
        generators = spawn_generators(generator, len(prompts) * repeats, self.model.device)
        motions: list[Motion] = []
        with say_once():
            for start in tqdm(range(0, len(prompts), batch_size), desc="Generating", disable=not show_progress):
                part = slice(start, start + batch_size)
                frames = list(num_frames[part]) if per_prompt else num_frames
                draws = generators[start * repeats : (start + batch_size) * repeats]
                options.update({name: values[part] for name, values in lists.items()})
                motions += self._answer(prompts[part], frames, generator=draws, **options)
        return motions[0] if isinstance(texts, str) and len(motions) == 1 else motions

    def stream(self, timeline: Any, **options: Any) -> Iterator[np.ndarray]:
        """Frames of a timeline as they are made; see `hf_motion.pipelines.streaming.stream_motion`.

        Raises:
            ValueError: If the model does not stream; diffusion pipelines do.
        """
        pipe = getattr(self.model, "pipeline", None)
        if not hasattr(pipe, "stream"):
            raise ValueError(f"{type(self.model).__name__} makes whole motions only; diffusion pipelines such as MDM's stream.")
        return pipe.stream(timeline, **options)
