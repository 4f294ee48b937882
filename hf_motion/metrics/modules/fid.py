"""`evaluate` module over `hf_motion.metrics.frechet_distance`."""

from hf_motion.metrics import frechet_distance
from hf_motion.metrics.modules import base


class FID(base.MotionMetric):
    """Fréchet distance. Predictions: embeddings of generated motion; references: of as many real ones."""

    function = staticmethod(frechet_distance)
    columns = {"predictions": base.EMBEDDING, "references": base.EMBEDDING}
