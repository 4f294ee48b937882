"""`evaluate` module over `hf_motion.metrics.clip_score`."""

from hf_motion.metrics import clip_score
from hf_motion.metrics.modules import base


class ClipScore(base.MotionMetric):
    """Predictions: sentences; references: one or several for each."""

    function = staticmethod(clip_score)
    columns = base.SENTENCES
