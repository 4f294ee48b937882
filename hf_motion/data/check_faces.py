"""What can be wrong with the faces of a data set."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..face import FACE_SETS, Face

# Change of a coefficient below which nothing moves.
_STILL = 1e-5
# Farthest that FLAME's expression components and its jaw, in radians, are plausible.
_EXPRESSION, _JAW = 6.0, 0.8


def measure_face(face: Face, fps: float) -> dict[str, float]:
    """Measures of a face.

    Args:
        face (`Face`): The face.
        fps (`float`): Frames per second.

    Returns:
        `dict[str, float]`: `face_still` (longest time without any change, s), `face_jump` (root mean square over the coefficients of how
        far they are off their course in one frame alone, the worst frame; in their units), `face_range` (share of the coefficients that
        are outside what they can be: 0 to 1 for ARKit, 6 for FLAME's components, 0.8 rad for its jaw).
    """
    values = face.coefficients.astype(np.float64)
    moving = np.abs(np.diff(values, axis=0)).max(axis=1, initial=0) > _STILL
    edges = np.flatnonzero(np.concatenate(([True], moving, [True])))
    off = np.sqrt(((values[1:-1] - (values[:-2] + values[2:]) / 2) ** 2).mean(axis=1))
    off = np.pad(off, 2)
    jumps = np.where(off[2:-2] > 4 * np.maximum(off[:-4], off[4:]), off[2:-2], 0)
    low, high = _limits(face)
    outside = (values < low - 0.05) | (values > high + 0.05)
    return {
        "face_still": float(np.diff(edges).max(initial=1) - 1) / fps,
        "face_jump": float(jumps.max(initial=0)),
        "face_range": float(outside.mean()),
    }


def judge_face(measures: dict[str, float], face: Face, still: float, jump: float, outside: float) -> Iterator[tuple[str, str, float]]:
    """Kind, detail and value of what is wrong, by limits in the units of the measures."""
    if measures["face_still"] > still:
        yield "face_frozen", f"no coefficient of the face changes for {measures['face_still']:.1f} s", measures["face_still"]
    if measures["face_jump"] > jump * _scale(face):
        yield "face_jump", f"the face is {measures['face_jump']:.2f} off its course in one frame", measures["face_jump"]
    if measures["face_range"] > outside:
        yield "face_range", f"{100 * measures['face_range']:.1f} % of the coefficients of the face are out of range", measures["face_range"]


def _limits(face: Face) -> tuple[np.ndarray, np.ndarray]:
    low, high = np.full(len(face.names), -np.inf), np.full(len(face.names), np.inf)
    for column, name in enumerate(face.names):
        if name in FACE_SETS["arkit-52"]:
            low[column], high[column] = 0, 1
        elif name in FACE_SETS["flame-103"]:
            high[column] = _JAW if name.startswith("jaw") else _EXPRESSION
            low[column] = -high[column]
    return low, high


def _scale(face: Face) -> float:
    """How far a coefficient of this kind goes, ARKit's counted as 1."""
    return 3.0 if str(face.kind).startswith("flame") else 1.0
