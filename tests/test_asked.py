"""`seed=` and `seconds=`, in Python as on the command line."""

import logging
from typing import Any

import numpy as np
import pytest
import torch
from tiny import tiny_generator, tiny_pipeline
from transformers import pipeline

from hf_motion import MotionSystem, TextToMotionPipeline
from hf_motion.checkpoints import EMBEDDED


@pytest.fixture(scope="module")
def text_to_motion() -> TextToMotionPipeline:
    return TextToMotionPipeline(MotionSystem.from_pipeline(tiny_pipeline(steps=2)))


def test_in_the_task_pipeline(text_to_motion: TextToMotionPipeline) -> None:
    asked = text_to_motion("a", seconds=0.5, seed=0)
    same = text_to_motion("a", num_frames=10, generator=torch.Generator().manual_seed(0))
    np.testing.assert_array_equal(asked.joints, same.joints)
    assert [len(motion) for motion in text_to_motion(["a", "b"], seconds=[0.5, 1], seed=1)] == [10, 20]


def test_in_the_diffusion_pipeline_and_the_model(text_to_motion: TextToMotionPipeline) -> None:
    system = text_to_motion.model
    (first,) = system.pipeline("a", seconds=0.5, seed=3).motions
    (second,) = system.generate_motion("a", seconds=0.5, seed=3)
    np.testing.assert_array_equal(first.joints, second.joints)
    assert len(first) == 10


@pytest.mark.parametrize("kind", ["t2m-gpt", "momask"])
def test_in_models_of_tokens(kind: str) -> None:
    model = tiny_generator(kind)
    asked = model.generate_motion(["a"], seconds=0.6, seed=4)[0]
    same = model.generate_motion(["a"], 12, generator=torch.Generator().manual_seed(4))[0]
    np.testing.assert_array_equal(asked.joints, same.joints)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seconds": 1, "num_frames": 5}, "either as seconds or as num_frames"),
        ({"seed": 1, "generator": torch.Generator()}, "either seed or generator"),
        ({"seed": 0.5}, "seed must be a whole number, got 0.5"),
        ({"seconds": -1}, "seconds must be a positive number, got -1"),
        ({"seconds": [1, float("nan")]}, "seconds must be a positive number, got nan"),
        ({"seconds": 15}, "up to 2.0 s; longer motions have several sentences"),
    ],
)
def test_refusals(text_to_motion: TextToMotionPipeline, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        text_to_motion(["a", "b"], **options)


def test_a_default_of_ours_is_no_news(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture) -> None:
    logger = logging.getLogger("transformers.pipelines")
    shown = []
    handler = logging.Handler()
    handler.emit = lambda record: shown.append(record.getMessage())
    logger.addHandler(handler)
    try:
        assert str(pipeline("text-to-motion").model.pipeline.config["_name_or_path"]) == str(EMBEDDED)
        logger.warning("No model was supplied, defaulted to org/other and revision None.")
    finally:
        logger.removeHandler(handler)
    assert shown == ["No model was supplied, defaulted to org/other and revision None."]
