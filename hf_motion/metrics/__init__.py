"""Metrics: plain functions on arrays, in float64, that refuse NaN; `evaluate` modules over them are in `hf_motion/metrics/modules`.

| function | of | unit | better |
|---|---|---|---|
| `frechet_distance` | two sets of embeddings | embedding² | lower |
| `r_precision`, `tmr_r_precision` | embeddings of pairs | share of hits | higher |
| `matching_score`, `tmr_matching_score` | embeddings of pairs | embedding; 0 ... 2 | lower |
| `retrieval_metrics` | embeddings of pairs | share, rank | higher, lower |
| `diversity` | embeddings | embedding | as real motion |
| `multimodality` | embeddings, several per text | embedding | higher |
| `feature_distance` | embeddings of two motions | embedding² | lower |
| `skating_ratio` | joints | share of frames | lower |
| `mpjpe`, `pa_mpjpe` | joints, twice | that of the joints | lower |
| `acceleration_error` | joints, twice | joints per frame² | lower |
| `bleu`, `rouge`, `meteor`, `clip_score` | sentences and references | 0 ... 1 | higher |
"""

from .diversity import diversity
from .feature_distance import feature_distance
from .fid import FrechetStatistics, frechet_distance, frechet_distance_from_statistics, frechet_statistics
from .modules import load
from .multimodality import multimodality
from .position_error import acceleration_error, mpjpe, pa_mpjpe
from .r_precision import matching_score, r_precision
from .retrieval import retrieval_metrics, tmr_matching_score, tmr_r_precision
from .skating import skating_ratio
from .text import bleu, clip_score, meteor, rouge

__all__ = [
    "FrechetStatistics",
    "acceleration_error",
    "bleu",
    "clip_score",
    "diversity",
    "feature_distance",
    "frechet_distance",
    "frechet_distance_from_statistics",
    "frechet_statistics",
    "load",
    "matching_score",
    "meteor",
    "mpjpe",
    "multimodality",
    "pa_mpjpe",
    "r_precision",
    "retrieval_metrics",
    "rouge",
    "skating_ratio",
    "tmr_matching_score",
    "tmr_r_precision",
]
