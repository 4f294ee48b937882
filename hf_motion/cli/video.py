"""`hf-motion video pose`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

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
