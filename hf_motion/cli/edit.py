"""`hf-motion edit`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .app import app, user_errors
from .generate import (
    BatchSize,
    ContactCleanup,
    Device,
    DType,
    Formats,
    Fps,
    GuidanceScale,
    InPlace,
    Model,
    Precision,
    Rig,
    RootMotion,
    Seed,
    Steps,
    Units,
)


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
    control: Annotated[
        Path | None, typer.Option(help="JSON file of paths, headings and places to hit, in the clip's world: see generate.")
    ] = None,
    model: Model = None,
    output: Annotated[
        list[str] | None,
        typer.Option(
            "--output",
            "-o",
            help="A file, a folder, or a pattern with {index}, {name}, {prompt} or {seed}; the suffix chooses the format. "
            "Repeatable; outputs by default.",
        ),
    ] = None,
    formats: Formats = None,
    seed: Seed = None,
    guidance_scale: GuidanceScale = None,
    num_inference_steps: Steps = None,
    batch_size: BatchSize = 16,
    rig: Rig = None,
    fps: Fps = None,
    contact_cleanup: ContactCleanup = False,
    in_place: InPlace = False,
    units: Units = None,
    root_motion: RootMotion = False,
    device: Device = None,
    dtype: Precision = DType.float32,
) -> None:
    """Keep a part of motions and make the rest from a sentence; or join motions with new transitions.

    Without --keep-start, --keep-end or --body-part the first and the last quarter are kept.
    """
    from ..finishing import Finish
    from ..generation import EditRequest
    from ..generation import edit as run

    with user_errors():
        written = run(
            EditRequest(
                clips=clips, prompts=list(prompts or ()), keep_start=keep_start, keep_end=keep_end, body_parts=list(body_parts or ()),
                join=list(join or ()), transition_seconds=transition, seconds=seconds, control=control, model=model,
                outputs=output or ["outputs"], formats=[item.value for item in formats or ()], seed=seed, guidance_scale=guidance_scale,
                num_inference_steps=num_inference_steps, batch_size=batch_size, device=device, dtype=dtype.value,
                finish=Finish(rig, fps, contact_cleanup, in_place, units and units.value, root_motion),
            )
        )  # fmt: skip
    for path in written:
        typer.echo(path)
