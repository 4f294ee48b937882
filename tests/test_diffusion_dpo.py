"""Diffusion-DPO on tiny pipelines: the loss by hand, the start at ln 2, learning, resumption, saved checkpoints."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scripts import run_script
from tiny import FIXTURES, seeded, tiny_pipeline

from hf_motion import MDMPipeline
from hf_motion.data.motion_text import load_motion_rows, read_row
from hf_motion.preferences import Pair
from hf_motion.preferences.pairs import save_pairs
from hf_motion.trainers.diffusion_dpo import DiffusionDPOArguments, DiffusionDPOTrainer, PreferenceCollator, PreferenceDataset
from hf_motion.trainers.resuming import last_checkpoint


@pytest.fixture(scope="module")
def pairs() -> list[Pair]:
    clips = [read_row(row, "humanml3d-22") for row in load_motion_rows(str(FIXTURES / "clips.parquet"))]
    return [Pair(str(i), captions[0], motion, clips[i - 1][0][: 25 + i]) for i, (motion, captions) in enumerate(clips)]


def make_trainer(pairs: list[Pair], folder: Path, **options: object) -> DiffusionDPOTrainer:
    pipeline = tiny_pipeline(dropout=0.3, attention_dropout=0.0)
    settings = {
        "max_steps": 4, "save_steps": 2, "logging_steps": 1, "per_device_train_batch_size": 4, "report_to": "none", "use_cpu": True,
        "disable_tqdm": True, "learning_rate": 1e-3, "beta": 20.0, "denoiser_lora_rank": 4,
    }  # fmt: skip
    arguments = DiffusionDPOArguments(output_dir=str(folder), **{**settings, **options})
    return DiffusionDPOTrainer(pipeline, arguments, PreferenceDataset(pairs, pipeline.feature_extractor))


def logs(folder: Path) -> list[dict]:
    state = json.loads((last_checkpoint(folder) / "trainer_state.json").read_text())
    return [entry for entry in state["log_history"] if "loss" in entry]


@pytest.mark.parametrize("tuning", ["lora", "full"])
def test_it_starts_at_ln_2_learns_and_saves_what_it_learned(pairs: list[Pair], tmp_path: Path, tuning: str) -> None:
    trainer = make_trainer(pairs, tmp_path, denoiser_tuning=tuning, max_steps=24, save_steps=24, learning_rate=5e-3)
    start = {name: weight.clone() for name, weight in tiny_pipeline(dropout=0.3, attention_dropout=0.0).denoiser.named_parameters()}
    trainer.train()
    told = logs(tmp_path)
    assert math.isclose(told[0]["loss"], math.log(2), rel_tol=1e-4)
    assert np.mean([entry["loss"] for entry in told[-5:]]) < 0.6
    assert np.mean([entry["preferred"] for entry in told[-5:]]) > 0.7
    batch = PreferenceCollator(trainer.pipeline, trainer.train_dataset.texts())([trainer.train_dataset[i, i] for i in range(3)])
    with torch.no_grad():
        tuned = trainer.model._errors(*(batch[key] for key in ("motion_features", "attention_mask", "seeds", "text_states")), None)
    trainer.save_pipeline(tmp_path / "pipeline")
    saved = MDMPipeline.from_pretrained(tmp_path / "pipeline")
    assert {name for name, _ in saved.denoiser.named_parameters()} == set(start)
    assert any(not torch.equal(weight, start[name]) for name, weight in saved.denoiser.named_parameters())
    assert len(saved("a person walks", num_frames=5, generator=seeded()).motions[0]) == 5
    trainer.model._reference[0] = saved.denoiser
    trainer.model._in_reference = True
    with torch.no_grad():
        again = trainer.model._errors(*(batch[key] for key in ("motion_features", "attention_mask", "seeds", "text_states")), None)
    torch.testing.assert_close(again, tuned, atol=1e-4, rtol=1e-3)


def test_the_loss_is_the_papers(pairs: list[Pair], tmp_path: Path) -> None:
    trainer = make_trainer(pairs, tmp_path, denoiser_tuning="full", beta=7.0)
    model, dataset = trainer.model, trainer.train_dataset
    with torch.no_grad():
        for weight in model.denoiser.parameters():
            weight += 0.02 * torch.randn(weight.shape, generator=seeded(1))
    batch = PreferenceCollator(trainer.pipeline, dataset.texts())([dataset[index, 10 + index] for index in (0, 3)])
    scheduler, reference = trainer.pipeline.scheduler, model._reference[0]
    losses = []
    for row, index in enumerate((0, 3)):
        gaps = []
        for features in (dataset.chosen[index], dataset.rejected[index]):
            generator = torch.Generator().manual_seed(10 + index)
            step = torch.randint(scheduler.config.num_train_timesteps, (1,), generator=generator)
            torch.rand((), generator=generator)
            noise = torch.randn(features.shape, generator=generator)
            noisy = scheduler.add_noise(features[None], noise[None], step)
            mask, state = torch.ones(1, len(features), dtype=torch.long), batch["text_states"][row : row + 1]
            errors = [(net(noisy, step, state, None, mask).sample[0] - features).square().mean() for net in (model.denoiser, reference)]
            gaps.append(errors[0] - errors[1])
        losses.append(-torch.nn.functional.logsigmoid(-7.0 / 2 * (gaps[0] - gaps[1])))
    torch.testing.assert_close(model(**batch)["loss"], torch.stack(losses).mean(), atol=1e-5, rtol=1e-4)


def test_only_the_adapter_is_trained_and_the_text_encoder_never(pairs: list[Pair], tmp_path: Path) -> None:
    trainer = make_trainer(pairs, tmp_path)
    trained = [name for name, weight in trainer.model.named_parameters() if weight.requires_grad]
    assert trained
    assert all("lora_" in name for name in trained)
    assert not any(weight.requires_grad for weight in trainer.pipeline.text_encoder.parameters())


def test_resumed_equals_uninterrupted(pairs: list[Pair], tmp_path: Path) -> None:
    make_trainer(pairs, tmp_path / "whole").train()
    shutil.copytree(tmp_path / "whole" / "checkpoint-2", tmp_path / "parts" / "checkpoint-2")
    make_trainer(pairs, tmp_path / "parts").train_or_resume()
    first, second = (load_file(tmp_path / run / "checkpoint-4" / "model.safetensors") for run in ("whole", "parts"))
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_options_and_pairs_that_do_not_fit(pairs: list[Pair], tmp_path: Path) -> None:
    for options, message in (
        ({"beta": 0.0}, "beta must be positive"),
        ({"denoiser_tuning": "half"}, "denoiser_tuning must be one of 'full', 'lora'"),
        ({"denoiser_lora_rank": 0}, "denoiser_lora_rank must be at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            DiffusionDPOArguments(output_dir=str(tmp_path), use_cpu=True, report_to="none", **options)
    extractor = tiny_pipeline().feature_extractor
    with pytest.raises(ValueError, match="There are no pairs"):
        PreferenceDataset([], extractor)
    with pytest.raises(ValueError, match="Pair 'x' holds a motion of a single frame"):
        PreferenceDataset([Pair("x", "a", pairs[0].chosen, pairs[0].chosen[:1])], extractor)
    with pytest.raises(ValueError, match="Pairs are drawn evenly"):
        make_trainer(pairs, tmp_path, balance=0.5).train()


def test_the_script_leaves_out_what_scores_alike_and_tells_its_data(
    pairs: list[Pair], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    tiny_pipeline().save_pretrained(tmp_path / "start")
    ratings = [{"chosen_rating": 3.0, "rejected_rating": float(index)} for index in (1, 3, 2)]
    save_pairs([replace(pair, details=rating) for pair, rating in zip(pairs, ratings, strict=False)], tmp_path / "pairs.parquet")
    options = {"pairs": tmp_path / "pairs.parquet", "pipeline": tmp_path / "start", "output_dir": tmp_path / "run", "max_steps": 1,
               "per_device_train_batch_size": 2, "use_cpu": "true", "report_to": "none", "disable_tqdm": "true"}  # fmt: skip
    run_script("train_diffusion_dpo", [word for name, value in options.items() for word in (f"--{name}", value)])
    assert "2 pairs (left out: {'score alike': 1})" in capsys.readouterr().out
    card = (tmp_path / "run" / "pipeline" / "README.md").read_text()
    assert "| clips | 2, and 0 mirrored (left out: 1 score alike) |" in card
    assert "training/train_diffusion_dpo.py" in card
