"""Videos made on the spot, whose frames say which they are: frame i is grey at brightness 10 * i, with a bright left half."""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction

import av
import numpy as np

FPS = 25


def picture(index: int, size: tuple[int, int] = (64, 48)) -> np.ndarray:
    """(height, width, 3) uint8."""
    image = np.full((size[1], size[0], 3), 10 * index, dtype=np.uint8)
    image[:, : size[0] // 2] = np.minimum(10 * index + 40, 255)
    return image


def clip_bytes(
    frames: int = 20, ticks: Sequence[int] | None = None, container: str = "mp4", codec: str = "mpeg4", gop: int = 5, alpha: bool = False
) -> bytes:
    """A video; `ticks` are the times of its frames in 1/1000 s, evenly 25 a second by default."""
    ticks = [40 * index for index in range(frames)] if ticks is None else ticks
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=FPS)
        stream.width, stream.height = 64, 48
        stream.pix_fmt = "rgba" if alpha else "rgb24" if codec == "png" else "yuv420p"
        if container in ("mp4", "mov", "matroska"):  # the others keep one frame rate
            stream.codec_context.time_base = Fraction(1, 1000)
        stream.codec_context.gop_size = gop
        for index, tick in enumerate(ticks):
            image = picture(index % 20)
            if alpha:
                image = np.concatenate([image, np.full((48, 64, 1), 128, np.uint8)], axis=-1)
            frame = av.VideoFrame.from_ndarray(image, format="rgba" if alpha else "rgb24")
            frame.pts, frame.time_base = tick, Fraction(1, 1000)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return file.getvalue()


def indices(frames: np.ndarray) -> list[int]:
    """Which frames these are, from their brightness on the right."""
    return [round(float(frame[:, -16:].mean()) / 10) for frame in frames]
