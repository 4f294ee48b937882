"""Learning corrections: rows of triplets, and the anchor against its formula."""

from pathlib import Path

import numpy as np
import pytest
import torch
from correction_clips import make_triplets
from tiny import tiny_language_model

from hf_motion import MotionLanguageModel
from hf_motion.trainers.corrections import correction_rows, note_tasks, shares
from hf_motion.trainers.instructions import instruction_rows
from hf_motion.trainers.motion_language import MotionSFTConfig, add_adapters, sft_trainer
from hf_motion.trainers.resuming import last_checkpoint


def make_trainer(folder: Path, model: MotionLanguageModel, rows=None, anchor: float = 0.0, **options):
    rows = correction_rows(model, make_triplets(4), 24, show_progress=False) if rows is None else rows
    settings = {
        "max_steps": 2, "save_steps": 1, "logging_steps": 1, "per_device_train_batch_size": 2, "report_to": "none", "bf16": False,
        "disable_tqdm": True, "learning_rate": 1e-2, "gradient_checkpointing": False, "use_cpu": True, "max_grad_norm": 0.0,
        "lr_scheduler_type": "constant", "max_length": None,
    }  # fmt: skip
    return sft_trainer(model, MotionSFTConfig(output_dir=str(folder), **{**settings, **options}), rows, ["clip"] * 99, anchor=anchor)


class TestRows:
    @pytest.mark.parametrize("kind", ["llama", "t5"])
    def test_the_loss_is_on_the_sentence_alone(self, kind: str) -> None:
        model = tiny_language_model(kind, context=900)
        triplets = make_triplets(3)
        rows = correction_rows(model, triplets, wording_share=0.0, first_clip=7, show_progress=False)
        assert sorted(rows["clip"]) == [7, 8, 9]
        for row in rows:
            answer = [index for index in row["labels"] if index != -100]
            assert answer[-1] == model.tokenizer.eos_token_id
            said = model.tokenizer.decode(answer[:-1]).strip()
            assert said == triplets[row["clip"] - 7].instruction
            question = model.tokenizer.decode(row["input_ids"])
            assert "action 2" in question
            assert ("-100" if kind == "t5" else row["labels"][0]) in ("-100", -100)

    def test_every_triplet_comes_before_one_comes_again_and_other_wordings_are_said(self) -> None:
        model = tiny_language_model(context=900)
        triplets = make_triplets(4)
        rows = correction_rows(model, triplets, 12, wording_share=1.0, show_progress=False)
        assert [sorted(rows["clip"][start : start + 4]) for start in (0, 4, 8)] == [[0, 1, 2, 3]] * 3
        said = {model.tokenizer.decode([i for i in row if i != -100], skip_special_tokens=True).strip() for row in rows["labels"]}
        assert said == {word for triplet in triplets for word in triplet.wordings}
        again = correction_rows(model, triplets, 8, wording_share=1.0, show_progress=False)
        assert again.to_dict() == rows.select(range(8)).to_dict()

    def test_what_is_too_long_is_said(self, capsys: pytest.CaptureFixture) -> None:
        model = tiny_language_model(context=900)
        correction_rows(model, make_triplets(2, frames=80), show_progress=False)
        assert "4 motions are longer than the 48 frames" in capsys.readouterr().out
        with pytest.raises(ValueError, match="None of 2 corrections has at most 20"):
            correction_rows(model, make_triplets(2), max_length=20, show_progress=False)
        with pytest.raises(ValueError, match="Is the split right"):
            correction_rows(model, [])

    def test_shares(self) -> None:
        assert shares(None, False, True) == ({}, 1.0)
        mixture, corrections = shares(None, True, True)
        assert corrections == pytest.approx(0.5)
        assert "motion_to_text" in mixture
        for wrong in (({"motion_correction": 1}, True, False), ({"text_to_motion": 1}, True, True), ({"text_to_motion": 1}, False, False)):
            with pytest.raises(ValueError, match=r"--triplets|--dataset"):
                shares(*wrong)
        with pytest.raises(ValueError, match="makes its rows of triplets"):
            instruction_rows(tiny_language_model(), None, 2, {"motion_correction": 1})


def in_the_loss(folder: Path, model: MotionLanguageModel, rows, strength: float, **options):
    """A trainer that has the anchor as the paper writes it: a term of the loss, with a graph."""
    trainer = make_trainer(folder, model, rows, **options)
    start = {name: weight.detach().clone() for name, weight in model.language_model.named_parameters()}
    plain = trainer.compute_loss

    def compute_loss(inner, inputs, *args, **kwargs):
        loss = plain(inner, inputs, *args, **kwargs)
        far = sum((weight - start[name]).square().sum() for name, weight in inner.named_parameters())
        return loss + strength * far / trainer.current_gradient_accumulation_steps

    trainer.compute_loss = compute_loss
    return trainer


@pytest.mark.parametrize(
    ("optim", "accumulation", "clip"), [("sgd", 1, 0.0), ("sgd", 3, 0.0), ("adamw_torch", 1, 0.0), ("adamw_torch", 3, 0.5)]
)
def test_the_anchor_is_its_formula(tmp_path: Path, optim: str, accumulation: int, clip: float) -> None:
    options = {"optim": optim, "gradient_accumulation_steps": accumulation, "max_steps": 3, "save_strategy": "no", "max_grad_norm": clip}
    one, two, free = (tiny_language_model(context=900) for _ in range(3))
    rows = correction_rows(one, make_triplets(4), 24, show_progress=False)
    trainer = make_trainer(tmp_path, one, rows, anchor=5.0, **options)
    trainer.train()
    in_the_loss(tmp_path, two, rows, 5.0, **options).train()
    make_trainer(tmp_path, free, rows, **options).train()
    wanted, without = (dict(model.language_model.named_parameters()) for model in (two, free))
    moved = 0.0
    for name, weight in one.language_model.named_parameters():
        torch.testing.assert_close(weight, wanted[name], rtol=1e-4, atol=2e-5, msg=name)
        moved = max(moved, float((weight - without[name]).abs().max()))
    assert moved > 1e-4
    assert [entry["anchor_loss"] for entry in trainer.state.log_history if "anchor_loss" in entry][-1] > 0


def test_an_anchor_stays_where_the_training_began_after_a_resume(tmp_path: Path) -> None:
    tiny_language_model(context=900).save_pretrained(tmp_path / "base")
    models = [MotionLanguageModel.from_pretrained(tmp_path / "base") for _ in range(2)]
    rows = correction_rows(models[0], make_triplets(4), 24, show_progress=False)
    make_trainer(tmp_path / "run", models[0], rows, anchor=5.0).train_or_resume()
    (tmp_path / "run" / "checkpoint-2" / "trainer_state.json").unlink()
    assert last_checkpoint(tmp_path / "run").name == "checkpoint-1"
    trainer = make_trainer(tmp_path / "run", models[1], rows, anchor=5.0)
    trainer.train_or_resume()
    for one, two in zip(models[0].language_model.parameters(), models[1].language_model.parameters(), strict=True):
        assert torch.equal(one, two)
    again = MotionLanguageModel.from_pretrained(tmp_path / "base")
    trainer = make_trainer(tmp_path / "run", again, rows, anchor=5.0, max_steps=3)
    trainer.anchor_start = str(tmp_path)
    with pytest.raises(ValueError, match="must still be there"):
        trainer.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-2"))


def test_what_an_anchor_does_not_go_with(tmp_path: Path) -> None:
    model = tiny_language_model(context=900)
    add_adapters(model, 2)
    with pytest.raises(ValueError, match="does not work with adapters"):
        make_trainer(tmp_path, model, anchor=0.1)
    half = tiny_language_model(context=900)
    half.language_model.to(torch.bfloat16)
    with pytest.raises(ValueError, match=r"dtype=torch\.float32"):
        make_trainer(tmp_path, half, learning_rate=1e-5)
    with pytest.raises(ValueError, match="anchor must be 0 or more"):
        make_trainer(tmp_path, tiny_language_model(context=900), anchor=-1.0)


def test_weights_that_bfloat16_holds_are_kept_in_it() -> None:
    from hf_motion.trainers.anchor import _lean

    weight = torch.randn(64)
    assert _lean(weight).dtype == torch.float32
    half = weight.bfloat16().float()
    assert _lean(half).dtype == torch.bfloat16
    assert np.array_equal(_lean(half).float().numpy(), half.numpy())


def test_a_model_says_what_it_learned() -> None:
    model = tiny_language_model(context=900)
    clips = make_triplets(1)[0]
    assert isinstance(model.correct_motion(clips.source, clips.target, max_new_tokens=3)[0], str)
    note_tasks(model, ["text_to_motion"])
    with pytest.raises(ValueError, match="learned text_to_motion, and no motion_correction"):
        model.correct_motion(clips.source, clips.target)
    note_tasks(model, ["motion_correction"])
    assert model.config.motion["tasks"] == ["motion_correction", "text_to_motion"]
    model.instructions.templates.pop("motion_correction")
    with pytest.raises(ValueError, match="no wording of it"):
        model.correct_motion(clips.source, clips.target)
