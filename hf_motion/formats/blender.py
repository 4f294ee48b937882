"""Blender as a writer and reader of files that have no open description: found on the user's machine, run apart from this process."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

VARIABLE = "HF_MOTION_BLENDER"
"""Environment variable that says which Blender to use: the program, or a Python in which `import bpy` works."""

SECONDS = 600.0
"""The longest that Blender may take for one file."""

_JOB = Path(__file__).with_name("blender_job.py")
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


def run_blender(job: dict[str, Any], *, script: Path = _JOB, seconds: float = SECONDS) -> dict[str, Any]:
    """Run a script in Blender, apart from this process and without the user's settings and add-ons.

    Args:
        job (`dict[str, Any]`): What the script is to do: JSON, with the name of one of its functions as `"do"`.
        script (`pathlib.Path`, *optional*): The script, which runs as a copy in an empty folder; that of the package by default.
        seconds (`float`, defaults to 600): After this time it is ended.

    Returns:
        `dict[str, Any]`: What the function returned.

    Raises:
        BlenderError: If it failed or took too long; one line says why.
        ValueError, ImportError: As `find_blender`.
    """
    command = find_blender()
    with tempfile.TemporaryDirectory(prefix="hf_motion-blender-") as folder:
        # A copy: Python looks for modules beside the script first, and some of ours have the names of the standard library's.
        copy, told, result = (Path(folder) / name for name in ("hf_motion_blender_job.py", "job.json", "result.json"))
        shutil.copyfile(script, copy)
        told.write_text(json.dumps(job), encoding="utf-8")
        apart = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP")}
        try:
            done = subprocess.run(
                [*command, str(copy), "--", str(told), str(result)], env=apart, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, timeout=seconds, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise BlenderError(f"Blender took longer than {seconds:g} s and was ended. Cut the clip into shorter ones.") from error
        except OSError as error:
            raise BlenderError(f"Blender cannot be run as {command[0]!r}: {error.strerror or error}. Set {VARIABLE} to another.") from error
        answer = _answer(result)
    if "done" in answer:
        return dict(answer["done"])
    if "error" in answer:
        raise BlenderError(f"Blender failed: {' '.join(str(answer['error']).split())[:400]}")
    lines = [line.strip() for line in done.stdout.decode(errors="replace").splitlines() if line.strip()]
    raise BlenderError(f"Blender ended with {done.returncode} ({command[0]}): {lines[-1][:400] if lines else 'it said nothing'}")


def _as_program(program: str) -> list[str]:
    return [program, "--background", "--factory-startup", "--disable-autoexec", "--python"]


def _answer(path: Path) -> dict[str, Any]:
    try:
        answer = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return answer if isinstance(answer, dict) else {}
