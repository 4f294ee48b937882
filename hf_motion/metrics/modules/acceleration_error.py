"""`evaluate` module over `hf_motion.metrics.acceleration_error`."""

from hf_motion.metrics import acceleration_error
from hf_motion.metrics.modules import base


class AccelerationError(base.MotionMetric):
    """Mean over clips of the acceleration error. Predictions: joints of clips; references: the wanted ones."""

    function = staticmethod(acceleration_error)
    columns = {"predictions": base.JOINTS, "references": base.JOINTS}
