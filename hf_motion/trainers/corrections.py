"""Triplets of a source, a target and a corrective instruction as questions and answers, for language models."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from ..models.motion_language.corrections import TASK, correction_question
from ..models.motion_language.instructions import Instructions
from ..models.motion_language.modeling_motion_language import MotionLanguageModel
from ..utils.extras import require
from .instructions import MIXTURE, Example, tokenize

if TYPE_CHECKING:
    from ..corrections import Triplet

_ENCODE_BATCH = 64


def correction_rows(
    model: MotionLanguageModel,
    triplets: Sequence[Triplet],
    count: int | None = None,
    seed: int = 0,
    wording_share: float = 0.5,
    max_length: int | None = None,
    first_clip: int = 0,
    show_progress: bool = True,
) -> Any:
    """Questions about pairs of motions and their answers: a data set that trainers of language models take as it is.

    Every triplet comes once before one comes again; which wording is the answer depends on the seed and the place of the row alone.

    Args:
        model (`MotionLanguageModel`): The model that is to be trained.
        triplets (`Sequence[Triplet]`): See `hf_motion.corrections.load_triplets`.
        count (`int`, *optional*): How many rows; one for each triplet by default.
        seed (`int`, defaults to 0): All chance.
        wording_share (`float`, defaults to 0.5): How often an instruction is replaced by another wording of it, where it has some.
        max_length (`int`, *optional*): Leave rows out that have more tokens.
        first_clip (`int`, defaults to 0): Number of the first triplet in the column `clip`.
        show_progress (`bool`, defaults to `True`): Show progress bars.

    Returns:
        `datasets.Dataset`: `input_ids` and `labels` (-100 on the question; of an encoder-decoder the answer alone), `task`, and `clip`; of
        the layout `"continuous"` also `motion_latents`, (tokens * width,).

    Raises:
        ValueError: If there are no triplets, or no row is short enough.
    """
    if not len(triplets):
        raise ValueError("There are no triplets to learn from. Is the split right? hf-motion corrections build makes them.")
    if TASK not in model.instructions.templates:
        tqdm.write(f"The model has no wording of {TASK}; it is asked in the package's own, and will remember it.")
        model.instructions.templates[TASK] = Instructions.from_file().templates[TASK]
        model.config.motion["instructions"] = model.instructions.templates
    codes, sentences, cut = _encoded(model, triplets, show_progress)
    columns: dict[str, list[Any]] = {"input_ids": [], "labels": [], "task": [], "clip": []}
    columns |= {"motion_latents": []} if model.reads_latents else {}
    order: list[int] = []
    count, left_out = len(triplets) if count is None else count, 0
    for place in tqdm(range(count), desc="Writing corrections", disable=not show_progress):
        if place % len(triplets) == 0:
            order = random.Random(f"{seed} {place}").sample(range(len(triplets)), len(triplets))
        number, draw = order[place % len(triplets)], random.Random(seed * 1_000_003 + place)
        first, *others = sentences[number]
        words = draw.choice(others) if others and draw.random() < wording_share else first
        ids, labels = tokenize(model, Example(TASK, correction_question(model, *codes[number]), words=words))
        if max_length is not None and max(len(ids), len(labels)) > max_length:
            left_out += 1
            continue
        for name, value in (("input_ids", ids), ("labels", labels), ("task", TASK), ("clip", first_clip + number)):
            columns[name].append(value)
        if model.reads_latents:
            columns["motion_latents"].append(torch.cat(codes[number], dim=1).T.flatten().numpy())
    if not columns["clip"]:
        raise ValueError(f"None of {count} corrections has at most {max_length} tokens; raise max_length, or lower max_tokens.")
    for number, what in ((left_out, f"of {count} rows have more than {max_length} tokens and were left out"),
                         (cut, f"motions are longer than the {model.max_frames} frames that the model reads, and were cut")):  # fmt: skip
        if number:
            tqdm.write(f"{number} {what}.")
    return require("datasets", "Training").Dataset.from_dict(columns)


def shares(mixture: Mapping[str, float] | None, clips: bool, triplets: bool) -> tuple[dict[str, float], float]:
    """How much of a training each task gets.

    Args:
        mixture (`Mapping[str, float]`, *optional*): Shares of tasks; by default half are corrections, where there are triplets and clips.
        clips (`bool`): Whether there are captioned clips.
        triplets (`bool`): Whether there are triplets.

    Returns:
        `tuple[dict[str, float], float]`: The mixture of the clips' tasks, and the share of corrections in all.

    Raises:
        ValueError: If a task has nothing to learn from.

    Example:
        >>> shares({"text_to_motion": 3, "motion_correction": 1}, clips=True, triplets=True)
        ({'text_to_motion': 3.0}, 0.25)
    """
    if mixture is None:
        mixture = {**(MIXTURE if clips else {}), **({TASK: sum(MIXTURE.values())} if triplets else {})}
    others = {task: float(share) for task, share in mixture.items() if task != TASK}
    corrections, rest = float(mixture.get(TASK, 0)), sum(others.values())
    if corrections and not triplets:
        raise ValueError(f"The mixture has {TASK}, which learns from triplets. Say where they are: --triplets FOLDER.")
    if triplets and not corrections:
        raise ValueError(f"There are triplets, and the mixture leaves {TASK} out. Give it a share, or leave --triplets out.")
    if rest and not clips:
        raise ValueError(f"The mixture has {', '.join(others)}, which learn from captioned clips. Say where they are: --dataset.")
    if clips and not rest:
        raise ValueError("There are captioned clips, and the mixture has no task for them. Give one a share, or leave --dataset out.")
    return others, corrections / (corrections + rest)


def note_tasks(model: MotionLanguageModel, tasks: Sequence[str]) -> None:
    """Write into a model's configuration which tasks it has learned, earlier ones included.

    Args:
        model (`MotionLanguageModel`): The model; its `config.motion["tasks"]` is set.
        tasks (`Sequence[str]`): What it learns now.
    """
    model.config.motion["tasks"] = sorted({*model.config.motion.get("tasks", ()), *tasks})


def _encoded(
    model: MotionLanguageModel, triplets: Sequence[Triplet], show_progress: bool
) -> tuple[list[tuple[Tensor, Tensor]], list[tuple[str, ...]], int]:
    """Codes of both motions and the sentences of each triplet, and how many motions were cut."""
    codes, sentences, cut = [], [], 0
    for start in tqdm(range(0, len(triplets), _ENCODE_BATCH), desc="Encoding to tokens", disable=not show_progress):
        batch = [triplets[place] for place in range(start, min(start + _ENCODE_BATCH, len(triplets)))]
        made = model.encode_motions([motion for triplet in batch for motion in (triplet.source, triplet.target)])
        cut += sum(clip.shape[1] > model.max_tokens for clip in made)
        made = [clip[:, : model.max_tokens] for clip in made]
        codes += list(zip(made[::2], made[1::2], strict=True))
        sentences += [(triplet.instruction, *triplet.wordings) for triplet in batch]
    return codes, sentences, cut
