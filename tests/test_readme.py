"""What the README shows works."""

import functools
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from hf_motion.cli import app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def test_python_blocks_run_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict = {}
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), namespace)
    shown = re.search(r"# (Motion\(.*\))", README)[1]
    assert shown in capsys.readouterr().out
    assert {path.suffix for path in tmp_path.iterdir()} == {".bvh", ".html", ".png"}
    assert [len(motion) for motion in namespace["motions"]] == [60, 120]
    assert namespace["joints"].shape == (79, 22, 3)


@pytest.mark.parametrize("name", ["README", "timelines", "loops", "controls"])
def test_pages_about_control_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = ROOT / "hf_motion" / "pipelines" / f"{name}.md"
    loading, call, rest = "\n".join(blocks("python", page.read_text())).partition("load_embedded_pipeline()\n")
    namespace: dict = {}
    exec(compile(loading + call, page.name, "exec"), namespace)
    namespace["pipe"].register_to_config(num_inference_steps=2)  # what is made does not matter here
    exec(compile(rest, page.name, "exec"), namespace)
    expected = {"README": ("way", 100), "timelines": ("motion", 180), "loops": ("motion", 40), "controls": ("motion", 100)}
    made, frames = expected[name]
    assert len(namespace[made]) == frames
    assert (tmp_path / "walk_cycle.bvh").is_file() == (name == "loops")
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target


def help_of(words: list[str]) -> str:
    """Help of the subcommand that a line calls."""
    path: tuple[str, ...] = ()
    command = _command()
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words[0]]
        path = (*path, words.pop(0))
    assert path, words
    return _help(path)


@functools.cache
def _command() -> Any:
    return get_command(app)


@functools.cache
def _help(path: tuple[str, ...]) -> str:
    return CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}).output


def test_commands_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for line in "\n".join(blocks("bash")).splitlines():
        words = shlex.split(line, comments=True)
        if not words:
            continue
        if words[0] == "make":
            assert f"\n{words[1]}:" in makefile
        if words[0] == "hf-motion":
            help_text = help_of(words[1:])
            assert not [word for word in words if word.startswith("--") and word not in help_text]
        for word in words[1:]:
            if word.startswith("training/"):
                assert (ROOT / word).is_file()


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
