"""What is read at most: one place for limits, which are checked before anything is read or allocated.

They are far above what people record and far below what fills a machine: a damaged or hostile file is refused in a moment, with the value,
the limit and the way out.
"""

from __future__ import annotations

import os
from pathlib import Path

MAX_FRAMES = 1_000_000
"""Frames of one clip: 2.3 hours at 120 a second."""

MAX_JOINTS = 1024
"""Joints of one skeleton; a body with hands and a face has some 150."""

MAX_POSITIONS = 50_000_000
"""Frames times joints of one clip: 1.2 GB of positions in float64."""

MAX_COEFFICIENTS = 4096
"""Coefficients of one face; ARKit has 52, FLAME at most 103."""

FPS_RANGE = 0.001, 10_000.0
"""Frames per second of a clip."""

MAX_ARRAY_BYTES = 2**30
"""Bytes of the arrays that are read of one .npy or .npz file, unpacked."""

MAX_TEXT_BYTES = 2**28
"""Bytes of one text file: BVH, ASF, AMC, captions, mappings."""

MAX_LINES = 4_000_000
"""Lines of one text file, empty ones included."""

MAX_VIDEO_FRAMES = 200_000
"""Frames of one video: nearly two hours at 30 a second."""

MAX_IMAGE_BYTES = 2**31
"""Bytes of images that are held at once: a GIF, or what `render_frames` returns."""

MAX_LAYERS = 1024
"""Layers, heads, books and the like of a network that is loaded."""

MAX_TENSOR_SIDE = 2**16
"""Width of a network that is loaded, unless its weights have a longer side."""

MAX_UNSEEN_SIDE = 2**24
"""The same where the weights are not there yet to compare with."""

MAX_MODEL_FRAMES = 100_000
"""Frames of the longest clip that a model says it makes."""

MAX_NOISE_LEVELS = 1_000_000
"""Noise levels of a diffusion schedule."""


def check_clip(frames: int, joints: int, hint: str = "Cut the clip into shorter ones.") -> None:
    """Refuse a clip that is too long or has too many joints.

    Args:
        frames (`int`): Frames that it would have.
        joints (`int`): Joints.
        hint (`str`): The way out, a sentence.

    Raises:
        ValueError: If it is beyond a limit.

    Example:
        >>> check_clip(196, 22)
    """
    if frames > MAX_FRAMES:
        raise ValueError(f"It would have {frames:,} frames, and at most {MAX_FRAMES:,} are taken. {hint}")
    if joints > MAX_JOINTS:
        raise ValueError(f"It has {joints:,} joints, and at most {MAX_JOINTS:,} are taken. Leave out those that are no part of a body.")
    if frames * joints > MAX_POSITIONS:
        raise ValueError(f"{frames:,} frames of {joints:,} joints are more than the {MAX_POSITIONS:,} positions that are taken. {hint}")


def check_face(frames: int, coefficients: int, hint: str = "Cut the clip into shorter ones.") -> None:
    """Refuse a face that is too long or has too many coefficients.

    Args:
        frames (`int`): Frames that it would have.
        coefficients (`int`): Coefficients.
        hint (`str`): The way out, a sentence.

    Raises:
        ValueError: If it is beyond a limit.
    """
    if frames > MAX_FRAMES:
        raise ValueError(f"The face would have {frames:,} frames, and at most {MAX_FRAMES:,} are taken. {hint}")
    if coefficients > MAX_COEFFICIENTS:
        raise ValueError(f"The face has {coefficients:,} coefficients, and at most {MAX_COEFFICIENTS:,} are taken. Leave some out.")
    if frames * coefficients > MAX_POSITIONS:
        raise ValueError(
            f"{frames:,} frames of {coefficients:,} coefficients are more than the {MAX_POSITIONS:,} numbers that are taken. {hint}"
        )


def check_bytes(path: str | os.PathLike, size: int, limit: int = MAX_ARRAY_BYTES, hint: str = "Cut it into several files.") -> None:
    """Refuse content that is too large for memory.

    Args:
        path (`str` or `os.PathLike`): The file, for the message.
        size (`int`): Bytes that it would take, unpacked.
        limit (`int`): The most that is taken.
        hint (`str`): The way out, a sentence.

    Raises:
        ValueError: If it is beyond the limit.
    """
    if size > limit:
        raise ValueError(f"{str(path)!r} holds {_readable(size)}, and at most {_readable(limit)} are read of one file. {hint}")


def read_bytes(path: str | os.PathLike) -> bytes:
    """The content of a text file that is not too long.

    Args:
        path (`str` or `os.PathLike`): The file.

    Raises:
        ValueError: If it has more than `MAX_TEXT_BYTES` bytes or `MAX_LINES` lines; the message names it.
        FileNotFoundError: If there is no such file.
    """
    path = Path(path)
    check_bytes(path, path.stat().st_size, MAX_TEXT_BYTES)
    data = path.read_bytes()
    lines = max(data.count(b"\n"), data.count(b"\r"))
    if lines > MAX_LINES:
        raise ValueError(f"{str(path)!r} has {lines:,} lines, and at most {MAX_LINES:,} are read of one file. Cut it into several files.")
    return data


def _readable(size: int) -> str:
    if size < 2**20:
        return f"{size:,} bytes"
    return f"{size / 2**30:,.1f} GiB" if size >= 2**30 else f"{size / 2**20:,.0f} MiB"
