"""`hf-motion prefer build`: prompts, several motions of each, scores, pairs, and an HF data set of all of it."""

from __future__ import annotations

import json
import logging
import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import torch

from ..checkpoints import EMBEDDED
from ..evaluation.generations import load_system, make_or_load, requests_for
from ..motion import Motion
from ..retrieval.embedder import checkpoint_folder, fingerprint
from ..rewards.base import Reward
from ..rewards.chat import Chat
from ..rewards.specification import TASKS, Specification
from ..utils.device import choose_device
from ..utils.files import output_folder, write_json
from ..utils.text import say_once
from ..utils.version import __version__
from .dataset import write_dataset
from .pairs import Pair
from .prompts import Prompt, make_prompts, with_chat
from .scores import Score, score_all

logger = logging.getLogger("hf_motion")


@dataclass
class BuildRequest:
    """What to build.

    Args:
        output (`str`): Folder of the data set, and of what has been made so far.
        tasks (`dict[str, int]`): How many prompts of each task.
        model (`str`, *optional*): Folder or repository of the generator; the checkpoint inside the package by default.
        motions_per_prompt (`int`, defaults to 6): Motions of each prompt, the paper's k.
        min_gap (`float`, defaults to 1.0): Least difference of the scores of a pair.
        pairs (`str`, defaults to `"best"`): `"best"`: of each prompt, the best against the worst; `"all"`: every two motions of a prompt
            that are `min_gap` apart.
        seed (`int`, defaults to 0): All chance comes from it.
        options (`dict`): Passed to the generator, such as `guidance_scale`.
        images (`str`, *optional*): Keep pictures of the motions in the data set, in this form: `"full"`, `"trajectory"` or `"frames"`.
        prompt_chat (`Chat`, *optional*): Words the prompts; our templates do by default.
        price (`tuple[float, float]`, defaults to `(0, 0)`): Of a million tokens read, and written, for the report.
        device (`str`, *optional*): The fastest there is by default.
        show_progress (`bool`, defaults to `True`): Show progress bars.
    """

    output: str
    tasks: dict[str, int]
    model: str | None = None
    motions_per_prompt: int = 6
    min_gap: float = 1.0
    pairs: str = "best"
    seed: int = 0
    options: dict[str, Any] = field(default_factory=dict)
    images: str | None = None
    prompt_chat: Chat | None = None
    price: tuple[float, float] = (0.0, 0.0)
    device: str | None = None
    show_progress: bool = True


@dataclass
class Candidate:
    """A motion of a prompt with its score.

    Args:
        id (`str`): Name: `<prompt>_<number>`.
        prompt (`Prompt`): What it was made of.
        motion (`Motion`): The motion.
        seed (`int`): Its own.
        score (`Score`): Its score.
    """

    id: str
    prompt: Prompt
    motion: Motion
    seed: int
    score: Score


def build(request: BuildRequest, reward: Reward) -> dict[str, Any]:
    """Build preference data. Called again with the same request, it goes on where it was stopped.

    Args:
        request (`BuildRequest`): What to build.
        reward (`Reward`): What scores the motions.

    Returns:
        `dict`: What was made, what was left out and why, and what it cost: the content of `build.json`.

    Raises:
        ValueError: If an option does not fit, or no pair comes out: the message says why.
        OSError: If the model is not there, the folder cannot be written, or a server does not answer.
    """
    _check(request)
    start = time.monotonic()
    with output_folder(request.output), say_once():
        folder = Path(request.output)
        prompts, outcomes = _prompts(request, folder)
        candidates, generator = _candidates(request, prompts, folder)
        scores = score_all(
            reward, [one.motion for one in candidates], [one.prompt.text for one in candidates],
            [one.prompt.specification for one in candidates], folder / "work" / "scores", request.show_progress,
        )  # fmt: skip
        for one, score in zip(candidates, scores, strict=True):
            one.score = score
        pairs, left_out = choose_pairs(candidates, request, reward.name, generator)
        record = {
            "hf_motion": __version__, "prompts": dict(Counter(one.specification.task for one in prompts)),
            "prompt_outcomes": dict(outcomes),
            "motions": len(candidates), "unjudged": sum(math.isnan(score.value) for score in scores), "pairs": len(pairs),
            "prompts_without_pair": dict(left_out), "generator": generator, "reward": reward.settings(), "seed": request.seed,
            "motions_per_prompt": request.motions_per_prompt, "min_gap": request.min_gap, "pairs_rule": request.pairs,
            "cost": _cost(reward, request.price), "seconds": round(time.monotonic() - start, 1),
        }  # fmt: skip
        if not pairs:
            raise ValueError(
                f"No pair of {len(prompts)} prompts: {dict(left_out)}. Lower min_gap (now {request.min_gap:g}), make more motions per "
                "prompt, or use a finer reward."
            )
        write_dataset(folder, candidates, pairs, record, request.images, request.show_progress)
        write_json(folder / "build.json", record)
    return record


def choose_pairs(
    candidates: Sequence[Candidate], request: BuildRequest, reward: str, generator: str
) -> tuple[list[Pair], Counter[str]]:  # fmt: skip
    """Pairs by score gap, in the order of the prompts.

    Motions without a score are in no pair. Of equal scores the first motion counts, so that nothing depends on chance.

    Args:
        candidates (`list[Candidate]`): All motions.
        request (`BuildRequest`): Its `min_gap` and `pairs` are read.
        reward (`str`): Name of the reward, for the pairs.
        generator (`str`): Name of the generator, for the pairs.

    Returns:
        `tuple[list[Pair], Counter]`: Pairs, and how many prompts have none, by reason.
    """
    by_prompt: dict[str, list[Candidate]] = {}
    for one in candidates:
        by_prompt.setdefault(one.prompt.text, []).append(one)
    pairs, left_out = [], Counter[str]()
    for made in by_prompt.values():
        judged = sorted((one for one in made if not math.isnan(one.score.value)), key=lambda one: -one.score.value)
        options = list(combinations(judged, 2)) if request.pairs == "all" else [(judged[0], judged[-1])] if len(judged) > 1 else []
        chosen = [(better, worse) for better, worse in options if 0 < better.score.value - worse.score.value >= request.min_gap]
        if not chosen:
            equal = len({one.score.value for one in judged}) == 1
            left_out["fewer than two scores" if len(judged) < 2 else "all scores equal" if equal else "no gap"] += 1
        pairs += [_pair(better, worse, reward, generator) for better, worse in chosen]
    return pairs, left_out


def _pair(better: Candidate, worse: Candidate, reward: str, generator: str) -> Pair:
    details: dict[str, Any] = {"reward": reward, "generator": generator}
    for side, one in (("chosen", better), ("rejected", worse)):
        details |= {f"{side}_id": one.id, f"{side}_seed": one.seed, f"{side}_rating": one.score.value}
        details[f"{side}_rationale"] = one.score.rationale
    prompt = better.prompt
    return Pair(f"{better.id}-{worse.id}", prompt.text, better.motion, worse.motion, prompt.specification, "score gap", details)


def _check(request: BuildRequest) -> None:
    unknown = set(request.tasks) - set(TASKS)
    if unknown or not any(request.tasks.values()):
        raise ValueError(f"tasks must say how many prompts of {', '.join(TASKS)} there are to be, got {request.tasks}.")
    if request.motions_per_prompt < 2:
        raise ValueError(f"motions_per_prompt must be at least 2 for a pair, got {request.motions_per_prompt}.")
    if request.pairs not in ("best", "all"):
        raise ValueError(f"pairs must be 'best' or 'all', got {request.pairs!r}.")
    if request.min_gap < 0:
        raise ValueError(f"min_gap must not be negative, got {request.min_gap}.")


def _prompts(request: BuildRequest, folder: Path) -> tuple[list[Prompt], Counter[str]]:
    """Read back if they are there: those of a chat model cost something, and would be others."""
    told = {"tasks": request.tasks, "seed": request.seed, "chat": request.prompt_chat.model if request.prompt_chat else None}
    file = folder / "work" / "prompts.json"
    if file.is_file():
        content = json.loads(file.read_text(encoding="utf-8"))
        if content["made_with"] != told:
            raise ValueError(f"{str(folder)!r} holds a build of {content['made_with']}, not of {told}. Choose another output folder.")
        prompts = [
            Prompt(one["text"], Specification.from_dict(one["specification"]), tuple(one["labels"]), one["seconds"])
            for one in content["prompts"]
        ]
        return prompts, Counter(content["outcomes"])
    prompts = [prompt for task in TASKS if request.tasks.get(task) for prompt in make_prompts(task, request.tasks[task], request.seed)]
    outcomes = Counter({"from templates": len(prompts)})
    if request.prompt_chat is not None:
        prompts, outcomes = with_chat(prompts, request.prompt_chat, seed=request.seed)
        if not prompts:
            raise ValueError(f"{request.prompt_chat.model} worded no prompt: {dict(outcomes)}.")
    prompts = list({prompt.text: prompt for prompt in prompts}.values())
    records = [
        {"text": one.text, "specification": one.specification.to_dict(), "labels": one.labels, "seconds": one.seconds} for one in prompts
    ]
    write_json(file, {"made_with": told, "outcomes": dict(outcomes), "prompts": records})
    return prompts, outcomes


def _candidates(request: BuildRequest, prompts: Sequence[Prompt], folder: Path) -> tuple[list[Candidate], str]:
    place = checkpoint_folder(request.model or EMBEDDED)
    name, digest = Path(request.model).name if request.model else EMBEDDED.name, fingerprint(place)
    system = load_system(place, device=choose_device(request.device))
    extractor = system.feature_extractor
    longest = getattr(system, "max_frames", extractor.max_frames)
    asked = [prompt for prompt in prompts for _ in range(request.motions_per_prompt)]
    frames = [min(round(prompt.seconds * extractor.fps), longest) for prompt in asked]
    cut = sum(prompt.seconds * extractor.fps > longest + 1 for prompt in prompts)
    if cut:
        logger.warning("%d prompts are given the %d frames that %s makes at most: they would take longer.", cut, longest, name)
    requests = requests_for([prompt.text for prompt in asked], frames, (request.seed, 14))

    def generate(texts: list[str], lengths: list[int] | None, seeds: list[int]) -> list[torch.Tensor]:
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        try:
            made = system.generate_motion(texts, lengths, generator=generators, **request.options)
        except ValueError as error:
            raise ValueError(
                f"{name} fails on the prompts {', '.join(map(repr, dict.fromkeys(texts)))} (seeds {seeds}): {error}"
            ) from error
        return [torch.from_numpy(motion.joints) for motion in made]

    settings = {"model": digest, "hf_motion": __version__, "options": request.options}
    joints = make_or_load(requests, generate, folder / "work" / "motions", settings, f"Generating ({name})", request.show_progress)
    candidates = [
        Candidate(
            f"{index // request.motions_per_prompt:05d}_{index % request.motions_per_prompt:02d}",
            prompt, Motion(clip.numpy(), extractor.fps, extractor.skeleton, prompt.text), one.seed, Score(math.nan, None),
        )
        for index, (prompt, one, clip) in enumerate(zip(asked, requests, joints, strict=True))
    ]  # fmt: skip
    return candidates, f"{name} ({digest[:16]})"


def _cost(reward: Reward, price: tuple[float, float]) -> dict[str, Any]:
    """What this run spent; what an earlier one paid for is in its own report."""
    counts, tokens = getattr(reward, "counts", None), getattr(reward, "tokens", Counter())
    if counts is None:
        return {}
    read, written = tokens["prompt"], tokens["completion"]
    spent = (read * price[0] + written * price[1]) / 1e6
    return {"outcomes": dict(counts), "prompt_tokens": read, "completion_tokens": written, "price": round(spent, 6)}
