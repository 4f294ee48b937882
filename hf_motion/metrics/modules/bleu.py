"""`evaluate` module over `hf_motion.metrics.bleu`."""

from hf_motion.metrics import bleu
from hf_motion.metrics.modules import base


class Bleu(base.MotionMetric):
    """Predictions: sentences; references: one or several for each."""

    function = staticmethod(bleu)
    columns = base.SENTENCES
