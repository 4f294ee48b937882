"""ARKit faces as JSON: the names once, then frames with weights and times, as the data set BEAT has them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from ...face import Face, known_names
from ...motion import check_fps
from ...utils import limits
from ...utils.faults import reading
from ...utils.files import atomic_path
from .clip import FaceClip, on_grid, rate_of


def read_arkit_json(path: str | os.PathLike, *, fps: float | None = None) -> FaceClip:
    """Read `{"names": [...], "frames": [{"weights": [...], "time": seconds, "rotation": [...]}, ...]}`.

    Args:
        path (`str` or `os.PathLike`): The `.json` file. BEAT's have 51 of ARKit's names; so has the face then.
        fps (`float`, *optional*): Frame rate; by default that of the times.

    Returns:
        `FaceClip`: Missing frames filled in linearly and rotations of the head left out, each of which a note says.

    Raises:
        ValueError: If the file is damaged, of another layout, names unknown coefficients, has no frames or goes back in time; the message
            names the file and the frame.
        FileNotFoundError: If there is no such file.
    """
    path = Path(path)
    with reading(path, "a readable file of an ARKit face"):
        return arkit_clip(path, json.loads(limits.read_bytes(path)), fps)


def arkit_clip(path: Path, content: Any, fps: float | None = None) -> FaceClip:
    """The face in the content of such a file."""
    frames = content.get("frames") if isinstance(content, dict) else None
    if not isinstance(frames, list) or not isinstance(content.get("names"), list) or not frames:
        raise ValueError(f'{str(path)!r} is JSON of another layout: an ARKit face has "names" and at least one of "frames" at its top.')
    try:
        names, kind = known_names(content["names"])
        limits.check_face(len(frames), len(names))
        values = np.array([_weights(number, frame, len(names)) for number, frame in enumerate(frames)])
        times = _times(frames, fps)
        rate, guessed = rate_of(times, fps)
        values, filled = on_grid(times, values, rate)
        face = Face(values, names, kind)
    except ValueError as error:
        raise ValueError(f"{str(path)!r}: {error}") from error
    turned = sum(bool(frame.get("rotation")) for frame in frames)
    left_out = (f"the rotations of the head in {turned:,} frames are left out; the body has its own",) if turned else ()
    return FaceClip(face, rate, float(times[0]), (*guessed, *filled, *left_out))


def write_arkit_json(face: Face, path: str | os.PathLike, *, fps: float, start: float = 0.0) -> Path:
    """Write that layout, lossless.

    Args:
        face (`Face`): Coefficients of ARKit.
        path (`str` or `os.PathLike`): File to write; missing folders are made. It appears whole or not at all.
        fps (`float`): Frame rate.
        start (`float`, defaults to 0.0): Time of the first frame, seconds.

    Returns:
        `pathlib.Path`: The written file, ASCII.

    Raises:
        ValueError: If the coefficients are not ARKit's.
        OSError: If the file cannot be written.
    """
    if face.kind not in ("arkit-52", "livelink-61"):
        raise ValueError(f"This layout is for ARKit's coefficients, not for {face}. Write .npz for FLAME, or rename them first.")
    step = 1 / check_fps(fps)
    frames = [
        {"weights": [float(f"{value:.9g}") for value in row], "time": start + number * step, "rotation": []}
        for number, row in enumerate(face.coefficients.tolist())
    ]
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps({"names": face.names, "frames": frames}, separators=(",", ":")), encoding="ascii")
    return Path(path)


def _weights(number: int, frame: Any, count: int) -> list[float]:
    weights = frame.get("weights") if isinstance(frame, dict) else None
    if not isinstance(weights, list) or len(weights) != count:
        found = f"{len(weights)}" if isinstance(weights, list) else "none"
        raise ValueError(f"frame {number}: expected {count} weights, one for each name, found {found}.")
    if not all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in weights):
        raise ValueError(f"frame {number}: expected numbers as weights.")
    values = list(map(float, weights))
    if not np.isfinite(values).all():
        raise ValueError(f"frame {number}: its weights hold NaN or infinity. Repair or drop the frame.")
    return values


def _times(frames: list[dict[str, Any]], fps: float | None) -> np.ndarray:
    times = [frame.get("time") for frame in frames]
    if fps is not None and all(time is None for time in times):
        return np.arange(len(frames)) / check_fps(fps)
    wrong = next((n for n, t in enumerate(times) if not isinstance(t, (int, float)) or isinstance(t, bool) or not abs(t) < 1e9), None)
    if wrong is not None:
        raise ValueError(f'frame {wrong}: expected "time" in seconds, found {str(times[wrong])[:40]!r}. Or say fps= (--face-fps).')
    seconds = np.array(times, np.float64)
    back = np.flatnonzero(np.diff(seconds) <= 0)
    if len(back):
        raise ValueError(f"frame {back[0] + 1}: its time is not after that of the frame before.")
    return seconds
