"""Processes to be killed: they go on from this one, so that they need not import anything."""

import multiprocessing
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from typing import Any

import torch


def start(work: Callable[..., Any], *args: Any, **options: Any) -> BaseProcess:
    """Start work in a process of its own."""
    process = multiprocessing.get_context("fork").Process(target=_work, args=(work, args, options), daemon=True)
    process.start()
    return process


def kill(process: BaseProcess) -> None:
    """Kill it at once, as the kernel does where memory ends."""
    process.kill()
    process.join()


def _work(work: Callable[..., Any], args: tuple, options: dict[str, Any]) -> None:
    torch.set_num_threads(1)  # the threads of the process that it comes from did not come along
    work(*args, **options)
