"""`evaluate` module over `hf_motion.metrics.r_precision`."""

from typing import Any

from hf_motion.metrics import r_precision
from hf_motion.metrics.modules import base


def _text_to_motion(motions: Any, texts: Any, **options: Any) -> dict[str, float]:
    return {f"r_precision_top{place}": float(share) for place, share in enumerate(r_precision(texts, motions, **options), 1)}


class RPrecision(base.MotionMetric):
    """R-precision from text to motion. Predictions: embeddings of motions; references: of their texts. Swapped, it is motion to text."""

    function = staticmethod(_text_to_motion)
    columns = {"predictions": base.EMBEDDING, "references": base.EMBEDDING}
