"""`evaluate` module over `hf_motion.metrics.rouge`."""

from hf_motion.metrics import rouge
from hf_motion.metrics.modules import base


class Rouge(base.MotionMetric):
    """Predictions: sentences; references: one or several for each."""

    function = staticmethod(rouge)
    columns = base.SENTENCES
