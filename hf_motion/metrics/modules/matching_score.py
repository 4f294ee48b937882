"""`evaluate` module over `hf_motion.metrics.matching_score`."""

from hf_motion.metrics import matching_score
from hf_motion.metrics.modules import base


class MatchingScore(base.MotionMetric):
    """Mean distance of pairs. Predictions: embeddings of motions; references: of their texts."""

    function = staticmethod(matching_score)
    columns = {"predictions": base.EMBEDDING, "references": base.EMBEDDING}
