"""Whole evaluations with tiny evaluators made on the spot: normalisation, non-finite motion, determinism, the command."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import CAPTIONS, FIXTURES, tiny_generator, tiny_language_model, tiny_pipeline
from transformers import AutoModel
from typer.testing import CliRunner

from hf_motion import MotionFeatureExtractor, MotionSystem, MotionTextEmbedder
from hf_motion.cli import app
from hf_motion.data.motion_text import load_motion_rows
from hf_motion.evaluation.clips import EvaluationClips
from hf_motion.evaluation.generation import GenerationScorer
from hf_motion.evaluation.generations import system_generator
from hf_motion.evaluation.protocol import get_protocol
from hf_motion.evaluation.result import REAL, EvaluationResult
from hf_motion.evaluation.run import EvaluationRequest, evaluate
from hf_motion.metrics.text import rouge
from hf_motion.models.mdm.modeling_mdm import MDMDenoiserOutput
from hf_motion.retrieval.embedder import fingerprint
from hf_motion.trainers.new_retrieval import new_retrieval_model
from hf_motion.trainers.retrieval import save_retrieval_checkpoint

CLIPS = str(FIXTURES / "evaluation_clips.parquet")
OPTIONS = {
    "t2m-evaluator": {
        "movement_hidden_size": 8, "movement_size": 8, "motion_hidden_size": 8, "text_hidden_size": 8, "embed_dim": 8, "word_dim": 8,
    },
    "tmr": {"hidden_size": 8, "num_layers": 1, "num_attention_heads": 2, "intermediate_size": 8},
}  # fmt: skip
TEXT = {"vocab_size": 600, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}


@pytest.fixture(scope="module")
def rows():
    return load_motion_rows(CLIPS, "test")


def save_tiny(folder: Path, kind: str, std: float = 0.5, skeleton: str = "humanml3d-22", fps: float | None = None) -> Path:
    torch.manual_seed(0)
    dim = MotionFeatureExtractor(skeleton=skeleton).dim
    extractor = MotionFeatureExtractor(skeleton=skeleton, mean=[0.1] * dim, std=[std] * dim, fps=fps)
    model, tokenizer = new_retrieval_model(kind, CAPTIONS, {}, extractor, OPTIONS[kind], TEXT if kind == "tmr" else None)
    save_retrieval_checkpoint(folder, model, tokenizer, extractor)
    return folder


@pytest.fixture(scope="module")
def evaluator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("evaluator"), "t2m-evaluator")


@pytest.fixture(scope="module")
def alignment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("tmr"), "tmr", std=0.7)


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("generator")
    tiny_pipeline(max_frames=80).save_pretrained(folder)
    return folder


@pytest.fixture
def scorer(rows, evaluator: Path, alignment: Path) -> GenerationScorer:
    embedders = [MotionTextEmbedder.from_pretrained(folder) for folder in (evaluator, alignment)]
    clips = EvaluationClips.from_rows(rows, embedders[0].feature_extractor)
    protocol = get_protocol("strict", pool_size=8, alignment_pool_size=16, replications=3)
    return GenerationScorer(clips, protocol, *embedders, show_progress=False)


def test_a_generator_of_real_motion_scores_as_real(scorer: GenerationScorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipeline whose denoiser knows the answer; its statistics are neither the first nor the second evaluator's."""
    pipeline = tiny_pipeline(max_frames=80)
    rng = np.random.default_rng(0)
    mean, std = rng.normal(size=263).tolist(), rng.uniform(0.5, 2, 263).tolist()
    pipeline.feature_extractor = MotionFeatureExtractor(mean=mean, std=std, max_frames=80)
    pipeline.set_progress_bar_config(disable=True)
    clips = zip(scorer.clips.captions, scorer.clips.features, strict=True)
    known = {captions[0]: pipeline.feature_extractor.normalize(clip) for captions, clip in clips}
    asked: list[str] = []

    def answer(sample: torch.Tensor, *args, **kwargs) -> MDMDenoiserOutput:
        output = torch.zeros_like(sample)
        for row, text in enumerate(asked):
            clip = known[text][: sample.shape[1]]
            output[row, : len(clip)] = clip
        return MDMDenoiserOutput(sample=output)

    monkeypatch.setattr(pipeline.denoiser, "forward", answer)
    generate = system_generator(MotionSystem.from_pipeline(pipeline), scorer.evaluator.feature_extractor, {"guidance_scale": 1.0})

    def told(texts, lengths, seeds):
        asked[:] = texts
        return generate(texts, lengths, seeds)

    rows = scorer.score({"oracle": told}, tmp_path, {"oracle": {}})
    for name, values in rows["oracle"].items():
        assert values == pytest.approx(rows[REAL][name], abs=1e-4), name
    assert rows["oracle"]["fid"] == pytest.approx([0] * 3, abs=1e-6)
    assert 0 < rows[REAL]["r_precision_top3"][0] < 1


def noise(texts, lengths, seeds):
    return [torch.randn(length, 263, generator=torch.Generator().manual_seed(seed)) for length, seed in zip(lengths, seeds, strict=True)]


def test_non_finite_motion_is_not_averaged_away(scorer: GenerationScorer, tmp_path: Path) -> None:
    def broken(texts, lengths, seeds):
        made = noise(texts, lengths, seeds)
        made[0][3, 5] = torch.nan
        return made

    rows = scorer.score({"broken": broken, "noise": noise}, tmp_path, {"broken": {"name": "broken"}, "noise": {"name": "noise"}})
    assert rows["broken"]["non_finite"] == [1.0] * 3
    assert all(np.isnan(rows["broken"][name]).all() for name in rows["broken"] if name not in ("frames", "non_finite"))
    assert rows["broken"].keys() == rows["noise"].keys()
    assert np.isfinite([rows["noise"][name] for name in rows["noise"]]).all()
    dropped = replace(scorer, drop_non_finite=True).score({"broken": broken}, tmp_path, {"broken": {"name": "broken"}})
    assert dropped["broken"]["non_finite"] == [1.0] * 3
    assert np.isfinite(dropped["broken"]["fid"]).all()


def test_multimodality(scorer: GenerationScorer, tmp_path: Path) -> None:
    def same(texts, lengths, seeds):
        return [torch.zeros(length, 263) for length in lengths]

    rows = scorer.score({"same": same, "noise": noise}, tmp_path, {"same": {"name": "same"}, "noise": {}}, 3, 4)
    assert rows["same"]["multimodality"] == pytest.approx([0] * 3, abs=1e-6)
    assert rows["noise"]["multimodality"][0] > 1e-3
    assert "multimodality" not in rows[REAL]


def test_guo_draws_anew(rows, scorer: GenerationScorer, tmp_path: Path) -> None:
    protocol = get_protocol("guo", pool_size=8, alignment_pool_size=16, replications=3, seed=5)
    scorer = replace(scorer, protocol=protocol)
    first = scorer.score({"noise": noise}, tmp_path, {"noise": {}})
    assert len(set(first[REAL]["matching_score"])) == 3
    assert min(first[REAL]["fid"]) > 0, "real motion is compared with another cut of itself"
    again = replace(scorer).score({"noise": noise}, tmp_path / "again", {"noise": {}})
    assert first == again


def test_other_captions_of_a_clip_are_no_mistakes(scorer: GenerationScorer, tmp_path: Path) -> None:
    """A perfect retriever: every caption has the embedding of its clip's motion."""
    protocol = get_protocol("strict", captions="all", pool_size=32, alignment_pool_size=64, replications=2)
    scorer = replace(scorer, protocol=protocol, alignment=None)
    motions = scorer.evaluator.embed_motions([clip[: len(clip) // 4 * 4] for clip in scorer.clips.features])
    known = {caption: motions[index] for index, captions in enumerate(scorer.clips.captions) for caption in captions}
    scorer._texts["evaluator"] = known
    rows = scorer.score({}, tmp_path, {})
    assert rows[REAL]["r_precision_top1"] == [1.0, 1.0]


def test_length_of_their_own(scorer: GenerationScorer, tmp_path: Path) -> None:
    """Long motion is cut to what the protocol scores; what is too short to be read counts as failed."""

    def long(texts, lengths, seeds):
        assert lengths is None
        return noise(texts, [300] * len(texts), seeds)

    def short(texts, lengths, seeds):
        return noise(texts, [2] + [60] * (len(texts) - 1), seeds)

    scorer = replace(scorer, protocol=replace(scorer.protocol, lengths="generated"))
    rows = scorer.score({"long": long, "short": short}, tmp_path, {"long": {}, "short": {"name": "short"}})
    assert rows["long"]["frames"] == [196.0] * 3
    assert np.isfinite(rows["long"]["fid"]).all()
    assert rows["short"]["non_finite"] == [1.0] * 3


def test_evaluator_with_a_shorter_limit(scorer: GenerationScorer) -> None:
    scorer.alignment.feature_extractor.max_frames = 100
    with pytest.raises(ValueError, match="reads up to 100 frames"):
        replace(scorer)


def test_checkpoints_in_a_cache_are_told_apart(evaluator: Path, alignment: Path, tmp_path: Path) -> None:
    prints = []
    for name, source in (("a", evaluator), ("b", alignment), ("c", evaluator)):
        shutil.copytree(source, tmp_path / ".cache" / "hub" / name)
        prints.append(fingerprint(tmp_path / ".cache" / "hub" / name))
    assert prints[0] == prints[2] == fingerprint(evaluator)
    assert prints[0] != prints[1]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no checkpoint"):
        fingerprint(tmp_path / "empty")


def test_fewer_clips_than_a_pool(scorer: GenerationScorer) -> None:
    with pytest.raises(ValueError, match="there are only 32 samples"):
        replace(scorer, protocol=get_protocol("strict", pool_size=8))


def request(evaluator: Path, tmr: Path, generator: Path, output: Path, **options) -> EvaluationRequest:
    settings = {
        "dataset": CLIPS, "model": str(generator), "evaluator": str(evaluator), "alignment": str(tmr), "output": str(output),
        "changes": {"pool_size": 8, "alignment_pool_size": 16, "replications": 2}, "options": {"num_inference_steps": 2},
        "device": "cpu", "show_progress": False,
    }  # fmt: skip
    return EvaluationRequest(**{**settings, **options})


def test_same_seed_same_numbers(evaluator: Path, alignment: Path, generator: Path, tmp_path: Path) -> None:
    def run(folder: str, seed: int) -> EvaluationResult:
        changes = {"pool_size": 8, "alignment_pool_size": 16, "replications": 2, "seed": seed}
        return evaluate(request(evaluator, alignment, generator, tmp_path / folder, changes=changes))

    first, again, other = run("a", 0), run("b", 0), run("c", 1)
    assert first.rows == again.rows
    assert first.rows != other.rows
    assert first.settings["clips"] == 32
    assert {"torch", "hf_motion"} <= first.settings["packages"].keys()
    assert first.settings["model"].startswith(generator.name)
    name = generator.name
    assert set(first.rows) == {REAL, name}
    assert first.mean(REAL, "fid") == pytest.approx(0, abs=1e-9)
    assert first.mean(name, "fid") > 0


def test_small_sets_have_pools_that_fit(evaluator: Path, alignment: Path, generator: Path, tmp_path: Path) -> None:
    changes = {"replications": 1, "pool_size": None, "min_frames": 60}
    result = evaluate(request(evaluator, alignment, generator, tmp_path / "out", changes=changes, max_clips=12))
    assert [result.settings[name] for name in ("clips", "pool_size", "alignment_pool_size")] == [12, 12, 12]
    assert "**The set is small: pool_size 12 rather than 32, alignment_pool_size 12 rather than 256.**" in result.markdown()
    assert result.mean(REAL, "r_precision_top3") >= 3 / 12 / 2
    with pytest.raises(ValueError, match="there are only 12 samples"):
        evaluate(request(evaluator, alignment, generator, tmp_path / "new" / "sub", changes={"pool_size": 13}, max_clips=12))
    assert not (tmp_path / "new").exists()


def test_other_skeleton(alignment: Path, generator: Path, tmp_path: Path) -> None:
    kit = save_tiny(tmp_path / "kit", "t2m-evaluator", skeleton="kit-21")
    with pytest.raises(ValueError, match="kit-21"):
        evaluate(request(kit, alignment, generator, tmp_path / "out", alignment="none"))


def test_evaluator_without_statistics(evaluator: Path, alignment: Path, generator: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bare"
    folder.mkdir()
    for path in evaluator.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    MotionFeatureExtractor().save_pretrained(folder)
    with pytest.raises(ValueError, match="no mean and std"):
        evaluate(request(folder, alignment, generator, tmp_path / "out"))
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(ValueError, match=r"no preprocessor_config\.json"):
        evaluate(request(folder, alignment, generator, tmp_path / "out"))


def test_not_an_evaluator(alignment: Path, generator: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no preprocessor_config\.json|does not embed"):
        evaluate(request(generator, alignment, generator, tmp_path))


def test_empty_split(evaluator: Path, alignment: Path, generator: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no rows of split 'val'"):
        evaluate(request(evaluator, alignment, generator, tmp_path, split="val"))


def test_too_long_for_the_model(evaluator: Path, alignment: Path, tmp_path: Path) -> None:
    tiny_pipeline(max_frames=40).save_pretrained(tmp_path / "short")
    with pytest.raises(ValueError, match=r"makes up to 40 frames, a clip of 72 frames needs 72\. Pass --max-frames 40"):
        evaluate(request(evaluator, alignment, tmp_path / "short", tmp_path / "out"))
    assert not (tmp_path / "out" / "motions").exists()


def test_motions_of_another_feature_space_are_not_reused(alignment: Path, generator: Path, tmp_path: Path) -> None:
    changes = {"pool_size": 8, "replications": 1, "min_frames": 20, "lengths": "generated"}
    for fps in (20, 10):
        slow = save_tiny(tmp_path / f"{fps}", "t2m-evaluator", fps=fps)
        result = evaluate(request(slow, alignment, generator, tmp_path / "out", alignment="none", changes=changes))
        assert result.mean(generator.name, "frames") == (80 if fps == 20 else 39)
    assert len(list((tmp_path / "out" / "motions").iterdir())) == 2


class TestCommand:
    def test_generation_and_card(self, evaluator: Path, alignment: Path, tmp_path: Path) -> None:
        model = tmp_path / "model"
        tiny_pipeline(max_frames=80).save_pretrained(model)
        arguments = [
            "evaluate", "--dataset", CLIPS, "--model", model, "--evaluator", evaluator, "--alignment", alignment, "--pool-size", 8,
            "--alignment-pool-size", 16, "--replications", 2, "--num-inference-steps", 2, "-o", tmp_path / "out",
            "--update-card", "--device", "cpu",
        ]  # fmt: skip
        output = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert output.exit_code == 0, output.output
        assert "| real motion | 0.000 ± 0.000 |" in output.output
        result = EvaluationResult.load(tmp_path / "out")
        assert result.settings["options"] == {"guidance_scale": 2.5, "num_inference_steps": 2}
        assert result.settings["drop_non_finite"] is False
        assert "metric_value" not in (model / "README.md").read_text()
        assert f"value: {round(result.mean('model', 'fid'), 6)}" in (model / "README.md").read_text()
        again = CliRunner().invoke(
            app, ["compare", str(tmp_path / "out"), str(tmp_path / "out" / "results.json"), "-o", str(tmp_path / "both")]
        )
        assert again.exit_code == 0, again.output
        assert (tmp_path / "both" / "comparison.svg").read_text().startswith("<svg")

    def test_options_of_a_token_model(self, evaluator: Path, tmp_path: Path) -> None:
        """Any option of the model can be set, what it does otherwise is written down, and one that it lacks is named at once."""
        tiny_generator("momask", max_tokens=20).save_pretrained(tmp_path / "momask")
        arguments = [
            "evaluate", "--dataset", CLIPS, "--model", tmp_path / "momask", "--evaluator", evaluator, "--alignment", "none",
            "--pool-size", 8, "--replications", 1, "--num-inference-steps", 2, "--max-frames", 48, "-o", tmp_path / "out",
            "--device", "cpu",
        ]  # fmt: skip
        arguments = [str(argument) for argument in arguments]
        output = CliRunner().invoke(app, [*arguments, "--option", "num_quantizers=1"])
        assert output.exit_code == 0, output.output
        options = EvaluationResult.load(tmp_path / "out").settings["options"]
        assert options == {
            "num_inference_steps": 2, "num_quantizers": 1, "guidance_scale": 4.0, "residual_guidance_scale": 5.0, "temperature": 1.0,
            "keep_share": 0.9,
        }  # fmt: skip
        coarse = len(list((tmp_path / "out" / "motions").iterdir()))
        assert CliRunner().invoke(app, arguments).exit_code == 0
        assert len(list((tmp_path / "out" / "motions").iterdir())) == 2 * coarse, "another number of books is another set of motions"
        for wrong, message in (
            ("num_books=1", "no option 'num_books'; it has 'edit_frames', 'guidance_scale'"),
            ("num_quantizers", "NAME=VALUE"),
            ("num_quantizers=9", "from 1 to 3"),
        ):
            output = CliRunner().invoke(app, [*arguments, "--option", wrong])
            assert output.exit_code == 1
            assert message in output.output

    def test_retrieval(self, alignment: Path, tmp_path: Path) -> None:
        arguments = [
            "evaluate",
            "--retrieval",
            "--dataset",
            CLIPS,
            "--model",
            str(alignment),
            "--pool-size",
            "8",
            "--alignment-pool-size",
            "16",
        ]
        output = CliRunner().invoke(app, [*arguments, "--replications", "2", "-o", str(tmp_path), "--device", "cpu"])
        assert output.exit_code == 0, output.output
        result = EvaluationResult.load(tmp_path)
        assert [row.split(",")[0] for row in result.rows] == ["A", "A", "C", "C", "D", "D"]
        assert any("B, where similar texts are right answers" in note for note in result.notes)
        assert result.mean("D, text → motion", "candidates") == 8
        assert len(result.rows["A, text → motion"]["r1"]) == 1
        assert len(result.rows["D, text → motion"]["r1"]) == 2

    def test_reconstruction(self, evaluator: Path, alignment: Path, tmp_path: Path) -> None:
        arguments = ["evaluate", "--reconstruction", "--dataset", CLIPS, "--model", str(alignment), "--evaluator", str(evaluator)]
        arguments += ["-o", str(tmp_path), "--device", "cpu"]
        output = CliRunner().invoke(app, arguments)
        assert output.exit_code == 0, output.output
        content = json.loads((tmp_path / "results.json").read_text())
        assert content["rows"][REAL]["mpjpe"]["mean"] == 0
        assert content["rows"][alignment.name]["mpjpe"]["mean"] > 10

    def test_captioning(self, evaluator: Path, alignment: Path, tmp_path: Path) -> None:
        tiny_language_model().save_pretrained(tmp_path / "lm")
        arguments = [
            "evaluate", "--captioning", "--dataset", CLIPS, "--evaluator", str(evaluator), "--alignment", str(alignment), "--device", "cpu",
            "--pool-size", "8", "--alignment-pool-size", "16", "--replications", "2", "--option", "max_new_tokens=6", "-o", str(tmp_path),
        ]  # fmt: skip
        output = CliRunner().invoke(app, [*arguments, "--model", str(tmp_path / "lm")])
        assert output.exit_code == 0, output.output
        result, said = EvaluationResult.load(tmp_path), json.loads((tmp_path / "captions.json").read_text())
        assert (result.kind, list(result.rows)) == ("captioning", ["captions of people", "lm"])
        assert "bleu4" not in result.rows["captions of people"]
        assert len(result.rows["lm"]["tmr_r_precision_top1"]) == 2
        sentences, captions = [row["said"] for row in said], [row["captions"] for row in said]
        assert result.mean("lm", "rouge_l") == rouge(sentences, captions)["rougeL"]
        assert result.settings["different sentences"] == f"{len(set(sentences))} of {len(said)}"
        output = CliRunner().invoke(app, [*arguments, "--model", str(alignment)])
        assert output.exit_code == 1
        assert "makes no motion from text" in output.output

    def test_modes_exclude_each_other(self) -> None:
        output = CliRunner().invoke(app, ["evaluate", "--dataset", CLIPS, "--reconstruction", "--retrieval"])
        assert output.exit_code == 1
        assert "exclude each other" in output.output


def test_checkpoints_are_registered(evaluator: Path, alignment: Path) -> None:
    assert [type(AutoModel.from_pretrained(folder)).__name__ for folder in (evaluator, alignment)] == ["T2MEvaluator", "TMR"]


@pytest.mark.slow  # two processes: half a minute to start and end
def test_two_processes_give_the_numbers_of_one(evaluator: Path, alignment: Path, generator: Path, tmp_path: Path) -> None:
    root = Path(__file__).parents[1]
    one = evaluate(request(evaluator, alignment, generator, tmp_path / "one"))
    arguments = [
        "evaluate", "--dataset", CLIPS, "--model", generator, "--evaluator", evaluator, "--alignment", alignment, "--pool-size", 8,
        "--alignment-pool-size", 16, "--replications", 2, "--num-inference-steps", 2, "-o", tmp_path / "two", "--device", "cpu",
    ]  # fmt: skip
    launcher = ["--config_file", root / "training" / "accelerate" / "cpu_2.yaml", "--main_process_port", "0", "-m", "hf_motion.cli"]
    line = [sys.executable, "-m", "accelerate.commands.launch", *launcher, *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])}
    result = subprocess.run([str(part) for part in line], capture_output=True, text=True, env=environment, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    two = EvaluationResult.load(tmp_path / "two")
    assert list(two.rows) == list(one.rows)
    for row, values in one.rows.items():
        for name in values:
            assert two.rows[row][name] == pytest.approx(values[name], rel=1e-5, abs=1e-6), (row, name)
