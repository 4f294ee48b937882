"""`evaluate` module over `hf_motion.metrics.diversity`."""

from hf_motion.metrics import diversity
from hf_motion.metrics.modules import base


class Diversity(base.MotionMetric):
    """Mean distance of random pairs. Predictions: embeddings of motions."""

    function = staticmethod(diversity)
    columns = {"predictions": base.EMBEDDING}
