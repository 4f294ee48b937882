"""Scores of models that encode motion and decode it again: tokenizers and VAEs."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm
from transformers import AutoFeatureExtractor, AutoModel

from ..hub.loading import load_part
from ..metrics import acceleration_error, frechet_distance, mpjpe, pa_mpjpe
from ..models.motion_vq.modeling_motion_vq import MotionVQModel
from ..nn.padding import pad_and_mask
from ..representation import MotionFeatureExtractor
from ..retrieval.embedder import MotionTextEmbedder, checkpoint_folder, fingerprint
from ..skeletons import Skeleton
from .clips import EvaluationClips
from .generations import speaks_same
from .protocol import Protocol
from .result import REAL

_BATCH = 32


def score_reconstruction(
    name: str, clips: EvaluationClips, protocol: Protocol, evaluator: MotionTextEmbedder | None, device: str, show_progress: bool = True
) -> tuple[dict[str, dict[str, list[float]]], dict[str, Any]]:
    """Encode and decode every clip and measure what was lost.

    Args:
        name (`str`): Folder or repository of a model with `reconstruct(motion_features, attention_mask)`, such as `TMR`.
        clips (`EvaluationClips`): Real motion, as features of the model's kind.
        protocol (`Protocol`): How clips are cut.
        evaluator (`MotionTextEmbedder`, *optional*): For the FID; without one there is none.
        device (`str`): Where to run.
        show_progress (`bool`, defaults to `True`): Show progress bars.

    Returns:
        Rows and settings of the result, see `reconstruction_scores`. Position errors are in millimetres, per clip and averaged over
        clips; the FID is between real clips and their reconstructions.

    Raises:
        ValueError: If the model cannot reconstruct, or speaks other features than the evaluator.
    """
    folder = checkpoint_folder(name)
    model = load_part(AutoModel, folder, "model", dtype=torch.float32)
    if not hasattr(model, "reconstruct"):
        raise ValueError(f"{name!r} holds a {type(model).__name__}, which has no `reconstruct(motion_features, attention_mask)`.")
    extractor = load_part(AutoFeatureExtractor, folder, "feature_extractor")
    if evaluator is not None and not speaks_same(extractor, evaluator.feature_extractor):
        raise ValueError(
            f"{name!r} reads {extractor.representation} features of {extractor.skeleton} at {extractor.fps:g} fps, the evaluator others: "
            f"{evaluator.feature_extractor.representation} features of {evaluator.feature_extractor.skeleton} at "
            f"{evaluator.feature_extractor.fps:g} fps. Name one that reads the same with --evaluator, or none for no FID."
        )
    samples = protocol.samples(clips, (0, 0))
    distinct = list(dict.fromkeys((sample.clip, sample.start, sample.length) for sample in samples))
    real = [clips.features[clip][start : start + length] for clip, start, length in distinct]
    row = reconstruction_scores(model.to(device).eval(), extractor, real, evaluator, show_progress)
    zero = dict.fromkeys(row, 0.0)
    if isinstance(model, MotionVQModel):
        config = model.config
        row["bits_per_second"] = len(config.step_books) * math.log2(config.codebook_size) / config.frames_per_token * extractor.fps
    rows = {REAL: {key: [value] for key, value in zero.items()}, folder.name: {key: [value] for key, value in row.items()}}
    return rows, {"model": f"{folder.name} ({fingerprint(folder)[:16]})"}


def reconstruction_scores(
    model: Any, extractor: MotionFeatureExtractor, clips: list[Tensor], evaluator: MotionTextEmbedder | None, show_progress: bool = False
) -> dict[str, float]:
    """What encoding and decoding loses.

    Args:
        model (`PreTrainedModel`): With `reconstruct(motion_features, attention_mask)`, in evaluation mode.
        extractor (`MotionFeatureExtractor`): Its feature extractor.
        clips (`list[torch.Tensor]`): (frames, dim) each, in units, not normalised.
        evaluator (`MotionTextEmbedder`, *optional*): For the FID; without one there is none.
        show_progress (`bool`, defaults to `False`): Show progress bars.

    Returns:
        `dict[str, float]`: `fid`, `mpjpe`, `pa_mpjpe`, `acceleration_error` (millimetres) and `non_finite`. Of skeletons with fingers the
        errors of the body and of the hands too (`mpjpe_body`, `mpjpe_hands`, ...). Hands have MPJPE against their own wrists, since
        where a hand is carried is the arm's error, and PA-MPJPE each by itself.
    """
    made = _reconstruct(model, extractor, clips, show_progress)
    bad = sum(not bool(clip.isfinite().all()) for clip in made)
    scores = {}
    if evaluator is not None:
        real_embeddings, embeddings = (evaluator.embed_motions(side, show_progress) for side in (clips, made))
        bad = max(bad, int((~np.isfinite(embeddings).all(1)).sum()))
        scores["fid"] = float("nan") if bad else frechet_distance(real_embeddings, embeddings)
    return {**scores, **_errors(extractor, clips, made), "non_finite": float(bad)}


def _reconstruct(model: Any, extractor: MotionFeatureExtractor, clips: list[Tensor], show_progress: bool) -> list[Tensor]:
    order = sorted(range(len(clips)), key=lambda index: len(clips[index]))
    made = [torch.empty(0)] * len(clips)
    for start in tqdm(range(0, len(order), _BATCH), desc="Reconstructing", disable=not show_progress):
        batch = order[start : start + _BATCH]
        features, mask = pad_and_mask([extractor.normalize(clips[index]) for index in batch])
        with torch.no_grad():
            output = model.reconstruct(features.to(model.device), mask.to(model.device)).float().cpu()
        for index, clip, length in zip(batch, extractor.denormalize(output), mask.sum(1).tolist(), strict=True):
            made[index] = clip[:length].clone()
    return made


def _errors(extractor: MotionFeatureExtractor, real: list[Tensor], made: list[Tensor]) -> dict[str, float]:
    """Means over clips, in millimetres; not numbers if a reconstruction is not finite."""
    skeleton = extractor.features.skeleton
    metrics: dict[str, Callable[[Any, Any], np.ndarray]] = {"mpjpe": mpjpe, "pa_mpjpe": pa_mpjpe, "acceleration_error": acceleration_error}
    if "hands" in skeleton.groups:
        body = {name: partial(metric, joints=skeleton.groups["body"]) for name, metric in metrics.items()}
        hands = {"mpjpe": _over_hands(skeleton, mpjpe, root=True), "pa_mpjpe": _over_hands(skeleton, pa_mpjpe)}
        hands["acceleration_error"] = partial(acceleration_error, joints=skeleton.groups["hands"])
        metrics |= {f"{name}_body": metric for name, metric in body.items()} | {f"{name}_hands": metric for name, metric in hands.items()}
    if not all(clip.isfinite().all() for clip in made):
        return dict.fromkeys(metrics, float("nan"))
    scale = 1.0 if skeleton.unit == "mm" else 1000.0
    values: dict[str, list[float]] = {name: [] for name in metrics}
    for start in range(0, len(real), _BATCH):
        part = slice(start, start + _BATCH)
        first, second = ([extractor.features.decode(clip).double().numpy() * scale for clip in clips[part]] for clips in (real, made))
        for name, metric in metrics.items():
            # Of a clip of one or two frames nothing is known about acceleration.
            keep = [place for place, clip in enumerate(first) if len(clip) > 2 or not name.startswith("acceleration")]
            if keep:
                values[name] += metric([second[place] for place in keep], [first[place] for place in keep]).tolist()
    return {name: float(np.mean(content)) if content else float("nan") for name, content in values.items()}


def _over_hands(skeleton: Skeleton, metric: Callable[..., np.ndarray], root: bool = False) -> Callable[[Any, Any], np.ndarray]:
    """A metric of each hand by itself, the mean of both; with `root`, against its wrist."""

    def measure(made: Any, real: Any) -> np.ndarray:
        values = []
        for side in ("left", "right"):
            options = {"root": skeleton.joint(f"{side}_wrist")} if root else {}
            values.append(metric(made, real, joints=skeleton.groups[f"{side}_hand"], **options))
        return (values[0] + values[1]) / 2

    return measure
