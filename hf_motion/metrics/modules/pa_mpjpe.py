"""`evaluate` module over `hf_motion.metrics.pa_mpjpe`."""

from hf_motion.metrics import pa_mpjpe
from hf_motion.metrics.modules import base


class PAMPJPE(base.MotionMetric):
    """Mean over clips of the aligned joint position error. Predictions: joints of clips; references: the wanted ones."""

    function = staticmethod(pa_mpjpe)
    columns = {"predictions": base.JOINTS, "references": base.JOINTS}
