"""`hf-motion data build` and `hf-motion data check`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .app import app, going_on_later, user_errors

if TYPE_CHECKING:
    from ..data.build import BuildReport

data_app = typer.Typer(help="Make data sets of motion and look for faults in them.", no_args_is_help=True)
app.add_typer(data_app, name="data")


@data_app.command()
def build(
    source: Annotated[Path, typer.Argument(help="Folder or file; see hf_motion/data/README.md for the layouts.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder to write; run again to go on where it stopped.")] = None,
    push_to_hub: Annotated[str | None, typer.Option(help="Data set repository to upload to, owner/name.")] = None,
    private: Annotated[bool, typer.Option(help="Make a new repository private.")] = False,
    layout: Annotated[str | None, typer.Option("--format", "-f", help="Layout of the source; found out by default.")] = None,
    captions: Annotated[Path | None, typer.Option(help="Captions table (CSV, JSON lines), CMU's index, or HumanML3D's texts.")] = None,
    caption: Annotated[str | None, typer.Option(help="One caption for every file that has none.")] = None,
    index: Annotated[Path | None, typer.Option(help="HumanML3D's index.csv, for AMASS.")] = None,
    body_models: Annotated[Path | None, typer.Option(help="Folder of the licensed SMPL body models.")] = None,
    rig: Annotated[str | None, typer.Option(help="Rig of the files; recognised by joint names by default.")] = None,
    mapping: Annotated[Path | None, typer.Option(help="Mapping file of an unknown rig.")] = None,
    unit: Annotated[str | None, typer.Option(help="Unit of the files, such as cm; found out by default.")] = None,
    up: Annotated[str | None, typer.Option(help="Up axis of the files, y or z; found out by default.")] = None,
    fps: Annotated[float, typer.Option(help="Frame rate to bring files to.")] = 20.0,
    source_fps: Annotated[float | None, typer.Option(help="Frame rate of the files, where they do not say or say it wrong.")] = None,
    min_frames: Annotated[int, typer.Option(min=1, help="Leave shorter clips out.")] = 2,
    max_frames: Annotated[int | None, typer.Option(help="Cut longer takes into equal pieces.")] = None,
    features: Annotated[bool, typer.Option("--features/--no-features", help="Keep published feature vectors beside the joints.")] = True,
    license: Annotated[str | None, typer.Option(help="Licence, where the source does not say.")] = None,
    name: Annotated[str | None, typer.Option(help="What the source column says.")] = None,
    hands: Annotated[
        Path | None, typer.Option(help="Folder of recorded hands (BVH, Leap) to put on the bodies' wrists: a composite, marked as such.")
    ] = None,
    hands_license: Annotated[str | None, typer.Option(help="Licence of the hands.")] = None,
    skeleton: Annotated[
        str | None, typer.Option(help="Joints of the rows: humanml3d-22 (default), or with fingers smplx-52 or smplh-52.")
    ] = None,
    relaxed_hands: Annotated[
        bool, typer.Option("--relaxed-hands", help="Put relaxed fingers where --skeleton has some and a file has none.")
    ] = False,
    split_files: Annotated[Path | None, typer.Option(help="Folder with train.txt, val.txt, test.txt that name ids or takes.")] = None,
    splits: Annotated[tuple[float, float, float], typer.Option(help="Shares of train, val and test, drawn by take.")] = (0.8, 0.05, 0.15),
    seed: Annotated[int, typer.Option(help="Seed of that draw.")] = 0,
    num_proc: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    clips_per_shard: Annotated[int, typer.Option(min=1, help="Source files per parquet file.")] = 256,
    strict: Annotated[bool, typer.Option(help="Stop at the first thing that cannot be used rather than skip and count it.")] = False,
    overwrite: Annotated[bool, typer.Option(help="Replace another data set in the output folder.")] = False,
) -> None:
    """Make an HF data set of motion files."""
    from ..data.build import BuildSettings, build_dataset, push_dataset
    from ..data.sources import SourceOptions

    with user_errors(), tempfile.TemporaryDirectory() as temporary:
        if output is None and push_to_hub is None:
            raise ValueError("Say where to: --output FOLDER, --push-to-hub OWNER/NAME, or both.")
        options = SourceOptions(
            captions=captions, caption=caption, index=index, body_models=body_models, rig=rig, mapping=mapping, unit=unit, up=up,
            fps=fps, source_fps=source_fps, max_frames=max_frames, license=license, name=name, keep_features=features,
            hands=hands, hands_license=hands_license, skeleton=skeleton, relaxed_hands=relaxed_hands,
        )  # fmt: skip
        settings = BuildSettings(
            layout=layout, split_ratios=splits, seed=seed, split_files=split_files, min_frames=min_frames,
            clips_per_shard=clips_per_shard, num_proc=num_proc, strict=strict, overwrite=overwrite,
        )  # fmt: skip
        folder = output or Path(temporary) / push_to_hub.rpartition("/")[2]
        with going_on_later("the last finished shard"):
            report = build_dataset(source, folder, options, settings)
        _show(report)
        typer.echo(push_dataset(folder, push_to_hub, private) if push_to_hub else folder)


def _show(report: BuildReport) -> None:
    counts = ", ".join(f"{split} {count}" for split, count in report.clips.items())
    typer.echo(f"{report.layout}: {counts} clips, {report.seconds / 3600:.2f} h, {report.captions} captions")
    for skip in report.skipped[:10]:
        typer.secho(f"  left out: {skip.path}: {skip.reason}", err=True)
    if report.skipped:
        reasons = "; ".join(f"{count} because {reason}" for reason, count in report.reasons.items())
        typer.secho(f"{len(report.skipped)} left out, all named in skipped.jsonl: {reasons}", err=True)


@data_app.command()
def check(
    dataset: Annotated[str, typer.Argument(help="Parquet file, folder of them, or data set on the Hub.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Report to write: .html with plots, .md or .json.")] = None,
    split: Annotated[str | None, typer.Option(help="Look at one split only.")] = None,
    min_frames: Annotated[int, typer.Option(help="Report clips that are shorter, at 20 fps.")] = 40,
    max_frames: Annotated[int, typer.Option(help="Report clips that are not shorter than this.")] = 200,
    strict: Annotated[bool, typer.Option(help="Exit with 1 if anything was found.")] = False,
) -> None:
    """Look for faults in a data set."""
    from ..data.check import CheckSettings, check_dataset
    from ..data.check_report import save_report, summary

    with user_errors():
        if output is not None and output.suffix.lower() not in (".html", ".md", ".json"):
            raise ValueError(f"Cannot write a report as {output.suffix or output.name!r}. Use one of: .html, .md, .json.")
        settings = CheckSettings(min_frames=min_frames, max_frames=max_frames)
        report = check_dataset(dataset, split, settings)
        typer.echo(summary(report))
        if output is not None:
            typer.echo(save_report(report, output, settings))
    if strict and report.findings:
        raise typer.Exit(1)
