"""Curves of glTF animations: keys, what lies between them, and the frame rate that they were made at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...pose import slerp
from .document import Document, as_object, objects, pick, whole

_WIDTHS = {"translation": 3, "rotation": 4, "scale": 3}
_BETWEEN = ("LINEAR", "STEP", "CUBICSPLINE")
# Frame rates in use, and how far from a frame a key may lie, in frames.
_RATES = (24, 25, 30, 48, 50, 60, 72, 90, 100, 120, 144, 200, 240)
_OFF_FRAME = 0.02
_SPACING = 10.0  # keys farther apart than at this rate are keys of an animator, not frames
_OTHERWISE = 30.0
_ELSE = "if that is wrong, say it: source_fps= (--source-fps)"


@dataclass(frozen=True, eq=False)
class Curve:
    """Values of one part of one node over time.

    Args:
        times (`numpy.ndarray`): Of the keys, (keys,) float64, seconds, never falling.
        values (`numpy.ndarray`): At the keys, (keys, width) float64; rotations of length 1, x, y, z, w.
        between (`str`): `"LINEAR"`, `"STEP"` or `"CUBICSPLINE"`.
        tangents (`tuple[numpy.ndarray, numpy.ndarray]`, *optional*): Of a cubic spline, into and out of the keys.
        turns (`bool`): Whether the values are rotations.
        repaired (`int`, defaults to 0): How many rotations were not of length 1.
    """

    times: np.ndarray
    values: np.ndarray
    between: str
    turns: bool
    tangents: tuple[np.ndarray, np.ndarray] | None = None
    repaired: int = 0

    def at(self, times: np.ndarray, fps: float) -> np.ndarray:
        """Values at some times, (times, width); those of the first and last key before and after these."""
        last = len(self.times) - 1
        # A time that rounding has put just before its key means that key.
        here = np.clip(np.searchsorted(self.times, times + 1e-3 / fps, side="right") - 1, 0, last)
        after = np.minimum(here + 1, last)
        length = self.times[after] - self.times[here]
        share = np.clip((times - self.times[here]) / np.where(length > 0, length, 1), 0, 1)[:, None]
        one, other = self.values[here], self.values[after]
        if self.between == "STEP":
            return one
        if self.tangents is None:
            return slerp(one, other, share) if self.turns else one + share * (other - one)
        leaving, coming = (length[:, None] * side for side in (self.tangents[1][here], self.tangents[0][after]))
        square, cube = share**2, share**3
        value = (2 * cube - 3 * square + 1) * one + (cube - 2 * square + share) * leaving
        value += (3 * square - 2 * cube) * other + (cube - square) * coming
        if not self.turns:
            return value
        size = np.linalg.norm(value, axis=-1, keepdims=True)
        return np.where(size > 1e-6, value / np.where(size > 1e-6, size, 1), one)


def read_curves(document: Document, animation: dict[str, Any], nodes: int) -> tuple[dict[tuple[int, str], Curve], int]:
    """Curves of an animation by node and part (`"translation"`, `"rotation"`, `"scale"`), and how many channels move no node.

    Raises:
        ValueError: If a channel or sampler is damaged.
    """
    samplers = objects(animation.get("samplers", []), "samplers")
    made: dict[tuple[int, bool], Curve] = {}
    curves: dict[tuple[int, str], Curve] = {}
    ignored = 0
    for channel in objects(animation.get("channels", []), "channels"):
        target = as_object(channel.get("target"), "target of a channel")
        node, kind = target.get("node"), target.get("path")
        if kind == "weights":
            continue
        if node is None or kind not in _WIDTHS:
            ignored += 1
            continue
        pick(range(nodes), node, "node")  # type: ignore[arg-type]
        sampler = pick(samplers, channel.get("sampler"), "sampler")
        key = channel["sampler"], kind == "rotation"
        if key not in made:
            made[key] = _curve(document, sampler, kind)
        if made[key].values.shape[1] != _WIDTHS[kind]:
            raise ValueError(f"the values of a {kind} are {made[key].values.shape[1]} numbers each; expected {_WIDTHS[kind]}.")
        curves.setdefault((node, kind), made[key])
    return curves, ignored


def _curve(document: Document, sampler: Mapping[str, Any], kind: str) -> Curve:
    times, between = key_times(document, sampler)
    values = document.accessor(sampler.get("output"))
    count, width = (3 if between == "CUBICSPLINE" else 1) * len(times), _WIDTHS[kind]
    if values.shape != (count, width):
        raise ValueError(
            f"a {kind} has {len(times)} keys and {values.shape[0]} values of {values.shape[1]} numbers; expected {width} each."
        )
    values, tangents = values_between(values, between)
    if kind != "rotation":
        return Curve(times, values, between, False, tangents)
    size = np.linalg.norm(values, axis=1, keepdims=True)
    if not (size > 1e-6).all():
        raise ValueError(f"a rotation has the length 0, in key {int(np.argmin(size)) + 1} of {len(times)}.")
    return Curve(times, values / size, between, True, tangents, int((np.abs(size - 1) > 0.01).sum()))


def key_times(document: Document, sampler: Mapping[str, Any]) -> tuple[np.ndarray, str]:
    """When the keys of a sampler are, (keys,) seconds, and what lies between them.

    Raises:
        ValueError: If there are none, they are not in order, or what is between them is unknown.
    """
    between = sampler.get("interpolation", "LINEAR")
    if between not in _BETWEEN:
        raise ValueError(f"a sampler has the interpolation {between!r}; expected one of {', '.join(_BETWEEN)}.")
    whole(sampler.get("input"), "input of a sampler")
    times = document.accessor(sampler.get("input"))
    if not len(times) or times.shape[1] != 1:
        raise ValueError(f"the times of its keys have the shape {times.shape}; expected one number each, and at least one.")
    if (np.diff(times[:, 0]) < 0).any() or np.abs(times).max() > 1e7:
        raise ValueError("the times of its keys are not in order, or beyond all bounds.")
    return times[:, 0], between


def values_between(values: np.ndarray, between: str) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray] | None]:
    """Values at the keys, and the tangents of a cubic spline, from rows as a sampler has them."""
    return (values[1::3], (values[::3], values[2::3])) if between == "CUBICSPLINE" else (values, None)


def frame_rate(keys: np.ndarray) -> tuple[float, str | None]:
    """Frames per second of an animation whose keys are at these times, and what to say if that is a guess.

    Args:
        keys (`numpy.ndarray`): Different times, rising, seconds.

    Example:
    >>> import numpy as np
    >>> from hf_motion.formats.gltf.curves import frame_rate
    >>> frame_rate(np.arange(40) / 60)
    (60.0, None)
    >>> frame_rate(np.array([0.0, 0.25, 1.5]))[0]
    24.0
    """
    span = keys[-1] - keys[0]
    steps = np.diff(keys)
    steps = steps[steps > 5e-5]
    if not len(steps):
        return _OTHERWISE, f"a single pose, read as one frame at {_OTHERWISE:g} fps"
    spacing = max(1.0, np.round(span / steps.min())) / span
    spacing = float(round(spacing)) if abs(spacing / max(round(spacing), 1) - 1) < 1e-4 else float(spacing)
    made = [spacing] if spacing >= _SPACING else []
    for rate in (*made, *map(float, _RATES)):
        at = (keys - keys[0]) * rate
        if np.abs(at - np.round(at)).max() <= _OFF_FRAME:
            return rate, None if rate in made else f"its keys lie on frames of {rate:g} fps, which are read; {_ELSE}"
    return _OTHERWISE, f"its keys lie on the frames of no usual rate, read at {_OTHERWISE:g} fps; {_ELSE}"
