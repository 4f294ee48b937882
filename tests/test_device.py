"""Where networks run."""

import logging
from pathlib import Path

import pytest
import torch
from tiny import tiny_pipeline

from hf_motion.generation import GenerationRequest, run
from hf_motion.utils import device as device_module
from hf_motion.utils.device import choose_device


def built_for_cuda_without_a_driver(check_available: bool = False) -> torch.device | None:
    return None if check_available else torch.device("cuda")


@pytest.fixture
def no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    device_module._say_cpu.cache_clear()
    monkeypatch.setattr(torch.accelerator, "current_accelerator", built_for_cuda_without_a_driver)


@pytest.mark.usefixtures("no_driver")
def test_a_cuda_build_without_a_driver_runs_on_the_cpu_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "hf_motion"):
        assert [choose_device(), choose_device()] == ["cpu", "cpu"]
    (message,) = caplog.messages
    assert "built for cuda" in message
    assert "running on the CPU" in message


@pytest.mark.usefixtures("no_driver")
def test_generate_works_there(tmp_path: Path) -> None:
    tiny_pipeline(steps=2).save_pretrained(tmp_path / "model")
    request = GenerationRequest(["a"], model=str(tmp_path / "model"), outputs=[str(tmp_path / "a.npz")], num_frames=4, seed=0)
    assert run(request) == [tmp_path / "a.npz"]


def test_the_accelerator_that_is_there_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available=False: torch.device("mps"))
    assert choose_device() == "mps"


@pytest.mark.usefixtures("no_driver")
@pytest.mark.parametrize("wanted", ["abacus", "meta:x", "cuda:99"])
def test_a_wished_device_that_is_not_there_is_an_error_that_names_what_is(wanted: str) -> None:
    with pytest.raises(ValueError, match=rf"Device {wanted!r} is not usable here: .*There is: cpu\. Leave --device"):
        choose_device(wanted)


def test_a_wished_device_that_is_there_is_taken() -> None:
    assert choose_device("cpu") == choose_device(torch.device("cpu")) == "cpu"
