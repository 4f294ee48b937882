"""Pairs for McDPO: a model's own motions of a text and the video that it found, judged beside the real motion and the text.

Xu et al., *VimoRAG*, 2025, section 3.3: the reward of equation 4 and the data set that equation 5 is trained on.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..checkpoints import EMBEDDED_EVALUATOR
from ..data.motion_text import load_motion_rows, read_row
from ..evaluation.generations import load_system, make_or_load, requests_for
from ..motion import Motion
from ..retrieval.embedder import MotionTextEmbedder, checkpoint_folder, fingerprint
from ..retrieval.retrieved import RetrievedVideos
from ..utils.device import choose_device
from ..utils.faults import reason
from ..utils.files import output_folder, write_json
from ..utils.text import say, say_once
from ..utils.version import __version__
from .dataset import write_card
from .pairs import Pair, save_pairs

NORMALIZATIONS = ("sum", "softmax")
"""How distances of a text's candidates are made comparable: as in the paper, and as in the published code."""

_SHORTEST = 41  # frames of a real motion
_LEAST_FEATURES = 4  # frames of features that an evaluator reads


@dataclass
class DualAlignmentRequest:
    """What to build.

    Args:
        output (`str`): Folder of the data set, and of what has been made so far.
        model (`str`): Folder or repository of a motion language model that sees videos.
        dataset (`str`): Captioned motion.
        retrieved (`str`): Which videos its texts have found, see `RetrievedVideos`.
        split (`str`, defaults to `"train"`): Split of the captioned motion.
        share (`float`, defaults to 0.25): Share of the texts that are used, the paper's quarter.
        samples (`int`, defaults to 3): Motions of each text, the paper's kappa.
        motion_weight (`float`, defaults to 0.9): Weight of the distance to the real motion.
        text_weight (`float`, defaults to 0.1): Weight of the distance to the text.
        normalize (`str`, defaults to `"sum"`): One of `NORMALIZATIONS`.
        evaluator (`str`, *optional*): Retrieval model whose embeddings are compared; the `T2MEvaluator` inside the package by default.
        options (`dict`): Further options of `generate_motion`; temperature .9 by default, as in the paper.
        seed (`int`, defaults to 0): All chance comes from it.
        device (`str`, *optional*): The fastest there is by default.
        show_progress (`bool`, defaults to `True`): Show progress bars.

    Raises:
        ValueError: If a number is out of range.
    """

    output: str
    model: str
    dataset: str
    retrieved: str
    split: str = "train"
    share: float = 0.25
    samples: int = 3
    motion_weight: float = 0.9
    text_weight: float = 0.1
    normalize: str = "sum"
    evaluator: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    device: str | None = None
    show_progress: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError(f"share must be above 0 and at most 1, got {self.share}.")
        if self.samples < 2:
            raise ValueError(f"samples must be at least 2 for a pair, got {self.samples}.")
        if self.normalize not in NORMALIZATIONS:
            raise ValueError(f"normalize must be one of {', '.join(map(repr, NORMALIZATIONS))}, got {self.normalize!r}.")
        if min(self.motion_weight, self.text_weight) < 0 or self.motion_weight + self.text_weight == 0:
            raise ValueError(f"Weights must not be negative nor both 0, got {self.motion_weight} and {self.text_weight}.")


def single_frechet(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Distribution distance of single motions: the squared distance of embeddings, and of their spreads over dimensions.

    The Fréchet distance of two sets of one each has no covariance. The published code takes the variance over an embedding's dimensions in
    its place, as NumPy's `cov` of one row did until version 2.

    Args:
        first (`numpy.ndarray`): (n, dim).
        second (`numpy.ndarray`): (n, dim).

    Returns:
        `numpy.ndarray`: (n,).

    Example:
        >>> single_frechet(np.array([[1.0, 3.0]]), np.array([[2.0, 2.0]])).round(6).tolist()
        [4.0]
    """
    spreads = [values.std(axis=1, ddof=1) for values in (first, second)]
    return np.asarray(((first - second) ** 2).sum(1) + (spreads[0] - spreads[1]) ** 2)


def dual_rewards(
    motion_distances: np.ndarray, text_distances: np.ndarray, weights: tuple[float, float] = (0.9, 0.1), normalize: str = "sum"
) -> np.ndarray:
    """Equation 4: minus the weighted distances, each divided by its sum over a text's candidates.

    Args:
        motion_distances (`numpy.ndarray`): (texts, candidates), to the real motion; NaN for one that cannot be judged.
        text_distances (`numpy.ndarray`): (texts, candidates), to the text.
        weights (`tuple[float, float]`, defaults to `(0.9, 0.1)`): Of both.
        normalize (`str`, defaults to `"sum"`): `"softmax"` takes the softmax of distances in place of their shares, as the published code
            does: large differences then count alike.

    Returns:
        `numpy.ndarray`: (texts, candidates), higher for a better motion, NaN where it cannot be judged.

    Example:
        >>> dual_rewards(np.array([[1.0, 3.0]]), np.array([[2.0, 2.0]])).round(3).tolist()
        [[-0.275, -0.725]]
    """
    if normalize not in NORMALIZATIONS:
        raise ValueError(f"normalize must be one of {', '.join(map(repr, NORMALIZATIONS))}, got {normalize!r}.")
    total = np.zeros(np.shape(motion_distances))
    for weight, distances in zip(weights, (motion_distances, text_distances), strict=True):
        values = distances if normalize == "sum" else np.exp(distances - np.nanmax(distances, axis=1, keepdims=True))
        total -= weight * values / np.maximum(np.nansum(values, axis=1, keepdims=True), np.finfo(float).tiny)
    return total


def build_dual_alignment(request: DualAlignmentRequest) -> dict[str, Any]:
    """Build McDPO's pairs. Called again with the same request, it goes on where it was stopped.

    Args:
        request (`DualAlignmentRequest`): What to build.

    Returns:
        `dict`: What was made and what was left out: the content of `build.json`.

    Raises:
        ValueError: If the model sees no videos, no text found one, or no pair comes out.
        OSError: If something is not there, or the folder cannot be written.
    """
    with output_folder(request.output), say_once():
        folder, left_out = Path(request.output), Counter[str]()
        texts, real = _texts(request, left_out)
        place = checkpoint_folder(request.model)
        system = load_system(place, device=choose_device(request.device))
        if getattr(system, "video_processor", None) is None:
            raise ValueError(f"{request.model!r} does not see videos; training/train_sft.py --retrieved teaches a model to.")
        videos = _videos(system, RetrievedVideos.load(request.retrieved), texts, left_out)
        texts = [text for text in texts if text in videos]
        if not texts:
            raise ValueError(f"No text is left that has found a video that can be used: {dict(left_out)}. Look at {request.retrieved!r}.")
        digest = fingerprint(place)
        motions = _candidates(request, system, digest, texts, videos, folder)
        generator = f"{place.name} ({digest[:16]})"
        pairs = _pairs(request, generator, motions, videos, *_judge(request, motions, texts, real), left_out)
        if not pairs:
            raise ValueError(f"No pair of {len(texts)} texts: {dict(left_out)}. Train the model longer, or take more samples of each text.")
        save_pairs(pairs, folder / "pairs" / "train.parquet")
        record = {
            "hf_motion": __version__, "pairs": len(pairs), "prompts": {"dual alignment": len(texts)}, "left_out": dict(left_out),
            "generator": generator, "reward": {"reward": f"dual alignment, {request.normalize}"},
            "weights": [request.motion_weight, request.text_weight], "samples": request.samples, "seed": request.seed,
        }  # fmt: skip
        write_card(folder, record)
        write_json(folder / "build.json", record)
    return record


def _texts(request: DualAlignmentRequest, left_out: Counter[str]) -> tuple[list[str], dict[str, Motion]]:
    """A share of the texts, drawn from their sorted list, and the real motion of each."""
    real: dict[str, Motion] = {}
    for row in load_motion_rows(request.dataset, request.split):
        motion, captions = read_row(row, "humanml3d-22")
        if len(motion) < _SHORTEST:
            left_out["clips too short"] += 1
            continue
        for caption in captions:
            real.setdefault(caption, motion)
    ordered = sorted(real)
    count = max(1, round(request.share * len(ordered)))
    return sorted(random.Random(request.seed).sample(ordered, count)), real


def _videos(system: Any, retrieved: RetrievedVideos, texts: Sequence[str], left_out: Counter[str]) -> dict[str, dict[str, Any]]:
    """The first video of each text that can be used."""
    chosen: dict[str, dict[str, Any]] = {}
    for text in texts:
        if text not in retrieved:
            left_out["texts that no video was looked for with"] += 1
            continue
        for video in retrieved.videos(text):
            try:
                system.video_processor.read(video["path"])
            except (OSError, ValueError) as error:
                say(f"The video {video['path']!r} is passed over: {reason(error)}", "are passed over")
                continue
            chosen[text] = video
            break
        else:
            left_out["texts none of whose videos can be used"] += 1
    return chosen


def _candidates(
    request: DualAlignmentRequest, system: Any, digest: str, texts: Sequence[str], videos: dict[str, dict[str, Any]], folder: Path
) -> dict[str, list[Motion]]:
    asked = [text for text in texts for _ in range(request.samples)]
    requests = requests_for(asked, None, (request.seed, 15))
    options = {"temperature": 0.9, **request.options}

    def generate(batch: list[str], lengths: list[int] | None, seeds: list[int]) -> list[torch.Tensor]:
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        made = system.generate_motion(batch, generator=generators, videos=[videos[text]["path"] for text in batch], **options)
        return [torch.from_numpy(motion.joints) for motion in made]

    settings = {"model": digest, "hf_motion": __version__, "options": options, "videos": {text: videos[text]["id"] for text in texts}}
    joints = make_or_load(requests, generate, folder / "work" / "motions", settings, "Sampling", request.show_progress)
    extractor = system.feature_extractor
    motions = [Motion(clip.numpy(), extractor.fps, extractor.skeleton, text) for clip, text in zip(joints, asked, strict=True)]
    return {text: motions[at * request.samples : (at + 1) * request.samples] for at, text in enumerate(texts)}


def _judge(
    request: DualAlignmentRequest, motions: dict[str, list[Motion]], texts: Sequence[str], real: dict[str, Motion]
) -> tuple[np.ndarray, np.ndarray]:
    """Rewards (texts, candidates) and distances (texts, candidates, 2)."""
    embedder = MotionTextEmbedder.from_pretrained(request.evaluator or EMBEDDED_EVALUATOR, choose_device(request.device))
    clips = [motion for text in texts for motion in motions[text]]
    frames = [int((len(motion) - 1) * embedder.feature_extractor.fps / motion.fps) for motion in clips]
    long = [at for at, count in enumerate(frames) if count >= _LEAST_FEATURES]
    said = np.repeat(embedder.embed_texts(texts), request.samples, axis=0)
    true = np.repeat(embedder.embed_motions(embedder.encode([real[text] for text in texts])), request.samples, axis=0)
    made = np.full(true.shape, np.nan)
    if long:
        made[long] = embedder.embed_motions(embedder.encode([clips[at] for at in long]), request.show_progress)
    distances = np.stack([single_frechet(made, true), np.linalg.norm(made - said, axis=1)], axis=-1)
    distances = distances.reshape(len(texts), request.samples, 2)
    weights = (request.motion_weight, request.text_weight)
    return dual_rewards(distances[..., 0], distances[..., 1], weights, request.normalize), distances


def _pairs(
    request: DualAlignmentRequest, generator: str, motions: dict[str, list[Motion]], videos: dict[str, dict[str, Any]],
    rewards: np.ndarray, distances: np.ndarray, left_out: Counter[str],
) -> list[Pair]:  # fmt: skip
    """The best and the worst motion of each text."""
    pairs = []
    for (text, made), row, distance in zip(motions.items(), rewards, distances, strict=True):
        judged = [at for at in np.argsort(-row, kind="stable") if np.isfinite(row[at])]
        if len(judged) < 2 or row[judged[0]] == row[judged[-1]]:
            left_out["texts with fewer than two motions to compare"] += 1
            continue
        details = {"reward": f"dual alignment, {request.normalize}", "generator": generator}
        details |= {f"video_{name}": videos[text][name] for name in ("id", "path", "start", "score")}
        for side, at in (("chosen", judged[0]), ("rejected", judged[-1])):
            details |= {f"{side}_rating": float(row[at]), f"{side}_motion_distance": float(distance[at, 0])}
            details |= {f"{side}_text_distance": float(distance[at, 1])}
        pairs.append(Pair(text, text, made[judged[0]], made[judged[-1]], None, "dual alignment", details))
    return pairs
