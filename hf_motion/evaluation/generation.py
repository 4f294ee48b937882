"""Scores of motion made from text, beside real motion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ..metrics import (
    FrechetStatistics,
    diversity,
    frechet_distance,
    frechet_statistics,
    matching_score,
    multimodality,
    skating_ratio,
)
from ..retrieval.embedder import MotionTextEmbedder
from .clips import EvaluationClips
from .generations import GenerateFeatures, make_or_load, requests_for, speaks_same
from .protocol import Protocol, Sample
from .result import REAL

# What chance is drawn for: samples of real and of generated motion, a second draw of real motion, and repeated texts.
_REAL, _MADE, _REAL_AGAIN, _MANY = range(4)
_DECODE_BATCH = 64


@dataclass
class _Set:
    """Samples of one draw with what is computed of them, in the order of the samples."""

    samples: list[Sample]
    texts: list[str]
    features: list[Tensor]
    embeddings: dict[str, np.ndarray]
    skating: float
    failed: np.ndarray
    statistics: FrechetStatistics | None = None
    fid: float | None = None


@dataclass
class GenerationScorer:
    """Scores a model's motions and real motion by one protocol.

    Args:
        clips (`EvaluationClips`): Real motion.
        protocol (`Protocol`): What is scored, and how often.
        evaluator (`MotionTextEmbedder`): Gives FID, R-precision, matching score, diversity and multimodality.
        alignment (`MotionTextEmbedder`, *optional*): A retrieval model of another kind, `TMR`: gives R-precision in a large pool and a
            matching score that no training signal resembles.
        drop_non_finite (`bool`, defaults to `False`): Score what is left when some motions are not finite, or shorter than a unit.
            Otherwise such a model's metrics are not numbers either. They are counted in both cases.
        show_progress (`bool`, defaults to `True`): Show progress bars.

    Raises:
        ValueError: If there are fewer samples than a pool takes, or the evaluators read other features than the clips are of.
    """

    clips: EvaluationClips
    protocol: Protocol
    evaluator: MotionTextEmbedder
    alignment: MotionTextEmbedder | None = None
    drop_non_finite: bool = False
    show_progress: bool = True
    _texts: dict[str, dict[str, np.ndarray]] = field(default_factory=dict, init=False, repr=False)
    _real: dict[str, dict[tuple[int, int, int], np.ndarray]] = field(default_factory=dict, init=False, repr=False)
    _sets: dict[tuple, _Set] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.alignment is not None and not speaks_same(self.alignment.feature_extractor, self.evaluator.feature_extractor):
            raise ValueError(
                f"{self.evaluator.name} and {self.alignment.name} read different features (representation, skeleton or frame rate); "
                "use two that were trained on the same."
            )
        for embedder in self.embedders.values():
            limit = embedder.feature_extractor.max_frames
            if self.protocol.max_frames > limit:
                raise ValueError(
                    f"{embedder.name} reads up to {limit} frames, the protocol's max_frames is {self.protocol.max_frames}. Lower it."
                )
        count = len(self.protocol.samples(self.clips, (0, _REAL)))
        if count < self._largest_pool:
            lower = "" if count < self.protocol.top_k else "Lower pool_size or alignment_pool_size, or "
            raise ValueError(
                f"R-precision takes pools of {self.protocol.pool_size}"
                + (f" (TMR's: {self.protocol.alignment_pool_size})" if self.alignment is not None else "")
                + f", but there are only {count} samples. {lower or 'Fewer cannot be ranked: '}evaluate on more clips."
            )

    @property
    def embedders(self) -> dict[str, MotionTextEmbedder]:
        """The evaluator and, if there is one, the alignment model, by what they are here for."""
        return {"evaluator": self.evaluator, **({"alignment": self.alignment} if self.alignment is not None else {})}

    def score(
        self,
        models: dict[str, GenerateFeatures],
        folder: Path,
        settings: dict[str, dict[str, Any]],
        multimodality_texts: int = 0,
        multimodality_samples: int = 30,
    ) -> dict[str, dict[str, list[float]]]:
        """Score real motion and models.

        Args:
            models (`dict[str, GenerateFeatures]`): By the names of their rows.
            folder (`pathlib.Path`): Where their motions are kept.
            settings (`dict[str, dict]`): What each model's motions depend on besides text, length and seed.
            multimodality_texts (`int`, defaults to 0): Texts for multimodality (published: 100); 0 leaves it out.
            multimodality_samples (`int`, defaults to 30): Motions per text.

        Returns:
            `dict[str, dict[str, list[float]]]`: Rows of the table: each metric's value in each replication.
        """
        rows: dict[str, dict[str, list[float]]] = {name: {} for name in (REAL, *models)}
        for replication in range(self.protocol.replications):
            real = self._real_set((replication, _REAL))
            again = self._real_set((replication, _REAL_AGAIN))
            scores = {REAL: self._scores(real, again, replication, _REAL)}
            for name, generate in models.items():
                made = self._made_set(name, generate, folder, settings[name], replication % self.protocol.generations)
                scores[name] = self._scores(made, real, replication, _MADE)
            for name, values in scores.items():
                for metric, value in values.items():
                    rows[name].setdefault(metric, []).append(value)
        for name, generate in models.items() if multimodality_texts else ():
            values = self._multimodality(name, generate, folder, settings[name], multimodality_texts, multimodality_samples)
            rows[name]["multimodality"] = values
        return rows

    def forget(self, name: str) -> None:
        """Drop what is remembered of a model's motions: it has changed since."""
        self._sets = {key: content for key, content in self._sets.items() if key[:2] != (_MADE, name)}

    def _scores(self, scored: _Set, reference: _Set, replication: int, draw: int) -> dict[str, float]:
        order = self.protocol.order(len(scored.samples), replication, draw)
        counts = {"frames": float(np.mean([len(clip) for clip in scored.features])), "non_finite": float(scored.failed.sum())}
        good = ~scored.failed[order]
        if not good.all() and not (self.drop_non_finite and good.sum() >= self._largest_pool):
            return dict.fromkeys(self._metric_names(), np.nan) | counts
        order = order[good]
        embeddings = scored.embeddings["evaluator"][order]
        clips = [scored.samples[index].clip for index in order]
        labels = [scored.texts[index] for index in order]
        texts = self._text_embeddings("evaluator", labels)
        similarity = self.evaluator.model.config.similarity
        precision = self.protocol.r_precision(texts, embeddings, similarity, labels, clips, self.protocol.pool_size)
        scores = {
            "fid": self._fid(scored, reference, embeddings, replication),
            **{f"r_precision_top{k}": value for k, value in enumerate(precision, 1)},
            "matching_score": matching_score(texts, embeddings, metric=similarity),
            "diversity": diversity(
                embeddings, min(self.protocol.diversity_pairs, len(order)), seed=self.protocol.random(replication, draw)
            ),
            "skating_ratio": scored.skating,
        }
        if self.alignment is not None:
            motions = scored.embeddings["alignment"][order]
            texts = self._text_embeddings("alignment", labels)
            similarity = self.alignment.model.config.similarity
            precision = self.protocol.r_precision(texts, motions, similarity, labels, clips, self.protocol.alignment_pool_size)
            scores |= {f"tmr_r_precision_top{k}": value for k, value in enumerate(precision, 1)}
            scores["tmr_matching_score"] = matching_score(texts, motions, metric=similarity)
        return {name: float(value) for name, value in scores.items()} | counts

    def _fid(self, scored: _Set, reference: _Set, embeddings: np.ndarray, replication: int) -> float:
        """From the whole sets, once; or, where some samples are dropped, from those that fill this replication's pools."""
        if self.protocol.drop_last or self._drawn_anew:
            order = self.protocol.order(len(reference.samples), replication, _REAL_AGAIN)
            return frechet_distance(reference.embeddings["evaluator"][order], embeddings)
        if scored.fid is None:
            if reference.statistics is None:
                reference.statistics = frechet_statistics(reference.embeddings["evaluator"])
            scored.fid = frechet_distance(reference.statistics, embeddings)
        return scored.fid

    @property
    def _largest_pool(self) -> int:
        return max(self.protocol.pool_size, self.protocol.alignment_pool_size if self.alignment is not None else 0)

    def _metric_names(self) -> list[str]:
        prefixes = ["", "tmr_"] if self.alignment is not None else [""]
        ranked = [f"{prefix}r_precision_top{k}" for prefix in prefixes for k in range(1, self.protocol.top_k + 1)]
        return ["fid", "diversity", "skating_ratio", *ranked, *(f"{prefix}matching_score" for prefix in prefixes)]

    def _text_embeddings(self, role: str, texts: Sequence[str]) -> np.ndarray:
        known = self._texts.setdefault(role, {})
        if not known:
            captions = sorted({caption for captions in self.clips.captions for caption in captions})
            known.update(zip(captions, self.embedders[role].embed_texts(captions, self.clips.tags), strict=True))
        return np.stack([known[text] for text in texts])

    def _real_set(self, draw: tuple[int, ...]) -> _Set:
        samples = self.protocol.samples(self.clips, draw)
        key = (_REAL, tuple(samples))
        if key not in self._sets:
            features = [self.clips.features[sample.clip][sample.start : sample.start + sample.length] for sample in samples]
            cuts = [(sample.clip, sample.start, sample.length) for sample in samples]
            embeddings = {}
            for role, embedder in self.embedders.items():
                known = self._real.setdefault(role, {})
                missing = {cut: clip for cut, clip in zip(cuts, features, strict=True) if cut not in known}
                if missing:
                    known.update(zip(missing, embedder.embed_motions(list(missing.values()), self.show_progress), strict=True))
                embeddings[role] = np.stack([known[cut] for cut in cuts])
            self._keep(key, self._set(samples, features, embeddings))
        return self._sets[key]

    def _made_set(self, name: str, generate: GenerateFeatures, folder: Path, settings: dict[str, Any], generation: int) -> _Set:
        key = (_MADE, name, repr(settings), generation)
        if key not in self._sets:
            samples = self.protocol.samples(self.clips, (generation, _MADE))
            texts = [self.clips.captions[sample.clip][sample.caption] for sample in samples]
            lengths = [sample.length for sample in samples] if self.protocol.lengths == "given" else None
            requests = requests_for(texts, lengths, (self.protocol.seed, _MADE, generation))
            title = f"Generating ({name}, {generation + 1} of {self.protocol.generations})"
            features = make_or_load(requests, generate, folder, settings, title, self.show_progress)
            features = [clip[: self.protocol.max_frames] for clip in features]
            self._keep(key, self._set(samples, features, self._embed(features)))
        return self._sets[key]

    def _embed(self, features: list[Tensor]) -> dict[str, np.ndarray]:
        """Embeddings of generated motion; those that are too short to be read have none."""
        unit = torch.full((self.protocol.unit_length, self.evaluator.feature_extractor.dim), torch.nan)
        readable = [clip if len(clip) >= self.protocol.unit_length else unit for clip in features]
        return {role: embedder.embed_motions(readable, self.show_progress) for role, embedder in self.embedders.items()}

    @property
    def _drawn_anew(self) -> bool:
        return self.protocol.jitter or self.protocol.captions == "random"

    def _keep(self, key: tuple, content: _Set) -> None:
        """Remember a set; of those that are drawn anew in each replication only the latest."""
        if self._drawn_anew:
            stale = [other for other in self._sets if other[0] == key[0] and len(self._sets) > 4]
            for other in stale:
                del self._sets[other]
        self._sets[key] = content

    def _set(self, samples: list[Sample], features: list[Tensor], embeddings: dict[str, np.ndarray]) -> _Set:
        texts = [self.clips.captions[sample.clip][sample.caption] for sample in samples]
        failed = ~np.stack([np.isfinite(rows).all(1) for rows in embeddings.values()]).all(0)
        good = [clip for clip, bad in zip(features, failed, strict=True) if not bad]
        return _Set(samples, texts, features, embeddings, self._skating(good), failed)

    def _skating(self, clips: list[Tensor]) -> float:
        """Mean over clips of the share of frames in which a foot slides."""
        representation = self.evaluator.feature_extractor.features
        order = sorted(clips, key=len)
        ratios: list[float] = []
        for start in range(0, len(order), _DECODE_BATCH):
            batch = order[start : start + _DECODE_BATCH]
            joints = representation.decode(pad_sequence(batch, batch_first=True))
            ratios += skating_ratio(
                joints, fps=representation.fps, skeleton=representation.skeleton, unit=representation.skeleton.unit,
                lengths=[len(clip) for clip in batch],
            ).tolist()  # fmt: skip
        return float(np.mean(ratios)) if ratios else float("nan")

    def _multimodality(
        self, name: str, generate: GenerateFeatures, folder: Path, settings: dict[str, Any], texts: int, repeats: int
    ) -> list[float]:
        samples = self.protocol.samples(self.clips, (0, _MADE))
        random = np.random.default_rng((self.protocol.seed, 4))
        chosen = [samples[index] for index in random.choice(len(samples), min(texts, len(samples)), replace=False)]
        captions = [self.clips.captions[sample.clip][sample.caption] for sample in chosen for _ in range(repeats)]
        lengths = [sample.length for sample in chosen for _ in range(repeats)] if self.protocol.lengths == "given" else None
        requests = requests_for(captions, lengths, (self.protocol.seed, _MANY, 0))
        features = make_or_load(requests, generate, folder, settings, f"Generating ({name}, repeats)", self.show_progress)
        features = [clip[: self.protocol.max_frames] for clip in features]
        embeddings = self._embed(features)["evaluator"].reshape(len(chosen), repeats, -1)
        if not np.isfinite(embeddings).all():
            return [float("nan")] * self.protocol.replications
        return [
            multimodality(embeddings, min(10, repeats), seed=np.random.default_rng((self.protocol.seed, replication, 5)))
            for replication in range(self.protocol.replications)
        ]
