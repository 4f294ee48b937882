"""Training: the objective, exact resumption, averaging, interruption and process counts."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from hub_server import Hub
from safetensors.torch import load_file
from scripts import run_script
from tiny import CAPTIONS, FIXTURES, seeded, tiny_pipeline

from hf_motion import MDMPipeline
from hf_motion.data.motion_text import LengthBucketSampler, MotionTextDataset, load_motion_rows, mirror_text
from hf_motion.trainers.callbacks import SampleMotionsCallback
from hf_motion.trainers.diffusion import DiffusionTrainer, DiffusionTrainingArguments
from hf_motion.trainers.new_pipeline import patch_frames, refine_noise
from hf_motion.trainers.resuming import last_checkpoint

CLIPS = FIXTURES / "clips.parquet"
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def rows():
    return load_motion_rows(str(CLIPS), "train")


def make_trainer(rows, folder: Path, train_text_encoder: bool = True, callbacks=None, **options) -> DiffusionTrainer:
    pipeline = tiny_pipeline(dropout=0.0, attention_dropout=0.0)
    dataset = MotionTextDataset(rows, pipeline.feature_extractor, mirror=True, show_progress=False)
    settings = {
        "max_steps": 4, "save_steps": 2, "logging_steps": 1, "per_device_train_batch_size": 2, "report_to": "none", "use_cpu": True,
        "disable_tqdm": True, "learning_rate": 1e-2, "ema_decay": 0.9, "epoch_size": 6,
        "text_encoder_tuning": "full" if train_text_encoder else "none",
    }  # fmt: skip
    arguments = DiffusionTrainingArguments(output_dir=str(folder), **{**settings, **options})
    return DiffusionTrainer(pipeline, arguments, dataset, callbacks=callbacks)


def losses(folder: Path) -> list[float]:
    state = json.loads((last_checkpoint(folder) / "trainer_state.json").read_text())
    return [entry["loss"] for entry in state["log_history"] if "loss" in entry]


@pytest.mark.parametrize("train_text_encoder", [True, False])
def test_resumed_equals_uninterrupted(rows, tmp_path: Path, train_text_encoder: bool) -> None:
    whole = make_trainer(rows, tmp_path / "whole", train_text_encoder)
    whole.train()
    whole.save_pipeline(tmp_path / "pipeline")
    shutil.copytree(tmp_path / "whole" / "checkpoint-2", tmp_path / "parts" / "checkpoint-2")
    resumed = make_trainer(rows, tmp_path / "parts", train_text_encoder)
    resumed.train(resume_from_checkpoint=str(last_checkpoint(tmp_path / "parts")))
    for name in ("model", "ema"):
        first, second = (load_file(tmp_path / run / "checkpoint-4" / f"{name}.safetensors") for run in ("whole", "parts"))
        assert first.keys() == second.keys()
        assert all(torch.equal(first[key], second[key]) for key in first), name
    assert losses(tmp_path / "whole") == losses(tmp_path / "parts")

    saved = MDMPipeline.from_pretrained(tmp_path / "pipeline")
    ema = load_file(tmp_path / "whole" / "checkpoint-4" / "ema.safetensors")
    assert all(torch.equal(value, ema[f"denoiser.{name}"]) for name, value in saved.denoiser.named_parameters())
    assert not torch.equal(ema["denoiser.input_projection.weight"], whole.model.denoiser.input_projection.weight)
    assert len(saved("a person walks", num_frames=5, generator=seeded()).motions[0]) == 5
    assert any(name.startswith("text_encoder.") for name in ema) == train_text_encoder


def test_it_learns(rows, tmp_path: Path) -> None:
    trainer = make_trainer(rows, tmp_path, max_steps=60, save_steps=60, warmup_steps=5)
    trainer.train()
    curve = losses(tmp_path)
    assert sum(curve[-10:]) < 0.8 * sum(curve[:10])


def test_loss_does_not_depend_on_the_batch(rows, tmp_path: Path) -> None:
    trainer = make_trainer(rows, tmp_path)
    trainer.model.eval()
    dataset, collate = trainer.train_dataset, trainer.data_collator
    examples = [dataset[clip, seed] for clip, seed in ((0, 11), (3, 12), (5, 13))]
    together = trainer.model(**collate(examples))["loss"]
    alone = torch.stack([trainer.model(**collate([example]))["loss"] for example in examples])
    torch.testing.assert_close(together, alone.mean(), atol=1e-5, rtol=1e-5)


def test_accumulated_steps_equal_a_larger_batch(rows, tmp_path: Path) -> None:
    make_trainer(rows, tmp_path / "large", per_device_train_batch_size=4).train()
    make_trainer(rows, tmp_path / "parts", per_device_train_batch_size=1, gradient_accumulation_steps=4).train()
    assert losses(tmp_path / "large") == pytest.approx(losses(tmp_path / "parts"), rel=1e-4)


def test_bf16(rows, tmp_path: Path) -> None:
    trainer = make_trainer(rows, tmp_path, bf16=True)
    trainer.train()
    assert all(parameter.dtype == torch.float32 and parameter.isfinite().all() for parameter in trainer.model.parameters())
    assert not trainer.model.training


def test_a_finished_run_is_left_alone(rows, tmp_path: Path) -> None:
    make_trainer(rows, tmp_path).train()
    again = make_trainer(rows, tmp_path)
    assert again.train(resume_from_checkpoint=str(last_checkpoint(tmp_path))) is None
    assert last_checkpoint(tmp_path).name == "checkpoint-4"
    weights = load_file(tmp_path / "checkpoint-4" / "model.safetensors")
    assert torch.equal(weights["denoiser.input_projection.weight"], again.model.denoiser.input_projection.weight)


def test_the_hub_gets_the_averaged_weights(rows, tmp_path: Path, hub: Hub) -> None:
    trainer = make_trainer(rows, tmp_path)
    trainer.train()
    trainer.save_pipeline(tmp_path / "pipeline", "org/trained")
    name = "denoiser/diffusion_pytorch_model.safetensors"
    assert hub.files("org/trained")[name] == (tmp_path / "pipeline" / name).read_bytes()


def test_checkpoint_without_an_average(rows, tmp_path: Path) -> None:
    make_trainer(rows, tmp_path, ema_decay=0.0).train()
    with pytest.raises(ValueError, match="ema_decay=0"):
        make_trainer(rows, tmp_path).train(resume_from_checkpoint=str(last_checkpoint(tmp_path)))


def test_frozen_encoder_is_run_before_training(rows, tmp_path: Path) -> None:
    frozen = make_trainer(rows, tmp_path, train_text_encoder=False)
    learned = make_trainer(rows, tmp_path, train_text_encoder=True)
    examples = [frozen.train_dataset[1, 7], frozen.train_dataset[2, 8]]
    batch = frozen.data_collator(examples)
    assert "text_states" in batch
    assert "input_ids" in learned.data_collator(examples)
    torch.testing.assert_close(frozen.model(**batch)["loss"], learned.model(**learned.data_collator(examples))["loss"])
    assert not any(name.startswith("text_encoder") for name, _ in frozen.model.named_parameters())


def test_killed_while_saving(rows, tmp_path: Path) -> None:
    make_trainer(rows, tmp_path).train()
    assert last_checkpoint(tmp_path).name == "checkpoint-4"
    torn = tmp_path / "checkpoint-4" / "trainer_state.json"
    torn.write_text(torn.read_text()[:100])
    assert last_checkpoint(tmp_path).name == "checkpoint-2"
    torn.unlink()
    assert last_checkpoint(tmp_path).name == "checkpoint-2"
    assert last_checkpoint(tmp_path / "nothing") is None
    resumed = make_trainer(rows, tmp_path)
    resumed.train(resume_from_checkpoint=str(last_checkpoint(tmp_path)))
    assert last_checkpoint(tmp_path).name == "checkpoint-4"


def test_feature_weights(rows, tmp_path: Path) -> None:
    """Twice the weight on one slice moves the loss by that slice's share, and the loss keeps its scale."""
    plain = make_trainer(rows, tmp_path)
    batch = next(iter(plain.get_train_dataloader()))
    weights = {"positions": 2.0, "rotations": 0.0}
    weighted = make_trainer(rows, tmp_path, feature_weights=json.dumps(weights))
    objective = weighted.model
    slices = plain.pipeline.feature_extractor.features.slices
    expected = torch.ones(263)
    expected[slices["positions"]], expected[slices["rotations"]] = 2, 0
    torch.testing.assert_close(objective.feature_weights, expected / expected.mean())
    assert "feature_weights" not in objective.state_dict()
    losses = []
    for name in slices:
        only = make_trainer(rows, tmp_path, feature_weights={other: float(other == name) for other in slices}).model.eval()
        losses.append(only(**batch)["loss"] * (slices[name].stop - slices[name].start) / 263)
    torch.testing.assert_close(sum(losses), plain.model.eval()(**batch)["loss"])


def test_refine_noise(rows, tmp_path: Path) -> None:
    """A trained pipeline gets noise levels between its own, which stay what they are, and goes on learning on all of them."""
    pipeline = tiny_pipeline(steps=5)
    before, steps, weight = pipeline.scheduler.alphas_cumprod, pipeline.default_steps, pipeline.denoiser.input_projection.weight.clone()
    sample, states = torch.randn(1, 9, 263), pipeline.encode_prompt(["a person walks"])[0]
    expected = pipeline.denoiser(sample, 3, states).sample
    refine_noise(pipeline, 100)
    torch.testing.assert_close(pipeline.scheduler.alphas_cumprod[19:99:20], before[:4], atol=1e-5, rtol=1e-3)
    torch.testing.assert_close(pipeline.denoiser(sample, 79, states).sample, expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(pipeline.denoiser.input_projection.weight, weight)
    pipeline.save_pretrained(tmp_path / "refined")
    loaded = type(pipeline).from_pretrained(tmp_path / "refined")
    assert (loaded.default_steps, loaded.config.noise_spacing, loaded.scheduler.config.num_train_timesteps) == (steps, 2.0, 100)
    dataset = MotionTextDataset(rows, loaded.feature_extractor, show_progress=False)
    options = {"max_steps": 1, "report_to": "none", "use_cpu": True, "disable_tqdm": True, "per_device_train_batch_size": 2}
    trainer = DiffusionTrainer(loaded, DiffusionTrainingArguments(output_dir=str(tmp_path / "run"), timestep_power=3.0, **options), dataset)
    assert math.isfinite(trainer.train().training_loss)
    for wrong in (5, 7, 104):
        with pytest.raises(ValueError, match=f"noise_levels must be a multiple of the 5 .* got {wrong}"):
            refine_noise(tiny_pipeline(steps=5), wrong)


def test_patch_frames(rows, tmp_path: Path) -> None:
    """Frames of a trained pipeline share tokens; where they are alike it says of them what it said, and it goes on learning."""
    pipeline = tiny_pipeline()
    sample, states = torch.randn(1, 1, 263).expand(1, 8, 263), pipeline.encode_prompt(["a person walks"])[0]
    pipeline.denoiser.positions = torch.zeros_like(pipeline.denoiser.positions)
    expected = pipeline.denoiser(sample[:, :2], 3, states).sample
    patch_frames(pipeline, 4)
    assert pipeline.denoiser.config.patch_size == 4
    pipeline.save_pretrained(tmp_path / "patched")
    loaded = type(pipeline).from_pretrained(tmp_path / "patched")
    pipeline.denoiser.positions = torch.zeros_like(pipeline.denoiser.positions)
    said = pipeline.denoiser(sample, 3, states).sample
    torch.testing.assert_close(said, expected[:, :1].expand(1, 8, 263), atol=1e-5, rtol=1e-5)
    dataset = MotionTextDataset(rows, loaded.feature_extractor, show_progress=False)
    options = {"max_steps": 1, "report_to": "none", "use_cpu": True, "disable_tqdm": True, "per_device_train_batch_size": 2}
    trainer = DiffusionTrainer(loaded, DiffusionTrainingArguments(output_dir=str(tmp_path / "run"), **options), dataset)
    assert math.isfinite(trainer.train().training_loss)
    with pytest.raises(ValueError, match="4 frames share a token in this pipeline already"):
        patch_frames(pipeline, 2)
    with pytest.raises(ValueError, match="patch_size must be 2 frames or more to change a trained pipeline, got 1"):
        patch_frames(tiny_pipeline(), 1)


def test_noise_levels_need_a_pipeline(tmp_path: Path) -> None:
    words = ["--dataset", CLIPS, "--output_dir", tmp_path / "run", "--noise_levels", 1000, "--use_cpu", "true"]
    with pytest.raises(ValueError, match="noise_levels refines a trained pipeline: pass --pipeline"):
        run_script("train_diffusion", words)


def test_timestep_power(rows, tmp_path: Path) -> None:
    """Diffusion steps are drawn with density t ** (power - 1); evenly is exactly what it was without the option."""
    seen: dict[float, torch.Tensor] = {}
    for power in (1.0, 3.0):
        objective = make_trainer(rows, tmp_path, timestep_power=power, text_encoder_tuning="none").model
        steps = objective.pipeline.scheduler.config.num_train_timesteps
        calls: list[torch.Tensor] = []
        objective.denoiser.register_forward_pre_hook(lambda module, arguments, calls=calls: calls.append(arguments[1]))
        batch = torch.zeros(500, 1, objective.pipeline.feature_extractor.dim)
        states, mask = objective.pipeline.encode_prompt(["a person walks"] * 500)
        with torch.no_grad():
            mask_of_frames = torch.ones(500, 1, dtype=torch.long)
            objective(batch, seeds=torch.arange(500), attention_mask=mask_of_frames, text_states=states, text_mask=mask)
        seen[power] = calls[0]
        assert calls[0].min() >= 0
        assert calls[0].max() < steps
    evenly = [int(torch.randint(steps, (), generator=torch.Generator().manual_seed(seed))) for seed in range(500)]
    assert seen[1.0].tolist() == evenly
    assert abs(float((seen[3.0] >= 3).double().mean()) - (1 - (3 / steps) ** 3)) < 0.05
    with pytest.raises(ValueError, match=r"timestep_power must be positive .* got 0\.0"):
        make_trainer(rows, tmp_path, timestep_power=0.0)


@pytest.mark.parametrize(
    ("weights", "message"), [({"feet": 1.0}, "slices of these features are"), ({"positions": -1.0}, "not be negative")]
)
def test_bad_feature_weights(rows, tmp_path: Path, weights: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_trainer(rows, tmp_path, feature_weights=weights)


def test_samples_are_drawn_while_training(rows, tmp_path: Path) -> None:
    pipeline = tiny_pipeline(dropout=0.0, attention_dropout=0.0)
    dataset = MotionTextDataset(rows, pipeline.feature_extractor, show_progress=False)
    arguments = DiffusionTrainingArguments(
        output_dir=str(tmp_path), max_steps=2, per_device_train_batch_size=2, report_to="none", use_cpu=True, disable_tqdm=True
    )
    callback = SampleMotionsCallback(pipeline, ["a person walks"], every=2, num_frames=8)
    trainer = DiffusionTrainer(pipeline, arguments, dataset, callbacks=[callback])
    before = pipeline.denoiser.input_projection.weight.clone()
    trainer.train()
    assert sorted(path.name for path in (tmp_path / "samples").iterdir()) == ["step-0000002.mp4", "step-0000002.png"]
    assert not torch.equal(before, pipeline.denoiser.input_projection.weight)


TINY_YAML = """
denoiser: {hidden_size: 16, num_layers: 1, num_attention_heads: 2, intermediate_size: 16, dropout: 0.0, attention_dropout: 0.0}
text_encoder: {vocab_size: 600, hidden_size: 8, num_hidden_layers: 1, num_attention_heads: 2}
text_encoder_tuning: full
max_steps: 12
save_steps: 7
logging_steps: 1
learning_rate: 0.01
use_cpu: true
report_to: none
"""


def command(launcher: list[str], folder: Path, *options: str) -> list[str]:
    folder.mkdir(exist_ok=True)
    (folder / "tiny.yaml").write_text(TINY_YAML)
    script = [str(ROOT / "training" / "train_diffusion.py"), "--config", str(folder / "tiny.yaml"), "--dataset", str(CLIPS)]
    return [*launcher, *script, "--output_dir", str(folder / "run"), *options]


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}


def launch(launcher: list[str], folder: Path, batch: int) -> list[float]:
    line = command(launcher, folder, "--per_device_train_batch_size", str(batch))
    result = subprocess.run(line, capture_output=True, text=True, env=environment(), check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    assert MDMPipeline.from_pretrained(folder / "run" / "pipeline").feature_extractor.mean is not None
    return losses(folder / "run")


@pytest.mark.slow  # two processes: half a minute to start and end
def test_two_processes_equal_one_with_twice_the_batch(tmp_path: Path) -> None:
    accelerate = [sys.executable, "-m", "accelerate.commands.launch"]
    two = ["--config_file", str(ROOT / "training" / "accelerate" / "cpu_2.yaml"), "--main_process_port", "0"]
    one = launch([sys.executable], tmp_path / "one", batch=4)
    both = launch([*accelerate, *two], tmp_path / "two", batch=2)
    assert len(one) == 12
    assert one == pytest.approx(both, rel=1e-3)
    shutil.rmtree(tmp_path / "two" / "run" / "checkpoint-12")
    assert last_checkpoint(tmp_path / "two" / "run").name == "checkpoint-7"  # in the middle of the second epoch
    assert launch([*accelerate, *two], tmp_path / "two", batch=2) == both


def mind_interrupts() -> None:
    """A test run in the background of a shell hands on that interrupts are ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.slow  # two trainings in processes of their own, each started twice
@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT])
def test_stopped_training_goes_on(tmp_path: Path, stop: signal.Signals) -> None:
    endless = command([sys.executable], tmp_path, "--max_steps", "100000", "--save_steps", "3")
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(endless, **pipes, env=environment(), preexec_fn=mind_interrupts) as process:
        patience = time.monotonic() + 120
        while last_checkpoint(tmp_path / "run") is None and time.monotonic() < patience:
            time.sleep(0.05)
        process.send_signal(stop)
        _, errors = process.communicate(timeout=60)
    reached = int(last_checkpoint(tmp_path / "run").name.rpartition("-")[2])
    if stop == signal.SIGINT:
        assert "the same command goes on from there" in errors
    line = command([sys.executable], tmp_path, "--max_steps", str(reached + 2), "--save_steps", str(reached + 2))
    result = subprocess.run(line, capture_output=True, text=True, env=environment(), check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    assert last_checkpoint(tmp_path / "run").name == f"checkpoint-{reached + 2}"
    assert (tmp_path / "run" / "pipeline" / "model_index.json").is_file()


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("in the way")
    with pytest.raises(OSError, match="Choose another output folder"):
        run_script("train_diffusion", command([], tmp_path)[1:])


def test_sampler_is_the_same_for_any_batching_and_lifts_the_rare() -> None:
    lengths = list(range(10, 110))
    sampler = LengthBucketSampler(lengths, [1.0] * 99 + [99.0], batch_size=8, seed=3, epoch_size=400)
    first = list(sampler)
    assert first == list(sampler)
    assert len(first) == len(sampler) == 400
    sampler.set_epoch(1)
    assert list(sampler) != first
    assert 0.4 < sum(clip == 99 for clip, _ in first) / 400 < 0.6
    batches = [[lengths[clip] for clip, _ in first[start : start + 8]] for start in range(0, 400, 8)]
    spread = [max(batch) - min(batch) for batch in batches]
    assert sum(spread) / len(spread) < 30


def test_dataset_draws_by_seed_alone(rows) -> None:
    pipeline = tiny_pipeline(max_frames=30)
    dataset = MotionTextDataset(rows, pipeline.feature_extractor, mirror=True, min_frames=10, show_progress=False)
    for index in ((0, 5), (4, 6)):
        first, again = dataset[index], dataset[index]
        assert torch.equal(first["motion_features"], again["motion_features"])
        assert first["caption"] == again["caption"]
    assert max(dataset.lengths) == 30
    texts = {dataset[0, seed]["caption"] for seed in range(20)}
    assert len(texts) > 1
    assert {mirror_text(text) for text in texts} >= {dataset[1, seed]["caption"] for seed in range(20)}


def test_mirrored_captions_say_the_other_side_both_ways() -> None:
    assert mirror_text("anticlockwise, then Counter clockwise") == "clockwise, then Clockwise"


def test_statistics(rows) -> None:
    pipeline = tiny_pipeline()
    extractor = pipeline.feature_extractor
    extractor.mean = extractor.std = None
    dataset = MotionTextDataset(rows, extractor, show_progress=False)
    dataset.fit_statistics()
    features = torch.cat(dataset.features)
    assert features.mean(0).abs().max() < 1e-3
    for part in extractor.features.slices.values():
        assert len(set(extractor.std[part])) == 1
        assert 0.5 < features[:, part].std(0).mean() < 1.5


def broken(tmp_path: Path, **changes: object) -> str:
    frame = pd.read_parquet(CLIPS).iloc[:3].copy()
    for name, value in changes.items():
        frame[name] = [value, *frame[name].iloc[1:]]
    frame.to_parquet(tmp_path / "broken.parquet")
    return str(tmp_path / "broken.parquet")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"joints": [1.0, 2.0]}, "'bnr_dataset-2_raise-up-left-hand_normal_001' is unreadable: cannot reshape"),
        ({"joints": [float("nan")] * (37 * 66)}, "NaN"),
        ({"captions": []}, "no caption"),
        ({"captions": None}, "unreadable"),
        ({"fps": 0}, "fps must be a positive"),
    ],
)
def test_unreadable_rows(tmp_path: Path, changes: dict, message: str) -> None:
    rows = load_motion_rows(broken(tmp_path, **changes))
    extractor = tiny_pipeline().feature_extractor
    with pytest.raises(ValueError, match=message):
        MotionTextDataset(rows, extractor, show_progress=False)
    dataset = MotionTextDataset(rows, extractor, strict=False, show_progress=False)
    assert (len(dataset), dataset.skipped["unreadable"]) == (2, 1)


def test_bad_sources(tmp_path: Path) -> None:
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "a.parquet").write_bytes(CLIPS.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"a\.parquet' is not a readable parquet file"):
        load_motion_rows(str(tmp_path / "torn"))
    shutil.rmtree(tmp_path / "torn")
    with pytest.raises(FileNotFoundError, match=r"No \.parquet file"):
        load_motion_rows(str(tmp_path))
    with pytest.raises(ValueError, match=r"no rows of split 'dev'; its splits are \['test', 'train'\]"):
        load_motion_rows(str(CLIPS), "dev")
    pd.DataFrame({"id": ["a"]}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(ValueError, match="lacks the columns"):
        load_motion_rows(str(tmp_path))
    with pytest.raises(ValueError, match="No usable clip"):
        MotionTextDataset(load_motion_rows(str(CLIPS)), tiny_pipeline().feature_extractor, min_frames=500, show_progress=False)


@pytest.mark.parametrize(("name", "value"), [("condition_dropout", 1.0), ("ema_decay", 1.0), ("ema_decay", -0.1)])
def test_bad_arguments(tmp_path: Path, name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        DiffusionTrainingArguments(output_dir=str(tmp_path), use_cpu=True, **{name: value})


@pytest.mark.parametrize(
    ("text", "mirrored"),
    [
        ("walks to the Left, then right", "walks to the Right, then left"),
        ("turns clockwise", "turns counterclockwise"),
        ("is left alone", "is right alone"),
        ("turns counter-clockwise", "turns clockwise"),
        ("leftover brightness", "leftover brightness"),
    ],
)
def test_mirrored_texts(text: str, mirrored: str) -> None:
    assert mirror_text(text) == mirrored
    assert mirror_text(mirrored) == text.replace("counter-clockwise", "counterclockwise")


def test_captions_of_the_fixture_are_real() -> None:
    assert len(set(CAPTIONS)) > 10
