"""Curves of training runs."""

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from typer.testing import CliRunner

from hf_motion.cli import app
from hf_motion.trainers.curves import read_history, save_curves


def test_curves_are_drawn(tmp_path: Path) -> None:
    histories = {
        "MDM & more": {"mse": [(1, 0.5), (2, 0.25), (4, 0.125)], "eval_fid": [(2, 1000.0), (3, 6.0), (4, 4.0)]},
        "AdaQF": {"mse": [(1, 0.4), (4, 0.1)]},
    }
    path = save_curves(histories, tmp_path / "curves.svg", ["eval_fid", "mse", "unknown"])
    text = path.read_text()
    root = ElementTree.fromstring(text)
    lines = [line.get("points").split() for line in root.iter("{http://www.w3.org/2000/svg}polyline")]
    assert [len(points) for points in lines] == [3, 0, 3, 2]
    numbers = np.array([[float(part) for part in point.split(",")] for point in lines[2]])
    assert np.allclose(np.diff(numbers[:, 0]), [105, 210])  # over steps: 420 pixels for 4 steps
    assert np.diff(numbers[:, 1]).tolist() == pytest.approx([220 * 0.25 / 0.4, 220 * 0.125 / 0.4], abs=0.11)
    labels = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"FID", "mse", "MDM & more", "AdaQF", "step 4"} <= set(labels)
    assert "1e+03" not in labels  # one value far above must not flatten the rest
    with pytest.raises(ValueError, match="They logged: mse, eval_fid"):
        save_curves(histories, tmp_path / "none.svg", ["loss"])
    with pytest.raises(ValueError, match="They logged: nothing"):
        save_curves({"empty": {}}, tmp_path / "none.svg")
    with pytest.raises(ValueError, match="no complete checkpoint"):
        read_history(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["curves.svg"]


def test_numbers_that_are_none_are_not_drawn(tmp_path: Path) -> None:
    (tmp_path / "checkpoint-2").mkdir()
    log = [{"step": 1, "epoch": 0.5, "mse": 1.0, "eval_fid": float("nan")}, {"step": 2, "mse": 0.5, "eval_fid": 3.0, "note": "text"}]
    (tmp_path / "checkpoint-2" / "trainer_state.json").write_text(json.dumps({"global_step": 2, "log_history": log}))
    assert read_history(tmp_path) == {"mse": [(1, 1.0), (2, 0.5)], "eval_fid": [(2, 3.0)]}


def test_the_command_draws_runs_by_short_names(tmp_path: Path) -> None:
    for run, value in (("a", 1.0), ("b", 2.0)):
        (tmp_path / "runs" / run / "checkpoint-2").mkdir(parents=True)
        log = [{"step": step, "loss": value / step, "eval_fid": value} for step in (1, 2)]
        state = {"global_step": 2, "log_history": log}
        (tmp_path / "runs" / run / "checkpoint-2" / "trainer_state.json").write_text(json.dumps(state))
    runs = [str(tmp_path / "runs" / run) for run in "ab"]
    target = tmp_path / "out" / "loss.svg"
    result = CliRunner().invoke(app, ["curves", *runs, "-m", "loss", "-o", str(target)])
    assert (result.exit_code, result.output.strip()) == (0, str(target)), result.output
    root = ElementTree.fromstring(target.read_text())
    labels = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert labels[-2:] == ["a", "b"]
    assert "loss" in labels
    assert "FID" not in labels
    for arguments, message in (
        (["-m", "lust"], "No run logged lust. They logged: eval_fid, loss."),
        (["-o", "a.png"], "pass --output curves.svg"),
        ([str(tmp_path)], "no complete checkpoint"),
    ):
        result = CliRunner().invoke(app, ["curves", *runs, *arguments])
        assert result.exit_code == 1
        assert message in " ".join(result.output.split())
    (tmp_path / "runs" / "b" / "checkpoint-2" / "trainer_state.json").write_text('{"global_step": 2, "log_history": 3}')
    with pytest.raises(ValueError, match=r"trainer_state\.json' is damaged"):
        read_history(runs[1])
