"""A full disk: an `OSError` that names the path and says that the same command goes on, and then it does."""

import errno
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from test_training import make_trainer, rows  # noqa: F401
from tiny import save_tiny_retrieval_model, tiny_generator, tiny_pipeline

from hf_motion import MotionFeatureExtractor
from hf_motion.evaluation.generations import Request, make_or_load
from hf_motion.evaluation.result import EvaluationResult
from hf_motion.pipelines.motion_diffusion import MotionDiffusionPipeline
from hf_motion.text_encoders import add_text_lora, save_text_lora
from hf_motion.trainers.resuming import last_checkpoint
from hf_motion.utils.faults import NoRoomError, out_of_room, writing
from hf_motion.utils.files import atomic_path


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file may grow beyond `size` bytes: what a full disk is to whoever writes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte, where mounting one is allowed; the other tests do the same without."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk takes rights that this machine does not give")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_training_on_a_full_disk_goes_on(rows, tmp_path: Path) -> None:  # noqa: F811
    """The torn checkpoint is gone, and the run ends as if nothing had been."""
    make_trainer(rows, tmp_path / "whole").train()
    folder = tmp_path / "run"
    with largest_file(20_000), pytest.raises(OSError, match=r"Cannot write '.*checkpoint-2'.*Make room; the same command goes on") as error:
        make_trainer(rows, folder).train_or_resume()
    assert isinstance(error.value, NoRoomError)
    assert last_checkpoint(folder) is None
    assert not list(folder.glob("checkpoint-*"))
    trainer = make_trainer(rows, folder)
    trainer.train_or_resume()
    for name in ("model.safetensors", "trainer_state.json"):
        assert (folder / "checkpoint-4" / name).is_file()
    with largest_file(2_000), pytest.raises(OSError, match=r"Cannot write '.*pipeline.*Make room; then the same command goes on"):
        trainer.save_pipeline(folder / "pipeline")


def test_saving_models_on_a_full_disk(tmp_path: Path) -> None:
    with largest_file(3_000):
        for save in (tiny_pipeline().save_pretrained, tiny_generator("t2m-gpt").save_pretrained):
            with pytest.raises(OSError, match=r"Cannot write '.*saved.*Make room"):
                save(tmp_path / "saved")
        with pytest.raises(OSError, match=r"Cannot write '.*judge.*Make room"):
            save_tiny_retrieval_model(tmp_path / "judge", "t2m-evaluator")
        encoder = tiny_pipeline().text_encoder
        add_text_lora(encoder)
        with pytest.raises(OSError, match=r"Cannot write '.*adapter_model.safetensors'.*Make room"):
            save_text_lora(encoder, tmp_path / "adapter")


def test_evaluation_on_a_full_disk_goes_on(tmp_path: Path) -> None:
    calls = []

    def generate(texts: list[str], lengths: list[int] | None, seeds: list[int]) -> list[torch.Tensor]:
        calls.append(len(texts))
        return [torch.full((20, 263), float(seed)) for seed in seeds]

    requests = [Request("a person walks", 20, seed) for seed in range(4)]
    with largest_file(3_000), pytest.raises(OSError, match=r"Cannot write '.*safetensors'.*Make room"):
        make_or_load(requests, generate, tmp_path / "motions", {}, show_progress=False)
    assert not list((tmp_path / "motions").iterdir())
    made = make_or_load(requests, generate, tmp_path / "motions", {}, show_progress=False)
    assert [float(clip[0, 0]) for clip in made] == [0.0, 1.0, 2.0, 3.0]
    result = EvaluationResult("generation", {"model": {"fid": [0.1] * 500}}, {}, [])
    with largest_file(1_000), pytest.raises(OSError, match=r"Cannot write '.*results.json'.*Make room"):
        result.save(tmp_path / "scores")
    assert not list((tmp_path / "scores").iterdir())


def test_a_disk_that_is_really_full(small_disk: Path) -> None:
    """The same with a file system of one megabyte rather than a limit on files."""
    (small_disk / "filler").write_bytes(bytes(2**20 - 40_000))
    with pytest.raises(OSError, match=r"Cannot write '.*pipeline.*: No space left on device. Make room") as error:
        tiny_pipeline().save_pretrained(small_disk / "pipeline")
    assert error.value.errno == errno.ENOSPC
    with pytest.raises(OSError, match=r"No space left on device. Make room"), atomic_path(small_disk / "a.bin") as temporary:
        temporary.write_bytes(bytes(2**20))
    assert not (small_disk / "a.bin").exists()
    (small_disk / "filler").unlink()
    MotionFeatureExtractor().save_pretrained(small_disk / "extractor")
    tiny_pipeline().save_pretrained(small_disk / "pipeline")
    assert MotionDiffusionPipeline.load(small_disk / "pipeline").feature_extractor.dim == 263


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
        RuntimeError("basic_ios::clear: iostream error"),
        RuntimeError("[enforce fail at inline_container.cc:862] . PytorchStreamWriter failed writing file data/0: file write failed"),
    ],
)
def test_every_way_in_which_a_full_disk_shows(error: Exception) -> None:
    with pytest.raises(NoRoomError, match=r"Cannot write 'runs/a': .* Make room; then the same command goes on"), writing("runs/a"):
        raise error


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(KeyError, match="a"), writing("runs/a"):
        raise KeyError("a")
    with pytest.raises(PermissionError), writing("runs/a"):
        raise PermissionError(errno.EACCES, "Permission denied")
    assert not out_of_room(ValueError("os error 2"))
