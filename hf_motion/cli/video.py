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


Retriever = Annotated[str | None, typer.Option(help="Folder or Hub repository of a GeminiMVR; the one inside the package by default.")]


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
    model: Retriever = None,
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
    texts: Annotated[list[str] | None, typer.Argument(help="What to look for.")] = None,
    like: Annotated[list[Path] | None, typer.Option(help="A video, or a motion file, that others are to look like; repeatable.")] = None,
    model: Retriever = None,
    k: Annotated[int, typer.Option("-k", min=1, help="Videos for each sentence.")] = 5,
    videos: Annotated[Path | None, typer.Option(help="Folder of the videos, where they have moved since the index was made.")] = None,
    sheet: Annotated[Path | None, typer.Option(help="Show what was found on one page, .png.")] = None,
    device: Device = None,
) -> None:
    """Find videos of an index that show what sentences tell, or that look like others."""
    from ..formats.read import read_motion
    from ..retrieval.video_building import VIDEO_SUFFIXES, GeminiMVREmbedder
    from ..retrieval.video_index import VideoIndex
    from ..retrieval.video_retriever import VideoRetriever
    from ..utils.device import choose_device

    with user_errors():
        if sheet is not None and sheet.suffix.lower() != ".png":
            raise ValueError(f"{str(sheet)!r} must end in .png.")
        if not texts and not like:
            raise ValueError("Say what to look for: sentences, or --like a video or motion file.")
        embedder = GeminiMVREmbedder.from_pretrained(model, choose_device(device))
        retriever = VideoRetriever(VideoIndex.from_pretrained(index), embedder, videos)
        found = retriever.retrieve(texts, k) if texts else []
        names = [*(texts or []), *(str(path) for path in like or [])]
        items = [path if path.suffix.lower() in VIDEO_SUFFIXES else read_motion(path) for path in like or []]
        found += retriever.retrieve_like(items, k) if items else []
        for text, hits in zip(names, found, strict=True):
            typer.echo(text)
            for hit in hits:
                typer.echo(f"  {hit.score:8.3f}  {hit.about['path'] or hit.about['id']}")
        if sheet is not None:
            _save_hits(names, found, embedder.processor, sheet)
            typer.echo(sheet)


@video_app.command()
def retrieve(
    index: Annotated[str, typer.Argument(help="Folder or Hub repository of an index.")],
    dataset: Annotated[str, typer.Option(help="Captioned motion whose captions look for videos, mirrored ones too.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the data set, train.parquet.")],
    model: Retriever = None,
    split: Annotated[str, typer.Option(help="Split of the captioned motion.")] = "train",
    k: Annotated[int, typer.Option("-k", min=1, help="Videos of each caption; the first that can be used is shown.")] = 5,
    videos: Annotated[Path | None, typer.Option(help="Folder of the videos, where they have moved since the index was made.")] = None,
    random: Annotated[int | None, typer.Option(help="Draw videos by chance instead, with this seed: for ablations.")] = None,
    device: Device = None,
) -> None:
    """Find a video for every caption of a data set, for training/train_sft.py --retrieved and hf-motion prefer mcdpo."""
    from ..data.motion_text import load_motion_rows, mirror_text, read_row
    from ..retrieval.retrieved import RetrievedVideos
    from ..retrieval.video_building import GeminiMVREmbedder
    from ..retrieval.video_index import VideoIndex
    from ..retrieval.video_retriever import RandomVideos, VideoRetriever
    from ..utils.device import choose_device

    with user_errors():
        opened = VideoIndex.from_pretrained(index)
        captions = {caption for row in load_motion_rows(dataset, split) for caption in read_row(row, "humanml3d-22")[1]}
        texts = sorted(captions | {mirror_text(caption) for caption in captions})
        if random is not None:
            retriever: Any = RandomVideos(opened, random, videos)
        else:
            retriever = VideoRetriever(opened, GeminiMVREmbedder.from_pretrained(model, choose_device(device)), videos)
        written = RetrievedVideos.of(retriever, texts, k).save(output)
    typer.echo(f"{len(texts)} texts, {k} of {len(opened)} videos each", err=True)
    typer.echo(written)


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
                keypoints = read_keypoints(hit.about["path"], processor.detector, processor.num_frames, processor.sampling)
                points, (width, height) = keypoints.points, keypoints.size
                if Path(hit.about["path"]).suffix.lower() == ".npz":
                    frames = np.full((len(points), height, width, 3), 255, np.uint8)
                else:
                    frames = read_frames(hit.about["path"], processor.num_frames, processor.sampling).frames
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
