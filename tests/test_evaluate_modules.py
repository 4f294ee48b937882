"""The metrics as modules of `evaluate`: the same numbers as the functions, loaded by path and without a network."""

import sys
from collections.abc import Callable
from pathlib import Path

import evaluate
import numpy as np
import pytest
from hub_server import Hub

import hf_motion.metrics as metrics
from hf_motion.metrics.modules import names

FOLDER = Path(metrics.__file__).parent / "modules"
RANDOM = np.random.default_rng(0)
A, B = RANDOM.normal(size=(2, 64, 6))
CLIPS = [RANDOM.normal(size=(frames, 22, 3)) * 0.05 for frames in (5, 9)]
OTHERS = [clip + 0.01 * RANDOM.normal(size=clip.shape) for clip in CLIPS]
SAID, MEANT = ["a man walks", "he sits down"], ["a man walks slowly", "he sits"]

PAIRS = {"predictions": A, "references": B}
JOINTS = {"predictions": CLIPS, "references": OTHERS}
SENTENCES = {"predictions": SAID, "references": MEANT}
CASES: dict[str, tuple[dict, dict, Callable[[], object]]] = {
    "fid": (PAIRS, {}, lambda: metrics.frechet_distance(A, B)),
    "matching_score": (PAIRS, {"metric": "cosine"}, lambda: metrics.tmr_matching_score(A, B)),
    "feature_distance": (PAIRS, {}, lambda: metrics.feature_distance(A, B).mean()),
    "diversity": ({"predictions": A}, {"num_pairs": 9, "seed": 4}, lambda: metrics.diversity(A, 9, seed=4)),
    "multimodality": ({"predictions": A.reshape(4, 16, 6)}, {"num_pairs": 3}, lambda: metrics.multimodality(A.reshape(4, 16, 6), 3)),
    "r_precision": (PAIRS, {"pool_size": 16}, lambda: dict(zip(_TOP, metrics.r_precision(B, A, pool_size=16), strict=True))),
    "retrieval": (PAIRS, {"protocol": "D"}, lambda: metrics.retrieval_metrics(B, A, "D")),
    "skating_ratio": ({"predictions": CLIPS}, {"fps": 20}, lambda: metrics.skating_ratio(CLIPS, fps=20).mean()),
    "mpjpe": (JOINTS, {"root": 0}, lambda: metrics.mpjpe(CLIPS, OTHERS, root=0).mean()),
    "pa_mpjpe": (JOINTS, {}, lambda: metrics.pa_mpjpe(CLIPS, OTHERS).mean()),
    "acceleration_error": (JOINTS, {"fps": 20}, lambda: metrics.acceleration_error(CLIPS, OTHERS, fps=20).mean()),
    "bleu": (SENTENCES, {"max_order": 2}, lambda: metrics.bleu(SAID, MEANT, max_order=2)),
    "rouge": (SENTENCES, {}, lambda: metrics.rouge(SAID, MEANT)),
    "meteor": (SENTENCES, {"synonyms": False}, lambda: metrics.meteor(SAID, MEANT, synonyms=False)),
}
_TOP = ["r_precision_top1", "r_precision_top2", "r_precision_top3"]


def test_there_is_a_case_for_every_module():
    """`clip_score` needs a model; it is tested beside its function."""
    assert {*CASES, "clip_score"} == set(names())


@pytest.mark.parametrize("name", CASES)
def test_gives_what_the_function_gives(name: str):
    columns, options, function = CASES[name]
    result = metrics.load(name).compute(**columns, **options)
    expected = function()
    assert result == pytest.approx(expected if isinstance(expected, dict) else {name: expected}, abs=1e-12)


def test_loads_by_path_and_takes_batches():
    metric = evaluate.load(str(FOLDER / "fid.py"))
    for half in (slice(32), slice(32, None)):
        metric.add_batch(predictions=A[half], references=B[half])
    assert metric.compute()["fid"] == pytest.approx(metrics.frechet_distance(A, B), abs=1e-12)
    assert "real ones" in metric.description
    assert set(metric.features) == {"predictions", "references"}


def test_several_references_per_sentence():
    several = [[meant, said] for said, meant in zip(SAID, MEANT, strict=True)]
    assert metrics.load("rouge").compute(predictions=SAID, references=several)["rouge1"] == 1


def test_nan_is_refused():
    damaged = np.where(np.arange(64)[:, None] == 5, np.nan, A)
    with pytest.raises(ValueError, match="1 of 64 rows, first in number 5"):
        metrics.load("fid").compute(predictions=damaged, references=B)


def test_unknown_name_lists_all():
    with pytest.raises(ValueError, match=r"'fad'. There are: acceleration_error, .*, skating_ratio"):
        metrics.load("fad")


def test_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "evaluate", None)
    with pytest.raises(ImportError, match=r"hf-motion\[eval\]"):
        metrics.load("fid")


def test_loads_without_a_network(hub: Hub):
    with hub.offline():
        assert evaluate.load(str(FOLDER / "fid.py")).compute(predictions=[[0.0], [2.0]], references=[[1.0], [3.0]]) == {"fid": 1}
    assert hub.requests == []
