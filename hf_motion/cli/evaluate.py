"""`hf-motion evaluate` and `hf-motion compare`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from .app import app, user_errors
from .generate import DType


class ProtocolName(StrEnum):
    """Protocols."""

    strict = "strict"
    guo = "guo"


class Captions(StrEnum):
    """Which caption a clip is scored with."""

    first = "first"
    all = "all"
    random = "random"


class Lengths(StrEnum):
    """Who decides on the length of generated motion."""

    given = "given"
    generated = "generated"


def _setting(text: str, **options: Any) -> Any:
    return typer.Option(help=text, rich_help_panel="Settings of the protocol", **options)


@app.command()
def evaluate(
    dataset: Annotated[str, typer.Option(help="Parquet file, folder of them, or data set on the Hub.")],
    model: Annotated[str | None, typer.Option(help="Folder or Hub repository; the checkpoint inside the package by default.")] = None,
    evaluator: Annotated[str | None, typer.Option(help="A T2MEvaluator, a small one by default; 'none' with --reconstruction.")] = None,
    alignment: Annotated[str | None, typer.Option(help="Folder or repository of a TMR; a small one by default; 'none' for none.")] = None,
    split: Annotated[str, typer.Option(help="Split of the data set.")] = "test",
    reconstruction: Annotated[bool, typer.Option(help="Score a tokenizer or VAE on real clips.")] = False,
    captioning: Annotated[bool, typer.Option(help="Score sentences that a language model says of real clips.")] = False,
    retrieval: Annotated[bool, typer.Option(help="Score a retrieval model.")] = False,
    faces: Annotated[bool, typer.Option(help="Score faces made from text, with a FacialCVAE as --evaluator.")] = False,
    sentence_encoder: Annotated[str | None, typer.Option(help="With --retrieval: sentence model, for protocol B.")] = None,
    output: Annotated[str, typer.Option("--output", "-o", help="Folder for results.json, results.md and the motions.")] = "evaluation",
    update_card: Annotated[bool, typer.Option(help="Put the numbers into the metadata of the model's card.")] = False,
    protocol: Annotated[ProtocolName, _setting("strict: no chance in what is scored; guo: as published.")] = ProtocolName.strict,
    replications: Annotated[int | None, _setting("How often everything is drawn and scored.")] = None,
    generations: Annotated[int | None, _setting("How often motions are generated: 1, or guo: every replication.")] = None,
    seed: Annotated[int | None, _setting("All chance comes from it.")] = None,
    captions: Annotated[Captions | None, _setting("Captions to score with.")] = None,
    lengths: Annotated[Lengths | None, _setting("Whether models are told the length.")] = None,
    equal_captions_hit: Annotated[bool | None, _setting("Whether another motion of the same caption is a hit.")] = None,
    pool_size: Annotated[int | None, _setting("Motions per pool of R-precision.")] = None,
    alignment_pool_size: Annotated[int | None, _setting("The same for TMR's.")] = None,
    min_frames: Annotated[int | None, _setting("Leave shorter clips out.")] = None,
    max_frames: Annotated[int | None, _setting("Cut longer clips.")] = None,
    one_body: Annotated[bool, _setting("Put real clips and motions on the body that decoding ends on.")] = False,
    max_samples: Annotated[int | None, _setting("Use the first clips only.", min=1)] = None,
    multimodality: Annotated[int, _setting("Texts for multimodality (published: 100).", min=0)] = 0,
    multimodality_samples: Annotated[int, _setting("Motions per text.", min=2)] = 30,
    drop_non_finite: Annotated[bool, _setting("Score the rest when some motions are not finite.")] = False,
    skip_unreadable: Annotated[bool, _setting("Leave unreadable rows out and count them.")] = False,
    guidance_scale: Annotated[float | None, typer.Option(help="How strongly the model follows the text.")] = None,
    num_inference_steps: Annotated[int | None, typer.Option(help="Denoising steps.")] = None,
    option: Annotated[list[str] | None, typer.Option(help="Another option of the model, NAME=VALUE: num_quantizers=1, top_p=0.9.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, ...; the fastest there is by default.")] = None,
    dtype: Annotated[DType, typer.Option(help="Precision of the model; evaluators run in float32.")] = DType.float32,
    batch_size: Annotated[int, typer.Option(min=1, help="Clips embedded at once.")] = 64,
) -> None:  # fmt: skip
    """Score a model on real clips and write the numbers with all that they depend on."""
    changes = {
        "replications": replications, "generations": generations, "seed": seed, "captions": captions and captions.value,
        "lengths": lengths and lengths.value, "equal_captions_hit": equal_captions_hit, "pool_size": pool_size,
        "alignment_pool_size": alignment_pool_size, "min_frames": min_frames, "max_frames": max_frames, "one_body": one_body or None,
    }  # fmt: skip
    modes = {"reconstruction": reconstruction, "captioning": captioning, "retrieval": retrieval, "faces": faces}
    options = {"guidance_scale": guidance_scale, "num_inference_steps": num_inference_steps}
    with user_errors():
        _evaluate(
            [name for name, wanted in modes.items() if wanted], options, option or [], update_card,
            dataset=dataset, split=split, model=model, evaluator=evaluator, alignment=alignment, protocol=protocol.value, changes=changes,
            max_clips=max_samples, strict_rows=not skip_unreadable, drop_non_finite=drop_non_finite, multimodality_texts=multimodality,
            multimodality_samples=multimodality_samples, output=output, device=device, dtype=dtype.value, batch_size=batch_size,
            sentence_encoder=sentence_encoder,
        )  # fmt: skip


def _evaluate(
    modes: list[str], options: dict[str, Any], more_options: list[str], update_card: bool, *, model: str | None, output: str, **asked: Any
) -> None:
    """Check what the command line was asked, score, save and show."""
    from accelerate import PartialState

    from ..evaluation.card import check_card
    from ..evaluation.card import update_card as put_into_card
    from ..evaluation.run import EvaluationRequest
    from ..evaluation.run import evaluate as run
    from ..utils.options import parse_assignments
    from ..utils.training_folder import checkpoint_in

    given = {name: value for name, value in (options | parse_assignments(more_options, "--option")).items() if value is not None}
    if len(modes) > 1:
        raise ValueError(f"{' and '.join(f'--{name}' for name in modes)} exclude each other.")
    if update_card and (model is None or modes):
        raise ValueError("--update-card needs --model, and works for generation only.")
    model = None if model is None else str(checkpoint_in(model))
    if update_card and Path(model).is_dir():
        check_card(Path(model))
    result = run(EvaluationRequest(model=model, output=output, options=given, mode=modes[0] if modes else "generation", **asked))
    if not PartialState().is_main_process:
        return
    paths = list(result.save(output))
    if update_card:
        paths.append(Path(put_into_card(result, model)))
    typer.echo(result.markdown())
    for path in paths:
        typer.echo(path)


@app.command()
def compare(
    results: Annotated[list[Path], typer.Argument(help="Files that `hf-motion evaluate` wrote, or their folders.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder for comparison.md and comparison.svg.")] = None,
) -> None:
    """Print results side by side, say where their settings differ, and draw them."""
    from ..evaluation.compare import merge, save_bars, settings_table, tell_apart
    from ..evaluation.result import EvaluationResult
    from ..utils.files import atomic_path

    with user_errors():
        loaded = {name: EvaluationResult.load(path) for name, path in zip(tell_apart(results), results, strict=True)}
        merged = merge(loaded)
        text = merged.markdown() + "\n" + settings_table(loaded) + "\n"
        typer.echo(text)
        if output is not None:
            with atomic_path(output / "comparison.md") as temporary:
                temporary.write_text(text, encoding="utf-8")
            typer.echo(output / "comparison.md")
            typer.echo(save_bars(merged, output / "comparison.svg"))
