"""Motions to MP4 and GIF files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ..motion import Motion
from ..utils.extras import require
from ..utils.files import atomic_path
from .frames import Film, check_size, prepared, render_frames
from .text import pillow

_GIF_FPS = 50


def save_video(
    motions: Motion | Sequence[Motion], path: str | os.PathLike, *, size: tuple[int, int] = (480, 480), fps: float | None = None
) -> None:
    """Write motions as `.mp4` (H.264, yuv420p, plays everywhere) or `.gif`. See `render_frames` for what is shown.

    Args:
        motions (`Motion` or a sequence of `Motion`): What to draw; several stand side by side.
        path (`str` or `os.PathLike`): File to write, `.mp4` or `.gif`; missing folders are made. It appears whole or not at all.
        size (`tuple[int, int]`, defaults to `(480, 480)`): Width and height in pixels of each motion's picture; even for `.mp4`.
        fps (`float`, *optional*): Frames per second; that of the first motion by default. A GIF has 50 at most.

    Raises:
        ValueError: If there is no motion, the suffix is another one, `size` is odd or out of range, or `fps` is not positive.
        ImportError: If Pillow, or PyAV for `.mp4`, is not installed.
        OSError: If the file cannot be written.
    """
    path, motions = Path(path), prepared(motions, fps)
    size = check_size(size)
    pillow()
    suffix = path.suffix.lower()
    if suffix not in (".mp4", ".gif"):
        raise ValueError(f"Cannot write a video as {path.suffix or path.name!r}. Use .mp4 or .gif.")
    if suffix == ".gif":
        motions = prepared(motions, min(motions[0].fps, _GIF_FPS))
        _write_gif(motions, path, size)
        return
    if size[0] % 2 or size[1] % 2:
        even = tuple(side + side % 2 for side in size)
        raise ValueError(f"size must be even in both directions for .mp4, got {size}. Use {even}, or write a .gif.")
    _write_mp4(motions, path, size)


def require_video() -> Any:
    """PyAV, which with Pillow is all that an `.mp4` needs.

    Raises:
        ImportError: If one of them is not installed; the message says how to.
    """
    pillow()
    return require("av", "Writing .mp4", "Or write a .gif.")


def _write_mp4(motions: list[Motion], path: Path, size: tuple[int, int]) -> None:
    av = require_video()
    name, options = _codec(av)
    film = Film(motions, size)
    with atomic_path(path) as temporary, av.open(str(temporary), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream(name, rate=Fraction(motions[0].fps).limit_denominator(1001), options=options)
        stream.height, stream.width = film.shape[:2]
        stream.pix_fmt = "yuv420p"
        for images in film.batches():
            for image in images:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


def _codec(av: Any) -> tuple[str, dict[str, str]]:
    if "libx264" in av.codecs_available:
        return "libx264", {"preset": "superfast", "crf": "21"}
    return "mpeg4", {"qscale": "3"}


def _write_gif(motions: list[Motion], path: Path, size: tuple[int, int]) -> None:
    image = pillow().Image
    frames = render_frames(motions, size=size)
    sample = np.concatenate(frames[np.unique(np.linspace(0, len(frames) - 1, 6).astype(int))])
    palette = image.fromarray(sample).quantize(255, method=image.Quantize.MEDIANCUT)
    pictures = [image.fromarray(frame).quantize(palette=palette, dither=image.Dither.NONE) for frame in frames]
    ticks = np.round(np.arange(len(frames) + 1) * 100 / motions[0].fps).astype(int)
    with atomic_path(path) as temporary:
        pictures[0].save(
            temporary, format="GIF", save_all=True, append_images=pictures[1:], duration=(np.diff(ticks) * 10).tolist(), loop=0,
            optimize=False,
        )  # fmt: skip
