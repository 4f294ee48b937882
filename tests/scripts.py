"""The scripts of `training/`, run in this process: starting one anew costs ten seconds of imports."""

import functools
import importlib.util
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from unittest import mock

from hf_motion.trainers.options import TrainingParser

ROOT = Path(__file__).parents[1]


@functools.cache
def script(name: str) -> ModuleType:
    """A script as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "training" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def parser(name: str) -> TrainingParser:
    """The parser of a script as its last lines make it."""
    module = script(name)
    kinds = re.search(r"TrainingParser\(\(([\w, ]+)\)\)", (ROOT / "training" / f"{name}.py").read_text())[1]
    return TrainingParser([getattr(module, kind) for kind in kinds.strip(",").split(", ")])


def run_script(name: str, words: Sequence[object]) -> None:
    """Run a script with a command line."""
    with mock.patch.object(sys, "argv", [f"training/{name}.py", *map(str, words)]):
        script(name).main(*parser(name).parse())
