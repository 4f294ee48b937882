"""Preference tuning: it starts where theory says, moves the right way, stops and goes on, and refuses what it cannot do."""

import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scripts import run_script
from tiny import FIXTURES, tiny_language_model, tiny_pipeline

from hf_motion import Motion, MotionLanguageModel
from hf_motion.data.motion_text import load_motion_rows, read_row, take_rows
from hf_motion.preferences import make_prompts
from hf_motion.preferences.pairs import Pair, save_pairs
from hf_motion.rewards import Reward, Specification
from hf_motion.trainers.online_preference import MotionGRPOConfig, MotionGRPOTrainer
from hf_motion.trainers.preference import MotionDPOConfig, preference_rows, preference_trainer

ROOT = Path(__file__).parents[1]


def settings(folder: Path, **options) -> MotionDPOConfig:
    common = {"max_steps": 1, "per_device_train_batch_size": 4, "report_to": "none", "disable_tqdm": True, "use_cpu": True, "bf16": False}
    return MotionDPOConfig(str(folder), **{**common, "logging_steps": 1, "learning_rate": 5e-3, **options})


@pytest.fixture(scope="module")
def pairs() -> list[Pair]:
    """Real clips; each is better than the next."""
    clips = [read_row(row, "humanml3d-22")[0] for row in take_rows(load_motion_rows(str(FIXTURES / "clips.parquet")), 5)]
    clips = [Motion(clip.joints[:32], clip.fps) for clip in clips]
    return [Pair(f"pair-{place}", "a person walks", clips[place], clips[place + 1]) for place in range(4)]


@pytest.mark.parametrize("kind", ["llama", "t5"])
@pytest.mark.parametrize(("loss", "start"), [("ipo", 25.0), ("sigmoid", math.log(2))])
@pytest.mark.parametrize("rank", [4, 0])
def test_a_model_starts_as_its_reference(kind, loss, start, rank, pairs, tmp_path):
    model = tiny_language_model(kind, tied=kind == "llama")
    rows, _ = preference_rows(model, pairs, show_progress=False)
    args = settings(tmp_path, loss_type=[loss], precompute_ref_log_probs=kind == "llama" and rank == 4)
    trainer = preference_trainer(model, args, rows, [pair.id for pair in pairs], rank, dropout=0.0)
    trainer.train()
    assert trainer.state.log_history[0]["loss"] == pytest.approx(start, rel=1e-4)


@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_better_motions_become_likelier_than_worse_ones(kind, pairs, tmp_path):
    model = tiny_language_model(kind, tied=False)
    rows, _ = preference_rows(model, pairs, show_progress=False)
    trainer = preference_trainer(model, settings(tmp_path, max_steps=40, learning_rate=1e-2), rows, [pair.id for pair in pairs], rank=0)
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert losses[-1] < 0.6 * losses[0]


def test_what_cannot_teach_is_left_out_and_counted(pairs):
    model = tiny_language_model()
    same = replace(pairs[0], rejected=pairs[0].chosen)
    alike = replace(pairs[1], details={"chosen_rating": 2.0, "rejected_rating": 2.0})
    rows, left_out = preference_rows(model, [*pairs, same, alike], show_progress=False)
    assert len(rows) == 4
    assert left_out == {"are the same tokens": 1, "score alike": 1}
    with pytest.raises(ValueError, match=r"Of 4 pairs none is left to learn from: \{'are too long': 4\}"):
        preference_rows(model, pairs, max_length=3, show_progress=False)


def test_a_loss_that_is_no_number_names_the_pairs(pairs, tmp_path):
    model = tiny_language_model()
    rows, _ = preference_rows(model, pairs[:2], show_progress=False)
    trainer = preference_trainer(model, settings(tmp_path), rows, ["first", "second"])
    with torch.no_grad():
        next(weight for name, weight in trainer.model.named_parameters() if "lora_B" in name).fill_(torch.nan)
    with pytest.raises(FloatingPointError, match=r"Its clips: (first, second|second, first)"):
        trainer.train()


def test_encoder_decoders_have_their_losses(pairs, tmp_path):
    model = tiny_language_model("t5", tied=False)
    rows, _ = preference_rows(model, pairs, show_progress=False)
    with pytest.raises(ValueError, match=r"loss_type of 'ipo', 'sigmoid', got \['hinge'\]"):
        preference_trainer(model, settings(tmp_path, loss_type=["hinge"]), rows, [])


def test_the_script_tunes_goes_on_and_saves_a_whole_model(pairs, tmp_path, monkeypatch, capsys):
    tiny_language_model().save_pretrained(tmp_path / "model")
    save_pairs(pairs, tmp_path / "pairs.parquet")
    monkeypatch.chdir(tmp_path)
    words = ["--model", "model", "--pairs", "pairs.parquet", "--per_device_train_batch_size", "2", "--max_steps", "2", "--save_steps", "1"]
    words += ["--use_cpu", "true", "--bf16", "false", "--report_to", "none", "--learning_rate", "1e-2", "--disable_tqdm", "true"]

    def tune(folder: str) -> Motion:
        run_script("train_dpo", [*words, "--output_dir", folder])
        return MotionLanguageModel.from_pretrained(folder).generate_motion("a person walks", 8, seed=0)[0]

    whole = tune("runs")
    assert "4 pairs (left out: none)" in capsys.readouterr().out
    for name in ("checkpoint-2", "model"):
        for file in sorted(Path("runs", name).rglob("*"), reverse=True):
            file.unlink() if file.is_file() else file.rmdir()
    np.testing.assert_array_equal(tune("runs").joints, whole.joints)
    assert "--pairs pairs.parquet" in Path("runs/model/README.md").read_text()

    tiny_pipeline().save_pretrained("diffusion")
    with pytest.raises(ValueError, match="train_diffusion_dpo"):
        run_script("train_dpo", [*words, "--model", "diffusion", "--output_dir", "other"])


@pytest.mark.slow  # two more interpreters; the fast suite has the same of train_sft.py
def test_two_processes_equal_one_with_twice_the_batch(pairs, tmp_path):
    tiny_language_model().save_pretrained(tmp_path / "model")
    save_pairs(pairs, tmp_path / "pairs.parquet")

    def words(folder: str, batch: int) -> list[str]:
        options = {
            "model": tmp_path / "model", "pairs": tmp_path / "pairs.parquet", "output_dir": tmp_path / folder, "max_steps": 3,
            "per_device_train_batch_size": batch, "lora_dropout": 0, "logging_steps": 1, "learning_rate": 1e-2, "use_cpu": "true",
            "bf16": "false", "report_to": "none", "disable_tqdm": "true", "precompute_ref_log_probs": "true",
        }  # fmt: skip
        return [word for name, value in options.items() for word in (f"--{name}", str(value))]

    def losses(folder: str) -> list[float]:
        history = json.loads((tmp_path / folder / "checkpoint-3" / "trainer_state.json").read_text())["log_history"]
        return [entry["loss"] for entry in history if "loss" in entry]

    run_script("train_dpo", words("one", 4))
    launch = ["--config_file", str(ROOT / "training" / "accelerate" / "cpu_2.yaml"), "--main_process_port", "0"]
    line = [sys.executable, "-m", "accelerate.commands.launch", *launch, str(ROOT / "training" / "train_dpo.py"), *words("two", 2)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    result = subprocess.run(line, capture_output=True, text=True, env=environment, check=False)
    assert result.returncode == 0, result.stderr[:9000]
    assert losses("one") == pytest.approx(losses("two"), rel=1e-3)
    assert losses("one")[2] < losses("one")[0]


class Higher(Reward):
    """Likes bodies that are high up."""

    name = "higher"

    def __call__(self, motions, texts, specifications=None):
        assert all(isinstance(one, Specification) for one in specifications)
        return [float(motion.joints[..., 1].mean()) for motion in motions]


def test_a_reward_grows_while_the_model_speaks_motions_alone(tmp_path):
    model = tiny_language_model()
    options = {"max_steps": 12, "per_device_train_batch_size": 16, "num_generations": 8, "learning_rate": 3e-2, "bf16": False}
    args = MotionGRPOConfig(str(tmp_path), **options, use_cpu=True, report_to="none", disable_tqdm=True, logging_steps=1, beta=0.0)
    trainer = MotionGRPOTrainer(model, Higher(), args, make_prompts("temporal", 8), rank=0)
    low = range(model.vocabulary.first, model.vocabulary.first + model.vocabulary.codebook_size // 2)
    judge, scores = trainer.reward_funcs[0], []

    def half(completion_ids, **columns):  # the tiny motion tokenizer makes much the same of all codes
        scores.extend(judge(completion_ids=completion_ids, **columns))
        return [sum(index in low for index in ids) / len(ids) for ids in completion_ids]

    trainer.reward_funcs[0] = half
    trainer.train_or_resume()
    rewards = [entry["reward"] for entry in trainer.state.log_history if "reward" in entry]
    assert sum(rewards[-3:]) > 1.2 * sum(rewards[:3])
    assert len(scores) == 16 * len(rewards)
    assert np.isfinite(scores).all()
    assert model.generate_motion("a person walks", seed=0)[0].text == "a person walks"


def test_only_causal_models_that_have_words_for_motion_are_tuned_online(tmp_path):
    args = MotionGRPOConfig(str(tmp_path), use_cpu=True, bf16=False, report_to="none")
    with pytest.raises(ValueError, match="train_dpo"):
        MotionGRPOTrainer(tiny_language_model("t5"), Higher(), args, make_prompts("temporal", 2))
    with pytest.raises(ValueError, match="spells its motions"):
        MotionGRPOTrainer(tiny_language_model(format="integers"), Higher(), args, make_prompts("temporal", 2))
