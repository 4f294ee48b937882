"""CSV files of Epic's app Live Link Face: one row per frame with its timecode, ARKit's 52 coefficients and 9 angles."""

from __future__ import annotations

import logging
import math
import os
import re
from pathlib import Path
from typing import NoReturn

import numpy as np

from ...face import FACE_SETS, Face, known_names
from ...motion import check_fps
from ...utils import limits
from ...utils.faults import reading
from ...utils.files import atomic_path
from .clip import FaceClip, on_grid

logger = logging.getLogger("hf_motion")
_TIMECODE = re.compile(r"(\d{1,2}):(\d{1,2}):(\d{1,2})[:;](\d{1,3}(?:\.\d{1,9})?)")
# Rates that the app records at. A file does not say which; its timecodes count so many frames in a second.
_RATES = (24.0, 25.0, 30.0, 60.0)
_DAY = 86400.0


def read_livelink(path: str | os.PathLike, *, fps: float | None = None) -> FaceClip:
    """Read a file of Live Link Face.

    Args:
        path (`str` or `os.PathLike`): A `.csv` with the columns Timecode (`HH:MM:SS:FF.fff`), BlendShapeCount and coefficients of
            `"livelink-61"`, or a part of these.
        fps (`float`, *optional*): Frames in a second of its timecodes. By default the lowest of 24, 25, 30 and 60 that has all the frame
            numbers of the file, and 60 where the file is too short to tell.

    Returns:
        `FaceClip`: With the file's coefficients. Frames that the app lost are filled in linearly, which a note says.

    Raises:
        ValueError: If the file is damaged, has no rows, names unknown coefficients or goes back in time; the message names file and line.
        FileNotFoundError: If there is no such file.
    """
    path = Path(path)
    with reading(path, "a readable Live Link Face CSV file"):
        lines = limits.read_bytes(path).decode("utf-8-sig").splitlines()
        names, kind = _header(path, lines)
        rows = [(number, line.split(",")) for number, line in enumerate(lines[1:], 2) if line.strip()]
        limits.check_face(len(rows), len(names))
        full = [(number, cells) for number, cells in rows if any(cell.strip() for cell in cells[2:])]
        if not full:
            _fail(path, len(lines), "at least one frame", "none")
        codes = np.array([_timecode(path, number, cells[0]) for number, cells in full])
        values = np.array([_numbers(path, number, cells, len(names)) for number, cells in full])
        lost = len(rows) - len(full)
        notes = [f"{lost:,} of {len(rows):,} rows hold no face"] if lost else []
        rate, guessed = _rate(codes[:, 1], fps)
        times, kept, told = _times(path, [number for number, _ in full], codes, rate)
        values, filled = on_grid(times, values[kept], rate)
        return FaceClip(Face(values, names, kind), rate, float(times[0]), (*notes, *guessed, *told, *filled))


def write_livelink(face: Face, path: str | os.PathLike, *, fps: float, start: float = 0.0) -> Path:
    """Write a file as Live Link Face does, with all of its 61 columns.

    Args:
        face (`Face`): Coefficients of ARKit. Those that it lacks, and angles of head and eyes, are written as 0, which a warning says.
        path (`str` or `os.PathLike`): File to write; missing folders are made. It appears whole or not at all.
        fps (`float`): Frame rate of the face. Timecodes count 24, 25, 30 or 60 frames a second; from another rate, the face is resampled
            to 60, which a warning says.
        start (`float`, defaults to 0.0): Time of the first frame, seconds of the day.

    Returns:
        `pathlib.Path`: The written file.

    Raises:
        ValueError: If the coefficients are not ARKit's.
        OSError: If the file cannot be written.
    """
    if face.kind not in ("arkit-52", "livelink-61"):
        raise ValueError(f"Live Link Face knows ARKit's coefficients, not {face}. Write .npz for FLAME, or rename them first.")
    rate = check_fps(fps)
    if rate not in _RATES:
        logger.warning("%s: timecodes do not count %g frames a second; the face is resampled to 60.", path, rate)
        face, rate = face.resample(rate, _RATES[-1]), _RATES[-1]
    missing = [name for name in FACE_SETS["livelink-61"] if name not in face.names]
    if missing:
        logger.warning("%s: %d of 61 columns are written as 0, since the face has no %s.", path, len(missing), ", ".join(missing))
    face = face.select("livelink-61", fill=0.0)
    titles = [name[0].upper() + name[1:] for name in face.names]
    rows = [",".join(("Timecode", "BlendShapeCount", *titles))]
    for frame, row in enumerate(face.coefficients):
        # Shortest decimals that are the same float32.
        values = ",".join(np.format_float_positional(value, trim="0") for value in row)
        rows.append(f"{_written_time(start, frame, rate)},{len(titles)},{values}")
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join(rows) + "\n", encoding="ascii", newline="\n")
    return Path(path)


def _fail(path: Path, line: int, expected: str, found: str) -> NoReturn:
    raise ValueError(f"{str(path)!r} is not a readable Live Link Face CSV file: line {line}: expected {expected}, found {found[:80]}.")


def _header(path: Path, lines: list[str]) -> tuple[tuple[str, ...], str]:
    titles = [title.strip().strip('"') for title in (lines[0] if lines else "").split(",")]
    if len(titles) < 3 or [title.lower() for title in titles[:2]] != ["timecode", "blendshapecount"]:
        _fail(path, 1, "the columns Timecode, BlendShapeCount and coefficients", repr(",".join(titles[:3])))
    limits.check_face(1, len(titles) - 2)
    try:
        return known_names(titles[2:])
    except ValueError as error:
        raise ValueError(f"{str(path)!r}: line 1: {error}") from error


def _timecode(path: Path, line: int, cell: str) -> tuple[float, float]:
    """Whole seconds of the day, and frames."""
    match = _TIMECODE.fullmatch(cell.strip())
    if match is None:
        _fail(path, line, "a timecode such as 17:23:09:33.512", repr(cell))
    return int(match[1]) * 3600.0 + int(match[2]) * 60 + int(match[3]), float(match[4])


def _numbers(path: Path, line: int, cells: list[str], count: int) -> list[float]:
    if len(cells) != count + 2:
        _fail(path, line, f"{count + 2} cells, as many as there are columns", str(len(cells)))
    try:
        values = list(map(float, cells[2:]))
    except ValueError:
        values = [math.nan]
    if not all(map(math.isfinite, values)):
        _fail(path, line, "finite numbers", repr(next((cell for cell in cells[2:] if not _is_number(cell)), "")))
    return values


def _is_number(cell: str) -> bool:
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False


def _rate(frames: np.ndarray, fps: float | None) -> tuple[float, tuple[str, ...]]:
    highest = int(frames.max())
    if fps is not None:
        rate = check_fps(fps)
        if highest >= rate:
            raise ValueError(f"a timecode counts frame {highest} of a second, more than the {rate:g} of fps= (--face-fps).")
        return rate, ()
    fitting = [rate for rate in _RATES if highest < rate]
    if not fitting:
        raise ValueError(f"a timecode counts frame {highest} of a second, more than 60; say how many there are with fps= (--face-fps).")
    if (np.diff(frames) < 0).any() or fitting == [_RATES[-1]]:
        return fitting[0], ()
    return _RATES[-1], ("its timecodes are too few to tell the frame rate, read as 60 fps; another is said with fps= (--face-fps)",)


def _times(path: Path, lines: list[int], codes: np.ndarray, rate: float) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Seconds, rising beyond midnight too; which frames are kept, and what to say of those that are not."""
    times = codes[:, 0] + codes[:, 1] / rate
    times = times + _DAY * np.concatenate(([0], np.cumsum(np.diff(times) < -_DAY / 2)))
    steps = np.diff(times)
    if (steps < 0).any():
        back = int(np.argmax(steps < 0)) + 1
        _fail(path, lines[back], "a timecode after that of the line before", f"one {-steps[back - 1]:.3f} s earlier")
    kept = np.concatenate(([True], steps > 0))
    same = int((~kept).sum())
    return times[kept], kept, (f"{same:,} rows repeat the timecode before them and are left out",) if same else ()


def _written_time(start: float, frame: int, rate: float) -> str:
    count = round(start * rate * 1000) + frame * 1000
    seconds, rest = divmod(count, round(rate * 1000))
    seconds %= int(_DAY)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}:{rest // 1000:02d}.{rest % 1000:03d}"
