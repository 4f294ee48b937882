"""Motion without end: frames of a timeline while it goes on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..utils.asked import asked_generator
from .timeline import as_timeline

if TYPE_CHECKING:
    from .mdm import MDMPipeline


def stream_motion(
    pipe: MDMPipeline,
    timeline: Any,
    *,
    chunk_seconds: float = 2.0,
    context_seconds: float = 0.5,
    generator: torch.Generator | None = None,
    seed: int | None = None,
    **options: Any,
) -> Iterator[np.ndarray]:
    """Frames of a timeline, each as soon as it is made.

    The first stretch is made of its sentence; every later one goes on from the end of what has been given away, which it keeps. What is
    given cannot see what comes: for the best transitions make the whole at once, with `timeline=` of the pipeline's call.

    Args:
        pipe (`MDMPipeline`): The model.
        timeline (`str` or iterable): Segments as for the pipeline's call; of an iterator, which may wait for a user, the next one is taken
            when the one before has been given away.
        chunk_seconds (`float`, defaults to 2.0): Length of a stretch: what one waits for at the start, and how soon a new sentence shows.
        context_seconds (`float`, defaults to 0.5): How much of the end of the last stretch the next one sees.
        generator (`torch.Generator`, *optional*): Makes the result reproducible.
        seed (`int`, *optional*): In place of `generator`.
        **options: As for the pipeline's call, for example `guidance_scale`.

    Yields:
        `numpy.ndarray`: Joints (joints, 3) of the next frame, metres, in one world.

    Raises:
        ValueError: If a segment is wrong, or stretch and context do not fit what the model makes at once.

    Example:
        >>> from hf_motion import load_embedded_pipeline
        >>> pipe = load_embedded_pipeline()
        >>> frames = pipe.stream([("a person walks forward", 1.5), ("a person waves", 1)], seed=0, num_inference_steps=5)
        >>> len(list(frames))
        50
    """
    extractor = pipe.feature_extractor
    chunk, context = round(chunk_seconds * extractor.fps), round(context_seconds * extractor.fps)
    if chunk < 1 or context < 1 or chunk + context > extractor.max_frames:
        raise ValueError(
            f"chunk_seconds ({chunk_seconds:g}) and context_seconds ({context_seconds:g}) must be positive and together at most the "
            f"{extractor.max_frames / extractor.fps:g} s that the model makes at once."
        )
    generator = asked_generator(generator, seed)
    return _frames(pipe, timeline, chunk, context, generator, options)


def _frames(
    pipe: MDMPipeline, timeline: Any, chunk: int, context: int, generator: torch.Generator | None, options: dict[str, Any]
) -> Iterator[np.ndarray]:
    segments: Iterable[Any] = as_timeline(timeline) if isinstance(timeline, (str, list, tuple)) else timeline
    fps, last = pipe.feature_extractor.fps, None
    for item in segments:
        (segment,) = as_timeline([item])
        left = round(segment.seconds * fps)
        while left > 0:
            count = min(chunk, left)
            if last is None:
                made = pipe(segment.text, count, generator=generator, **options).motions[0]
                new = made.joints
            else:
                kept = last[-context:]
                made = pipe(
                    segment.text, len(kept) + count, motion=kept, keep_start=len(kept) / fps, generator=generator, **options
                ).motions[0]  # fmt: skip
                new = made.joints[len(kept) :]
            last, left = made, left - count
            yield from new
