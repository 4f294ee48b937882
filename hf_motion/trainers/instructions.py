"""Captioned motion as questions and answers, for language models."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from torch import Tensor
from tqdm.auto import tqdm

from ..models.motion_language.answers import length_values
from ..models.motion_language.instructions import TASKS
from ..models.motion_language.modeling_motion_language import MotionLanguageModel
from ..models.vimorag.processing_vimorag import AS_SHOWN
from ..preferences.prompts import words
from ..utils.extras import require
from .tokens import TokenDataset
from .videos import NO_VIDEO, ShownVideos

MIXTURE = {"text_to_motion": 0.6, "motion_to_text": 0.2, "prediction": 0.1, "in_between": 0.1}
"""Shares of the tasks, if nothing else is said."""

_SAY = 0.5  # how often an optional thing, such as the length, is said
_SHORTEST = {"prediction": 2, "in_between": 3}
_MOST_JOINED = 3
_TRIES = 20  # to find a clip that still fits
_SUBJECT = re.compile(r"(someone|(a|the) (person|man|woman|human|figure))\s+(?=\w)", re.IGNORECASE)


class Example(NamedTuple):
    """A question and its answer.

    Args:
        task (`str`): One of `TASKS`.
        question (`str`): Text.
        words (`str`, *optional*): The answer, if it is a sentence.
        codes (`torch.Tensor`, *optional*): The answer, (quantizers, tokens), if it is a motion.
    """

    task: str
    question: str
    words: str | None = None
    codes: Tensor | None = None


def make_example(
    model: MotionLanguageModel, task: str, codes: Tensor, caption: str, draw: random.Random, video: str | None = None
) -> Example:
    """Ask and answer something about a clip.

    Args:
        model (`MotionLanguageModel`): Its wordings, and how it writes motions.
        task (`str`): One of `TASKS`; of a clip that is too short for it, `"text_to_motion"` is made instead.
        codes (`torch.Tensor`): (quantizers, tokens).
        caption (`str`): What the clip shows.
        draw (`random.Random`): All chance.
        video (`str`, *optional*): What stands for a video that is shown, where a motion is asked for.
    """
    count = codes.shape[1]
    if count < _SHORTEST.get(task, 1):
        task = "text_to_motion"
    if task == "motion_to_text":
        return Example(task, model.instructions(task, draw, motion=model.motion_text(codes)), words=caption)
    if task == "text_to_motion":
        first, behind, values = 0, count, {"text": caption, **({} if video is None else {"video": video})}
    elif task == "prediction":
        first, behind = draw.randint(1, count - 1), count
        values = {"motion": model.motion_text(codes[:, :first])}
    else:
        first, behind = sorted(draw.sample(range(1, count), 2))
        values = {"start": model.motion_text(codes[:, :first]), "end": model.motion_text(codes[:, behind:])}
    if draw.random() < _SAY:
        frames = (behind - first) * model.vq_model.config.frames_per_token
        values |= length_values(frames, model.feature_extractor.fps)
    if task != "text_to_motion" and draw.random() < _SAY:
        values["text"] = caption
    return Example(task, model.instructions(task, draw, **values), codes=codes[:, first:behind])


def instruction_rows(
    model: MotionLanguageModel,
    dataset: TokenDataset,
    count: int,
    mixture: Mapping[str, float] | None = None,
    seed: int = 0,
    balance: float = 0.0,
    joined: float = 0.0,
    max_length: int | None = None,
    show_progress: bool = True,
    videos: ShownVideos | None = None,
    video_share: float = 1.0,
    silent_share: float = 0.0,
) -> Any:
    """Draw questions and answers from clips: a data set that trainers of language models take as it is.

    Row `i` depends on the seed and `i` alone. Where captions have other wordings, see `MotionTextDataset`, these are said as often as
    that data set says them.

    Args:
        model (`MotionLanguageModel`): The model that is to be trained.
        dataset (`TokenDataset`): Clips as codes.
        count (`int`): How many rows.
        mixture (`Mapping[str, float]`, *optional*): Share of each task, `MIXTURE` by default.
        seed (`int`, defaults to 0): All chance.
        balance (`float`, defaults to 0.0): How much to lift rare actions, see `MotionTextDataset.balanced_weights`.
        joined (`float`, defaults to 0.0): Share of the text-to-motion rows that ask for two or three clips one behind the other, where
            so many fit: captions of single actions teach no order. Their tokens follow each other as they are.
        max_length (`int`, *optional*): Leave rows out that have more tokens.
        show_progress (`bool`, defaults to `True`): Show a progress bar.
        videos (`ShownVideos`, *optional*): Videos of captions, which are shown where a motion is asked for. One of several clips in a row
            is shown none; other wordings of a caption are shown its video.
        video_share (`float`, defaults to 1.0): How often they are.
        silent_share (`float`, defaults to 0.0): How often `AS_SHOWN` stands in the place of the caption beside a video, so that a model has
            to look at it.

    Returns:
        `datasets.Dataset`: `input_ids` and `labels` (-100 on the question; of an encoder-decoder the answer alone), `task`, and `clip`,
        the place in the data set; with videos also `video`, their numbers.

    Raises:
        ValueError: If a task is unknown, shares are no shares, no row is short enough, or the model makes no motions.
    """
    tasks, shares = _checked_mixture(MIXTURE if mixture is None else mixture)
    for name, share in (("joined", joined), ("video_share", video_share), ("silent_share", silent_share)):
        if not 0 <= share <= 1:
            raise ValueError(f"{name} is a share, from 0 to 1, got {share}.")
    if model.reads_latents:
        raise ValueError(
            "A model of format 'continuous' reads motions and makes none; it learns corrections. Train it with --triplets alone, or write "
            "motions as tokens: --format motion."
        )
    if "motion_correction" in tasks:
        raise ValueError(
            "motion_correction in the mixture asks about two motions: hf_motion.trainers.corrections makes its rows of triplets."
        )
    weights = list(accumulate(dataset.balanced_weights(balance)))
    columns: dict[str, list[Any]] = {"input_ids": [], "labels": [], "task": [], "clip": [], "video": []}
    left_out: Counter[str] = Counter()
    for place in tqdm(range(count), desc="Writing questions", disable=not show_progress):
        draw = random.Random(seed * 1_000_003 + place)
        clip, codes, caption, own = _drawn(dataset, weights, draw)
        task, video = draw.choices(tasks, shares)[0], NO_VIDEO if videos is None else videos.number(own)
        if joined and task == "text_to_motion" and draw.random() < joined:
            codes, caption = _joined(dataset, weights, draw, codes, caption, model.max_tokens)
            video = NO_VIDEO
        if video != NO_VIDEO and (task != "text_to_motion" or draw.random() >= video_share):
            video = NO_VIDEO
        if video != NO_VIDEO and silent_share and draw.random() < silent_share:
            caption = AS_SHOWN
        example = make_example(model, task, codes, caption, draw, videos.text(video) if videos and video != NO_VIDEO else None)
        ids, labels = tokenize(model, example)
        if max_length is not None and max(len(ids), len(labels)) > max_length:
            left_out[example.task] += 1
            continue
        for name, value in (("input_ids", ids), ("labels", labels), ("task", example.task), ("clip", clip), ("video", video)):
            columns[name].append(value)
    if not columns["clip"]:
        raise ValueError(f"None of {count} questions and answers has at most {max_length} tokens; raise max_length.")
    if left_out:
        tqdm.write(f"{sum(left_out.values())} of {count} rows have more than {max_length} tokens and were left out: {dict(left_out)}.")
    if videos is None:
        del columns["video"]
    return require("datasets", "Training").Dataset.from_dict(columns)


def concatenate_rows(parts: Sequence[Any]) -> Any:
    """Rows of several kinds as one data set, one kind after the other.

    Args:
        parts (`Sequence[datasets.Dataset]`): With the same columns.
    """
    return require("datasets", "Training").concatenate_datasets(list(parts))


def tokenize(model: MotionLanguageModel, example: Example) -> tuple[list[int], list[int]]:
    """`input_ids` and `labels` of an example.

    Args:
        model (`MotionLanguageModel`): The model.
        example (`Example`): Question and answer.
    """
    question = model.prompts.question(example.question)
    answer = model.answer_ids(example.codes) if example.words is None else model.prompts.answer(example.words)
    if model.config.is_encoder_decoder:
        return question, answer
    return [*question, *answer], [*([-100] * len(question)), *answer]


def join_captions(captions: Sequence[str], draw: random.Random) -> str:
    """One sentence of several: words of order between them, and the subject said once.

    Args:
        captions (`Sequence[str]`): What happens, in order.
        draw (`random.Random`): Draws the words of order.

    Example:
        >>> join_captions(["a person walks", "Someone jumps high."], random.Random(0))
        'a person walks, after that jumps high'
    """
    said = captions[0].rstrip(" .")
    for caption in captions[1:]:
        subject = _SUBJECT.match(caption)
        said += draw.choice(words()["ordering"]) + caption[subject.end() if subject else 0 :].rstrip(" .")
    return said


def _drawn(dataset: TokenDataset, weights: Sequence[float], draw: random.Random) -> tuple[int, Tensor, str, str]:
    """A clip's place, its codes, what is said of it, and its caption."""
    clip = draw.choices(range(len(weights)), cum_weights=weights)[0]
    item = dataset[clip, draw.getrandbits(62)]
    return clip, item["codes"], _reworded(dataset, item["caption"], draw), item["caption"]


def _joined(
    dataset: TokenDataset, weights: Sequence[float], draw: random.Random, codes: Tensor, caption: str, longest: int
) -> tuple[Tensor, str]:
    """A clip and one or two others behind it, as long as they fit."""
    clips, captions = [codes], [caption]
    wanted, room = draw.randint(2, _MOST_JOINED), longest - codes.shape[1]
    for _ in range(_TRIES):
        _, more, said, _ = _drawn(dataset, weights, draw)
        if more.shape[1] <= room and _SUBJECT.match(said) and said not in captions:
            clips, captions, room = [*clips, more], [*captions, said], room - more.shape[1]
        if len(clips) == wanted:
            break
    return torch.cat(clips, dim=1), join_captions(captions, draw)


def _reworded(dataset: TokenDataset, caption: str, draw: random.Random) -> str:
    wordings = dataset.clips.wordings.get(caption)
    return draw.choice(wordings) if wordings and draw.random() < dataset.clips.paraphrase_share else caption


def _checked_mixture(mixture: Mapping[str, float]) -> tuple[list[str], list[float]]:
    if unknown := sorted(set(mixture) - set(TASKS)):
        raise ValueError(f"Unknown task {unknown[0]!r} in the mixture; tasks are {', '.join(map(repr, TASKS))}.")
    shares = {task: float(share) for task, share in mixture.items() if share}
    if not shares or not all(share > 0 for share in shares.values()):
        raise ValueError(f"The mixture gives tasks their shares, such as {MIXTURE}; got {dict(mixture)}.")
    return list(shares), list(shares.values())
