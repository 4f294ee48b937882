"""Frames of a video, by PyAV: which ones is decided from the times of all packets, before anything is decoded."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..utils.extras import require
from ..utils.faults import reason
from ..utils.limits import MAX_IMAGE_BYTES, MAX_VIDEO_FRAMES

logger = logging.getLogger(__name__)

Video = str | os.PathLike | bytes | Mapping[str, Any]
"""A file, its bytes, or a row of a video column (`datasets.Video(decode=False)`): `{"bytes": ..., "path": ...}`."""

SAMPLINGS = ("uniform", "vimorag")
_LEAST_OF_VIMORAG = 8
_WAY_OUT = "Pass start= and end= in seconds to read a part of it."


@dataclass(frozen=True)
class VideoFrames:
    """Some frames of a video.

    Args:
        frames (`numpy.ndarray`): (n, height, width, 3) uint8 RGB, upright.
        times (`numpy.ndarray`): (n,) float64, seconds from the video's first frame, ascending.
        fps (`float`): Mean frames per second of the part that was sampled, all frames counted.
        duration (`float`): Seconds of that part, its last frame included.
    """

    frames: np.ndarray
    times: np.ndarray
    fps: float
    duration: float

    def __len__(self) -> int:
        return len(self.frames)


@dataclass(frozen=True)
class _Timeline:
    """What the packets of a video say: when each frame is shown and where decoding can begin."""

    stamps: np.ndarray
    keys: np.ndarray
    unit: float
    last: float
    counted: bool


def read_frames(
    video: Video,
    num_frames: int | None = 16,
    sampling: str = "uniform",
    *,
    start: float = 0.0,
    end: float | None = None,
    max_side: int | None = None,
) -> VideoFrames:
    """Read frames of a video.

    Frames stand upright whatever the file says of rotation, and have square pixels. Transparent ones are laid on white. With a variable
    frame rate frames are even in time. Of a long file only what lies between a key frame and a wanted frame is decoded.

    Args:
        video (`str`, `os.PathLike`, `bytes` or `Mapping`): A file, its content, or a row of a video column with `bytes` or `path`.
        num_frames (`int`, *optional*, defaults to 16): Frames to take, first and last included; all if the video has fewer. None takes all.
        sampling (`str`, defaults to `"uniform"`): `"uniform"` takes `num_frames`. `"vimorag"` takes one a second, at least 8 and at most
            `num_frames` (16 in the published code).
        start (`float`, defaults to 0.0): Where to begin, seconds.
        end (`float`, *optional*): Where to end, seconds; the end of the video by default.
        max_side (`int`, *optional*): Make larger frames smaller, so that their longer side has so many pixels.

    Returns:
        `VideoFrames`: Frames, times, frame rate, duration. What could not be decoded is left out with a warning.

    Raises:
        ValueError: If it is no video, holds no frames (in that part), is damaged from the start, is longer or larger than
            `hf_motion.utils.limits` allow, or an option is out of range.
        FileNotFoundError: If there is no such file.
        ImportError: If PyAV is not installed.

    Example:
        >>> read_frames("clip.mp4", num_frames=8).frames.shape  # doctest: +SKIP
        (8, 480, 640, 3)
    """
    _check_options(num_frames, sampling, start, end, max_side)
    content, name = open_video(video)
    with _opened(content, name) as (container, stream):
        _check_length(container, stream, name, start, end)
        timeline = _timeline(container, stream, name, start, end)
    wanted, fps, duration = _choose(timeline, num_frames, sampling)
    with _opened(content, name) as (container, stream):
        sides = _sides(stream.codec_context.width, stream.codec_context.height, _aspect(stream), max_side)
        _check_memory(name, len(wanted), sides)
        images = _decode(container, stream, timeline, wanted, sides)
    if len(images) < len(wanted):
        if not images:
            raise ValueError(f"{name} is damaged: none of {len(wanted)} frames could be decoded. Get another copy, or leave it out.")
        logger.warning(
            "%s is damaged: %d of %d frames could not be decoded and are left out.", name, len(wanted) - len(images), len(wanted)
        )
    stamps = sorted(images)
    first = timeline.stamps[0] if start == 0 else 0
    times = (np.array(stamps, dtype=np.float64) - first) * timeline.unit
    return VideoFrames(np.stack([images[stamp] for stamp in stamps]), times, fps, duration)


def open_video(video: Video) -> tuple[bytes | Path, str]:
    """A video's bytes or path, and what messages call it.

    Args:
        video (`str`, `os.PathLike`, `bytes` or `Mapping`): As for `read_frames`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a row has neither bytes nor a path, or the bytes are none.
    """
    if isinstance(video, Mapping):
        content, path = video.get("bytes"), video.get("path")
        if content is None and path is None:
            raise ValueError(
                f"A row of a video column needs 'bytes' or 'path', got the keys {sorted(video)}. Use datasets.Video(decode=False)."
            )
        name = repr(str(path)) if path else f"A video of {len(content):,} bytes"
        video = path if content is None else bytes(content)
    else:
        name = f"A video of {len(video):,} bytes" if isinstance(video, bytes) else repr(os.fspath(video))
    if isinstance(video, bytes):
        if not video:
            raise ValueError(f"{name} is empty. Get another copy, or leave it out.")
        return video, name
    path = Path(video)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {str(path)!r}.")
    if not path.stat().st_size:
        raise ValueError(f"{name} is empty: it has no bytes. Get another copy, or leave it out.")
    return path, name


def frame_count(duration: float, num_frames: int, sampling: str) -> int:
    """How many frames are taken of a video, see `read_frames`.

    Args:
        duration (`float`): Its seconds.
        num_frames (`int`): At most so many.
        sampling (`str`): `"uniform"` or `"vimorag"`.

    Raises:
        ValueError: If the sampling is unknown.

    Example:
        >>> frame_count(3.0, 16, "vimorag"), frame_count(12.0, 16, "vimorag"), frame_count(3.0, 16, "uniform")
        (8, 12, 16)
    """
    if sampling not in SAMPLINGS:
        raise ValueError(f"sampling must be one of {', '.join(map(repr, SAMPLINGS))}, got {sampling!r}.")
    return num_frames if sampling == "uniform" else min(num_frames, max(_LEAST_OF_VIMORAG, int(duration)))


def _check_options(num_frames: int | None, sampling: str, start: float, end: float | None, max_side: int | None) -> None:
    if num_frames is not None and (not isinstance(num_frames, int) or num_frames < 1):
        raise ValueError(f"num_frames must be a whole number from 1, or None for all, got {num_frames!r}.")
    if sampling not in SAMPLINGS:
        raise ValueError(f"sampling must be one of {', '.join(map(repr, SAMPLINGS))}, got {sampling!r}.")
    if not 0 <= start < float("inf") or (end is not None and not end > start):
        raise ValueError(f"start must not be negative and end must come after it, got start={start!r} and end={end!r}, in seconds.")
    if max_side is not None and max_side < 16:
        raise ValueError(f"max_side must be at least 16 pixels, got {max_side!r}.")


@contextmanager
def _opened(content: bytes | Path, name: str) -> Iterator[tuple[Any, Any]]:
    """A container and its video stream; every error of FFmpeg comes out as one that names the video."""
    av = require("av", "Reading videos")
    with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as file:
        try:
            # A playlist must not make FFmpeg open what it names.
            with av.open(file, options={"protocol_whitelist": "none"}) as container:
                streams = [stream for stream in container.streams.video if not stream.disposition & av.stream.Disposition.attached_pic]
                if not streams:
                    raise ValueError(f"{name} holds no video: {len(container.streams)} stream(s), none with moving pictures.")
                stream = max(streams, key=lambda found: found.codec_context.width * found.codec_context.height)
                if stream.codec_context is None or not stream.codec_context.width:
                    raise ValueError(f"{name} has a video stream of no size, or in a format that this FFmpeg cannot read.")
                stream.thread_type = "AUTO"
                yield container, stream
        except av.FFmpegError as error:
            raise ValueError(f"{name} is not a video that can be read: {reason(error)} Get another copy, or leave it out.") from error


def _check_length(container: Any, stream: Any, name: str, start: float, end: float | None) -> None:
    """Refuse by what the header says, before all packets are read."""
    seconds = container.duration / 1e6 if container.duration else 0.0
    rate = float(stream.average_rate or 0)
    frames = (min(seconds, end or seconds) - start) * rate
    if frames > MAX_VIDEO_FRAMES:
        raise ValueError(
            f"{name} lasts {seconds / 3600:.1f} h, {frames:,.0f} frames, and at most {MAX_VIDEO_FRAMES:,} are looked through. {_WAY_OUT}"
        )


def _timeline(container: Any, stream: Any, name: str, start: float, end: float | None) -> _Timeline:
    """When frames are shown, from packets alone. A file whose packets have no times is counted through."""
    unit = float(stream.time_base or 0)
    origin = stream.start_time or 0
    if start and unit:
        container.seek(origin + int(start / unit), stream=stream)
    stamps, keys, last = [], [], 0.0
    for packet in container.demux(stream):
        if not packet.size or packet.is_discard:
            continue
        if packet.pts is None or not unit:
            return _counted(stream, name, start)
        # Frames are stored up to a second or so out of order.
        if end is not None and (packet.pts - origin) * unit > end + 2:
            break
        if start <= (packet.pts - origin) * unit <= (end if end is not None else np.inf):
            stamps.append(packet.pts - origin)
            last = max(last, (packet.pts - origin + (packet.duration or 0)) * unit)
        if packet.is_keyframe:
            keys.append(packet.pts - origin)
        if len(stamps) > MAX_VIDEO_FRAMES:
            raise ValueError(f"{name} has more than {MAX_VIDEO_FRAMES:,} frames, the most that are looked through. {_WAY_OUT}")
    if not stamps:
        raise ValueError(f"{name} holds no frames{f' from {start:g} s on' if start else ''}. Leave it out, or check start and end.")
    return _Timeline(np.unique(stamps), np.unique(keys), unit, last, counted=False)


def _counted(stream: Any, name: str, start: float) -> _Timeline:
    """The timeline of a file without times: frames are numbered as they are decoded."""
    if start:
        raise ValueError(f"{name} tells no times, so that start= cannot be found in it. Read it from its beginning, or rewrap it as .mp4.")
    rate = float(stream.average_rate or stream.guessed_rate or 25)
    count = 0
    for _ in stream.container.decode(stream):
        count += 1
        if count > MAX_VIDEO_FRAMES:
            raise ValueError(f"{name} has more than {MAX_VIDEO_FRAMES:,} frames, the most that are looked through. Cut it into pieces.")
    if not count:
        raise ValueError(f"{name} holds no frames. Leave it out.")
    return _Timeline(np.arange(count), np.zeros(1, np.int64), 1 / rate, count / rate, counted=True)


def _choose(timeline: _Timeline, num_frames: int | None, sampling: str) -> tuple[np.ndarray, float, float]:
    """Stamps of the wanted frames, ascending; mean frame rate; seconds."""
    stamps, unit = timeline.stamps, timeline.unit
    spread = float(stamps[-1] - stamps[0]) * unit
    own = timeline.last - stamps[-1] * unit
    if own <= 0:
        own = spread / max(len(stamps) - 1, 1)
    duration = spread + own
    fps = (len(stamps) - 1) / spread if spread else 1 / own if own else 1.0
    count = frame_count(duration, len(stamps) if num_frames is None else num_frames, sampling)
    if count >= len(stamps):
        return stamps, fps, duration
    targets = np.linspace(stamps[0], stamps[-1], count)
    after = np.clip(np.searchsorted(stamps, targets), 1, len(stamps) - 1)
    nearest = np.where(targets - stamps[after - 1] <= stamps[after] - targets, after - 1, after)
    return stamps[np.unique(nearest)], fps, duration


def _aspect(stream: Any) -> float:
    ratio = float(stream.sample_aspect_ratio or 1)
    return ratio if 0.1 < ratio < 10 else 1.0


def _sides(width: int, height: int, aspect: float, max_side: int | None) -> tuple[int, int]:
    """Width and height as stored, with square pixels and not above the limit."""
    wide, high = (width * aspect, height) if aspect >= 1 else (width, height / aspect)
    scale = min(1.0, max_side / max(wide, high)) if max_side else 1.0
    return max(1, round(wide * scale)), max(1, round(high * scale))


def _check_memory(name: str, frames: int, sides: tuple[int, int]) -> None:
    size = frames * sides[0] * sides[1] * 3
    if size > MAX_IMAGE_BYTES:
        raise ValueError(
            f"{frames:,} frames of {name}, {sides[0]} x {sides[1]} pixels each, take {size / 2**30:.1f} GiB, and at most "
            f"{MAX_IMAGE_BYTES / 2**30:.0f} GiB are held at once. Lower num_frames, or pass max_side=640."
        )


def _decode(container: Any, stream: Any, timeline: _Timeline, wanted: np.ndarray, sides: tuple[int, int]) -> dict[int, np.ndarray]:
    """Images by stamp. What a seek does not find is looked for once more from the beginning."""
    images: dict[int, np.ndarray] = {}
    if timeline.counted:
        _collect(container, stream, set(wanted.tolist()), sides, images, counted=True)
        return images
    origin = stream.start_time or 0
    begin = np.searchsorted(timeline.keys, wanted, side="right") - 1
    for key in np.unique(begin):
        group = wanted[begin == key]
        if key > 0:
            container.seek(int(timeline.keys[key]) + origin, stream=stream)
        elif images:
            container.seek(origin, stream=stream)
        _collect(container, stream, set(group.tolist()), sides, images, counted=False)
    missing = set(wanted.tolist()) - images.keys()
    if missing and len(timeline.keys) > 1:
        container.seek(origin, stream=stream)
        _collect(container, stream, missing, sides, images, counted=False)
    return images


def _collect(container: Any, stream: Any, wanted: set[int], sides: tuple[int, int], images: dict[int, np.ndarray], counted: bool) -> None:
    """Decode on until all wanted frames are there, past damaged packets."""
    av = require("av", "Reading videos")
    origin, last, number = stream.start_time or 0, max(wanted), 0
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.InvalidDataError:
            continue
        for frame in frames:
            stamp = number if counted else None if frame.pts is None else frame.pts - origin
            number += 1
            if stamp in wanted and stamp not in images:
                images[stamp] = _image(frame, sides)
            if stamp is not None and stamp >= last:
                return


def _image(frame: Any, sides: tuple[int, int]) -> np.ndarray:
    """One frame, upright, (height, width, 3) uint8."""
    transparent = any(component.is_alpha for component in frame.format.components)
    image = frame.reformat(*sides, format="rgba" if transparent else "rgb24").to_ndarray()
    if transparent:
        alpha = image[..., 3:].astype(np.uint16)
        image = ((image[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image
