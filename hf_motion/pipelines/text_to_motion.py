"""`pipeline("text-to-motion")`."""

from __future__ import annotations

import logging
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

_PER_TEXT = ("motion", "end_motion", "mask", "control", "videos")
_CANDIDATES = 5

logger = logging.getLogger("hf_motion")


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
    ) -> Motion | list[Motion] | dict[str, Any] | list[dict[str, Any]]:
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
                `control` hold one per text. For models that see videos
                also `retriever`, which finds one for each text: a `VideoIndex`, a `VideoRetriever`, or whatever answers
                `retrieve(texts, k)`, None for none (a video that cannot be used is passed over for the next best); and
                `return_retrieved=True`, which tells what was found.

        Returns:
            `Motion` for a string or none, `list[Motion]` for a list, or for a string with several motions per prompt. With
            `return_retrieved=True` dictionaries of `motion` and `retrieved`: for each video `id`, `path`, `start`, `score`, and whether it
            was `shown`; without a retriever there are none.

        Raises:
            ValueError: If a text is not a string, the list is empty, or an option does not fit.
        """
        options = {**self._forward_params, **options}
        retriever, return_retrieved = options.pop("retriever", None), options.pop("return_retrieved", False)
        if (retriever is not None or return_retrieved) and (texts is None or options.get("split") or options.get("videos") is not None):
            raise ValueError("A retriever finds videos for texts: leave timeline, control, split and videos out, or the retriever.")
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
        found: list[list[dict[str, Any]]] = [[] for _ in prompts]
        if retriever is not None:
            lists["videos"], found = self._look_for_videos(retriever, prompts)
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
        if return_retrieved:
            told = [{"motion": motion, "retrieved": videos} for motion, videos in zip(motions, found, strict=True)]
            return told[0] if isinstance(texts, str) else told
        return motions[0] if isinstance(texts, str) and len(motions) == 1 else motions

    def _look_for_videos(self, retriever: Any, prompts: Sequence[str]) -> tuple[list[Any], list[list[dict[str, Any]]]]:
        """A video for each text, read, and what is told of all that were found."""
        processor = getattr(self.model, "video_processor", None)
        if processor is None:
            raise ValueError(f"This {type(self.model).__name__} does not see videos. Leave the retriever out, or name a VimoRAG.")
        if not hasattr(retriever, "retrieve"):
            raise ValueError(f"A retriever answers retrieve(texts, k), as a VideoIndex does; a {type(retriever).__name__} does not.")
        shown, told = [], []
        for text, hits in zip(prompts, retriever.retrieve(prompts, _CANDIDATES), strict=True):
            about = [{name: hit.about.get(name) for name in ("id", "path", "start")} | {"score": hit.score, "shown": False} for hit in hits]
            for place, video in enumerate(about):
                try:
                    shown.append(processor.read(video["path"] or video["id"]))
                    break
                except (OSError, ValueError) as error:
                    logger.warning("For %r, the video %r is passed over: %s", text, video["id"], error)
                    if place == len(about) - 1:
                        raise ValueError(
                            f"None of {len(about)} videos found for {text!r} can be used, the last because: {error} Say where the videos "
                            "are: VideoRetriever(index, videos=folder)."
                        ) from error
            about[place]["shown"] = True
            told.append(about)
        return shown, told

    def stream(self, timeline: Any, **options: Any) -> Iterator[np.ndarray]:
        """Frames of a timeline as they are made; see `hf_motion.pipelines.streaming.stream_motion`.

        Raises:
            ValueError: If the model does not stream; diffusion pipelines do.
        """
        pipe = getattr(self.model, "pipeline", None)
        if not hasattr(pipe, "stream"):
            raise ValueError(f"{type(self.model).__name__} makes whole motions only; diffusion pipelines such as MDM's stream.")
        return pipe.stream(timeline, **options)
