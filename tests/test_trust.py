"""Checkpoints of strangers: nothing that lies in them is run."""

import json
import sys
from pathlib import Path

import pytest
from tiny import tiny_pipeline
from transformers import pipeline

from hf_motion import MDMPipeline
from hf_motion.pipelines.motion_diffusion import MotionDiffusionPipeline
from hf_motion.text_encoders import load_text_encoder


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    tiny_pipeline(steps=2).save_pretrained(folder)
    return folder


@pytest.fixture
def hostile(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint with a module that leaves a mark when it is run, wherever somebody might look for it."""
    folder = tmp_path / "hostile"
    folder.mkdir()
    for path in saved.rglob("*"):
        if path.is_file():
            (folder / path.relative_to(saved)).parent.mkdir(exist_ok=True)
            (folder / path.relative_to(saved)).write_bytes(path.read_bytes())
    code = f"open({str(tmp_path / 'mark')!r}, 'w').close()\nclass Denoiser:\n    from_pretrained = None\n"
    for place in (folder / "evil.py", folder / "denoiser" / "evil.py", folder / "pipeline.py", folder / "hf_motion_remote.py"):
        place.write_text(code)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    return folder


def rename(folder: Path, **parts: object) -> None:
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, **parts}))


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"denoiser": ["evil", "Denoiser"]}, "may only name diffusers, transformers, hf_motion.components, so nothing of it was loaded"),
        ({"extra": ["os", "system"]}, "takes its extra from"),
        ({"denoiser": ["hf_motion.components", "evil"]}, "names hf_motion.components.evil as its denoiser"),
        ({"denoiser": ["hf_motion.components", "ConfigMixin.load_config"]}, "which is no part that this installation has"),
        ({"scheduler": ["diffusers", "DiffusionPipeline"]}, "which is no ModelMixin or SchedulerMixin"),
        ({"text_encoder": ["transformers", "pipeline"]}, "names transformers.pipeline as its text_encoder"),
        ({"tokenizer": ["transformers", "CLIPTokenizer", "evil"]}, "takes its tokenizer from"),
        ({"_class_name": ["pipeline", "Denoiser"]}, "names the pipeline class"),
        ({"_class_name": "EvilPipeline"}, "knows AdaQFPipeline, MDMPipeline"),
    ],
)
def test_a_hostile_folder_is_refused_by_every_door(hostile: Path, tmp_path: Path, parts: dict[str, object], message: str) -> None:
    rename(hostile, **parts)
    for load in (
        MDMPipeline.from_pretrained,
        MotionDiffusionPipeline.load,
        lambda folder: pipeline("text-to-motion", model=str(folder)),
    ):
        with pytest.raises(ValueError, match=message):
            load(hostile)
    assert not (tmp_path / "mark").exists()
    assert "evil" not in sys.modules


def test_a_text_encoder_is_taken_out_of_a_hostile_folder_without_running_it(hostile: Path, tmp_path: Path) -> None:
    rename(hostile, denoiser=["evil", "Denoiser"])
    assert load_text_encoder(hostile).config.model_type == "clip_text_model"
    assert not (tmp_path / "mark").exists()


def test_damaged_index_names_the_file(hostile: Path) -> None:
    (hostile / "model_index.json").write_text("{")
    with pytest.raises(ValueError, match=r"model_index.json' is not readable JSON"):
        MDMPipeline.from_pretrained(hostile)
