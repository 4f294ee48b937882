"""`evaluate` module over `hf_motion.metrics.mpjpe`."""

from hf_motion.metrics import mpjpe
from hf_motion.metrics.modules import base


class MPJPE(base.MotionMetric):
    """Mean over clips of the joint position error. Predictions: joints of clips; references: the wanted ones."""

    function = staticmethod(mpjpe)
    columns = {"predictions": base.JOINTS, "references": base.JOINTS}
