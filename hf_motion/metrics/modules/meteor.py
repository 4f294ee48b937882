"""`evaluate` module over `hf_motion.metrics.meteor`."""

from hf_motion.metrics import meteor
from hf_motion.metrics.modules import base


class Meteor(base.MotionMetric):
    """Predictions: sentences; references: one or several for each."""

    function = staticmethod(meteor)
    columns = base.SENTENCES
