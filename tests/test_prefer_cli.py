"""`hf-motion prefer`."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
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


class Judge:
    """Answers with a new rating each time, but at the third request does what it was told instead."""

    def __init__(self, third: Callable[[], str | int]) -> None:
        self.third, self.asked = third, []

    def __call__(self, request: dict, number: int) -> str | int:
        if number == 3:
            return self.third()
        image = next(part["image_url"]["url"] for part in request["messages"][0]["content"] if part["type"] == "image_url")
        self.asked.append(image + text_of(request))
        return f"Rating: {1 + len(self.asked) % 3}\nRationale: Number {len(self.asked)}."


def options(url: str, model: str, folder: Path) -> list:
    asked = ["build", "--frequency", 1, "--temporal", 1, "--motions-per-prompt", 3, "--model", model, "-o", folder, "--workers", 1]
    return [*asked, "--reward", "vision", "--base-url", url, "--judge-model", "m", "--frames", 1]


def check_that_it_goes_on(judge: Judge, arguments: list, folder: Path) -> None:
    """The next run makes no motion anew and asks for what is missing alone."""
    assert not (folder / "pairs").exists()
    assert len(judge.asked) == 3
    made = sorted((folder / "work" / "motions").iterdir())
    stamps = [path.stat().st_mtime_ns for path in made]
    output = run(*arguments)
    assert [path.stat().st_mtime_ns for path in sorted((folder / "work" / "motions").iterdir())] == stamps
    assert "of 6 motions of 2 prompts" in output
    assert len(judge.asked) == len(set(judge.asked)) == 6
    assert json.loads((folder / "build.json").read_text())["cost"]["outcomes"]["rated"] == 3
    assert all(pair.details["chosen_rating"] > pair.details["rejected_rating"] for pair in load_pairs(folder))


def test_a_build_goes_on_where_a_server_turned_it_away(tmp_path: Path, model: str) -> None:
    judge = Judge(lambda: 401)
    with chat_server(judge) as server:
        arguments = options(server.url, model, tmp_path)
        assert "answers 401" in run(*arguments, code=1)
        check_that_it_goes_on(judge, arguments, tmp_path)


@pytest.mark.slow  # another process, which imports everything once more
def test_a_build_goes_on_after_kill_9_and_pays_for_no_score_twice(tmp_path: Path, model: str) -> None:
    """The server itself ends the command in the middle of the scores."""
    victim: list[subprocess.Popen] = []

    def kill() -> str:
        os.kill(victim[0].pid, signal.SIGKILL)
        return "Rating: 1\nRationale: Nobody hears this."

    judge = Judge(kill)
    with chat_server(judge) as server:
        arguments = options(server.url, model, tmp_path)
        command = [sys.executable, "-c", "from hf_motion.cli import main; main()", "prefer", *map(str, arguments)]
        victim.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE))
        _, errors = victim[0].communicate()
        assert victim[0].returncode == -signal.SIGKILL, errors.decode()
        check_that_it_goes_on(judge, arguments, tmp_path)
