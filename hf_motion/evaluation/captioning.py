"""Scores of models that describe motion (TM2T's and MotionGPT's table): sentences against captions, and sentences against motion."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from ..metrics import matching_score
from ..metrics.text import bleu, meteor, rouge
from ..models.motion_language.modeling_motion_language import MotionLanguageModel
from ..motion import Motion
from ..retrieval.embedder import MotionTextEmbedder
from ..utils.files import write_json
from .clips import EvaluationClips
from .generations import load_system
from .protocol import Protocol, Sample

_BATCH = 32
_CAPTIONS = "captions of people"
_NOTHING = "."  # what a model said without a letter or digit, so that evaluators can read it


def score_captioning(
    folder: Path,
    name: str,
    clips: EvaluationClips,
    protocol: Protocol,
    evaluator: MotionTextEmbedder,
    alignment: MotionTextEmbedder | None,
    output: Path,
    options: dict[str, Any],
    device: str,
    show_progress: bool = True,
) -> tuple[dict[str, dict[str, list[float]]], dict[str, Any]]:
    """Let a model describe every clip once, and score its sentences.

    BLEU, ROUGE and METEOR compare with all captions of the clip. R-precision and MM-Dist are those of the evaluators, of motion to text:
    how often a clip finds its own sentence among those of its pool, and how far apart the two are. The row of the people's own captions
    has these alone, of the caption that the protocol chooses.

    Args:
        folder (`pathlib.Path`): The model's checkpoint.
        name (`str`): Its row.
        clips (`EvaluationClips`): Real motion.
        protocol (`Protocol`): How clips are cut, its pools, and how often these are drawn.
        evaluator (`MotionTextEmbedder`): For R-precision.
        alignment (`MotionTextEmbedder`, *optional*): For TMR's.
        output (`pathlib.Path`): `captions.json` is written there: each clip's sentence beside its captions.
        options (`dict`): Passed to `caption_motion`, such as `temperature`.
        device (`str`): Where to run.
        show_progress (`bool`, defaults to `True`): Show progress bars.

    Returns:
        Rows and settings of the result.

    Raises:
        ValueError: If the model describes no motion.
    """
    model = load_system(folder, device=device)
    if not isinstance(model, MotionLanguageModel):
        raise ValueError(f"{name!r} holds a {type(model).__name__}, which describes no motion; a MotionLanguageModel does.")
    samples = protocol.samples(clips, (0, 0))
    features = [clips.features[sample.clip][sample.start : sample.start + sample.length] for sample in samples]
    said = _describe(model, evaluator, features, options, show_progress)
    references = [clips.captions[sample.clip] for sample in samples]
    text = [bleu(said, references, max_order=1), bleu(said, references), rouge(said, references), meteor(said, references)]
    words = {"bleu1": text[0]["bleu"], "bleu4": text[1]["bleu"], "rouge_l": text[2]["rougeL"], "meteor": text[3]["meteor"]}
    chosen = [clips.captions[sample.clip][sample.caption] for sample in samples]
    embedders = {"": (evaluator, protocol.pool_size)}
    if alignment is not None:
        embedders["tmr_"] = (alignment, protocol.alignment_pool_size)
    rows: dict[str, dict[str, list[float]]] = {_CAPTIONS: {}, name: {key: [value] for key, value in words.items()}}
    for prefix, (embedder, pool_size) in embedders.items():
        motions = embedder.embed_motions(features, show_progress)
        for row, sentences in ((_CAPTIONS, chosen), (name, said)):
            rows[row] |= _ranked(prefix, embedder, motions, sentences, samples, clips, protocol, pool_size)
    places = [clips.ids[sample.clip] for sample in samples]
    pairs = zip(places, said, references, strict=True)
    write_json(output / "captions.json", [{"clip": clip, "said": sentence, "captions": captions} for clip, sentence, captions in pairs])
    settings = {
        "options": options, "bleu": text[1]["bleu_signature"], "rouge": text[2]["rouge_settings"], "meteor": text[3]["meteor_matching"],
        "different sentences": f"{len(set(said))} of {len(said)}", "without a word": said.count(_NOTHING),
    }  # fmt: skip
    return rows, settings


def _describe(
    model: MotionLanguageModel, evaluator: MotionTextEmbedder, features: Sequence[Any], options: dict[str, Any], show_progress: bool
) -> list[str]:
    """A sentence for each clip; those of like length together."""
    own = evaluator.feature_extractor
    order = sorted(range(len(features)), key=lambda place: len(features[place]))
    said = [""] * len(features)
    for start in tqdm(range(0, len(order), _BATCH), desc="Describing", disable=not show_progress):
        batch = order[start : start + _BATCH]
        motions = [Motion(own.features.decode(features[place]).numpy(), own.fps, own.skeleton) for place in batch]
        for place, sentence in zip(batch, model.caption_motion(motions, **options), strict=True):
            said[place] = sentence if any(letter.isalnum() for letter in sentence) else _NOTHING
    return said


def _ranked(
    prefix: str,
    embedder: MotionTextEmbedder,
    motions: np.ndarray,
    sentences: list[str],
    samples: list[Sample],
    clips: EvaluationClips,
    protocol: Protocol,
    pool_size: int,
) -> dict[str, list[float]]:
    texts = embedder.embed_texts(sentences, clips.tags)
    scores: dict[str, list[float]] = {}
    for replication in range(protocol.replications):
        order = protocol.order(len(samples), replication, 0)
        labels, own = [sentences[place] for place in order], [samples[place].clip for place in order]
        precision = protocol.r_precision(motions[order], texts[order], embedder.model.config.similarity, labels, own, pool_size)
        for k, value in enumerate(precision, 1):
            scores.setdefault(f"{prefix}r_precision_top{k}", []).append(float(value))
    scores[f"{prefix}matching_score"] = [matching_score(texts, motions, metric=embedder.model.config.similarity)]
    return scores
