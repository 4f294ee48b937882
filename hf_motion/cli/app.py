"""The `hf-motion` command itself; every other file of this folder adds one subcommand to it."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.main import get_command

from ..utils.version import __version__

app = typer.Typer(help="Human motion from text.", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hf-motion {__version__}")
        raise typer.Exit


@app.callback()
def _group(
    version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")] = False,
) -> None:
    """Human motion from text."""


@contextmanager
def user_errors() -> Iterator[None]:
    """Show errors that a user can mend as one line, and exit with 1."""
    try:
        yield
    except (ValueError, OSError, ImportError) as error:
        typer.secho(f"hf-motion: {in_flags(str(error))}", err=True, fg=typer.colors.RED)
        raise typer.Exit(1) from error


@contextmanager
def going_on_later(where: str = "what is done") -> Iterator[None]:
    """Tell who stops a command by Ctrl-C that it goes on when it is run again, and exit with 130."""
    try:
        yield
    except KeyboardInterrupt:
        typer.secho(f"hf-motion: stopped. The same command goes on from {where}.", err=True)
        raise typer.Exit(130) from None


def in_flags(message: str) -> str:
    """A message of the Python API in the words of the command line.

    Example:
        >>> from hf_motion.cli.app import in_flags
        >>> in_flags("num_frames must be whole numbers from 1 to 196, got 300. Pass num_frames=196.")
        '--num-frames must be whole numbers from 1 to 196, got 300. Pass --num-frames 196.'
        >>> in_flags("Pass source_fps= (--source-fps).")
        'Pass --source-fps.'
    """
    message = re.sub(r"\b\w+= \((--[\w-]+)\)", r"\1", message)  # both are named where the caller is not known
    flags = _flags()
    names = "|".join(sorted(flags, key=len, reverse=True))
    # A word that is an option and English too is meant as the former where a value is given or a sentence begins with it.
    pattern = rf"(?<![\w.\-/'\"])(?:({names})=(?=[\w\"'])|(?=\w*_)({names})(?![\w.\-/'\"]*[\w\-/'\"]))|^({names})(?= (?:must|and))"

    def flag(match: re.Match[str]) -> str:
        before = message[: match.start()]
        call = before.rfind("(")
        if call > before.rfind(")") and before[:call][-1:].isalnum():  # an argument of a call, such as Motion(joints, fps=20)
            return match[0]
        return f"{flags[match[1]]} " if match[1] else flags[match[2] or match[3]]

    return re.sub(pattern, flag, message)


@functools.cache
def _flags() -> dict[str, str]:
    """Long options of all commands by their names in Python; those that several commands call differently are left out."""
    found: dict[str, set[str]] = {}
    waiting: list[Any] = [get_command(app)]
    while waiting:
        command = waiting.pop()
        waiting += getattr(command, "commands", {}).values()
        for parameter in command.params:
            long = [option for option in parameter.opts if option.startswith("--")]
            for name in {parameter.name, *(option[2:].replace("-", "_") for option in long)} if long else ():
                found.setdefault(name, set()).add(long[0])
    return {name: options.pop() for name, options in found.items() if len(options) == 1}
