"""`hf-motion`."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from tiny import tiny_pipeline
from typer.testing import CliRunner

from hf_motion import Motion, __version__
from hf_motion.cli import app
from hf_motion.cli.app import in_flags


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model")
    tiny_pipeline(steps=2).save_pretrained(folder)
    return str(folder)


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["generate", *map(str, arguments)])
    assert result.exit_code == code, result.output + str(result.exception)
    return result.output


def test_one_file(model: str, tmp_path: Path) -> None:
    target = tmp_path / "wave.bvh"
    output = run("a person waves", "--model", model, "-o", target, "--num-frames", 9, "--seed", 0)
    assert str(target) in output
    assert len(Motion.load(target)) == 9


def test_a_folder_in_several_formats(model: str, tmp_path: Path) -> None:
    run("a person waves", "Someone RUNS!", "--model", model, "-o", tmp_path, "-f", "npz", "-f", "html", "--seconds", 0.5, "--seed", 1)
    names = ["000-a-person-waves.html", "000-a-person-waves.npz", "001-someone-runs.html", "001-someone-runs.npz"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert len(Motion.load(tmp_path / names[1])) == 10


def test_many_prompts_from_a_file_are_batched_and_reproducible(model: str, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("walk\n\nrun\njump\n")
    for name, batch in (("a", 16), ("b", 2)):
        pattern = f"{tmp_path}/{name}/{{index}}-{{prompt}}-{{seed}}.npz"
        options = ["--num-samples", 2, "--batch-size", batch, "--seed", 5, "--num-frames", 6]
        run("--prompt-file", prompts, "--model", model, "-o", pattern, *options)
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == ["0-walk-5.npz", "1-walk-5.npz", "2-run-5.npz", "3-run-5.npz", "4-jump-5.npz", "5-jump-5.npz"]
    for name in names:
        first, second = (Motion.load(tmp_path / run / name) for run in "ab")
        np.testing.assert_allclose(first.joints, second.joints, atol=1e-4)


def test_folder_with_a_dot_and_a_seed_of_its_own(model: str, tmp_path: Path) -> None:
    run("a", "--model", model, "-o", f"{tmp_path}/v2.0/", "-f", "npz", "--num-frames", 5)
    run("a", "--model", model, "-o", f"{tmp_path}/{{seed}}.npz", "--num-frames", 5)
    (named,) = tmp_path.glob("*.npz")
    run("a", "--model", model, "-o", tmp_path / "again.npz", "--num-frames", 5, "--seed", named.stem)
    np.testing.assert_array_equal(Motion.load(named).joints, Motion.load(tmp_path / "again.npz").joints)
    assert (tmp_path / "v2.0" / "000-a.npz").is_file()


def test_dtype_and_steps(model: str, tmp_path: Path) -> None:
    options = ["--dtype", "bfloat16", "--num-inference-steps", 1, "--guidance-scale", 1, "--device", "cpu"]
    run("a", "--model", model, "-o", tmp_path / "a.npz", "--num-frames", 5, *options)
    assert len(Motion.load(tmp_path / "a.npz")) == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "No prompt"),
        (["a", "b", "-o", "x.bvh"], "cannot all be 'x.bvh'"),
        (["a", "-o", "x.dae"], "Cannot write '.dae'"),
        (["a", "-o", "x-{name}.bvh"], r"unknown fields \['name'\]"),
        (["a", "b", "-o", "x-{seed}.bvh"], "same name"),
        (["a", "-o", "x-{index:{seed}}.bvh"], r"has \{index:\{seed\}\}; write \{index\} alone"),
        (["a", "-o", "x-{index:>999999999}.bvh"], r"write \{index\} alone.*as in \{index:03d\}"),
        (["a", "-o", "x-{index:99999d}.bvh"], r"write \{index\} alone"),
        (["a", "-o", "x-{prompt:9}.bvh"], r"write \{prompt\} alone"),
        (["a", "-o", "x-{prompt!r}.bvh"], r"has \{prompt!r\}"),
        (["a", "-o", "x-{index.__class__}.bvh"], r"unknown fields \['index.__class__'\]"),
        (["a", "-o", "x-{prompt[0]}.bvh"], r"unknown fields \['prompt\[0\]'\]"),
        (["a", "-o", "x-{.bvh"], r"not readable: expected '\}'.*a brace itself as \{\{ or \}\}"),
        (["a", " ", "-o", "x"], r"prompt\[1\] is empty"),
        (["a", "-o", "x.bvh", "-f", "npz"], "names a format already"),
        (["a", "--seconds", "1", "--num-frames", "5"], "not both"),
        (["a", "--num-frames", "0"], "--num-frames must be whole numbers from 1 to 40, got 0"),
        (["a", "--num-frames", "-3"], "from 1 to 40, got -3"),
        (["a", "--seconds", "100"], "more than the 2 s .40 frames at 20 per second.*--seconds 2 or less.*--timeline"),
        (["a", "--rig", "bones"], "Unknown rig 'bones'"),
        (["a", "--rig", "cmu", "-f", "npz"], "--rig names the joints"),
        (["a", "--fps", "0"], "fps must be a positive number"),
        (["a", "-o", "x.bvh", "-o", "x.bvh"], "names a file twice"),
        (["a", "--seconds", "inf"], "--seconds must be a positive number"),
        (["a", "--seconds", "-1"], "seconds must be a positive number"),
        (["a", "--device", "abacus"], "Device 'abacus' is not usable"),
        (["a", "--guidance-scale", "-2"], "--guidance-scale must be 0 or more"),
        (["a", "-o", "/dev/null/x"], "Cannot write into"),
        (["--prompt-file", "none.txt"], "none.txt"),
        (["--timeline", "walks: 2; waves: -1"], r"Segment 2 of the timeline \('waves'\) lasts -1 s"),
        (["--timeline", "walks: 0.1"], "the shortest that shows anything lasts 0.5 s"),
        (["--timeline", "walks"], 'write "sentence: seconds"'),
        (["a", "--timeline", "walks: 2"], "says what is done and how long; leave out"),
        (["a", "--loop", "--num-frames", "12"], "A loop lasts 1 s or more"),
        (["a", "--control", "none.json"], "No control at 'none.json'"),
    ],
)
def test_refusals_leave_nothing(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str) -> None:
    monkeypatch.chdir(tmp_path)
    output = " ".join(run(*arguments, "--model", model, code=1).split())
    assert re.search(message, output), output
    assert not list(tmp_path.iterdir())


def test_timelines_loops_and_controls(model: str, tmp_path: Path) -> None:
    steps = ["--model", model, "--num-inference-steps", 1, "--seed", 0]
    run("--timeline", "walks: 1.5; waves: 1", *steps, "-o", tmp_path / "line.npz")
    run("walks, then waves", "--split", "--seconds", 2, *steps, "-o", tmp_path / "split.npz")
    assert [len(Motion.load(tmp_path / f"{name}.npz")) for name in ("line", "split")] == [50, 40]
    run("walks", "--loop", "--in-place", "--num-frames", 30, *steps, "-o", tmp_path / "loop.npz")
    loop = Motion.load(tmp_path / "loop.npz").joints
    np.testing.assert_allclose(loop[-1, 0], loop[0, 0], atol=1e-4)
    control = tmp_path / "control.json"
    control.write_text('{"path": [[0, 0], [0, 1]], "joints": {"head": [[0.5, 0, 1.5, 0.5]]}}', encoding="utf-8")
    run("--control", control, "--num-frames", 21, *steps, "-o", tmp_path / "way.npz")
    way = Motion.load(tmp_path / "way.npz").joints
    np.testing.assert_allclose(way[[0, 10, 20], 0][:, [0, 2]], [[0, 0], [0, 0.5], [0, 1]], atol=0.01)
    control.write_text('{"waypoints": [[9, 0, 0]]}', encoding="utf-8")
    output = " ".join(run("walks", "--control", control, "--num-frames", 21, *steps, "-o", tmp_path / "no.npz", code=1).split())
    assert "waypoints asks for 9 s; the motion goes from 0 to 1 s" in output
    assert not (tmp_path / "no.npz").exists()


def test_patterns_with_digits_and_braces_and_prompts_with_dots(model: str, tmp_path: Path) -> None:
    prompts = ["../../etc/passwd", "a/b\\c", "..", "走る"]
    pattern = tmp_path / "in" / "{{x}}-{index:03d}-{prompt}.npz"
    run(*prompts, "--model", model, "-o", pattern, "--num-frames", 4, "--num-inference-steps", 1)
    names = ["{x}-000-etc-passwd.npz", "{x}-001-a-b-c.npz", "{x}-002-motion.npz", "{x}-003-motion.npz"]
    assert sorted(path.relative_to(tmp_path / "in").as_posix() for path in tmp_path.rglob("*.npz")) == names


def test_what_a_model_does_not_read_is_said_once_per_sentence(model: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    long = "a person walks " * 20 + "and waves"
    options = ["--num-samples", 3, "--batch-size", 1, "--num-frames", 4, "--num-inference-steps", 1]
    run(long, "--model", model, "-o", tmp_path, *options)
    said = [record.getMessage() for record in caplog.records if "left out" in record.getMessage()]
    assert len(said) == 1
    assert said[0].endswith("walks and waves'. The model reads 22 tokens at most.")


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("num_frames must be 1 to 9. Pass num_frames=9.", "--num-frames must be 1 to 9. Pass --num-frames 9."),
        ("keep_start and keep_end are both 0", "--keep-start and --keep-end are both 0"),
        ("Wrap arrays: Motion(joints, fps=20).", "Wrap arrays: Motion(joints, fps=20)."),
        ("No file '/data/num_frames/a.bvh' with 'num_frames'", "No file '/data/num_frames/a.bvh' with 'num_frames'"),
        ("seed must be whole; the seed is 3", "--seed must be whole; the seed is 3"),
        ("body_part is empty", "--body-part is empty"),
    ],
)
def test_errors_speak_in_flags(message: str, shown: str) -> None:
    assert in_flags(message) == shown


def test_two_outputs_write_two_files(model: str, tmp_path: Path) -> None:
    targets = [tmp_path / "a.npz", tmp_path / "b" / "a.bvh", tmp_path / "b" / "a.npz"]
    options = [word for target in targets for word in ("-o", target)]
    output = run("a", "--model", model, *options, "--num-frames", 5, "--seed", 0)
    assert "\n".join(map(str, targets)) in output
    assert targets[1].stat().st_size
    np.testing.assert_array_equal(Motion.load(targets[0]).joints, Motion.load(targets[2]).joints)


def test_finish_of_made_motions(model: str, tmp_path: Path) -> None:
    options = ["a", "--model", model, "--num-frames", 12, "--seed", 0]
    run(*options, "-o", tmp_path / "plain.npz")
    output = run(
        *options, "-o", tmp_path / "a.npz", "-o", tmp_path / "a.bvh", "--rig", "mixamo", "--fps", 40, "--in-place", "--contact-cleanup"
    )
    plain, made = Motion.load(tmp_path / "plain.npz"), Motion.load(tmp_path / "a.npz")
    assert "feet in contact slide" in output
    assert (made.fps, len(made)) == (40, 23)
    np.testing.assert_allclose(made.joints[:, 0, [0, 2]], plain.joints[:1, 0, [0, 2]].repeat(23, axis=0), atol=1e-6)
    np.testing.assert_allclose(made.joints[::2, 0, 1], plain.joints[:, 0, 1], atol=1e-5)
    assert "LeftUpLeg" in (tmp_path / "a.bvh").read_text()


def test_what_cannot_be_made_is_said_before_the_model_is_loaded(model: str, tmp_path: Path) -> None:
    training = tmp_path / "run"
    shutil.copytree(model, training / "pipeline")
    long = ["a", "--model", training, "-o", tmp_path / "a.bvh", "--seconds", 60]
    assert "--seconds 60 is more than the" in run(*long, code=1)
    (training / "pipeline" / "feature_extractor" / "preprocessor_config.json").write_text('["max_frames"]')
    assert "preprocessor_config.json' is not a JSON object" in run(*long, code=1)


def test_version() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.output) == (0, f"hf-motion {__version__}\n")


def test_missing_model(tmp_path: Path, hub) -> None:
    assert "org/none" in run("a", "--model", "org/none", "-o", tmp_path, code=1)
