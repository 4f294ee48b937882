"""`hf-motion video pose`, `index` and `search`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from .app import app, user_errors
from .generate import Device

video_app = typer.Typer(help="Look into videos of people.", no_args_is_help=True)
app.add_typer(video_app, name="video")


class Sampling(StrEnum):
    """Which frames are taken."""

    uniform = "uniform"
    vimorag = "vimorag"


Frames = Annotated[int, typer.Option(min=1, help="Frames to look at, evenly over the video.")]
SamplingOption = Annotated[Sampling, typer.Option(help="uniform: so many; vimorag: one a second, at least 8, at most so many.")]


@video_app.command()
def pose(
    video: Annotated[Path, typer.Argument(help="A video file.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="File for the keypoints, .npz.")],
    sheet: Annotated[Path | None, typer.Option(help="Draw the skeletons into the frames, on one page, .png.")] = None,
    num_frames: Frames = 16,
    every_frame: Annotated[bool, typer.Option("--every-frame", help="Look at all frames, following one person.")] = False,
    sampling: SamplingOption = Sampling.uniform,
    detector: Annotated[
        str, typer.Option(help="blazepose, which comes with the package, or folder or Hub repository of a ViTPose.")
    ] = "blazepose",
    device: Device = None,
) -> None:
    """Find the person who matters in a video: 17 joints of Human3.6M with confidence in each frame."""
    from ..utils.device import choose_device
    from ..utils.files import check_writable
    from ..video import BlazePoseDetector, VitPoseDetector, read_frames, read_keypoints, save_pose_sheet

    with user_errors():
        for path, suffix in ((output, ".npz"), (sheet, ".png")):
            if path is not None and path.suffix.lower() != suffix:
                raise ValueError(f"{str(path)!r} must end in {suffix}.")
            if path is not None:
                check_writable(path.parent)
        place = choose_device(device)
        found = (
            BlazePoseDetector(device=place, tracking=every_frame)
            if detector == "blazepose"
            else VitPoseDetector.from_pretrained(detector, device=place)
        )
        count = None if every_frame else num_frames
        keypoints = read_keypoints(video, found, count, sampling.value, cache=False)
        if not keypoints.found.any():
            raise ValueError(
                f"{str(video)!r} shows nobody in {len(keypoints)} frames, so nothing is written. Try other frames: num_frames."
            )
        written = [keypoints.save(output)]
        if sheet is not None:
            frames = read_frames(video, count, sampling.value).frames
            written.append(save_pose_sheet(frames, keypoints, sheet, title=video.name))
    typer.echo(
        f"A person in {int(keypoints.found.sum())} of {len(keypoints)} frames, at most {int(keypoints.people.max())} at once.", err=True
    )
    for path in written:
        typer.echo(path)


@video_app.command("index")
def build_index(
    videos: Annotated[Path, typer.Argument(help="Folder of videos; those in folders below it too.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the index; run again to go on where it stopped.")],
    model: Annotated[str, typer.Option(help="Folder or Hub repository of a GeminiMVR.")],
    shard_size: Annotated[int, typer.Option(min=1, help="Videos that are finished together.")] = 256,
    process_index: Annotated[int, typer.Option(min=0, help="Which of several processes this is.")] = 0,
    num_processes: Annotated[int, typer.Option(min=1, help="How many there are; start each yourself.")] = 1,
    device: Device = None,
) -> None:
    """Make an index of the videos in a folder, to be searched by sentences."""
    from ..retrieval.video_building import GeminiMVREmbedder, build_video_index, find_videos
    from ..utils.device import choose_device

    with user_errors():
        if process_index >= num_processes:
            raise ValueError(f"--process-index {process_index} must be below --num-processes {num_processes}.")
        rows = find_videos(videos)
        embedder = GeminiMVREmbedder.from_pretrained(model, choose_device(device))
        report = build_video_index(
            rows, embedder, output, shard_size=shard_size, process_index=process_index, num_processes=num_processes
        )  # fmt: skip
    for skip in report.skipped[:10]:
        typer.secho(f"  left out: {skip['id']}: {skip['reason']}", err=True)
    if report.index is None:
        typer.echo("This process is done; the one that finishes last writes the index.")
        return
    typer.echo(f"{len(report.index)} videos, {len(report.skipped)} left out (skipped.jsonl)", err=True)
    typer.echo(output)


@video_app.command()
def search(
    index: Annotated[str, typer.Argument(help="Folder or Hub repository of an index.")],
    texts: Annotated[list[str], typer.Argument(help="What to look for.")],
    model: Annotated[str, typer.Option(help="The GeminiMVR that the index was made with.")],
    k: Annotated[int, typer.Option("-k", min=1, help="Videos for each sentence.")] = 5,
    sheet: Annotated[Path | None, typer.Option(help="Show what was found on one page, .png.")] = None,
    device: Device = None,
) -> None:
    """Find videos of an index that show what sentences tell."""
    from ..retrieval.video_building import GeminiMVREmbedder
    from ..retrieval.video_index import VideoIndex
    from ..utils.device import choose_device

    with user_errors():
        if sheet is not None and sheet.suffix.lower() != ".png":
            raise ValueError(f"{str(sheet)!r} must end in .png.")
        opened = VideoIndex.from_pretrained(index)
        embedder = GeminiMVREmbedder.from_pretrained(model, choose_device(device))
        opened.check_embedder(embedder)
        found = opened.search(embedder.embed_texts(texts), k)
        for text, hits in zip(texts, found, strict=True):
            typer.echo(text)
            for hit in hits:
                typer.echo(f"  {hit.score:8.3f}  {hit.about['path'] or hit.about['id']}")
        if sheet is not None:
            _save_hits(texts, found, embedder.processor, sheet)
            typer.echo(sheet)


def _save_hits(texts: list[str], found: list[Any], processor: Any, sheet: Path) -> None:
    """A row for each sentence: the middle frame of each video with its skeleton."""
    import numpy as np

    from ..video import read_frames, read_keypoints
    from ..video.sheet import save_cells, skeleton_cell

    pages = []
    for text, hits in zip(texts, found, strict=True):
        cells = []
        for hit in hits:
            try:
                frames = read_frames(hit.about["path"], processor.num_frames, processor.sampling).frames
                points = read_keypoints(hit.about["path"], processor.detector, processor.num_frames, processor.sampling).points
            except (OSError, TypeError, ValueError) as error:
                typer.secho(f"  not shown: {hit.about['id']}: {error}", err=True)
                continue
            shown = int(np.argmin(abs(np.flatnonzero(points[..., 2].max(axis=1) > 0) - len(points) / 2)))
            frame = int(np.flatnonzero(points[..., 2].max(axis=1) > 0)[shown])
            cells.append(skeleton_cell(frames[frame], points[frame], f"{hit.score:.2f} {hit.about['id']}", 240))
        if cells:
            pages.append((text, cells))
    if not pages:
        raise ValueError("None of the videos found can be shown: their files are not where the index was made.")
    save_cells(pages, sheet, 6)
