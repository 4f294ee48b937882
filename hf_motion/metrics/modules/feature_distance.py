"""`evaluate` module over `hf_motion.metrics.feature_distance`."""

from hf_motion.metrics import feature_distance
from hf_motion.metrics.modules import base


class FeatureDistance(base.MotionMetric):
    """Mean distance of single pairs. Predictions: embeddings of generated motions; references: of theirs."""

    function = staticmethod(feature_distance)
    columns = {"predictions": base.EMBEDDING, "references": base.EMBEDDING}
