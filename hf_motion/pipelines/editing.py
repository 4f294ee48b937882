"""Changing clips with a text-to-motion pipeline: what is kept, and clips joined to one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..motion import Motion, joined_faces
from ..nn.generators import spawn_generators
from ..representation import MotionFeatureExtractor
from ..skeletons import Skeleton, get_skeleton
from ..utils.asked import asked_generator
from ..utils.text import check_prompts, say_once
from .kept import Edit

if TYPE_CHECKING:
    from .mdm import MDMPipeline

_PUBLISHED_SHARE = 0.25


def edit_mask(
    num_frames: int,
    skeleton: str | Skeleton = "humanml3d-22",
    *,
    body_part: str | Sequence[str] | None = None,
    keep_start: float = 0.0,
    keep_end: float = 0.0,
    fps: float = 20.0,
) -> np.ndarray:
    """Which joints of which frames an edit keeps: `mask=` of `MDMPipeline`, to look at, change, or pass one per clip.

    Args:
        num_frames (`int`): Frames of the clip at the model's frame rate.
        skeleton (`str` or `Skeleton`, defaults to `"humanml3d-22"`): The clip's joints.
        body_part (`str` or a sequence of them, *optional*): What is made anew; the other joints are kept. The whole body by default.
        keep_start (`float`, defaults to 0.0): Seconds at the start in which everything is kept.
        keep_end (`float`, defaults to 0.0): Seconds at the end in which everything is kept.
        fps (`float`, defaults to 20.0): The model's frames per second.

    Returns:
        `numpy.ndarray`: (num_frames, joints) bool, true where kept.

    Raises:
        ValueError: If a body part is unknown, the seconds are not numbers of at least 0, or together longer than the clip.

    Example:
        >>> from hf_motion.pipelines.editing import edit_mask
        >>> mask = edit_mask(60, body_part="left_arm", keep_start=0.5)
        >>> mask.shape, int((~mask).sum(1).max()), bool(mask[:10].all()), bool(mask[10].all())
        ((60, 22), 3, True, False)
    """
    skeleton = get_skeleton(skeleton)
    start, end = _kept_frames("keep_start", keep_start, fps), _kept_frames("keep_end", keep_end, fps)
    if start + end > num_frames:
        raise ValueError(
            f"keep_start={keep_start:g} and keep_end={keep_end:g} seconds are {start + end} frames at {fps:g} fps, the clip has "
            f"{num_frames}. Keep less."
        )
    mask = np.zeros((num_frames, len(skeleton)), dtype=bool)
    if body_part is not None:
        mask[:] = True
        mask[:, _part_joints(body_part, skeleton)] = False
    mask[:start] = True
    mask[num_frames - end :] = True
    return mask


def plan_edits(
    extractor: MotionFeatureExtractor,
    count: int,
    lengths: Sequence[int] | None,
    motion: Motion | Sequence[Motion] | None,
    mask: np.ndarray | torch.Tensor | Sequence[np.ndarray | torch.Tensor] | None = None,
    body_part: str | Sequence[str] | None = None,
    keep_start: float | None = None,
    keep_end: float | None = None,
    end_motion: Motion | Sequence[Motion] | None = None,
) -> list[Edit] | None:
    """The editing arguments of `MDMPipeline`, checked and brought to one form; what they mean is told there.

    Args:
        extractor (`MotionFeatureExtractor`): The model's.
        count (`int`): Number of prompts.
        lengths (`list[int]`, *optional*): Wanted frames per prompt, those of the clips by default.
        motion (`Motion` or a list, *optional*): See `MDMPipeline.__call__`, as for the others.
        mask (array or a list, *optional*): The same.
        body_part (`str` or a list, *optional*): The same.
        keep_start (`float`, *optional*): The same.
        keep_end (`float`, *optional*): The same.
        end_motion (`Motion` or a list, *optional*): The same.

    Returns:
        `list[Edit]`, *optional*: One per prompt; None if no motion is given.

    Raises:
        ValueError: If an argument is of the wrong kind or does not fit the others.
    """
    others = {"mask": mask, "body_part": body_part, "keep_start": keep_start, "keep_end": keep_end, "end_motion": end_motion}
    given = [name for name, value in others.items() if value is not None]
    if motion is None:
        if given:
            raise ValueError(f"{', '.join(given)} need motion=, the clip that is edited.")
        return None
    if mask is not None and len(given) > 1:
        raise ValueError(f"mask says all there is to keep; leave out {', '.join(given[1:])}, or build the mask with edit_mask(...).")
    if end_motion is not None and body_part is not None:
        raise ValueError("body_part edits one clip; leave it out with end_motion, where all joints of both clips are kept.")
    clips = _clips("motion", motion, count, extractor)
    lengths = [None] * count if lengths is None else list(lengths)
    if end_motion is not None:
        ends = _clips("end_motion", end_motion, count, extractor)
        return [_transition(*pair, keep_start, keep_end, extractor) for pair in zip(clips, ends, lengths, strict=True)]
    if mask is not None:
        masks = list(mask) if isinstance(mask, (list, tuple)) else [mask] * count
        if len(masks) != count:
            raise ValueError(f"mask is a list of {len(masks)} for {count} prompts; pass one array, or one per prompt.")
        return [
            _masked(clip, length, _checked_mask(value, clip, index), extractor, index)
            for index, (clip, length, value) in enumerate(zip(clips, lengths, masks, strict=True))
        ]
    if body_part is not None:
        keep = {"keep_start": keep_start or 0.0, "keep_end": keep_end or 0.0, "fps": extractor.fps}
        masks = [edit_mask(len(clip), clip.skeleton, body_part=body_part, **keep) for clip in clips]
        return [
            _masked(clip, length, value, extractor, index)
            for index, (clip, length, value) in enumerate(zip(clips, lengths, masks, strict=True))
        ]
    return [
        _in_between(clip, length, keep_start, keep_end, extractor, index)
        for index, (clip, length) in enumerate(zip(clips, lengths, strict=True))
    ]


@say_once()
def join_motions(
    pipe: MDMPipeline,
    motions: Sequence[Motion],
    texts: str | Sequence[str],
    transition_seconds: float | Sequence[float] = 1.0,
    *,
    context_seconds: float = 1.0,
    generator: torch.Generator | list[torch.Generator] | None = None,
    seed: int | None = None,
    batch_size: int = 16,
    **options: Any,
) -> Motion:
    """One motion that plays clips one after the other, with transitions that the model makes.

    The first clip stays where it is. Each later one is turned about the vertical and moved over the floor to where the transition
    arrives, and is otherwise unchanged. All transitions are made at once, each from the end of one clip and the start of the next.

    Args:
        pipe (`MDMPipeline`): The model.
        motions (`list[Motion]`): Two or more clips, of any length, at any frame rate.
        texts (`str` or `list[str]`): What happens in the transitions, one for all or one for each.
        transition_seconds (`float` or `list[float]`, defaults to 1.0): Lengths of the transitions.
        context_seconds (`float`, defaults to 1.0): How much of the clips around it a transition sees, as far as the clips and the model's
            `max_frames` allow.
        generator (`torch.Generator` or a list with one per transition, *optional*): Makes the result reproducible.
        seed (`int`, *optional*): In place of `generator`.
        batch_size (`int`, defaults to 16): Transitions made at once.
        **options: As for the pipeline's call, for example `guidance_scale`.

    Returns:
        `Motion`: At the model's frame rate; its text tells those of clips and transitions in turn.

    Raises:
        ValueError: If there are fewer than two clips, texts or seconds do not fit their number, or a transition is too long for the model.

    Example:
        >>> import torch
        >>> from hf_motion import load_embedded_pipeline
        >>> from hf_motion.pipelines.editing import join_motions
        >>> pipe = load_embedded_pipeline()
        >>> clips = pipe(["a person waves the left hand", "a person walks forward"], 40, generator=torch.Generator().manual_seed(0)).motions
        >>> len(join_motions(pipe, clips, "a person stands", 0.5, generator=torch.Generator().manual_seed(0)))
        90
    """
    motions = list(motions)
    if len(motions) < 2:
        raise ValueError(f"Joining needs at least two clips, got {len(motions)}.")
    gaps = len(motions) - 1
    texts = check_prompts(texts) * (gaps if isinstance(texts, str) else 1)
    seconds = list(transition_seconds) if isinstance(transition_seconds, (list, tuple)) else [transition_seconds] * gaps
    for name, values in (("texts", texts), ("transition_seconds", seconds)):
        if len(values) != gaps:
            raise ValueError(
                f"{len(motions)} clips have {gaps} transitions between them, {name} has {len(values)}; pass one, or one for each."
            )
    fps = pipe.feature_extractor.fps
    clips = _clips("motions", motions, len(motions), pipe.feature_extractor)
    context = _kept_frames("context_seconds", context_seconds, fps)
    made = [_kept_frames("transition_seconds", value, fps) for value in seconds]
    if context == 0 or 0 in made:
        raise ValueError(f"context_seconds and transition_seconds must be above 0, got {context_seconds:g} and {seconds}.")
    room = (pipe.feature_extractor.max_frames - max(made)) // 2
    if room < 1:
        raise ValueError(
            f"A transition of {max(made)} frames at {fps:g} fps leaves no room for the clips around it: this model makes up to "
            f"{pipe.feature_extractor.max_frames} frames at once."
        )
    context = min(context, room)
    before = [min(context, len(clip)) for clip in clips[:-1]]
    after = [min(context, len(clip)) for clip in clips[1:]]
    lengths = [sum(parts) for parts in zip(before, made, after, strict=True)]
    generators = spawn_generators(asked_generator(generator, seed), gaps, pipe._execution_device)
    transitions: list[Motion] = []
    for start in range(0, gaps, batch_size):
        part = slice(start, start + batch_size)
        transitions += pipe(
            texts[part], lengths[part], generator=generators[part], motion=clips[:-1][part], end_motion=clips[1:][part],
            keep_start=context / fps, keep_end=context / fps, **options,
        ).motions  # fmt: skip
    return _chain(clips, transitions, before, after)


def _chain(clips: list[Motion], transitions: list[Motion], before: list[int], after: list[int]) -> Motion:
    """Clips and the new parts of the transitions, each of which lies in the world of the clip before it."""
    turn, shift = np.eye(3), np.zeros(3)
    parts, texts = [clips[0].joints], [clips[0].text]
    for clip, transition, first, last in zip(clips[1:], transitions, before, after, strict=True):
        parts.append(transition.joints[first:-last] @ turn.T + shift)
        step, move = _placement(clip.joints[:last], transition.joints[-last:])
        turn, shift = turn @ step, turn @ move + shift
        parts.append(clip.joints @ turn.T + shift)
        texts += [transition.text, clip.text]
    text = ", then ".join(filter(None, texts)) or None
    return replace(clips[0], joints=np.concatenate(parts), text=text, face=joined_faces(clips, [len(part) for part in parts[1::2]]))


def _placement(source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Turn about the vertical (3, 3) and shift (3,) that take the joints `source` to `target`."""
    source, target = (joints.reshape(-1, 3).astype(np.float64) for joints in (source, target))
    one, other = source - source.mean(0), target - target.mean(0)
    angle = math.atan2((one[:, 2] * other[:, 0] - one[:, 0] * other[:, 2]).sum(), (one * other)[:, [0, 2]].sum())
    turn = np.array([[math.cos(angle), 0, math.sin(angle)], [0, 1, 0], [-math.sin(angle), 0, math.cos(angle)]])
    return turn, target.mean(0) - turn @ source.mean(0)


def _clips(name: str, motions: Any, count: int, extractor: MotionFeatureExtractor) -> list[Motion]:
    """One clip per prompt at the model's frame rate; one clip for all stays one object."""
    several = isinstance(motions, (list, tuple))
    if several and len(motions) != count:
        raise ValueError(f"{name} has {len(motions)} clips for {count} prompts; pass one, or one per prompt.")
    for index, motion in enumerate(motions if several else [motions]):
        if not isinstance(motion, Motion):
            raise ValueError(
                f"{name} must hold Motion objects, got {type(motion).__name__} at {index}. Wrap arrays: Motion(joints, fps=20)."
            )
        if motion.skeleton.name != extractor.skeleton:
            raise ValueError(
                f"This checkpoint works on skeleton {extractor.skeleton!r}, {name}[{index}] has {motion.skeleton.name!r}. Map its joints "
                "first."
            )
    return [motion.resample(extractor.fps) for motion in motions] if several else [motions.resample(extractor.fps)] * count


def _kept_frames(name: str, seconds: float, fps: float) -> int:
    if isinstance(seconds, bool) or not isinstance(seconds, Real) or not (math.isfinite(seconds) and seconds >= 0):
        raise ValueError(f"{name} must be a number of seconds of at least 0, got {seconds!r}.")
    return max(1, round(seconds * fps)) if seconds else 0


def _part_joints(body_part: str | Sequence[str], skeleton: Skeleton) -> list[int]:
    parts = [body_part] if isinstance(body_part, str) else list(body_part)
    for part in parts:
        if part not in skeleton.body_parts:
            raise ValueError(f"Unknown body part {part!r}. Skeleton {skeleton.name!r} has: {', '.join(skeleton.body_parts)}.")
    if not parts:
        raise ValueError(f"body_part is empty; name at least one of: {', '.join(skeleton.body_parts)}.")
    return sorted({joint for part in parts for joint in skeleton.body_parts[part]})


def _checked_mask(mask: Any, clip: Motion, index: int) -> np.ndarray:
    mask = mask.detach().cpu().numpy() if torch.is_tensor(mask) else mask
    if not isinstance(mask, np.ndarray) or mask.dtype != bool:
        kind = mask.dtype if isinstance(mask, np.ndarray) else type(mask).__name__
        raise ValueError(
            f"mask must be an array of bool, true where the clip is kept, got {kind} for prompt {index}. Try mask.astype(bool)."
        )
    full = (len(clip), len(clip.skeleton))
    if mask.shape not in (full, full[:1]):
        raise ValueError(
            f"mask of prompt {index} has shape {mask.shape}; its clip has {full[0]} frames at {clip.fps:g} fps and {full[1]} joints, so it "
            f"must be {full[:1]} or {full}."
        )
    if not mask.any():
        raise ValueError(f"mask of prompt {index} keeps nothing; to make a motion from text alone leave out motion and mask.")
    return np.broadcast_to(mask.reshape(len(mask), -1), full).copy()


def _check_length(length: int, extractor: MotionFeatureExtractor, index: int) -> None:
    if length > extractor.max_frames:
        raise ValueError(
            f"motion[{index}] has {length} frames at {extractor.fps:g} fps, this model makes up to {extractor.max_frames} "
            f"({extractor.max_frames / extractor.fps:.1f} s). Cut it, for example motion[:{extractor.max_frames}], or pass num_frames with "
            "keep_start or keep_end."
        )


def _masked(clip: Motion, length: int | None, mask: np.ndarray, extractor: MotionFeatureExtractor, index: int) -> Edit:
    _check_length(len(clip), extractor, index)
    if length not in (None, len(clip)):
        raise ValueError(
            f"num_frames is {length}, but with mask or body_part the result is as long as the clip, which has {len(clip)} frames at "
            f"{clip.fps:g} fps. Leave out num_frames."
        )
    return Edit([clip], np.where(mask.any(1), np.arange(len(clip)), -1), mask)


def _in_between(
    clip: Motion, length: int | None, keep_start: float | None, keep_end: float | None, extractor: MotionFeatureExtractor, index: int
) -> Edit:
    """The clip's start, end, or both; the published quarters if nothing is said."""
    if keep_start is None and keep_end is None:
        start = end = max(1, int(_PUBLISHED_SHARE * len(clip)))
    else:
        start, end = _kept_frames("keep_start", keep_start or 0.0, clip.fps), _kept_frames("keep_end", keep_end or 0.0, clip.fps)
    if length is None:
        _check_length(length := len(clip), extractor, index)
    if start + end == 0:
        raise ValueError("keep_start and keep_end are both 0; to make a motion from text alone leave out motion.")
    if start + end > len(clip):
        raise ValueError(
            f"keep_start and keep_end are {start} and {end} frames at {clip.fps:g} fps, motion[{index}] has {len(clip)}. Keep less."
        )
    return _ends(length, start, end, [clip], len(clip), index)


def _transition(
    clip: Motion, other: Motion, length: int | None, keep_start: float | None, keep_end: float | None, extractor: MotionFeatureExtractor
) -> Edit:
    """The end of one clip, then the start of another."""
    length = min(int(6 * extractor.fps), extractor.max_frames) if length is None else length
    share = _PUBLISHED_SHARE * length / extractor.fps
    start = min(len(clip), _kept_frames("keep_start", share if keep_start is None else keep_start, extractor.fps))
    end = min(len(other), _kept_frames("keep_end", share if keep_end is None else keep_end, extractor.fps))
    edit = _ends(length, start, end, [clip, other], len(clip) + end, 0)
    edit.source[:start] += len(clip) - start
    return edit


def _ends(length: int, start: int, end: int, clips: list[Motion], stop: int, index: int) -> Edit:
    """The first `start` frames, and `end` frames up to the frame `stop` at the end of `length`."""
    if start + end >= length:
        raise ValueError(
            f"Kept are {start} frames at the start and {end} at the end of {length}: nothing is left to make for prompt {index}."
        )
    source = np.full(length, -1)
    source[:start] = np.arange(start)
    source[length - end :] = np.arange(stop - end, stop)
    return Edit(clips, source, np.repeat((source >= 0)[:, None], len(clips[0].skeleton), axis=1))
