"""Blender as a writer and reader of files that have no open description: found on the user's machine, run apart from this process."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

VARIABLE = "HF_MOTION_BLENDER"
"""Environment variable that says which Blender to use: the program, or a Python in which `import bpy` works."""

SECONDS = 600.0
"""The longest that Blender may take for one file."""

_JOB = Path(__file__).with_name("blender_job.py")
_LOOKS_A_SECOND, _LEAVING = 100, 5.0  # how often an answer is looked for; seconds that Blender has to end by itself
_shared: list[_Blender] = []
_WAY_OUT = (
    "Install Blender (https://www.blender.org, 3.4 or newer) so that `blender` is on the PATH; or make an environment for it, "
    f"`python3.11 -m venv blender && blender/bin/pip install bpy`, and set {VARIABLE}=blender/bin/python. {VARIABLE} also takes the path "
    "of the program. Blender, Unity, Unreal and Godot read .glb without it"
)


class BlenderError(OSError):
    """Blender failed, or took too long."""


def find_blender() -> list[str]:
    """How to run a Python script in Blender: the first words of the command, the script's path being the next.

    Taken is what `HF_MOTION_BLENDER` names; else this Python, if it has the package `bpy`; else `blender` on the PATH.

    Raises:
        ValueError: If `HF_MOTION_BLENDER` names no program.
        ImportError: If there is no Blender; the message says how to get one.
    """
    named = os.environ.get(VARIABLE)
    if named:
        program = shutil.which(os.path.expanduser(named))
        if program is None:
            raise ValueError(f"{VARIABLE} is {named!r}, which is no program. Set it to Blender's, or to a Python that has the package bpy.")
        return [program] if Path(program).name.lower().startswith("python") else _as_program(program)
    if importlib.util.find_spec("bpy") is not None:
        return [sys.executable]
    program = shutil.which("blender")
    if program is None:
        raise ImportError(f"FBX files are written and read by Blender, and there is none here. {_WAY_OUT}.")
    return _as_program(program)


@contextmanager
def one_blender(script: Path = _JOB) -> Iterator[None]:
    """Within this block, jobs go to one Blender, started at the first and again after one that it did not survive.

    A start takes a second or two, a file in a Blender that runs some hundredths. Every file begins in an empty scene.

    Args:
        script (`pathlib.Path`, *optional*): Whose jobs, see `run_blender`; it reads those after its first as lines from its input.
    """
    if _shared:
        yield
        return
    with _Blender(script) as blender:
        _shared.append(blender)
        try:
            yield
        finally:
            _shared.clear()


def run_blender(job: dict[str, Any], *, script: Path = _JOB, seconds: float | None = None) -> dict[str, Any]:
    """Run a script in Blender, apart from this process and without the user's settings and add-ons.

    Args:
        job (`dict[str, Any]`): What the script is to do: JSON, with the name of one of its functions as `"do"`.
        script (`pathlib.Path`, *optional*): The script, which runs as a copy in an empty folder; that of the package by default.
        seconds (`float`, *optional*): After this time it is ended, `SECONDS` by default.

    Returns:
        `dict[str, Any]`: What the function returned.

    Raises:
        BlenderError: If it failed, crashed or took too long; one line says why.
        ValueError, ImportError: As `find_blender`.
    """
    seconds = SECONDS if seconds is None else seconds
    if _shared and script == _shared[0].script:
        return _shared[0].do(job, seconds)
    with _Blender(script) as blender:
        return blender.do(job, seconds)


class _Blender:
    """Blender running a script, which does the job named on its command line, and then those that come in by lines, until no more can."""

    def __init__(self, script: Path) -> None:
        self.script, self.count = script, 0
        self.process: subprocess.Popen[bytes] | None = None
        self.lock, self.stack = threading.Lock(), ExitStack()

    def __enter__(self) -> _Blender:
        self.folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory(prefix="hf_motion-blender-")))
        # A copy: Python looks for modules beside the script first, and some of ours have the names of the standard library's.
        self.copy = self.folder / "hf_motion_blender_job.py"
        shutil.copyfile(self.script, self.copy)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end(0.0 if error else _LEAVING)
        self.stack.close()

    def do(self, job: dict[str, Any], seconds: float) -> dict[str, Any]:
        """What comes of a job; see `run_blender`."""
        with self.lock:
            self.count += 1
            told, result = (self.folder / f"{name}-{self.count}.json" for name in ("job", "result"))
            told.write_text(json.dumps(job), encoding="utf-8")
            process = self._hand_over(told, result)
            answer = self._wait(process, result, seconds)
            told.unlink()
            result.unlink(missing_ok=True)
        if "done" in answer:
            return dict(answer["done"])
        raise BlenderError(f"Blender failed: {' '.join(str(answer['error']).split())[:400]}")

    def _hand_over(self, told: Path, result: Path) -> subprocess.Popen[bytes]:
        if self.process is not None and self.process.poll() is None and self.process.stdin is not None:
            with suppress(OSError):  # it ended just now
                self.process.stdin.write(f"{json.dumps([str(told), str(result)])}\n".encode())
                self.process.stdin.flush()
                return self.process
        self._end(0.0)
        command = find_blender()
        apart = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP")}
        try:
            with (self.folder / "said.txt").open("wb") as said:
                self.process = subprocess.Popen(
                    [*command, str(self.copy), "--", str(told), str(result)], env=apart, stdin=subprocess.PIPE, stdout=said,
                    stderr=subprocess.STDOUT,
                )  # fmt: skip
        except OSError as error:
            program = command[0]
            raise BlenderError(f"Blender cannot be run as {program!r}: {error.strerror or error}. Set {VARIABLE} to another.") from error
        return self.process

    def _wait(self, process: subprocess.Popen[bytes], result: Path, seconds: float) -> dict[str, Any]:
        """The answer of the script, where one comes in time and Blender lives to give it."""
        until = time.monotonic() + seconds
        while True:
            ended = process.poll()
            if answer := _answer(result):
                return answer
            if ended is not None:
                raise BlenderError(f"Blender ended with {_code(ended)} ({process.args[0]}): {self._last_words()}")
            if time.monotonic() > until:
                self._end(0.0)
                raise BlenderError(f"Blender took longer than {seconds:g} s and was ended. Cut the clip into shorter ones.")
            time.sleep(1 / _LOOKS_A_SECOND)

    def _last_words(self) -> str:
        text = (self.folder / "said.txt").read_text(encoding="utf-8", errors="replace")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return lines[-1][:400] if lines else "it said nothing"

    def _end(self, seconds: float) -> None:
        """Let Blender go, and end it where it does not go in time."""
        process, self.process = self.process, None
        if process is None:
            return
        with suppress(OSError):
            process.stdin.close()  # type: ignore[union-attr]
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _code(ended: int) -> str:
    """Why a process ended: its code, or the signal that stopped it."""
    return str(ended) if ended >= 0 else signal.Signals(-ended).name if -ended in set(signal.Signals) else f"signal {-ended}"


def _as_program(program: str) -> list[str]:
    return [program, "--background", "--factory-startup", "--disable-autoexec", "--python"]


def _answer(path: Path) -> dict[str, Any]:
    try:
        answer = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return answer if isinstance(answer, dict) else {}
