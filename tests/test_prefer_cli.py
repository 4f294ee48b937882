"""`hf-motion prefer`."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from chat_server import chat_server, text_of
from tiny import FIXTURES, tiny_pipeline
from typer.testing import CliRunner

from hf_motion.cli import app
from hf_motion.preferences import load_pairs

CLIPS = FIXTURES / "evaluation_clips.parquet"


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["prefer", *map(str, arguments)], env={"COLUMNS": "200"})
    assert result.exit_code == code, result.output + str(result.exception)
    return result.output


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("generator")
    tiny_pipeline(steps=2).save_pretrained(folder)
    return str(folder)


def test_certain_pairs_and_the_agreement_of_rewards(tmp_path: Path) -> None:
    output = run("certain", CLIPS, "-o", tmp_path / "pairs", "--count", 16, "--min-clips", 1, "--split", "test")
    assert "4 wrong order, 4 missing event, 4 wrong count, 4 broken motion" in output
    assert "16 pairs" in (tmp_path / "pairs" / "README.md").read_text()
    numbers = tmp_path / "numbers.json"
    rewards = ["--reward", "verifier", "--reward", "contrastive", "--reward", "tmr"]
    output = run("accuracy", tmp_path / "pairs", *rewards, "--scale", "share", "-o", numbers)
    assert "| verifier |" in output
    results = json.loads(numbers.read_text())
    assert {name: results[name]["total"] for name in ("verifier", "contrastive", "tmr")} == dict.fromkeys(rewards[1::2], 16)
    assert results["verifier"]["unjudged"] == 0


def test_a_judge_behind_an_address_rates_and_compares(tmp_path: Path) -> None:
    run("certain", CLIPS, "-o", tmp_path, "--count", 4, "--min-clips", 1)
    with chat_server("Rating: 1\nRationale: So be it.") as server:
        judge = ["--reward", "vision", "--base-url", server.url, "--judge-model", "m", "--frames", 1]
        output = run("accuracy", tmp_path, *judge, "--pairwise")
        assert "| vision-full | 50.00 |" in output
        run("accuracy", tmp_path, *judge, "--form", "frames")
        assert len(server.requests) > 8


def test_help_tells_the_published_figures() -> None:
    output = run("accuracy", "--help")
    assert "69.77 %" in output
    assert "66.11 %" in output
    assert "Table 1" in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["build", "-o", "x"], "Say how many prompts: --integrity, --temporal, --frequency"),
        (["build", "-o", "x", "--temporal", 1, "--reward", "vision"], "--reward vision needs --judge-model"),
        (["build", "-o", "x", "--temporal", 1, "--prompt-model", "m"], "--prompt-model needs --base-url"),
        (["accuracy", "nowhere", "--pairwise"], "--pairwise is for --reward vision alone"),
        (["accuracy", "nowhere", "--reward-model", "m"], "--reward-model is for one of"),
    ],
)
def test_options_that_do_not_fit(arguments: list, message: str) -> None:
    assert message in run(*arguments, code=1)


def test_a_build_goes_on_after_kill_9_and_pays_for_no_score_twice(tmp_path: Path, model: str) -> None:
    """The server ends the command itself in the middle of the scores; the next run asks for what is missing alone."""
    asked: list[str] = []
    victim: list[subprocess.Popen] = []

    def answer(request: dict, number: int) -> str:
        if number == 3 and victim:
            os.kill(victim[0].pid, signal.SIGKILL)
            return "Rating: 1\nRationale: Nobody hears this."
        image = next(part["image_url"]["url"] for part in request["messages"][0]["content"] if part["type"] == "image_url")
        asked.append(image + text_of(request))
        return f"Rating: {1 + len(asked) % 3}\nRationale: Number {len(asked)}."

    with chat_server(answer) as server:
        options = ["build", "--frequency", 1, "--temporal", 1, "--motions-per-prompt", 3, "--model", model, "-o", tmp_path, "--workers", 1]
        options += ["--reward", "vision", "--base-url", server.url, "--judge-model", "m", "--frames", 1]
        command = [sys.executable, "-c", "from hf_motion.cli import main; main()", "prefer", *map(str, options)]
        victim.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE))
        _, errors = victim[0].communicate()
        assert victim.pop().returncode == -signal.SIGKILL, errors.decode()
        assert not (tmp_path / "pairs").exists()
        made = sorted((tmp_path / "work" / "motions").iterdir())
        stamps = [path.stat().st_mtime_ns for path in made]
        output = run(*options)
        assert [path.stat().st_mtime_ns for path in sorted((tmp_path / "work" / "motions").iterdir())] == stamps
    assert "of 6 motions of 2 prompts" in output
    assert len(asked) == len(set(asked)) == 6
    assert json.loads((tmp_path / "build.json").read_text())["cost"]["outcomes"]["rated"] == 3
    assert all(pair.details["chosen_rating"] > pair.details["rejected_rating"] for pair in load_pairs(tmp_path))
