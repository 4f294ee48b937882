"""Motions of the model that is judged: made once, kept in files, the same on any number of processes."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm.auto import tqdm
from transformers import PreTrainedModel

from ..data.motion_text import put_on_one_body
from ..hands import without_hands
from ..hub.loading import load_part
from ..models.motion_language.auto import AutoMotionModel
from ..motion import Motion
from ..representation import MotionFeatureExtractor
from ..skeletons import HUMANML3D_22, get_skeleton
from ..utils.files import atomic_path

CHUNK = 32

GenerateFeatures = Callable[[list[str], "list[int] | None", list[int]], list[Tensor]]
"""Texts, lengths in frames or None, and one seed per motion; gives features in units, (frames, dim) each."""


@dataclass(frozen=True)
class Request:
    """One motion to make."""

    text: str
    length: int | None
    seed: int


def load_system(folder: Path, dtype: str = "float32", device: str = "cpu") -> PreTrainedModel:
    """Load a model that makes motion from text, of any kind, without progress bars of its own.

    Args:
        folder (`pathlib.Path`): Its checkpoint.
        dtype (`str`, defaults to `"float32"`): Precision of its weights.
        device (`str`, defaults to `"cpu"`): Where to.

    Raises:
        OSError: If there is none.
        ValueError: If it makes no motion from text, or a file is damaged.
    """
    system = load_part(AutoMotionModel, folder, "model", dtype=getattr(torch, dtype))
    if not hasattr(system, "generate_motion"):
        raise ValueError(
            f"{str(folder)!r} holds a {type(system).__name__}, which makes no motion from text. Name one that does; hf-motion evaluate "
            "scores others with --retrieval or --reconstruction."
        )
    if hasattr(system, "pipeline"):
        system.pipeline.set_progress_bar_config(disable=True)
    return system.to(device)


def requests_for(texts: Sequence[str], lengths: Sequence[int] | None, key: Sequence[int]) -> list[Request]:
    """Give every motion its own seed.

    Args:
        texts (`list[str]`): Captions.
        lengths (`list[int]`, *optional*): Frames, or None if the model chooses.
        key (`Sequence[int]`): Numbers that name this set of motions.
    """
    seeds = np.random.default_rng((*key, 2)).integers(2**62, size=len(texts)).tolist()
    chosen = lengths if lengths is not None else [None] * len(texts)
    return [Request(text, length, seed) for text, length, seed in zip(texts, chosen, seeds, strict=True)]


def system_generator(
    system: Any, evaluator: MotionFeatureExtractor, options: dict[str, Any] | None = None, one_body: bool = False
) -> GenerateFeatures:
    """How to get features that an evaluator reads out of a system that makes motion.

    The system is asked for its features in units, denormalised with its own statistics; the evaluator's are applied later, once. Features
    of another representation or frame rate go through joints. An evaluator of 22 joints judges the bodies of motions with fingers.

    Args:
        system (`PreTrainedModel`): With `feature_extractor` and `generate_motion(texts, num_frames, generator=, output_type="features")`,
            such as `MotionSystem`.
        evaluator (`MotionFeatureExtractor`): The evaluator's.
        options (`dict`, *optional*): Passed to `generate_motion`, such as `guidance_scale`.
        one_body (`bool`, defaults to `False`): Through joints, put on the body that decoding ends on, in any case.

    Returns:
        `GenerateFeatures`: The function.

    Raises:
        ValueError: If the skeletons differ, or the system carries no statistics.
    """
    own = system.feature_extractor
    body_only = judges_bodies(own, evaluator)
    if own.skeleton != evaluator.skeleton and not body_only:
        raise ValueError(
            f"The model makes motion of skeleton {own.skeleton!r}, the evaluator reads {evaluator.skeleton!r}. Use an evaluator that was "
            f"trained on {own.skeleton!r}."
        )
    if own.mean is None or own.std is None:
        raise ValueError("The model's feature extractor has no mean and std: its features have no units to be compared in.")
    direct = speaks_same(own, evaluator) and not one_body
    plain = evaluator.without_statistics()

    def translated(features: Tensor) -> Tensor:
        """Own features as the evaluator's; not a number if they are not, and nothing if too short to have any."""
        joints = own.features.decode(features) / (1000 if own.features.skeleton.unit == "mm" else 1)
        if not joints.isfinite().all():
            return torch.full((max(1, int(len(joints) * plain.fps / own.fps)), plain.dim), torch.nan)
        motion = Motion(joints, fps=own.fps, skeleton=own.skeleton)
        motion = without_hands(motion) if body_only else motion
        motion = put_on_one_body(motion.resample(plain.fps), plain) if one_body else motion
        return plain.encode(motion)[0] if len(motion.resample(plain.fps)) > 1 else torch.empty(0, plain.dim)

    def generate(texts: list[str], lengths: list[int] | None, seeds: list[int]) -> list[Tensor]:
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        wanted = None if lengths is None else [frames_to_ask(own, evaluator, length) for length in lengths]
        if wanted is not None and speaks_same(own, evaluator) and one_body:  # the last pose that features decode to has none of its own
            wanted = [max(frames, min(frames + 1, own.max_frames)) for frames in wanted]
        made = system.generate_motion(texts, wanted, generator=generators, output_type="features", **(options or {}))
        clips = [clip.float().cpu() if direct else translated(clip.float().cpu()) for clip in made]
        return clips if lengths is None else [clip[:length] for clip, length in zip(clips, lengths, strict=True)]

    return generate


def frames_to_ask(own: MotionFeatureExtractor, evaluator: MotionFeatureExtractor, length: int) -> int:
    """How many frames a system has to make for `length` frames of the evaluator's features.

    Args:
        own (`MotionFeatureExtractor`): The system's.
        evaluator (`MotionFeatureExtractor`): The evaluator's.
        length (`int`): Wanted frames of features.

    Returns:
        `int`: The same where both speak the same; else enough poses at the system's frame rate, one more than features among them.
    """
    return length if speaks_same(own, evaluator) else math.ceil(length * own.fps / evaluator.fps) + 1


def judges_bodies(own: MotionFeatureExtractor, evaluator: MotionFeatureExtractor) -> bool:
    """Whether an evaluator sees the bodies alone of what a system makes, which has fingers."""
    fingers = "hands" in own.features.skeleton.groups and get_skeleton(evaluator.skeleton) == HUMANML3D_22
    return fingers and own.features.skeleton.joint_names[: len(HUMANML3D_22)] == HUMANML3D_22.joint_names


def speaks_same(first: MotionFeatureExtractor, second: MotionFeatureExtractor) -> bool:
    """Whether two extractors make the same numbers, their statistics aside."""
    return all(getattr(first, name) == getattr(second, name) for name in ("representation", "skeleton", "fps", "uniform_skeleton", "dim"))


def make_or_load(
    requests: Sequence[Request],
    generate: GenerateFeatures,
    folder: Path,
    settings: dict[str, Any],
    description: str = "Generating",
    show_progress: bool = True,
) -> list[Tensor]:
    """Make motions in chunks that are files; a chunk that is there already is only read.

    Which motions share a chunk follows from the requests alone, and every process makes some of the chunks, so that neither an
    interruption nor the number of processes changes a number.

    Args:
        requests (`list[Request]`): What to make.
        generate (`GenerateFeatures`): Makes it.
        folder (`pathlib.Path`): Where chunks are kept.
        settings (`dict`): All that the motions depend on besides the requests; chunks of other settings are not touched.
        description (`str`): For the progress bar.
        show_progress (`bool`, defaults to `True`): Show it.

    Returns:
        `list[torch.Tensor]`: Features in units, (frames, dim) each, float32, in the order of the requests.

    Raises:
        ValueError: If the model returns another number of motions than it was asked for.
    """
    state = PartialState()
    order = sorted(range(len(requests)), key=lambda index: (requests[index].length or 0, index))
    chunks = [order[start : start + CHUNK] for start in range(0, len(order), CHUNK)]
    content = [[(request.text, request.length, request.seed) for request in (requests[index] for index in chunk)] for chunk in chunks]
    paths = [folder / f"{_digest([settings, part])}.safetensors" for part in content]
    mine = range(state.process_index, len(chunks), state.num_processes)
    todo = [number for number in mine if not _is_whole(paths[number], len(chunks[number]))]
    for number in tqdm(todo, desc=description, disable=not show_progress or not state.is_main_process or not todo):
        texts, lengths, seeds = (list(column) for column in zip(*content[number], strict=True))
        made = generate(texts, None if lengths[0] is None else lengths, seeds)
        if len(made) != len(texts):
            raise ValueError(f"The model returned {len(made)} motions for {len(texts)} texts.")
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(paths[number]) as temporary:
            save_file({f"{place:02d}": clip.contiguous() for place, clip in enumerate(made)}, temporary)
    state.wait_for_everyone()
    motions = [torch.empty(0)] * len(requests)
    for path, chunk in zip(paths, chunks, strict=True):
        with safe_open(path, framework="pt") as file:
            for place, index in enumerate(chunk):
                motions[index] = file.get_tensor(f"{place:02d}")
    return motions


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:24]


def _is_whole(path: Path, count: int) -> bool:
    try:
        with safe_open(path, framework="pt") as file:
            return len(file.keys()) == count
    except (OSError, SafetensorError):
        return False
