"""`evaluate` module over `hf_motion.metrics.multimodality`."""

from hf_motion.metrics import multimodality
from hf_motion.metrics.modules import base


class MultiModality(base.MotionMetric):
    """Mean distance of motions of one text. Predictions: for each text, the embeddings of its motions."""

    function = staticmethod(multimodality)
    columns = {"predictions": base.SEVERAL}
