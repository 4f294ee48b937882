"""`hf-motion curves`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .app import app, user_errors


@app.command()
def curves(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Output folders of trainings, one line each.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="SVG file to write.")] = Path("curves.svg"),
    metrics: Annotated[
        list[str] | None, typer.Option("--metric", "-m", help="What to draw, such as loss or eval_fid; all that was logged by default.")
    ] = None,
) -> None:
    """Draw what trainings logged, side by side."""
    from ..evaluation.compare import tell_apart
    from ..trainers.curves import read_history, save_curves

    with user_errors():
        if output.suffix.lower() != ".svg":
            raise ValueError(f"Curves are drawn as .svg, got {str(output)!r}; pass --output curves.svg.")
        histories = {name: read_history(run) for name, run in zip(tell_apart(runs), runs, strict=True)}
        logged = {name for history in histories.values() for name in history}
        if unknown := [name for name in metrics or () if name not in logged]:
            raise ValueError(f"No run logged {', '.join(unknown)}. They logged: {', '.join(sorted(logged)) or 'nothing'}.")
        typer.echo(save_curves(histories, output, metrics))
