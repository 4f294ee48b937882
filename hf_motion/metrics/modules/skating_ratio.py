"""`evaluate` module over `hf_motion.metrics.skating_ratio`."""

from hf_motion.metrics import skating_ratio
from hf_motion.metrics.modules import base


class SkatingRatio(base.MotionMetric):
    """Mean over clips of the share of frames in which a foot slides. Predictions: joints of clips; option: fps."""

    function = staticmethod(skating_ratio)
    columns = {"predictions": base.JOINTS}
