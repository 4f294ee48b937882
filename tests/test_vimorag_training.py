"""Both stages of VimoRAG's training, through the scripts, and the pairs between them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scripts import run_script
from test_gemini_mvr import tiny
from test_train_sft import CLIPS, token_dataset
from test_vimorag import person, tiny_vimorag
from tiny import tiny_language_model
from typer.testing import CliRunner

from hf_motion import MotionLanguageModel
from hf_motion.cli import app
from hf_motion.data.motion_text import load_motion_rows, mirror_text, read_row
from hf_motion.models.vimorag.processing_vimorag import AS_SHOWN
from hf_motion.preferences import DualAlignmentRequest, build_dual_alignment, load_pairs
from hf_motion.preferences.dual_alignment import dual_rewards, single_frechet
from hf_motion.retrieval.retrieved import RetrievedVideos
from hf_motion.trainers.instructions import instruction_rows
from hf_motion.trainers.motion_language import MotionSFTConfig, sft_trainer
from hf_motion.trainers.preference import pair_videos
from hf_motion.trainers.videos import NO_VIDEO, ShownVideos, seeing_model

SETTINGS = {
    "report_to": "none", "bf16": "false", "use_cpu": "true", "gradient_checkpointing": "false", "disable_tqdm": "true", "logging_steps": 1,
    "max_length": 512, "learning_rate": 1e-2,
}  # fmt: skip


def words(**options: Any) -> list[str]:
    return [word for name, value in {**SETTINGS, **options}.items() for word in (f"--{name}", str(value))]


def found_videos(folder: Path) -> RetrievedVideos:
    """Two videos for each caption of the fixture, the first of them missing for one caption."""
    captions = sorted({caption for row in load_motion_rows(str(CLIPS)) for caption in read_row(row, "humanml3d-22")[1]})
    captions += [mirror_text(caption) for caption in captions if mirror_text(caption) not in captions]
    folder.mkdir()
    files = [str(person(8 + number, number).save(folder / f"{number}.npz")) for number in range(3)]
    rows = [
        {"text": text, "ids": ["a", "b"], "paths": [files[at % 3], files[2]], "starts": [0.0, 1.0], "scores": [2.0, 1.0]}
        for at, text in enumerate(captions)
    ]
    rows[0]["paths"] = [str(folder / "gone.npz"), files[1]]
    return RetrievedVideos(rows)


def test_rows_show_the_first_video_that_can_be_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model, found = tiny_vimorag(), found_videos(tmp_path / "videos")
    texts = list(found.rows)
    videos = ShownVideos(model.video_processor, {text: found.paths(text) for text in texts}, show_progress=False)
    assert "gone.npz" in caplog.text
    assert videos.files[videos.number(texts[0])].endswith("1.npz")
    assert videos.number("never asked") == NO_VIDEO
    rows = instruction_rows(
        model, token_dataset(model), 30, {"text_to_motion": 0.7, "prediction": 0.3}, 0, show_progress=False, videos=videos
    )
    token = model.config.video_token_id
    for row in rows:
        shown = row["input_ids"].count(token)
        assert shown == (0 if row["video"] == NO_VIDEO else videos.read(row["video"]).length)
        assert (shown > 0) == (row["task"] == "text_to_motion")
        assert all(label == -100 for index, label in zip(row["input_ids"], row["labels"], strict=True) if index == token)
    half = instruction_rows(model, token_dataset(model), 30, {"text_to_motion": 1}, 0, show_progress=False, videos=videos, video_share=0.5)
    assert 5 < half["video"].count(NO_VIDEO) < 25
    silent = instruction_rows(
        model, token_dataset(model), 30, {"text_to_motion": 1}, 0, show_progress=False, videos=videos, silent_share=0.5
    )
    pointing = [AS_SHOWN in model.tokenizer.decode(row["input_ids"]).replace("</w>", " ") for row in silent]
    assert 5 < sum(pointing) < 25
    assert not any(said and row["video"] == NO_VIDEO for said, row in zip(pointing, silent, strict=True))
    with pytest.raises(ValueError, match="silent_share is a share, from 0 to 1, got 2"):
        instruction_rows(model, token_dataset(model), 3, show_progress=False, videos=videos, silent_share=2)
    settings = {**SETTINGS, "disable_tqdm": True, "bf16": False, "gradient_checkpointing": False, "use_cpu": True, "max_steps": 2}
    args = MotionSFTConfig(output_dir=str(tmp_path / "run"), per_device_train_batch_size=3, **settings)
    trainer = sft_trainer(model, args, rows, ["clip"] * 99, videos=videos, projector_rate=0.5)
    batch = next(iter(trainer.get_train_dataloader()))
    assert (batch["input_ids"] == token).sum() == sum(int(mask.sum()) for mask in batch["frame_mask"])
    batch.pop("clips")
    expected = model.language_model(**batch).loss
    before = {name: value.detach().clone() for name, value in model.language_model.named_parameters()}
    trainer.train_or_resume()
    assert trainer.state.log_history[0]["loss"] == pytest.approx(float(expected.detach()), rel=1e-4)
    moved = {name for name, value in model.language_model.named_parameters() if not torch.equal(value, before[name])}
    assert moved == {name for name in before if "towers" not in name}
    rates = {group["initial_lr"] for group in trainer.optimizer.param_groups}
    assert rates == {1e-2, 0.5}
    with pytest.raises(ValueError, match="None of the retrieved videos can be used, the first because: There is no file"):
        ShownVideos(model.video_processor, {"x": [str(tmp_path / "gone.mp4")]}, show_progress=False)


@pytest.mark.slow  # both trainings and the pairs between them
def test_both_stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)
    found_videos(tmp_path / "videos").save("found")
    tiny_language_model(context=512).save_pretrained("lm")
    tower = tiny()
    tower.save_pretrained("mvr")
    (tmp_path / "mvr" / "tokenizer.json").write_text((tmp_path / "lm" / "tokenizer.json").read_text())
    (tmp_path / "mvr" / "tokenizer_config.json").write_text((tmp_path / "lm" / "tokenizer_config.json").read_text())
    options = {"dataset": CLIPS, "model": "lm", "retrieved": "found", "video_tower": "mvr", "rows": 12, "mixture": '{"text_to_motion": 1}'}
    options |= {"lora_rank": 2, "projector_learning_rate": 1e-3, "per_device_train_batch_size": 4, "mirror": "false", "offsets": "false"}
    run_script("train_sft", words(**options, output_dir="one", max_steps=1, save_steps=1))
    seeing = MotionLanguageModel.from_pretrained("one")
    assert seeing.video_processor is not None
    kept = seeing.language_model.model.video_prefix.towers["keypoints"].state_dict()
    assert all(torch.equal(value, tower.state_dict()[name]) for name, value in kept.items())
    assert seeing_model("one/model", tmp_path / "other") == "one/model"

    request = {"output": "pairs", "model": "one", "dataset": str(CLIPS), "retrieved": "found", "share": 1.0, "show_progress": False}
    request |= {"options": {"temperature": 2.0}}
    record = build_dual_alignment(DualAlignmentRequest(**request))
    pairs = load_pairs("pairs")
    assert record["pairs"] == len(pairs) > 1
    made = {path: path.stat().st_mtime_ns for path in Path("pairs/work/motions").iterdir()}
    (tmp_path / "pairs" / "pairs" / "train.parquet").unlink()
    assert build_dual_alignment(DualAlignmentRequest(**request)) == record
    assert {path: path.stat().st_mtime_ns for path in Path("pairs/work/motions").iterdir()} == made
    again = load_pairs("pairs")
    assert [(pair.id, pair.details) for pair in again] == [(pair.id, pair.details) for pair in pairs]
    assert {pair.details["video_id"] for pair in pairs} <= {"a", "b"}
    assert all(pair.details["chosen_rating"] > pair.details["rejected_rating"] for pair in pairs)
    assert "video_path" in Path("pairs/README.md").read_text()

    options = {"model": "one", "pairs": "pairs", "per_device_train_batch_size": 2, "lora_dropout": 0, "lora_rank": 2, "save_steps": 1}
    options |= {"loss_type": "sigmoid", "beta": 0.1, "max_steps": 1}
    run_script("train_dpo", words(**options, output_dir="two"))
    history = json.loads(Path("two/checkpoint-1/trainer_state.json").read_text())["log_history"]
    assert history[0]["loss"] == pytest.approx(np.log(2), abs=1e-3)
    tuned = MotionLanguageModel.from_pretrained("two")
    assert len(tuned.generate_motion("a person walks", 8, videos=person(9), seed=0)[0]) == 8
    capsys.readouterr()
    with pytest.raises(ValueError, match="the model sees none"):
        pair_videos(tiny_language_model(), pairs, show_progress=False)
    with pytest.raises(ValueError, match="does not see videos"):
        build_dual_alignment(DualAlignmentRequest(**{**request, "model": "lm", "output": "none"}))


def test_equation_four() -> None:
    near, far = np.array([[1.0, 2.0, 7.0]]), np.array([[5.0, 3.0, 2.0]])
    np.testing.assert_allclose(dual_rewards(near, far), [[-0.9 * 0.1 - 0.1 * 0.5, -0.9 * 0.2 - 0.1 * 0.3, -0.9 * 0.7 - 0.1 * 0.2]])
    soft = dual_rewards(near, far, normalize="softmax")
    np.testing.assert_allclose(soft.sum(), -1.0)
    assert (dual_rewards(near, far).argmax(), soft.argmax()) == (0, 1)  # the published code chooses another one
    unjudged = dual_rewards(np.array([[1.0, np.nan, 3.0]]), np.array([[1.0, 1.0, 1.0]]))
    assert np.isnan(unjudged[0, 1])
    assert unjudged[0, 0] == pytest.approx(-0.9 / 4 - 0.1 / 3)
    one, two = np.random.default_rng(0).normal(size=(2, 4, 9))
    spread = (one.std(1, ddof=1) - two.std(1, ddof=1)) ** 2
    np.testing.assert_allclose(single_frechet(one, two), ((one - two) ** 2).sum(1) + spread)
    for options, message in (
        ({"share": 0}, "share must be above 0"), ({"samples": 1}, "at least 2 for a pair"),
        ({"normalize": "max"}, "normalize must be one of 'sum', 'softmax'"), ({"text_weight": -1}, "must not be negative"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            DualAlignmentRequest("out", "m", "d", "r", **options)


def test_commands_say_what_is_missing(tmp_path: Path) -> None:
    runner = CliRunner()
    for line, message in (
        (["video", "retrieve", str(tmp_path), "--dataset", str(CLIPS), "-o", str(tmp_path / "found")], "no finished index"),
        (
            ["prefer", "mcdpo", str(CLIPS), "-o", str(tmp_path / "p"), "--model", str(tmp_path / "m"), "--retrieved", "x"],
            str(tmp_path / "m"),
        ),
    ):
        result = runner.invoke(app, line)
        assert result.exit_code == 1
        assert message in result.output
    assert not (tmp_path / "found").exists()
    assert not (tmp_path / "p").exists()
