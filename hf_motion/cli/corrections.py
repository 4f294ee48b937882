"""`hf-motion corrections build` and `hf-motion corrections read`."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .app import app, going_on_later, user_errors
from .generate import Device, Model

if TYPE_CHECKING:
    from ..corrections import Editor

corrections_app = typer.Typer(help="Corrections of motion: triplets of source, target and sentence.", no_args_is_help=True)
app.add_typer(corrections_app, name="corrections")


class EditorName(StrEnum):
    """Editors."""

    kinematic = "kinematic"
    generate = "generate"
    inpaint = "inpaint"


@corrections_app.command()
def build(
    data: Annotated[str, typer.Argument(help="Captioned motion: parquet file, folder of them, or data set on the Hub.")],
    output: Annotated[str, typer.Option("--output", "-o", help="Folder of the data set; run again to go on where it stopped.")],
    editor: Annotated[EditorName, typer.Option(help="kinematic: exact; generate: the paper's equation 5; inpaint.")] = EditorName.kinematic,
    count: Annotated[int, typer.Option(min=1, help="Triplets, over all splits.")] = 1000,
    seed: Annotated[int, typer.Option(help="All chance comes from it.")] = 0,
    split: Annotated[list[str] | None, typer.Option(help="Take clips of this split, repeatable; all by default.")] = None,
    held_out_instructions: Annotated[bool, typer.Option(help="Let no instruction stand in two splits.")] = False,
    instructions: Annotated[Path | None, typer.Option(help="YAML of instructions; ours by default.")] = None,
    kind: Annotated[list[str] | None, typer.Option(help="Make this kind of change, repeatable; all by default.")] = None,
    model: Model = None,
    option: Annotated[list[str] | None, typer.Option(help="Option of the model, NAME=VALUE: guidance_scale=2.5.")] = None,
    min_gain: Annotated[float | None, typer.Option(help="Keep what TMR finds so much nearer to the sentence than the source was.")] = None,
    judge: Annotated[str | None, typer.Option(help="Folder or repository of that TMR; a small one by default.")] = None,
    min_frames: Annotated[int, typer.Option(min=10, help="Leave shorter clips out, at 20 fps.")] = 40,
    max_frames: Annotated[int, typer.Option(min=10, help="Cut longer clips; no target is longer either.")] = 196,
    sheet: Annotated[int, typer.Option(min=0, help="Pairs on the contact sheet.")] = 8,
    device: Device = None,
) -> None:
    """Make an HF data set of corrections."""
    with user_errors():
        if editor is EditorName.kinematic and (model is not None or option):
            raise ValueError("--model and --option are for --editor generate and --editor inpaint: exact edits use no model.")
        if judge is not None and min_gain is None:
            raise ValueError("--judge needs --min-gain, by how much its cosine must rise.")

        from ..corrections.building import BuildRequest
        from ..corrections.building import build as run
        from ..corrections.filters import FilterSettings

        request = BuildRequest(
            data=data, output=output, count=count, seed=seed, splits=tuple(split) if split else None,
            held_out_instructions=held_out_instructions, instructions=None if instructions is None else str(instructions),
            kinds=tuple(kind) if kind else None, min_frames=min_frames, max_frames=max_frames, filters=FilterSettings(min_gain=min_gain),
            sheet=sheet,
        )  # fmt: skip
        reward = None
        if min_gain is not None:
            from ..rewards import TMRReward
            from ..utils.device import choose_device

            reward = TMRReward.from_pretrained(judge, choose_device(device))
        with going_on_later():
            record = run(request, _editor(editor, model, option or [], device), reward)
    counts = ", ".join(f"{name} {number}" for name, number in record["rows"].items())
    typer.echo(f"{record['triplets']} triplets ({counts}) of {record['sources']} clips, {record['instructions_used']} instructions")
    typer.echo("Kinds: " + ", ".join(f"{name} {number}" for name, number in record["kinds"].items()))
    for title, reasons in (("Left out", record["dropped"]), ("Instructions refused", record["refused"])):
        if reasons:
            typer.echo(f"{title}: " + ", ".join(f"{number} because {name}" for name, number in reasons.items()))
    typer.echo(output)


@corrections_app.command()
def read(
    sentences: Annotated[list[str], typer.Argument(metavar="SENTENCE...", help="Corrective sentences.")],
) -> None:
    """Say what sentences name: part, side, direction and kind of change, as JSON lines."""
    from ..corrections.reading import read_instruction

    for sentence in sentences:
        reading = read_instruction(sentence)
        typer.echo(
            json.dumps(
                {
                    "sentence": sentence,
                    "parts": reading.parts,
                    "side": reading.side,
                    "directions": reading.directions,
                    "kinds": reading.kinds,
                }
            )
        )


def _editor(name: EditorName, model: str | None, options: list[str], device: str | None) -> Editor:
    from ..corrections.editing import GenerateEditor, InpaintEditor, KinematicEditor

    if name is EditorName.kinematic:
        return KinematicEditor()
    from ..checkpoints import EMBEDDED
    from ..evaluation.generations import load_system
    from ..retrieval.embedder import checkpoint_folder, fingerprint
    from ..utils.device import choose_device
    from ..utils.options import parse_assignments

    place = checkpoint_folder(model or EMBEDDED)
    system = load_system(place, device=choose_device(device))
    kind = GenerateEditor if name is EditorName.generate else InpaintEditor
    return kind(system, fingerprint(place), **parse_assignments(options, "--option"))
