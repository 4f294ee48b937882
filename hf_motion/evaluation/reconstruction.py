"""Scores of models that encode motion and decode it again: tokenizers and VAEs."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm
from transformers import AutoFeatureExtractor, AutoModel

from ..hub.loading import load_part
from ..metrics import acceleration_error, frechet_distance, mpjpe, pa_mpjpe
from ..nn.padding import pad_and_mask
from ..representation import MotionFeatureExtractor
from ..retrieval.embedder import MotionTextEmbedder, checkpoint_folder, fingerprint
from .clips import EvaluationClips
from .generations import speaks_same
from .protocol import Protocol
from .result import REAL

_BATCH = 32


def score_reconstruction(
    name: str, clips: EvaluationClips, protocol: Protocol, evaluator: MotionTextEmbedder, device: str, show_progress: bool = True
) -> tuple[dict[str, dict[str, list[float]]], dict[str, Any]]:
    """Encode and decode every clip and measure what was lost.

    Args:
        name (`str`): Folder or repository of a model with `reconstruct(motion_features, attention_mask)`, such as `TMR`.
        clips (`EvaluationClips`): Real motion.
        protocol (`Protocol`): How clips are cut.
        evaluator (`MotionTextEmbedder`): For the FID.
        device (`str`): Where to run.
        show_progress (`bool`, defaults to `True`): Show progress bars.

    Returns:
        Rows and settings of the result. Position errors are in millimetres, per clip and averaged over clips; the FID is between
        real clips and their reconstructions.

    Raises:
        ValueError: If the model cannot reconstruct, or speaks other features than the evaluator.
    """
    folder = checkpoint_folder(name)
    model = load_part(AutoModel, folder, "model", dtype=torch.float32)
    if not hasattr(model, "reconstruct"):
        raise ValueError(f"{name!r} holds a {type(model).__name__}, which has no `reconstruct(motion_features, attention_mask)`.")
    extractor = load_part(AutoFeatureExtractor, folder, "feature_extractor")
    if not speaks_same(extractor, evaluator.feature_extractor):
        raise ValueError(
            f"{name!r} reads {extractor.representation} features of {extractor.skeleton} at {extractor.fps:g} fps, the evaluator others: "
            f"{evaluator.feature_extractor.skeleton} at {evaluator.feature_extractor.fps:g} fps."
        )
    samples = protocol.samples(clips, (0, 0))
    distinct = list(dict.fromkeys((sample.clip, sample.start, sample.length) for sample in samples))
    real = [clips.features[clip][start : start + length] for clip, start, length in distinct]
    row = reconstruction_scores(model.to(device).eval(), extractor, real, evaluator, show_progress)
    zero = dict.fromkeys(row, 0.0)
    rows = {REAL: {key: [value] for key, value in zero.items()}, folder.name: {key: [value] for key, value in row.items()}}
    return rows, {"model": f"{folder.name} ({fingerprint(folder)[:16]})"}


def reconstruction_scores(
    model: Any, extractor: MotionFeatureExtractor, clips: list[Tensor], evaluator: MotionTextEmbedder, show_progress: bool = False
) -> dict[str, float]:
    """What encoding and decoding loses.

    Args:
        model (`PreTrainedModel`): With `reconstruct(motion_features, attention_mask)`, in evaluation mode.
        extractor (`MotionFeatureExtractor`): Its feature extractor.
        clips (`list[torch.Tensor]`): (frames, dim) each, in units, not normalised.
        evaluator (`MotionTextEmbedder`): For the FID.
        show_progress (`bool`, defaults to `False`): Show progress bars.

    Returns:
        `dict[str, float]`: `fid`, `mpjpe`, `pa_mpjpe`, `acceleration_error` (millimetres) and `non_finite`.
    """
    made = _reconstruct(model, extractor, clips, show_progress)
    real_embeddings, embeddings = (evaluator.embed_motions(side, show_progress) for side in (clips, made))
    bad = int((~np.isfinite(embeddings).all(1)).sum())
    fid = float("nan") if bad else frechet_distance(real_embeddings, embeddings)
    return {"fid": fid, **_errors(extractor, clips, made), "non_finite": float(bad)}


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
    metrics = {"mpjpe": mpjpe, "pa_mpjpe": pa_mpjpe, "acceleration_error": acceleration_error}
    if not all(clip.isfinite().all() for clip in made):
        return dict.fromkeys(metrics, float("nan"))
    scale = 1.0 if extractor.features.skeleton.unit == "mm" else 1000.0
    values: dict[str, list[float]] = {name: [] for name in metrics}
    for start in range(0, len(real), _BATCH):
        part = slice(start, start + _BATCH)
        first, second = ([extractor.features.decode(clip).double().numpy() * scale for clip in clips[part]] for clips in (real, made))
        for name, metric in metrics.items():
            values[name] += metric(second, first).tolist()
    return {name: float(np.mean(content)) for name, content in values.items()}
