"""Every way into a checkpoint: pipeline class, transformers task, remote code; from a folder and from a Hub."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hub_server import Hub
from huggingface_hub import ModelCard
from tiny import seeded, tiny_generator, tiny_pipeline
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, pipeline

from hf_motion import MDMPipeline, MotionFeatureExtractor, MotionSystem, MotionSystemConfig, TextToMotionPipeline

REPO = "org/tiny-mdm"


@pytest.fixture(scope="module")
def expected() -> np.ndarray:
    return tiny_pipeline()("a person walks", num_frames=10, generator=seeded()).motions[0].joints


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny_pipeline().save_pretrained(tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


@pytest.fixture
def pushed(hub: Hub) -> str:
    tiny_pipeline().push_to_hub(REPO)
    hub.clear_cache()
    return REPO


def test_pipeline_class_from_the_hub_and_offline(hub: Hub, pushed: str, expected: np.ndarray) -> None:
    assert "model_index.json" in hub.files(pushed)
    for options in ({}, {"local_files_only": True}):
        pipe = MDMPipeline.from_pretrained(pushed, **options)
        np.testing.assert_allclose(pipe("a person walks", num_frames=10, generator=seeded()).motions[0].joints, expected, atol=1e-5)
    with hub.offline():
        assert MDMPipeline.from_pretrained(pushed).denoiser.config.hidden_size == 16


def test_task_from_a_folder_and_from_the_hub(hub: Hub, folder: Path, pushed: str, expected: np.ndarray) -> None:
    for source in (str(folder), pushed):
        text_to_motion = pipeline("text-to-motion", model=source)
        assert isinstance(text_to_motion, TextToMotionPipeline)
        motion = text_to_motion("a person walks", num_frames=10, generator=seeded())
        np.testing.assert_allclose(motion.joints, expected, atol=1e-5)
    with hub.offline():
        assert len(pipeline("text-to-motion", model=pushed)("a", num_frames=3)) == 3


def test_auto_classes(folder: Path, expected: np.ndarray) -> None:
    assert isinstance(AutoConfig.from_pretrained(folder), MotionSystemConfig)
    model = AutoModel.from_pretrained(folder, dtype=torch.float32)
    assert isinstance(model, MotionSystem)
    motion = model.generate_motion(["a person walks"], 10, generator=seeded())[0]
    np.testing.assert_allclose(motion.joints, expected, atol=1e-5)
    assert isinstance(AutoFeatureExtractor.from_pretrained(folder, subfolder="feature_extractor"), MotionFeatureExtractor)
    assert AutoModel.from_pretrained(folder, dtype=torch.bfloat16).dtype == torch.bfloat16


def test_saved_again_through_every_class(folder: Path, tmp_path: Path, expected: np.ndarray) -> None:
    for index, saver in enumerate([pipeline("text-to-motion", model=str(folder)), AutoModel.from_pretrained(folder)]):
        target = tmp_path / f"again-{index}"
        saver.save_pretrained(target)
        config = json.loads((target / "config.json").read_text())
        assert "custom_pipelines" not in config  # transformers would demand trust from then on
        assert (target / "hf_motion_remote.py").is_file()
        motion = pipeline("text-to-motion", model=str(target))("a person walks", num_frames=10, generator=seeded())
        np.testing.assert_allclose(motion.joints, expected, atol=1e-5)


def test_task_pushes_the_model(hub: Hub, folder: Path) -> None:
    pipeline("text-to-motion", model=str(folder)).push_to_hub("org/other")
    files = hub.files("org/other")
    assert {"config.json", "hf_motion_remote.py", "README.md", "model_index.json"} <= set(files)
    card = ModelCard(files["README.md"].decode())
    assert card.data.pipeline_tag == "text-to-motion"
    tiny_pipeline().push_to_hub("org/named")
    assert 'model="org/named"' in hub.files("org/named")["README.md"].decode()


def test_card(folder: Path) -> None:
    card = ModelCard.load(folder / "README.md")
    assert card.data.library_name == "hf_motion"
    assert card.data.pipeline_tag == "text-to-motion"
    assert "`MDMDenoiser`" in card.text
    (folder / "README.md").write_text("mine")
    tiny_pipeline().save_pretrained(folder)
    assert (folder / "README.md").read_text() == "mine"


def test_saved_files_keep_the_card_and_forget_where_they_came_from(folder: Path, tmp_path: Path) -> None:
    (folder / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\nmine")
    pipe = MDMPipeline.from_pretrained(folder)
    pipe.denoiser = tiny_pipeline(num_layers=1).denoiser
    pipe.feature_extractor = MotionFeatureExtractor(mean=[0.0] * 263, std=[1.0] * 263)
    pipe.save_pretrained(tmp_path / "again")
    assert "cc-by-nc-4.0" in (tmp_path / "again" / "README.md").read_text()
    for path in (tmp_path / "again").rglob("*.json"):
        assert str(tmp_path) not in path.read_text(), path
    index = json.loads((tmp_path / "again" / "model_index.json").read_text())
    assert index["denoiser"] == ["hf_motion.components", "MDMDenoiser"]
    assert index["feature_extractor"] == ["hf_motion.components", "MotionFeatureExtractor"]


def test_float32_unless_asked_otherwise(folder: Path, tmp_path: Path) -> None:
    MDMPipeline.from_pretrained(folder, dtype=torch.float16).save_pretrained(tmp_path / "half")
    for model in (MotionSystem.from_pretrained(tmp_path / "half"), pipeline("text-to-motion", model=str(tmp_path / "half")).model):
        assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert MDMPipeline.from_pretrained(folder, use_safetensors=True).text_encoder.dtype == torch.float32
    with pytest.raises(ValueError, match="safetensors only"):
        MDMPipeline.from_pretrained(folder, use_safetensors=False)


def test_feature_extractor_without_statistics(folder: Path) -> None:
    (folder / "feature_extractor" / "preprocessor_config.json").write_text('{"skeleton": "humanml3d-22"}')
    with pytest.raises(ValueError, match="no mean and std"):
        MDMPipeline.from_pretrained(folder)


def test_remote_door_and_lazy_import(folder: Path, tmp_path: Path) -> None:
    """In a fresh interpreter: importing hf_motion loads neither torch nor transformers, and trust alone is enough.

    The door of a model of transformers opens in a copy of it, taken before hf_motion comes back: an interpreter costs ten seconds.
    """
    tiny_generator("t2m-gpt").save_pretrained(tmp_path / "tokens")
    script = f"""
import os, sys, hf_motion
heavy = [name for name in ("torch", "transformers", "diffusers") if name in sys.modules]
assert not heavy, heavy
for name in [name for name in sys.modules if name.partition(".")[0] == "hf_motion"]:
    del sys.modules[name]
sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__name__ != "_ImportHook"]
from transformers import pipeline
try:
    pipeline("text-to-motion", model={str(folder)!r})
except (KeyError, ValueError) as error:
    assert "hf_motion" not in sys.modules, error
else:
    raise AssertionError("registered without an import")
from transformers import AutoModel
if os.fork() == 0:
    assert "hf_motion" not in sys.modules
    model = AutoModel.from_pretrained({str(tmp_path / "tokens")!r}, trust_remote_code=True)
    print("made", len(model.generate_motion("a person walks", 8)[0]), flush=True)
    os._exit(0)
os.wait()
model = AutoModel.from_pretrained({str(folder)!r}, trust_remote_code=True)
assert "hf_motion" in sys.modules and type(model).__name__ == "MotionSystem"
motion = pipeline("text-to-motion", model={str(folder)!r}, trust_remote_code=True)("a person walks", num_frames=4)
assert len(motion) == 4
print("opened")
"""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False)
    assert "made 8" in result.stdout, result.stderr[-3000:]
    assert "opened" in result.stdout, result.stderr[-3000:]


def test_task_takes_lists_lengths_and_batches(folder: Path) -> None:
    text_to_motion = pipeline("text-to-motion", model=str(folder), num_inference_steps=2)
    texts = ["a", "b", "c"]
    whole = text_to_motion(texts, [3, 4, 5], generator=seeded())
    parts = text_to_motion(texts, [3, 4, 5], generator=seeded(), batch_size=2)
    assert [len(motion) for motion in whole] == [3, 4, 5]
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_allclose(one.joints, other.joints, atol=1e-4)
    assert len(text_to_motion(["a"], 3)) == 1
    assert len(text_to_motion("a", 3, num_motions_per_prompt=3, generator=[seeded(seed) for seed in range(3)])) == 3


@pytest.mark.parametrize(
    ("texts", "options", "message"),
    [
        ([], {}, "at least one"),
        (["a", 3], {}, r"prompt\[1\]"),
        (["a"], {"num_frames": [1, 2]}, "2 entries for 1 texts"),
        ("a", {"num_frames": 500}, "from 1 to 40"),
        ("a", {"temperature": 1}, "temperature"),
        ("a", {"batch_size": -1}, "batch_size must be at least 1"),
        ("a", {"generator": 3}, "torch.Generator"),
    ],
)
def test_task_refuses(folder: Path, texts: object, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pipeline("text-to-motion", model=str(folder))(texts, **options)


def test_missing_and_foreign_checkpoints(hub: Hub, folder: Path) -> None:
    with pytest.raises(OSError, match="org/none"):
        MDMPipeline.from_pretrained("org/none")
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, "_class_name": "FutureMotionPipeline"}))
    with pytest.raises(ValueError, match="FutureMotionPipeline"):
        AutoModel.from_pretrained(folder)
    with pytest.raises(ValueError, match="from_pretrained"):
        AutoModel.from_config(MotionSystemConfig())
