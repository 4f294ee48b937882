"""`hf-motion correct` and `hf-motion corrections evaluate`."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from .app import app, user_errors
from .corrections import corrections_app
from .generate import Device


class Method(StrEnum):
    """Who says what to change."""

    model = "model"
    in_context = "in-context"
    caption = "caption"
    measured = "measured"
    truth = "truth"


@app.command()
def correct(
    source: Annotated[Path, typer.Argument(metavar="MINE", help="Motion file of what was done.")],
    target: Annotated[Path, typer.Argument(metavar="TEACHER", help="Motion file of what was meant; any rig, length and frame rate.")],
    model: Annotated[str | None, typer.Option(help="Folder or Hub repository of a model that corrects; without one, by measuring.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Page that shows it, .html.")] = None,
    num_candidates: Annotated[int, typer.Option(min=1, help="Sentences that the model draws.")] = 1,
    editor: Annotated[str | None, typer.Option(help="Rank them by doing: embedded, kinematic, or an MDMPipeline's place.")] = None,
    threshold: Annotated[float | None, typer.Option(help="Metres below which nothing is corrected.")] = None,
    temperature: Annotated[float | None, typer.Option(help="How freely the model draws; 0 takes the likeliest words.")] = None,
    mirror: Annotated[bool, typer.Option("--mirror", help="Compare with the mirror image of the second motion.")] = False,
    seed: Annotated[int, typer.Option(help="All chance comes from it.")] = 0,
    device: Device = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all that was measured.")] = False,
) -> None:
    """Say in one sentence what to change to move as somebody else does."""
    with user_errors():
        from ..correction import CorrectionRequest, run

        request = CorrectionRequest(
            source=source, target=target, model=model, output=output, num_candidates=num_candidates, editor=editor, threshold=threshold,
            temperature=temperature, mirror=mirror, seed=seed, device=device,
        )  # fmt: skip
        result = run(request)
    if as_json:
        typer.echo(json.dumps(result))
        return
    typer.echo(result["generated_text"])
    if result["said_by"] == "measurement":
        typer.secho("Measured; no model spoke.", err=True)
    if output is not None:
        typer.echo(output)


@corrections_app.command()
def evaluate(
    triplets: Annotated[str, typer.Argument(help="What `hf-motion corrections build` wrote, or a data set on the Hub.")],
    model: Annotated[str | None, typer.Option(help="Folder or Hub repository of a motion language model.")] = None,
    method: Annotated[
        list[Method] | None,
        typer.Option(help="Who speaks, repeatable: model; in-context examples; a caption; what was measured; the truth."),
    ] = None,
    shots: Annotated[int, typer.Option(min=1, help="Examples of --method in-context, from the split train.")] = 4,
    split: Annotated[str, typer.Option(help="Split to score.")] = "test",
    max_samples: Annotated[int | None, typer.Option(min=1, help="Use the first triplets only.")] = None,
    editor: Annotated[str | None, typer.Option(help="For MPJPE and FID: embedded, kinematic, or an MDMPipeline's place.")] = None,
    text_encoder: Annotated[str | None, typer.Option(help="Sentence model or CLIP; the text side of a small TMR by default.")] = None,
    evaluator: Annotated[str | None, typer.Option(help="Folder or repository of a T2MEvaluator, for FID; a small one by default.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="JSON file for numbers and sentences.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Pairs that the model reads at once.")] = 16,
    seed: Annotated[int, typer.Option(help="The editor's.")] = 0,
    device: Device = None,
) -> None:
    """Score corrections: CigTime's Table 1, and shares that name the right part, side and direction."""
    with user_errors():
        methods = list(dict.fromkeys(method or [Method.model]))
        if model is None and {*methods} & {Method.model, Method.in_context, Method.caption}:
            raise ValueError("--method model, in-context and caption need --model.")

        from ..correction import load_editor
        from ..corrections import load_triplets
        from ..evaluation.corrections import corrections_table, score_corrections
        from ..utils.device import choose_device
        from ..utils.files import write_json

        loaded = load_triplets(triplets, split)
        items = [loaded[place] for place in range(min(len(loaded), max_samples or len(loaded)))]
        place = choose_device(device)
        speaker = None if model is None else _speaker(model, place)
        said = {one.value: _sentences(one, speaker, items, triplets, shots, batch_size) for one in methods}
        scores = score_corrections(
            said, items, editor=load_editor(editor, place), text_encoder=text_encoder, evaluator=evaluator, seed=seed, show_progress=True
        )
        if output is not None:
            write_json(output, {"scores": scores, "sentences": said, "truth": [one.instruction for one in items], "split": split})
    typer.echo(corrections_table(scores))
    if output is not None:
        typer.echo(output)


@corrections_app.command()
def threshold(
    takes: Annotated[list[Path], typer.Argument(metavar="ONE ANOTHER...", help="Motion files, two repetitions of one exercise each.")],
    share: Annotated[float, typer.Option(min=0.0, max=1.0, help="How many of these pairs count as the same.")] = 0.95,
    model: Annotated[Path | None, typer.Option(help="Folder of a model that is to remember it.")] = None,
) -> None:
    """Learn below which distance there is nothing to correct, from pairs that nobody would correct."""
    with user_errors():
        from ..deviation import THRESHOLD, learn_threshold
        from ..formats.take import take_motion
        from ..utils.files import write_json

        if len(takes) % 2:
            raise ValueError(f"Takes come in pairs, one repetition and another; got {len(takes)} files.")
        motions = [take_motion(path) for path in takes]
        learned = learn_threshold(list(zip(motions[::2], motions[1::2], strict=True)), share)
        if model is not None:
            config = json.loads((model / "config.json").read_text(encoding="utf-8"))
            if "motion" not in config:
                raise ValueError(f"{str(model)!r} holds no motion language model, which would be asked for corrections.")
            config["motion"]["nothing_to_correct"] = learned
            write_json(model / "config.json", config)
    typer.echo(f"{learned:.3f} m: {share:.0%} of {len(motions) // 2} pairs are no farther apart ({THRESHOLD:g} m without learning).")


def _speaker(model: str, device: str) -> Any:
    from ..models.motion_language.modeling_motion_language import MotionLanguageModel

    return MotionLanguageModel.from_pretrained(model).to(device)


def _sentences(method: Method, speaker: Any, items: list[Any], source: str, shots: int, batch_size: int) -> list[str]:
    from ..alignment import align_motions
    from ..corrections import load_triplets
    from ..deviation import describe, measure_deviation
    from ..evaluation.correction_baselines import caption_corrections, in_context_corrections

    sources, targets = [one.source for one in items], [one.target for one in items]
    if method is Method.truth:
        return [one.instruction for one in items]
    if method is Method.measured:
        return [describe(measure_deviation(align_motions(*pair)), 0.0) for pair in zip(sources, targets, strict=True)]
    if method is Method.caption:
        return caption_corrections(speaker, targets, batch_size=batch_size)
    if method is Method.in_context:
        known = load_triplets(source, "train")
        examples = [known[place] for place in range(min(shots, len(known)))]
        return in_context_corrections(speaker, examples, sources, targets, batch_size=batch_size, show_progress=True)
    return [
        text
        for start in range(0, len(items), batch_size)
        for text in speaker.correct_motion(sources[start : start + batch_size], targets[start : start + batch_size])
    ]
