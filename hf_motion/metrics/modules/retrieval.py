"""`evaluate` module over `hf_motion.metrics.retrieval_metrics`."""

from typing import Any

from hf_motion.metrics import retrieval_metrics
from hf_motion.metrics.modules import base


def _both_ways(motions: Any, texts: Any, **options: Any) -> dict[str, float]:
    return retrieval_metrics(texts, motions, **options)


class Retrieval(base.MotionMetric):
    """Recall and ranks, both ways. Predictions: embeddings of motions; references: of their texts."""

    function = staticmethod(_both_ways)
    columns = {"predictions": base.EMBEDDING, "references": base.EMBEDDING}
