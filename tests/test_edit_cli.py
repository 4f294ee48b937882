"""`hf-motion edit`."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tiny import FIXTURES, tiny_pipeline
from typer.testing import CliRunner

from hf_motion import Motion
from hf_motion.cli import app

WALK, TURN = (
    Motion(row.joints.reshape(-1, 22, 3)[:30], fps=row.fps)
    for row in pd.read_parquet(FIXTURES / "clips.parquet").itertuples()
    if row.id in ("cmuact_test_walking_6_c0", "bnr_dataset-2_walk-turn-left_normal_001")
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model")
    tiny_pipeline(steps=2).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def clips(tmp_path: Path) -> list[Path]:
    return [clip.save(tmp_path / "in" / f"{name}.npz") for name, clip in (("walk", WALK), ("turn", TURN))]


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["edit", *map(str, arguments)])
    assert result.exit_code == code, result.output + str(result.exception)
    return result.output


def test_keep_start(model: str, clips: list[Path], tmp_path: Path) -> None:
    target = tmp_path / "out.npz"
    output = run(clips[0], "--prompt", "a person runs", "--keep-start", 0.5, "--model", model, "-o", target, "--seed", 0)
    assert str(target) in output
    motion = Motion.load(target)
    assert (len(motion), motion.text) == (30, "a person runs")
    np.testing.assert_allclose(motion.joints[:10], WALK.joints[:10], atol=1e-3)
    assert np.abs(motion.joints[-10:] - WALK.joints[-10:]).max() > 0.05
    run(clips[0], "-p", "x", "--keep-start", 0.5, "--keep-end", 0.5, "--seconds", 2, "--model", model, "-o", target)
    longer = Motion.load(target)
    assert len(longer) == 40
    np.testing.assert_allclose(longer.joints[-10:], WALK.joints[-10:], atol=1e-3)


def test_a_control_leads_what_is_kept(model: str, clips: list[Path], tmp_path: Path) -> None:
    target, control = tmp_path / "out.npz", tmp_path / "control.json"
    x, _, z = WALK.joints[0, 0].tolist()
    control.write_text(json.dumps({"path": [[x, z], [x, z + 1]]}))
    run(clips[0], "-p", "a person walks", "-b", "lower_body", "--control", control, "--model", model, "-o", target, "--seed", 0)
    np.testing.assert_allclose(Motion.load(target).joints[-1, 0, [0, 2]], [x, z + 1], atol=0.01)
    output = run(clips[0], "--join", clips[1], "-p", "a", "--control", control, "--model", model, "-o", target, code=1)
    assert "leave out --control or --join" in " ".join(output.split())


def test_several_files_and_body_parts(model: str, clips: list[Path], tmp_path: Path) -> None:
    options = ["--body-part", "left_arm", "-b", "head", "--model", model, "--seed", 3, "--batch-size", 1]
    run(*clips, "--prompt", "Wave!", *options, "-o", tmp_path / "out", "-f", "npz", "-f", "bvh")
    names = ["000-walk-wave.bvh", "000-walk-wave.npz", "001-turn-wave.bvh", "001-turn-wave.npz"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    kept = [WALK.skeleton.joint(name) for name in ("pelvis", "right_wrist", "left_foot", "neck")]
    for name, clip in zip(names[1::2], (WALK, TURN), strict=True):
        np.testing.assert_allclose(Motion.load(tmp_path / "out" / name).joints[:, kept], clip.joints[:, kept], atol=1e-3)
    run(*clips, "-p", "a", "-p", "b", *options, "-o", f"{tmp_path}/{{name}}-{{prompt}}-{{seed}}.npz")
    assert sorted(path.name for path in tmp_path.glob("*.npz")) == ["turn-b-3.npz", "walk-a-3.npz"]


def test_join(model: str, clips: list[Path], tmp_path: Path) -> None:
    walk, turn = clips
    options = ["--transition", 0.5, "--model", model, "--seed", 0]
    run(walk, "--join", turn, "--join", walk, "-p", "a", *options, "-o", tmp_path / "joined.npz")
    motion = Motion.load(tmp_path / "joined.npz")
    assert len(motion) == 30 + 10 + 30 + 10 + 30
    np.testing.assert_array_equal(motion.joints[:30], WALK.joints)
    run(walk, "--join", turn, "-p", "a", "--transition", 0.25, "--model", model, "-o", tmp_path / "joined.bvh")
    assert len(Motion.load(tmp_path / "joined.bvh")) == 65


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["walk"], "No prompt"),
        (["walk", "-p", "a", "-p", "b"], "Got 2 prompts for 1 clips"),
        (["walk", "turn", "-p", "a", "-o", "x.bvh"], "cannot all be 'x.bvh'"),
        (["walk", "-p", "a", "-o", "x-{title}.bvh"], "there are {index}, {name}, {prompt}, {seed}"),
        (["walk", "-p", "a", "-b", "tail"], "Unknown body part 'tail'. .* has: upper_body"),
        (["walk", "-p", "a", "--keep-start", "3"], "Keep less"),
        (["walk", "-p", "a", "--keep-end", "-1"], "--keep-end must be a number of seconds"),
        (["walk", "-p", "a", "-b", "head", "--seconds", "1"], "as long as the clip, 1.50 s; leave out --seconds"),
        (["walk", "turn", "-p", "a", "--join", "walk"], "--join follows one clip, got 2"),
        (["walk", "-p", "a", "--join", "turn", "-b", "head", "--keep-start", "1"], "leave out --keep-start, --body-part"),
        (["walk", "-p", "a", "-p", "b", "--join", "turn"], "Got 2 prompts for 1 transitions"),
        (["walk", "-p", "a", "--join", "turn", "--transition", "0"], "above 0"),
        (["none", "-p", "a"], "none.npz"),
        (["walk", "-p", "a", "--join", "none"], "none.npz"),
        (["walk", "-p", "a", "-o", "/dev/null/x"], "Cannot write into"),
    ],
)
def test_refusals_leave_nothing(
    model: str, clips: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    files = {name: str(tmp_path / "in" / f"{name}.npz") for name in ("walk", "turn", "none")}
    output = run(*(files.get(argument, argument) for argument in arguments), "--model", model, code=1)
    assert re.search(message, " ".join(output.split())), output
    assert output.strip().splitlines()[-1].startswith("hf-motion: "), output
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path not in clips]


def test_truncated_clip(model: str, clips: list[Path], tmp_path: Path) -> None:
    clips[0].write_bytes(clips[0].read_bytes()[:200])
    output = " ".join(run(clips[0], "-p", "a", "--model", model, "-o", tmp_path / "x.bvh", code=1).split())
    assert "walk.npz" in output
    assert not (tmp_path / "x.bvh").exists()
