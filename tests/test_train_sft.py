"""Supervised training of motion language models: questions, what learns, resuming, several processes, and what does not fit."""

import json
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import scripts
import torch
from tiny import FIXTURES, tiny_language_model
from transformers import AutoModelForCausalLM, pipeline

from hf_motion import AutoMotionModel, MotionFeatureExtractor, MotionLanguageModel
from hf_motion.data.motion_text import MotionTextDataset, load_motion_rows
from hf_motion.data.paraphrases import Paraphrases
from hf_motion.trainers.instructions import instruction_rows, join_captions, make_example, tokenize
from hf_motion.trainers.motion_language import MotionSFTConfig, add_adapters, new_motion_language_model, save_trained, sft_trainer
from hf_motion.trainers.resuming import last_checkpoint
from hf_motion.trainers.tokenizer import save_motion_tokenizer
from hf_motion.trainers.tokens import TokenDataset

CLIPS = FIXTURES / "clips.parquet"
ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "training" / "train_sft.py"


def token_dataset(model: MotionLanguageModel, **options) -> TokenDataset:
    whole = MotionFeatureExtractor(**{**model.feature_extractor.to_dict(), "max_frames": 10**9})
    clips = MotionTextDataset(load_motion_rows(str(CLIPS), "train"), whole, show_progress=False, **options)
    return TokenDataset(clips, model.vq_model, model.max_tokens, offsets=False, show_progress=False)


def make_trainer(folder: Path, model: MotionLanguageModel, **options):
    dataset = token_dataset(model)
    rows = instruction_rows(model, dataset, 40, show_progress=False)
    settings = {
        "max_steps": 4, "save_steps": 2, "logging_steps": 1, "per_device_train_batch_size": 4, "report_to": "none", "bf16": False,
        "disable_tqdm": True, "learning_rate": 1e-2, "gradient_checkpointing": False, "use_cpu": True,
    }  # fmt: skip
    return sft_trainer(model, MotionSFTConfig(output_dir=str(folder), **{**settings, **options}), rows, dataset.clips.ids)


class TestQuestions:
    @pytest.mark.parametrize("kind", ["llama", "t5"])
    def test_every_task_asks_for_what_is_missing(self, kind: str) -> None:
        model = tiny_language_model(kind)
        codes = torch.arange(6)[None]
        texts = {}
        for task in ("text_to_motion", "motion_to_text", "prediction", "in_between"):
            example = make_example(model, task, codes, "a person walks", random.Random(1))
            ids, labels = tokenize(model, example)
            answer = [index for index in labels if index != -100]
            assert answer[-1] == model.tokenizer.eos_token_id
            assert ids[-len(answer) :] == answer or kind == "t5"
            if example.codes is None:
                assert example.words == "a person walks"
                assert model.motion_text(codes) in example.question
                continue
            assert torch.equal(model.vocabulary.codes(answer[:-1]), example.codes)
            shown = [
                model.motion_tokenizer.decode_motion(part + "<motion_end>").codes for part in example.question.split("<motion_end>")[:-1]
            ]
            assert sum(map(len, shown)) + example.codes.shape[1] == 6
            texts[task] = example.question
        assert "a person walks" in texts["text_to_motion"]
        short = make_example(model, "in_between", codes[:, :2], "a jump", random.Random(0))
        assert short.task == "text_to_motion"

    def test_rows_depend_on_seed_and_place_alone(self) -> None:
        model = tiny_language_model()
        dataset = token_dataset(model)
        few, many, other = (instruction_rows(model, dataset, n, seed=seed, show_progress=False) for n, seed in ((20, 0), (60, 0), (20, 1)))
        assert few.to_dict() == many.select(range(20)).to_dict()
        assert few["input_ids"] != other["input_ids"]
        shares = Counter(instruction_rows(model, dataset, 300, show_progress=False)["task"])
        assert 150 < shares["text_to_motion"] < 210
        assert set(shares) == {"text_to_motion", "motion_to_text", "prediction", "in_between"}
        only = instruction_rows(model, dataset, 20, {"motion_to_text": 1}, show_progress=False)
        assert set(only["task"]) == {"motion_to_text"}

    def test_other_wordings_are_said(self) -> None:
        model = tiny_language_model()
        caption = token_dataset(model).clips.captions[0][0]
        words = Paraphrases({"a": {"actions": [{"name": "x", "captions": [caption], "wordings": ["a quick brown fox"]}]}})
        dataset = token_dataset(model, paraphrases=words, paraphrase_share=1.0)
        rows = instruction_rows(model, dataset, 60, {"motion_to_text": 1}, show_progress=False)
        answers = [model.tokenizer.decode([index for index in row if index != -100], skip_special_tokens=True) for row in rows["labels"]]
        assert any("brown fox" in answer for answer in answers)

    def test_clips_are_joined_where_they_fit(self) -> None:
        model = tiny_language_model()
        dataset = token_dataset(model)
        alone = [caption for captions in dataset.clips.captions for caption in captions]
        longest = max(dataset[place, 0]["codes"].shape[1] for place in range(len(dataset)))
        model.config.motion["max_tokens"] = 2 * longest
        plain, joined = (
            instruction_rows(model, dataset, 40, {"text_to_motion": 1}, joined=share, show_progress=False) for share in (0.0, 1.0)
        )
        questions = [
            [model.tokenizer.decode([index for index, label in zip(one["input_ids"], one["labels"], strict=True) if label == -100])]
            for one in joined
        ]
        assert sum(len(one["input_ids"]) for one in joined) > sum(len(one["input_ids"]) for one in plain)
        assert any(sum(caption in question for caption in alone) < 2 for [question] in questions)
        assert all(sum(label != -100 for label in one["labels"]) <= 2 * longest + 3 for one in joined)
        assert joined.select(range(9)).to_dict() == instruction_rows(
            model, dataset, 9, {"text_to_motion": 1}, joined=1.0, show_progress=False
        ).to_dict()  # fmt: skip
        with pytest.raises(ValueError, match="joined is a share"):
            instruction_rows(model, dataset, 4, joined=1.5, show_progress=False)

    def test_joined_captions_say_the_subject_once(self) -> None:
        captions = ["Someone walks.", "the figure turns left", "dance - jive"]
        said = {join_captions(captions, random.Random(seed)) for seed in range(200)}
        assert "Someone walks, then turns left, and then dance - jive" in said
        assert all(one.startswith("Someone walks") and "figure" not in one for one in said)

    def test_long_rows_are_left_out_aloud(self, capsys: pytest.CaptureFixture) -> None:
        model = tiny_language_model()
        dataset = token_dataset(model)
        rows = instruction_rows(model, dataset, 40, max_length=40, show_progress=False)
        assert len(rows) < 40
        assert f"{40 - len(rows)} of 40 rows have more than 40 tokens" in capsys.readouterr().out
        with pytest.raises(ValueError, match="None of 40"):
            instruction_rows(model, dataset, 40, max_length=5, show_progress=False)

    @pytest.mark.parametrize("mixture", [{"dance": 1}, {"text_to_motion": -1}, {}])
    def test_bad_mixtures(self, mixture: dict) -> None:
        model = tiny_language_model()
        with pytest.raises(ValueError, match="mixture"):
            instruction_rows(model, token_dataset(model), 4, mixture, show_progress=False)


@pytest.mark.parametrize("kind", [pytest.param("llama", marks=pytest.mark.slow), "llama with adapters", "t5 with adapters"])
def test_resumed_equals_uninterrupted(tmp_path: Path, kind: str) -> None:
    tiny_language_model(kind[:5].strip(), tied="t5" not in kind).save_pretrained(tmp_path / "base")

    def trained() -> MotionLanguageModel:
        model = MotionLanguageModel.from_pretrained(tmp_path / "base")
        if "adapters" in kind:
            add_adapters(model, 2, dropout=0.1)
        return model

    model = trained()
    before = {name: weight.detach().clone() for name, weight in model.language_model.named_parameters()}
    trainer = make_trainer(tmp_path / "run", model)
    trainer.train_or_resume()
    moved = {name for name, weight in model.language_model.named_parameters() if not torch.equal(weight, before[name])}
    assert moved == {name for name, weight in model.language_model.named_parameters() if weight.requires_grad}
    if "adapters" in kind:
        assert any("token_adapter" in name for name in moved)
    (tmp_path / "run" / "checkpoint-4" / "trainer_state.json").unlink()
    assert last_checkpoint(tmp_path / "run").name == "checkpoint-2"
    again = trained()
    make_trainer(tmp_path / "run", again).train_or_resume()
    weights = again.language_model.state_dict()
    for name, weight in model.language_model.state_dict().items():
        assert torch.equal(weight, weights[name]), name
    expected = model.generate_motion("a person walks", 16, temperature=0, output_type="codes")[0]
    save_trained(trainer, model, merge=False)
    loaded = AutoMotionModel.from_pretrained(tmp_path / "run")
    assert loaded.has_adapters == ("adapters" in kind)
    assert torch.equal(loaded.generate_motion("a person walks", 16, temperature=0, output_type="codes")[0], expected)
    save_trained(trainer, model, merge=True)
    loaded = AutoMotionModel.from_pretrained(tmp_path / "run")
    assert not loaded.has_adapters


def test_answers_alone_count_and_the_loss_is_the_models(tmp_path: Path) -> None:
    model = tiny_language_model()
    trainer = make_trainer(tmp_path, model, max_steps=1)
    batch = next(iter(trainer.get_train_dataloader()))
    expected = model.language_model(**{name: batch[name] for name in ("input_ids", "attention_mask", "labels")}).loss
    assert (batch["labels"] == -100).any()
    trainer.train_or_resume()
    assert trainer.state.log_history[0]["loss"] == pytest.approx(float(expected.detach()), rel=1e-4)


def test_a_loss_that_is_no_number_names_its_clips(tmp_path: Path) -> None:
    model = tiny_language_model()
    trainer = make_trainer(tmp_path, model)
    with torch.no_grad():
        model.language_model.model.norm.weight.fill_(torch.nan)
    with pytest.raises(FloatingPointError, match=f"loss of step 1 is nan. Its clips: .*{trainer.clip_names[0][:4]}"):
        trainer.train_or_resume()


def words(folder: Path, base: Path, batch: int) -> list[str]:
    options = {
        "dataset": CLIPS, "base": base / "lm", "motion_tokenizer": base / "vq", "output_dir": folder, "max_steps": 3, "save_steps": 3,
        "logging_steps": 1, "rows": 30, "per_device_train_batch_size": batch, "report_to": "none", "bf16": "false", "max_tokens": 12,
        "gradient_checkpointing": "false", "disable_tqdm": "true", "learning_rate": 1e-2, "mirror": "false", "offsets": "false",
        "lora_rank": 2, "max_layers": 1,
    }  # fmt: skip
    return [word for name, value in options.items() for word in (f"--{name}", str(value))]


def losses(folder: Path) -> list[float]:
    history = json.loads((folder / "checkpoint-3" / "trainer_state.json").read_text())["log_history"]
    return [entry["loss"] for entry in history if "loss" in entry]


def save_parts(folder: Path) -> None:
    """A base and a motion tokenizer."""
    model = tiny_language_model(format="integers")  # whose tokenizer has no motion tokens yet
    model.language_model.config.__dict__.pop("motion")
    model.language_model.save_pretrained(folder / "lm")
    model.tokenizer.save_pretrained(folder / "lm")
    save_motion_tokenizer(folder / "vq", model.vq_model, model.feature_extractor)


def run_script(folder: Path, base: Path) -> None:
    scripts.run_script("train_sft", words(folder, base, 4))


def test_the_script(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    save_parts(tmp_path)
    run_script(tmp_path / "one", tmp_path)
    assert f"Finished: {tmp_path / 'one' / 'model'}" in capsys.readouterr().out
    assert len(losses(tmp_path / "one")) == 3
    made = AutoMotionModel.from_pretrained(tmp_path / "one")
    assert made.config.num_hidden_layers == 1
    assert len(made.generate_motion("a person walks", 8, seed=0)[0]) == 8
    assert "## How it was trained" in (tmp_path / "one" / "model" / "README.md").read_text()
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "one" / "model")
    assert plain.config.motion["format"] == "motion"
    assert len(pipeline("text-to-motion", model=str(tmp_path / "one"))("a person walks", num_frames=8)) == 8
    run_script(tmp_path / "one", tmp_path)  # there is nothing left to do
    assert "Finished: " in capsys.readouterr().out


@pytest.mark.slow
def test_two_processes_equal_one_with_twice_the_batch(tmp_path: Path) -> None:
    save_parts(tmp_path)
    run_script(tmp_path / "one", tmp_path)
    two = ["--config_file", str(ROOT / "training" / "accelerate" / "cpu_2.yaml"), "--main_process_port", "0", str(SCRIPT)]
    line = [sys.executable, "-m", "accelerate.commands.launch", *two, *words(tmp_path / "two", tmp_path, 2)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    result = subprocess.run(line, capture_output=True, text=True, env=environment, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    assert losses(tmp_path / "one") == pytest.approx(losses(tmp_path / "two"), rel=1e-3)


def test_what_a_new_model_needs(tmp_path: Path) -> None:
    save_parts(tmp_path)
    parts = (str(tmp_path / "lm"), str(tmp_path / "vq"))
    with pytest.raises(ValueError, match="no chat template"):
        new_motion_language_model(*parts, chat=True)
    with pytest.raises(ValueError, match="format must be one of"):
        new_motion_language_model(*parts, format="words")
    with pytest.raises(OSError, match="nothing"):
        new_motion_language_model(str(tmp_path / "nothing"), parts[1])
    first, again = (new_motion_language_model(*parts, seed=3).state_dict() for _ in range(2))
    assert all(torch.equal(weight, again[name]) for name, weight in first.items())
