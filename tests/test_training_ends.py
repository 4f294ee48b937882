"""Options that a training takes, and what it leaves behind: a checkpoint that is found, and a card that tells where it is from."""

import os
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml
from hub_server import Hub
from huggingface_hub import ModelCard
from scripts import ROOT, parser, run_script
from tiny import FIXTURES, seeded, tiny_generator, tiny_pipeline
from transformers import pipeline
from typer.testing import CliRunner

from hf_motion import MDMPipeline, MotionVQConfig
from hf_motion.cli import app
from hf_motion.data.motion_text import load_motion_rows
from hf_motion.hub.training_card import TrainingRecord
from hf_motion.pipelines.motion_diffusion import MotionDiffusionPipeline
from hf_motion.retrieval.embedder import checkpoint_folder
from hf_motion.trainers.new_pipeline import new_mdm_pipeline
from hf_motion.utils.options import check_options
from hf_motion.utils.training_folder import checkpoint_in, leave_sign

SCRIPTS = (
    "train_diffusion", "train_tokens", "train_tokenizer", "train_retrieval", "train_sft", "train_dpo", "train_grpo", "train_diffusion_dpo",
    "train_text_side", "train_autoencoder", "train_distillation", "train_face", "adaqf_study", "cigtime_study", "humantomato_study",
)  # fmt: skip
SETTINGS = {
    "denoiser": {"hidden_size": 16, "num_layers": 1, "num_attention_heads": 2, "intermediate_size": 16},
    "text_encoder": {"vocab_size": 600, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2},
    "max_steps": 2, "save_steps": 2, "per_device_train_batch_size": 2, "use_cpu": True, "report_to": "none", "disable_tqdm": True,
    "max_frames": 40,
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a short training has ended, with what it printed."""
    folder = tmp_path_factory.mktemp("runs")
    clips = pd.read_parquet(FIXTURES / "clips.parquet")
    clips["license"] = ["CC BY 4.0", *["MIT"] * (len(clips) - 1)]
    clips.to_parquet(folder / "clips.parquet")
    (folder / "tiny.yaml").write_text(yaml.safe_dump(SETTINGS))
    words = ["--config", str(folder / "tiny.yaml"), "--dataset", str(folder / "clips.parquet"), "--output_dir", str(folder / "a")]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        printed: list[str] = []
        patch.setattr("builtins.print", lambda *parts, **_: printed.append(" ".join(map(str, parts))))
        run_script("train_diffusion", [*words, "--hub_token", "hf_secret"])
    (folder / "printed.txt").write_text("\n".join(printed))
    return folder / "a"


def test_a_training_ends_with_the_next_command(run: Path) -> None:
    printed = (run.parent / "printed.txt").read_text().splitlines()
    assert f"Finished: {run / 'pipeline'}" in printed
    assert f'Next: hf-motion generate "a person walks forward" --model {run}' in printed


def test_the_card_tells_data_and_command(run: Path) -> None:
    card = (run / "pipeline" / "README.md").read_text()
    split = pd.read_parquet(run.parent / "clips.parquet")
    count = int((split["split"] == "train").sum())
    assert "| data | `clips.parquet`, split `train` |" in card
    assert re.search(rf"\| clips \| {count}, and {count} mirrored \(left out: none\) \|", card)
    assert f"MIT ({(split['license'][split['split'] == 'train'] == 'MIT').sum()} clips)" in card
    assert "| steps | 2 of 2 clips |" in card
    assert "| seed | 42 |" in card
    assert "python training/train_diffusion.py --config tiny.yaml --dataset clips.parquet --output_dir a --hub_token ..." in card
    assert "hf_secret" not in card
    assert card.startswith("---\n")
    assert card.count("## How it was trained") == 1


def test_a_checkpoint_is_found_in_its_training_folder(run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "found"
    shutil.copytree(run, folder)
    wanted = MDMPipeline.from_pretrained(folder / "pipeline")("a person walks", 10, generator=seeded()).motions[0]
    loaded = MotionDiffusionPipeline.load(folder)
    assert [record.message for record in caplog.records if "folder of a training" in record.message] == [
        f"{str(folder)!r} is the folder of a training; its finished checkpoint is taken: {str(folder / 'pipeline')!r}."
    ]
    assert loaded("a person walks", 10, generator=seeded()).motions[0] == wanted
    assert pipeline("text-to-motion", model=str(folder))("a person walks", 10, generator=seeded()) == wanted
    assert checkpoint_folder(folder) == folder / "pipeline"
    line = ["generate", "a person walks", "--model", str(folder), "--num-frames", "10", "-o", str(tmp_path / "a.npz"), "--device", "cpu"]
    result = CliRunner().invoke(app, line)
    assert result.exit_code == 0, result.output


def test_token_models_are_found_too(tmp_path: Path) -> None:
    model = tiny_generator("t2m-gpt")
    model.save_pretrained(tmp_path / "model")
    leave_sign(tmp_path, tmp_path / "model")
    wanted = model.generate_motion(["a person walks"], 20, generator=seeded())[0]
    assert pipeline("text-to-motion", model=str(tmp_path))("a person walks", 20, generator=seeded()) == wanted


def test_unfinished_trainings(run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shutil.copytree(run / "checkpoint-2", tmp_path / "checkpoint-2")
    for name in (tmp_path, tmp_path / "checkpoint-2"):
        with pytest.raises(OSError, match=r"checkpoint-2' is a state to go on from.*Run the training's command again"):
            MotionDiffusionPipeline.load(name)
    tiny_generator("t2m-gpt").save_pretrained(tmp_path / "checkpoint-10")
    assert checkpoint_in(tmp_path) == tmp_path / "checkpoint-10"
    assert "not finished; its newest state is taken" in caplog.text


def test_the_newest_of_two_finished_ones(tmp_path: Path) -> None:
    tiny_pipeline().save_pretrained(tmp_path / "pipeline")
    shutil.copytree(tmp_path / "pipeline", tmp_path / "model")
    for age, name in ((0, "model"), (100, "pipeline")):
        os.utime(tmp_path / name / "config.json", (1e9 - age, 1e9 - age))
    assert checkpoint_in(tmp_path) == tmp_path / "model"


@pytest.mark.parametrize("name", SCRIPTS)
def test_unknown_options_are_refused(name: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    options = parser(name)
    for action in options._actions:
        action.required = False
    (tmp_path / "a.yaml").write_text("splitt: train\noutputs: b\n")
    for words, message in (
        (["--ouput_dir", "x"], r"unknown option '--ouput_dir'; is '--output(_dir)?' meant\?"),
        (["--outpu", "x", "--zzzzzz", "3"], r"unknown option '--outpu'; is '--output.*; unknown option '--zzzzzz'; --help lists all\.$"),
        (["--config", str(tmp_path / "a.yaml")], r"a\.yaml: unknown option 'splitt'.*unknown option 'outputs'"),
        (["--config", str(tmp_path / "none.yaml")], "cannot read --config .*none.yaml"),
        (["--config"], "takes a YAML file of options"),
    ):
        with pytest.raises(SystemExit, match="2"):
            options.parse(words)
        error = capsys.readouterr().err.strip()
        assert re.search(message, error), error
        assert len(error.splitlines()) == 1


def test_all_published_settings_are_known(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for path in sorted((ROOT / "training" / "configs").glob("*.yaml")):
        by_script = yaml.safe_load(path.read_text())
        if set(by_script) <= set(SCRIPTS):  # a study's budget
            for name, options in by_script.items():
                (tmp_path / path.name).write_text(yaml.safe_dump(options))
                assert _takes(name, tmp_path / path.name), f"{path}: {capsys.readouterr().err}"
            continue
        assert any(_takes(name, path) for name in SCRIPTS), f"{path}: {capsys.readouterr().err}"


def _takes(name: str, path: Path) -> bool:
    try:
        parser(name)._check_config([str(path)])
    except SystemExit:
        return False
    return True


def test_options_of_parts_are_checked(tmp_path: Path) -> None:
    extractor = tiny_pipeline().feature_extractor
    for options, message in (
        ({"denoiser": {"num_layer": 2}}, "denoiser: MDMDenoiser has no 'num_layer'; is 'num_layers' meant"),
        ({"scheduler": {"beta_shedule": "linear"}}, "scheduler: DDPMScheduler has no 'beta_shedule'; is 'beta_schedule' meant"),
        ({"text_encoder": {"hiden_size": 8}}, "text_encoder: CLIPTextConfig has no 'hiden_size'"),
    ):
        with pytest.raises(ValueError, match=message):
            new_mdm_pipeline(["a person walks"], extractor, **options)
    with pytest.raises(ValueError, match=r"has no 'zzz'\. There are: num_features, hidden_size"):
        check_options({"zzz": 1}, MotionVQConfig, "model_options")


def test_the_record_of_another_training_takes_the_place(tmp_path: Path) -> None:
    tiny_pipeline().save_pretrained(tmp_path)
    (tmp_path / "README.md").write_text((tmp_path / "README.md").read_text() + "\n## Thanks\n\nTo all.\n")
    for seed in (1, 2):
        record = TrainingRecord("org/clips", "train", 1200, 0, {"too short": 3}, {}, seed, 5000, 64, ["python", "a.py", "--hub-token=hf_x"])
        record.write(tmp_path, "org/model" if seed == 2 else None)
    card = ModelCard.load(tmp_path / "README.md")
    assert card.data.datasets == ["org/clips"]
    assert card.text.count("How it was trained") == card.text.count("## Thanks") == 1
    assert "| seed | 2 |" in card.text
    assert "1,200, and 0 mirrored (left out: 3 too short)" in card.text
    assert "no column `license`" in card.text
    assert "--hub-token=..." in card.text
    assert "org/model" in card.text
    assert "<this repository>" not in card.text


def test_the_hub_gets_the_record(run: Path, tmp_path: Path, hub: Hub) -> None:
    pipe = MDMPipeline.from_pretrained(run)
    pipe.push_to_hub("org/recorded")
    assert b"## How it was trained" in hub.files("org/recorded")["README.md"]


def test_a_folder_that_is_not_there_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    for name in ("./nope", "/no/such", "runs/nope", "a/b/c", Path("nope")):
        with pytest.raises(FileNotFoundError, match=r"There is nothing at .* should be a checkpoint's folder"):
            checkpoint_in(name)
    assert checkpoint_in("org/model") == "org/model"
    with pytest.raises(FileNotFoundError, match="a data set's folder or parquet file"):
        load_motion_rows("runs/nope.parquet")
    (tmp_path / "runs" / "notes.txt").touch()
    with pytest.raises(OSError, match=r"'runs' holds no checkpoint; in it: notes\.txt"):
        checkpoint_in("runs")
