"""`pipeline("motion-correction")`, `hf-motion correct`, its page, and the scores of corrections."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from correction_clips import make_triplets, raise_arm, standing
from tiny import tiny_language_model
from transformers import pipeline
from typer.testing import CliRunner

from hf_motion import Motion, MotionLanguageModel
from hf_motion.cli import app
from hf_motion.correction import correction
from hf_motion.corrections import KinematicEditor
from hf_motion.corrections.pipeline import distances_after
from hf_motion.evaluation.correction_baselines import caption_corrections, in_context_corrections
from hf_motion.evaluation.corrections import corrections_table, score_corrections

_SNAKE = """HIERARCHY
ROOT head
{
 OFFSET 0 0 0
 CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
 JOINT segment
 {
  OFFSET 0 0 1
  CHANNELS 3 Zrotation Xrotation Yrotation
  End Site
  {
   OFFSET 0 0 1
  }
 }
}
MOTION
Frames: 3
Frame Time: 0.05
0 0 0 0 0 0 0 0 0
0 0 0 0 0 0 0 0 0
0 0 0 0 0 0 0 0 0
"""
LOW, HIGH = Motion(raise_arm(standing(60), degrees=50)), Motion(raise_arm(standing(60), degrees=120))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    tiny_language_model(context=900).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def correct(checkpoint: Path):
    return pipeline("motion-correction", model=str(checkpoint))


def test_one_pair_many_pairs_and_candidates(correct) -> None:
    one = correct(LOW, HIGH, max_new_tokens=5, return_alignment=True)
    assert one["said_by"] == "model"
    assert one["part"] == "left arm"
    assert one["deviation"] == pytest.approx(0.6, abs=0.08)
    assert one["seconds"][0] < one["peak"] < one["seconds"][1]
    assert len(one["alignment"].mapping) == 60
    longer = Motion(np.repeat(HIGH.joints, 3, axis=0), fps=50)
    many = correct([HIGH, LOW, LOW], [LOW, HIGH, longer], max_new_tokens=5, batch_size=2)
    assert many[1]["generated_text"] == one["generated_text"]
    drawn = [correct(LOW, HIGH, num_candidates=3, seed=1, max_new_tokens=5) for _ in range(2)]
    assert drawn[0]["candidates"] == drawn[1]["candidates"]
    assert len(drawn[0]["candidates"]) == 3


def test_nothing_to_correct_and_mirrored_are_said_without_the_model(correct) -> None:
    same = correct(LOW, LOW)
    assert (same["same"], same["said_by"]) == (True, "measurement")
    assert "nothing to correct" in same["generated_text"]
    near = Motion(raise_arm(standing(60), degrees=54))
    assert correct(LOW, near)["same"]
    assert not correct(LOW, near, threshold=0.01, max_new_tokens=3)["same"]
    mirrored = correct(HIGH, Motion(raise_arm(standing(60), "right", 120)))
    assert mirrored["mirrored"]
    assert "mirror image" in mirrored["generated_text"]
    correct.model.config.motion["nothing_to_correct"] = 5.0
    assert correct(LOW, HIGH)["same"]
    correct.model.config.motion.pop("nothing_to_correct")


def test_candidates_are_ranked_by_doing(correct, caplog: pytest.LogCaptureFixture) -> None:
    alignment = correct(LOW, HIGH, max_new_tokens=3, return_alignment=True)["alignment"]
    said = ["Lower your left arm.", "Raise your left arm higher.", "Lovely weather.", "Raise your left arm higher."]
    distances = distances_after(said, alignment, KinematicEditor(), 0)
    assert np.argmin(distances) == 1
    assert distances[1] == distances[3]
    assert distances[2] == np.inf
    assert "Cannot do 'Lovely weather.'" in caplog.text
    ranked = correct(LOW, HIGH, num_candidates=2, rerank=KinematicEditor(), seed=0, max_new_tokens=3)
    assert ranked["generated_text"] == ranked["candidates"][int(np.argmin(ranked["distances"]))]


def test_files_rigs_and_arrays(correct, tmp_path: Path) -> None:
    LOW.save(tmp_path / "low.bvh", rig="mixamo")
    found = correct(tmp_path / "low.bvh", HIGH.joints, max_new_tokens=3)
    assert found["part"] == "left arm"
    nan = HIGH.joints.copy()
    nan[3, 4, 1] = np.nan
    for bad, message in (
        (nan, "NaN"), (HIGH.joints[:0], "frames"), (HIGH.joints[:1], "single pose"), (np.tile(HIGH.joints, (200, 1, 1)), "Cut it"),
        (Motion(HIGH.joints[:, :21], skeleton="kit-21"), "cannot be mapped"), (3, "A motion is a Motion, a path"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            correct(LOW, bad)
    with pytest.raises(ValueError, match="two lists of as many"):
        correct([LOW, LOW], [HIGH])
    with pytest.raises(ValueError, match="num_candidates=2 at temperature 0"):
        correct(LOW, HIGH, num_candidates=2, temperature=0.0)


def test_a_model_of_another_tokenizer_and_one_without_the_task(checkpoint: Path, tmp_path: Path) -> None:
    model = MotionLanguageModel.from_pretrained(checkpoint)
    model.config.motion["tasks"] = ["text_to_motion"]
    model.save_pretrained(tmp_path / "other")
    with pytest.raises(ValueError, match="no motion_correction"):
        pipeline("motion-correction", model=str(tmp_path / "other"))(LOW, HIGH)
    config = json.loads((tmp_path / "other" / "config.json").read_text())
    config["motion"]["codebook_size"] = 31
    (tmp_path / "other" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="Use the motion tokenizer that the language model was trained on"):
        MotionLanguageModel.from_pretrained(tmp_path / "other")
    config["motion"]["codebook_size"], config["motion"]["codes"] = 32, "0" * 16
    (tmp_path / "other" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"has the size of the one .* and other codes"):
        MotionLanguageModel.from_pretrained(tmp_path / "other")
    with pytest.raises(ValueError, match="Two motions have to fit"):
        tiny_language_model(context=60).correct_motion(LOW, HIGH)


class TestCommand:
    def test_without_a_model_it_measures_and_says_so(self, tmp_path: Path) -> None:
        for name, motion in (("mine", LOW), ("teacher", HIGH)):
            motion.save(tmp_path / f"{name}.npz")
        page = tmp_path / "report.html"
        result = CliRunner().invoke(app, ["correct", str(tmp_path / "mine.npz"), str(tmp_path / "teacher.npz"), "-o", str(page)])
        assert result.exit_code == 0, result.output
        assert "raise your left arm" in result.output
        assert "no model spoke" in result.output
        text = page.read_text(encoding="utf-8")
        assert "No model spoke" in text
        assert "mine.npz" in text
        assert "http" not in text
        content = json.loads(text.split('<script id="data" type="application/json">')[1].split("</script>")[0])
        assert content["marked"] == ["left arm"]
        rows = {row["name"]: row["cm"] for row in content["rows"]}
        assert max(rows["left arm"]) > 50
        assert max(rows["right leg"]) < 5

    def test_with_a_model(self, checkpoint: Path, tmp_path: Path) -> None:
        for name, motion in (("mine", LOW), ("teacher", HIGH)):
            motion.save(tmp_path / f"{name}.npz")
        arguments = ["correct", str(tmp_path / "mine.npz"), str(tmp_path / "teacher.npz"), "--model", str(checkpoint), "--json"]
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["said_by"] == "model"

    def test_a_threshold_is_learned_of_takes_and_remembered(self, checkpoint: Path, tmp_path: Path) -> None:
        files = [tmp_path / f"{number}.npz" for number in range(4)]
        for path, degrees in zip(files, (90, 94, 60, 66), strict=True):
            Motion(raise_arm(standing(60), degrees=degrees)).save(path)
        model = tmp_path / "model"
        shutil.copytree(checkpoint, model)
        result = CliRunner().invoke(app, ["corrections", "threshold", *map(str, files), "--share", "1", "--model", str(model)])
        assert result.exit_code == 0, result.output
        assert "100% of 2 pairs" in result.output
        correct = pipeline("motion-correction", model=str(model))
        assert 0.03 < correct.model.config.motion["nothing_to_correct"] < 0.08
        assert correct(Motion.load(files[0]), Motion.load(files[1]))["same"]
        odd = CliRunner().invoke(app, ["corrections", "threshold", *map(str, files[:3])])
        assert (odd.exit_code, "come in pairs" in odd.output) == (1, True)

    @pytest.mark.parametrize("broken", ["empty", "nothing", "nan", "pose", "long", "rig"])
    def test_files_that_cannot_be_compared(self, broken: str, tmp_path: Path) -> None:
        LOW.save(tmp_path / "mine.npz")
        path = tmp_path / ("teacher.bvh" if broken in ("empty", "rig") else "teacher.npy")
        joints = {"nan": np.where(np.arange(22)[:, None] == 4, np.nan, HIGH.joints), "nothing": HIGH.joints[:0],
                  "pose": HIGH.joints[:1], "long": np.tile(HIGH.joints, (200, 1, 1))}.get(broken)  # fmt: skip
        if broken == "empty":
            path.write_bytes(b"")
        elif broken == "rig":
            path.write_text(_SNAKE)
        else:
            np.save(path, joints)
        result = CliRunner().invoke(app, ["correct", str(tmp_path / "mine.npz"), str(path), "-o", str(tmp_path / "report.html")])
        assert result.exit_code == 1
        said = {"empty": "teacher.bvh", "nan": "NaN", "nothing": "frame", "pose": "single pose", "long": "Cut it", "rig": "map"}[broken]
        assert said in result.output.replace("\n", " ")
        assert not (tmp_path / "report.html").exists()

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--num-candidates", "3"], "need --model"),
            (["-o", "report.pdf"], "Use .html"),
            (["--model", "x", "--editor", "embedded"], "5."),
        ],
    )
    def test_what_does_not_fit(self, options: list[str], message: str) -> None:
        result = CliRunner().invoke(app, ["correct", "a.npz", "b.npz", *options])
        assert result.exit_code == 1
        assert message in result.output


class TestScores:
    def test_the_truth_is_perfect_and_the_wrong_side_is_not(self) -> None:
        triplets = make_triplets(4)
        truth = [one.instruction for one in triplets]
        wrong = [text.replace("left", "x").replace("right", "left").replace("x", "right") for text in truth]
        rows = score_corrections({"truth": truth, "wrong": wrong}, triplets, editor=KinematicEditor())
        assert rows["truth"]["bleu"] == pytest.approx(1.0)
        assert rows["truth"]["text_cosine"] == pytest.approx(1.0, abs=1e-5)
        assert [rows["truth"][name] for name in ("part", "side", "direction")] == [1.0, 1.0, 1.0]
        assert [rows["wrong"][name] for name in ("part", "side", "direction")] == [0.0, 0.0, 1.0]
        assert rows["wrong"]["mpjpe"] > rows["truth"]["mpjpe"]
        table = corrections_table(rows)
        assert "MPJPE" in table
        assert "tmr-small" in table
        with pytest.raises(ValueError, match="1 sentences for 4"):
            score_corrections({"a": ["x"]}, triplets)

    def test_baselines(self, caplog: pytest.LogCaptureFixture) -> None:
        model, triplets = tiny_language_model(format="list", context=500), make_triplets(3)
        sources, targets = [one.source for one in triplets], [one.target for one in triplets]
        said = in_context_corrections(model, triplets, sources, targets, max_new_tokens=4)
        assert len(said) == 3
        assert "Of 3 examples not all fit" in caplog.text
        alone = in_context_corrections(model, triplets, sources[1:2], targets[1:2], max_new_tokens=4)
        assert alone == said[1:2]
        with pytest.raises(ValueError, match="Not one example fits"):
            in_context_corrections(tiny_language_model(format="list", context=100), triplets, sources, targets)
        assert len(caption_corrections(model, targets)) == 3

    def test_what_a_sentence_names_is_measured(self, correct) -> None:
        from hf_motion.deviation import measure_deviation

        deviation = measure_deviation(correct(LOW, HIGH, max_new_tokens=3, return_alignment=True)["alignment"])
        named = correction(deviation, "lower your right arm")
        assert (named["part"], named["names_part"]) == ("right arm", True)
        assert named["deviation"] < 0.05
