"""`hf-motion generate`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from ..formats.rigs import WRITTEN_RIGS
from ..formats.table import WRITTEN, taking
from .app import app, user_errors

Format = StrEnum("Format", [(suffix[1:], suffix[1:]) for suffix in WRITTEN])  # type: ignore[misc]
"""File formats that motion is written in."""


class BvhUnits(StrEnum):
    """Units of .bvh files."""

    cm = "cm"
    m = "m"


class DType(StrEnum):
    """Precision of the networks."""

    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


# Options that `hf-motion generate` and `hf-motion edit` have in common.
Model = Annotated[str | None, typer.Option(help="Folder or Hub repository; the checkpoint inside the package by default.")]
Formats = Annotated[list[Format] | None, typer.Option("--format", "-f", help="Formats to write into a folder; repeatable.")]
Seed = Annotated[int | None, typer.Option(help="Makes the result reproducible.")]
GuidanceScale = Annotated[
    float | None, typer.Option(help="How strongly to follow the text; 1 turns guidance off, the model's own by default.")
]
Steps = Annotated[int | None, typer.Option(help="Denoising steps.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Motions made at once.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, mps; the fastest there is by default.")]
Precision = Annotated[DType, typer.Option(help="Precision of the networks.")]
# Options that these have in common with `hf-motion convert`.
Rig = Annotated[str | None, typer.Option(help=f"Joint names of {', '.join(taking('rig'))}: {', '.join(WRITTEN_RIGS)}.")]
Fps = Annotated[float | None, typer.Option(help="Frames per second of the result; those of the model or file by default.")]
ContactCleanup = Annotated[bool, typer.Option("--contact-cleanup", help="Hold feet still while they touch the floor.")]
Units = Annotated[
    BvhUnits | None, typer.Option(help="Unit of .bvh files, which do not say theirs: cm for Maya and Unreal (the default), m for Blender.")
]
RootMotion = Annotated[bool, typer.Option("--root-motion", help="Keep the travel in a root joint on the floor, where engines take it.")]
InPlace = Annotated[bool, typer.Option("--in-place", help="Keep the character above where it starts, as on a treadmill.")]


@app.command()
def generate(
    prompts: Annotated[list[str] | None, typer.Argument(metavar="PROMPT...", help="Sentences, one motion each.")] = None,
    prompt_file: Annotated[Path | None, typer.Option(help="Text file with one sentence per line, after those given as arguments.")] = None,
    model: Model = None,
    output: Annotated[
        list[str] | None,
        typer.Option(
            "--output",
            "-o",
            help="A file, a folder, or a pattern with {index}, {prompt} or {seed}; the suffix chooses the format. Repeatable; "
            "outputs by default.",
        ),
    ] = None,
    formats: Formats = None,
    seconds: Annotated[float | None, typer.Option(help="Length in seconds.")] = None,
    num_frames: Annotated[int | None, typer.Option(help="Length in frames.")] = None,
    seed: Seed = None,
    guidance_scale: GuidanceScale = None,
    num_inference_steps: Steps = None,
    num_samples: Annotated[int, typer.Option(min=1, help="Motions per prompt.")] = 1,
    batch_size: BatchSize = 16,
    rig: Rig = None,
    fps: Fps = None,
    contact_cleanup: Annotated[
        bool | None, typer.Option(help="Hold feet still while they touch the floor; as the model does by itself by default.")
    ] = None,
    in_place: InPlace = False,
    timeline: Annotated[
        str | None, typer.Option(help='Several sentences with their seconds, of any length together: "a person walks: 3; waves: 2".')
    ] = None,
    split: Annotated[bool, typer.Option("--split", help='Cut each prompt at "then", "after that", "finally"; 3 s for each part.')] = False,
    loop: Annotated[
        bool, typer.Option("--loop", help="Make the last pose the first one, for engines that play it round and round.")
    ] = False,
    control: Annotated[
        Path | None, typer.Option(help="JSON file with paths, headings, poses and places of joints to hit; prompts may then be left out.")
    ] = None,
    retriever: Annotated[
        str | None,
        typer.Option(help="Index of videos, folder or Hub repository: a model that sees videos is shown what each prompt finds."),
    ] = None,
    retriever_model: Annotated[
        str | None, typer.Option(help="GeminiMVR that the index was made with; the one inside the package by default.")
    ] = None,
    videos: Annotated[Path | None, typer.Option(help="Folder of the videos, where they have moved since the index was made.")] = None,
    units: Units = None,
    root_motion: RootMotion = False,
    device: Device = None,
    dtype: Precision = DType.float32,
    list_actions: Annotated[bool, typer.Option("--list-actions", help="Show the actions that the checkpoint knows, and end.")] = False,
) -> None:
    """Make motions from sentences and write them to files."""
    from .. import generation
    from ..finishing import Finish
    from ..generation import GenerationRequest, run

    with user_errors():
        if list_actions:
            actions = generation.list_actions(model)
            width = max(len(name) for name, _ in actions)
            typer.echo("\n".join(f"{name:{width}}  {sentence}" for name, sentence in actions))
            return
        written = run(
            GenerationRequest(
                prompts=list(prompts or ()), prompt_file=prompt_file, model=model, outputs=output or ["outputs"],
                formats=[item.value for item in formats or ()], seconds=seconds, num_frames=num_frames, seed=seed,
                guidance_scale=guidance_scale, num_inference_steps=num_inference_steps, num_samples=num_samples,
                batch_size=batch_size, device=device, dtype=dtype.value, timeline=timeline, split=split, loop=loop, control=control,
                own_cleanup=contact_cleanup is not False,
                retriever=None if retriever is None else lambda: _retriever(retriever, retriever_model, videos, device),
                finish=Finish(rig, fps, contact_cleanup is True, in_place, units and units.value, root_motion),
            )
        )  # fmt: skip
    for path in written:
        typer.echo(path)


def _retriever(index: str, model: str | None, videos: Path | None, device: str | None) -> Any:
    from ..retrieval.video_building import GeminiMVREmbedder
    from ..retrieval.video_index import VideoIndex
    from ..retrieval.video_retriever import VideoRetriever
    from ..utils.device import choose_device

    return VideoRetriever(VideoIndex.from_pretrained(index), GeminiMVREmbedder.from_pretrained(model, choose_device(device)), videos)
