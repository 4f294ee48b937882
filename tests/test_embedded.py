"""The checkpoint inside the package: small, licensed, and doing what it is told."""

import functools
import json
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from benchmarks.prompts import forward, kick, raised, speed, turn, upside_down
from transformers import pipeline

from hf_motion import MDMPipeline, Motion, load_embedded_pipeline
from hf_motion.checkpoints import EMBEDDED, say_licence

ROOT = Path(__file__).parents[1]
CLIPS = {
    row.id: Motion(row.joints.reshape(-1, 22, 3), fps=row.fps)
    for row in pd.read_parquet(ROOT / "tests" / "fixtures" / "clips.parquet").itertuples()
}


@functools.cache
def embedded() -> MDMPipeline:
    pipe = load_embedded_pipeline()
    pipe.set_progress_bar_config(disable=True)
    return pipe


def make(prompt: str, frames: int, seeds: int = 3) -> list[Motion]:
    generators = [torch.Generator().manual_seed(100 + seed) for seed in range(seeds)]
    return embedded()([prompt] * seeds, frames, generator=generators).motions


def test_measures_are_right_on_real_motion() -> None:
    assert raised(CLIPS["bnr_dataset-2_raise-up-left-hand_normal_001"]) == {"left"}
    assert raised(CLIPS["bnr_dataset-2_wave-right-hand_active_002"]) == {"right"}
    assert raised(CLIPS["idle_009_acted_c6"]) == set()
    assert turn(CLIPS["bnr_dataset-2_walk-turn-left_normal_001"]) > 60
    assert forward(CLIPS["cmuact_test_walking_6_c0"]) > 1
    assert upside_down(CLIPS["cmu_49_06"])
    assert not upside_down(CLIPS["cmu_02_04"])
    assert kick(CLIPS["cmu_49_06"]) > 0 > -0.3 > kick(CLIPS["cmuact_test_walking_6_c0"])
    backwards = Motion(CLIPS["cmuact_test_walking_6_c0"].joints[::-1].copy())
    assert forward(backwards) < -1


@pytest.mark.parametrize(("side", "other"), [("left", "right"), ("right", "left")])
@pytest.mark.parametrize("prompt", ["a person raises the {} hand", "a person waves the {} hand"])
def test_the_named_hand(prompt: str, side: str, other: str) -> None:
    assert [raised(motion) for motion in make(prompt.format(side), 60)] == [{side}] * 3


@pytest.mark.parametrize(("side", "sign"), [("left", 1), ("right", -1)])
def test_the_named_turn(side: str, sign: int) -> None:
    turns = [sign * turn(motion) for motion in make(f"a person walks and turns {side}", 80)]
    assert min(turns) > 20, turns


def test_run_and_walk_forward_and_backward() -> None:
    # Who walks backward in its data stands for a second first: of 24 motions of 3 s, 19 get anywhere, of 6 s all.
    walk, run, back = (make(f"a person {verb}", n) for verb, n in (("walks forward", 60), ("runs", 60), ("walks backward", 120)))
    assert min(map(speed, run)) > 1.3 * max(map(speed, walk))
    assert min(map(forward, walk)) > 0.5
    assert max(map(forward, back)) < -1


def test_it_is_complete_small_and_licensed() -> None:
    files = [path for path in EMBEDDED.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 32_000_000
    assert {path.suffix for path in files} == {".json", ".safetensors", ".py", ".md"}
    card = (EMBEDDED / "README.md").read_text()
    assert "license: cc-by-nc-4.0" in card
    assert card == (ROOT / "hub_cards" / "mdm-small.md").read_text()
    extractor = json.loads((EMBEDDED / "feature_extractor" / "preprocessor_config.json").read_text())
    assert len(extractor["mean"]) == len(extractor["std"]) == 263


def test_licence_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    say_licence.cache_clear()
    with caplog.at_level(logging.WARNING, logger="hf_motion"):
        load_embedded_pipeline()
        pipeline("text-to-motion")
    assert [record.message.count("CC BY-NC 4.0") for record in caplog.records if record.name == "hf_motion"] == [1]


def test_reproducible() -> None:
    first = make("a person walks", 30, 1)[0]
    embedded.cache_clear()
    again = make("a person walks", 30, 1)[0]
    np.testing.assert_allclose(first.joints, again.joints, atol=1e-5)
