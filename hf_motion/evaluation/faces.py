"""Scores of faces made from text (HumanTOMATO, table 9)."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..data.face_columns import face_of_row
from ..face import Face
from ..metrics import diversity, frechet_distance, matching_score, multimodality, r_precision
from ..models.humantomato.emotions import face_texts
from ..models.humantomato.modeling_facial_cvae import FacialCVAE
from .protocol import Protocol
from .result import REAL

_BATCH = 64


@dataclass
class FaceClips:
    """Real faces with a text each.

    Args:
        ids (`list[str]`): Names of the clips.
        faces (`list[Face]`): At the judge's frame rate, of its kind.
        texts (`list[str]`): What is said about each.
        skipped (`Counter`): How many rows were left out, and why.
        digest (`str`): sha256 of ids, texts and coefficients.
    """

    ids: list[str]
    faces: list[Face]
    texts: list[str]
    skipped: Counter[str] = field(default_factory=Counter)
    digest: str = ""

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def from_rows(cls, rows: Any, judge: FacialCVAE, max_clips: int | None = None) -> FaceClips:
        """Read.

        Args:
            rows (`datasets.Dataset`): With the columns of faces.
            judge (`FacialCVAE`): Kind, frame rate and longest face are its.
            max_clips (`int`, *optional*): Take the first ones only.

        Raises:
            ValueError: If no row has a face with a text, or a face is of another kind.
        """
        clips, digest, config = cls([], [], []), hashlib.sha256(), judge.config
        for row in rows:
            if len(clips) == max_clips:
                break
            face, texts = face_of_row(row), face_texts(row)
            if face is None or not texts:
                clips.skipped["no face" if face is None else "no text about the face"] += 1
                continue
            face = face.select(config.face_kind).resample(row["fps"], config.fps)[: config.max_frames]
            clips.ids.append(str(row["id"]))
            clips.faces.append(face)
            clips.texts.append(texts[0])
            digest.update(repr((clips.ids[-1], texts[0])).encode() + face.coefficients.tobytes())
        if not len(clips):
            raise ValueError(
                f"No face with a text among {len(rows)} rows; left out: {dict(clips.skipped)}. See the columns face and face_text."
            )
        clips.digest = digest.hexdigest()
        return clips


def score_faces(
    model: FacialCVAE, judge: FacialCVAE, clips: FaceClips, protocol: Protocol, name: str = "model", texts: int = 0, samples: int = 10
) -> dict[str, dict[str, list[float]]]:
    """FID, R-precision, matching score, diversity and multimodality of faces.

    The judge is a `FacialCVAE` that was trained to tell faces apart (`contrastive_weight`), and not the model itself; the paper does not
    say what embeds its faces. Equal texts are right answers.

    Args:
        model (`FacialCVAE`): Makes faces as long as the real ones.
        judge (`FacialCVAE`): Embeds faces and texts.
        clips (`FaceClips`): Real faces.
        protocol (`Protocol`): Pools, pairs, replications and seed.
        name (`str`, defaults to `"model"`): Of the model's row.
        texts (`int`, defaults to 0): Texts for multimodality; 0 leaves it out.
        samples (`int`, defaults to 10): Faces per text.

    Returns:
        `dict[str, dict[str, list[float]]]`: Rows of the table.

    Raises:
        ValueError: If the two are of different coefficients or frame rates, or the judge cannot tell faces apart.
    """
    for key in ("face_kind", "fps"):
        own, other = getattr(model.config, key), getattr(judge.config, key)
        if own != other:
            raise ValueError(f"The model has {key} {own!r}, the judge {other!r}; use one that was trained on the same faces.")
    if not judge.config.contrastive_weight:
        raise ValueError("The judge was trained without contrastive_weight, so that its embeddings tell nothing apart. Train one with 0.1.")
    longest = [min(len(face), model.config.max_frames) for face in clips.faces]
    made = _generate(model, clips.texts, longest, protocol.seed)
    words, real, own = judge.get_text_features(clips.texts).double().numpy(), _embed(judge, clips.faces), _embed(judge, made)
    rows: dict[str, dict[str, list[float]]] = {REAL: {}, name: {}}
    for replication in range(protocol.replications):
        order = np.random.default_rng((protocol.seed, replication)).permutation(len(clips))
        labels = [clips.texts[index] for index in order]
        for row, faces in ((REAL, real), (name, own)):
            faces, queries = faces[order], words[order]
            precision = r_precision(queries, faces, protocol.top_k, protocol.pool_size, metric="cosine", labels=labels)
            scores = {"fid": frechet_distance(real, faces), **{f"r_precision_top{k}": value for k, value in enumerate(precision, 1)}}
            scores["matching_score"] = matching_score(queries, faces, metric="cosine")
            scores["diversity"] = diversity(faces, min(protocol.diversity_pairs, len(faces)), seed=(protocol.seed, replication))
            for metric, value in scores.items():
                rows[row].setdefault(metric, []).append(float(value))
    if texts:
        chosen = list(dict.fromkeys(clips.texts))[:texts]
        again = _generate(
            model, [text for text in chosen for _ in range(samples)], [max(longest)] * (len(chosen) * samples), protocol.seed + 1
        )
        embedded = _embed(judge, again).reshape(len(chosen), samples, -1)
        rows[name]["multimodality"] = [float(multimodality(embedded, min(10, samples), seed=protocol.seed))]
    return rows


def _generate(model: FacialCVAE, texts: Sequence[str], lengths: Sequence[int], seed: int) -> list[Face]:
    import torch

    seeds = np.random.default_rng(seed).integers(2**62, size=len(texts)).tolist()
    made: list[Face] = []
    for start in range(0, len(texts), _BATCH):
        part = slice(start, start + _BATCH)
        generators = [torch.Generator().manual_seed(one) for one in seeds[part]]
        made += model.generate_face(list(texts[part]), list(lengths[part]), generator=generators)
    return made


def _embed(judge: FacialCVAE, faces: Sequence[Face]) -> np.ndarray:
    parts = [judge.get_face_features(faces[start : start + _BATCH]) for start in range(0, len(faces), _BATCH)]
    return np.concatenate([part.cpu().double().numpy() for part in parts])
