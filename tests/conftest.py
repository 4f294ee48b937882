"""Starts the local Hub before anything imports `huggingface_hub`, which reads its endpoint once, at import time."""

import functools
import gc
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.testing
from hub_server import Hub

if "huggingface_hub" in sys.modules:
    raise pytest.UsageError("huggingface_hub was imported before tests/conftest.py could point it at the local Hub; run `pytest` alone.")


_HOME = tempfile.TemporaryDirectory(prefix="hf_motion_tests_", ignore_cleanup_errors=True)
_HUB = Hub(cache=Path(_HOME.name, "hub"))

_OVERRULES_HOME = ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_MODULES_CACHE", "HF_DATASETS_CACHE", "HF_TOKEN_PATH"]
for _name in [*_OVERRULES_HOME, "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"]:
    os.environ.pop(_name, None)
os.environ.update(
    HF_ENDPOINT=_HUB.url,
    HF_HOME=_HOME.name,
    HF_TOKEN="hf_for_the_local_hub",
    HF_HUB_DISABLE_TELEMETRY="1",
    HF_HUB_DISABLE_XET="1",
    HF_HUB_DISABLE_PROGRESS_BARS="1",
    NO_PROXY=",".join(filter(None, [os.environ.get("NO_PROXY"), "127.0.0.1"])),
)


# A CliRunner builds the whole command anew from annotations whenever it runs one: 0.2 s for a command that stays the same.
typer.testing._get_command = functools.cache(typer.testing._get_command)


def pytest_collection_finish() -> None:
    """Leave what imports made out of garbage collections: accelerate asks for one whenever a training begins, half a second otherwise."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A local Hub without repositories, an empty request log and an empty download cache."""
    _HUB.reset()
    yield _HUB
    _HUB.reset()
