"""The `hf-motion` command itself; every other file of this folder adds one subcommand to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from .. import __version__

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
        typer.secho(f"hf-motion: {error}", err=True, fg=typer.colors.RED)
        raise typer.Exit(1) from error
