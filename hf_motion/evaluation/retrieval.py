"""Scores of retrieval models: texts find motions, motions find texts."""

from __future__ import annotations

import numpy as np

from ..metrics import retrieval_metrics
from ..retrieval.embedder import MotionTextEmbedder
from ..retrieval.text_similarity import SentenceEncoder
from .clips import EvaluationClips
from .protocol import Protocol

_DIRECTIONS = {"text_to_motion": "text → motion", "motion_to_text": "motion → text"}


def score_retrieval(
    clips: EvaluationClips, protocol: Protocol, embedder: MotionTextEmbedder, sentences: SentenceEncoder | None = None
) -> dict[str, dict[str, list[float]]]:
    """Score a retrieval model under the four protocols of HumanTOMATO's appendix D.

    A and B, which rank everything, have one value unless clips or captions are drawn at random; C and D draw pools anew in each
    replication. Protocols whose pools are larger than the set are left out.

    Args:
        clips (`EvaluationClips`): Real motion.
        protocol (`Protocol`): Which captions and cuts, whether equal captions are right answers, and how many replications.
        embedder (`MotionTextEmbedder`): The model.
        sentences (`SentenceEncoder`, *optional*): For B, where similar texts are right answers; without one B is left out.

    Returns:
        `dict[str, dict[str, list[float]]]`: A row for each protocol and direction.
    """
    rows: dict[str, dict[str, list[float]]] = {}
    drawn = protocol.jitter or protocol.captions == "random"
    for replication in range(protocol.replications):
        if replication == 0 or drawn:
            samples = protocol.samples(clips, (replication, 0))
            captions = [clips.captions[sample.clip][sample.caption] for sample in samples]
            texts = embedder.embed_texts(captions, clips.tags)
            motions = embedder.embed_motions(
                [clips.features[sample.clip][sample.start : sample.start + sample.length] for sample in samples]
            )
            vectors = sentences(captions).numpy() if sentences is not None else None
        for letter, pool in {"A": 2, "B": 2, "C": protocol.alignment_pool_size, "D": protocol.pool_size}.items():
            if len(samples) < pool or (letter == "B" and sentences is None) or (letter in "AB" and replication and not drawn):
                continue
            scores = retrieval_metrics(
                texts, motions, letter, metric=embedder.model.config.similarity,
                labels=captions if protocol.equal_captions_hit else None, clips=[sample.clip for sample in samples],
                sentence_embeddings=vectors if letter == "B" else None, pool_size=pool if letter in "CD" else None,
                seed=np.random.default_rng((protocol.seed, replication, 6)), drop_last=protocol.drop_last,
            )  # fmt: skip
            for direction, title in _DIRECTIONS.items():
                row = rows.setdefault(f"{letter}, {title}", {})
                for name in (key for key in scores if key.startswith(direction)):
                    row.setdefault(name.removeprefix(f"{direction}_"), []).append(scores[name])
                row.setdefault("candidates", []).append(scores["candidates"])
    return rows
