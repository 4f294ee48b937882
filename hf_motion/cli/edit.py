"""`hf-motion edit`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .app import app, user_errors
from .generate import DType, Format


@app.command()
def edit(
    clips: Annotated[list[Path], typer.Argument(metavar="IN...", help="Motion files; each is changed in the same way.")],
    prompts: Annotated[
        list[str] | None, typer.Option("--prompt", "-p", help="What happens in the new part: one for all, or one per file or transition.")
    ] = None,
    keep_start: Annotated[float | None, typer.Option(help="Seconds to keep at the start.")] = None,
    keep_end: Annotated[float | None, typer.Option(help="Seconds to keep at the end.")] = None,
    body_parts: Annotated[
        list[str] | None,
        typer.Option("--body-part", "-b", help="Make only this anew: upper_body, lower_body, torso, head, left_arm, ...; repeatable."),
    ] = None,
    join: Annotated[list[Path] | None, typer.Option(help="Motion file that follows, with a new transition to it; repeatable.")] = None,
    transition: Annotated[float, typer.Option(help="Seconds of each transition of a join.")] = 1.0,
    seconds: Annotated[float | None, typer.Option(help="New length, with --keep-start or --keep-end.")] = None,
    model: Annotated[str | None, typer.Option(help="Folder or Hub repository; the checkpoint inside the package by default.")] = None,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            help="A file, a folder, or a pattern with {index}, {name}, {prompt} or {seed}; the suffix chooses the format.",
        ),
    ] = "outputs",
    formats: Annotated[list[Format] | None, typer.Option("--format", "-f", help="Formats to write into a folder; repeatable.")] = None,
    seed: Annotated[int | None, typer.Option(help="Makes the result reproducible.")] = None,
    guidance_scale: Annotated[float, typer.Option(help="How strongly to follow the text; 1 turns guidance off.")] = 2.5,
    num_inference_steps: Annotated[int | None, typer.Option(help="Denoising steps.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Motions made at once.")] = 16,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, mps; the fastest there is by default.")] = None,
    dtype: Annotated[DType, typer.Option(help="Precision of the networks.")] = DType.float32,
) -> None:
    """Keep a part of motions and make the rest from a sentence; or join motions with new transitions.

    Without --keep-start, --keep-end or --body-part the first and the last quarter are kept.
    """
    from ..generation import EditRequest
    from ..generation import edit as run

    with user_errors():
        written = run(
            EditRequest(
                clips=clips, prompts=list(prompts or ()), keep_start=keep_start, keep_end=keep_end, body_parts=list(body_parts or ()),
                join=list(join or ()), transition_seconds=transition, seconds=seconds, model=model, output=output,
                formats=[item.value for item in formats or ()], seed=seed, guidance_scale=guidance_scale,
                num_inference_steps=num_inference_steps, batch_size=batch_size, device=device, dtype=dtype.value,
            )
        )  # fmt: skip
    for path in written:
        typer.echo(path)
