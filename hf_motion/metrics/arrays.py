"""What every metric asks of its input: float64 arrays of the right shape, without NaN or infinity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Seed = int | Sequence[int] | np.random.Generator


def as_float64(name: str, value: Any) -> np.ndarray:
    """An array or tensor, of any dtype and on any device, as a float64 NumPy array.

    Raises:
        ValueError: If it does not hold real numbers in a regular shape.
    """
    if hasattr(value, "detach"):
        value = value.detach().cpu().double().numpy()
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "biuf":
            raise TypeError(f"dtype {array.dtype}")
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be an array of real numbers: {error}.") from error
    return array.astype(np.float64, copy=False)


def check_finite(name: str, rows: np.ndarray, what: str = "rows") -> None:
    """Refuse rows with NaN or infinity: a metric that left them out would flatter the model that made them.

    Args:
        name (`str`): What the array is, for the message.
        rows (`numpy.ndarray`): (rows, ...) numbers.
        what (`str`, defaults to `"rows"`): What one row is.

    Raises:
        ValueError: If there are such rows; the message says how many, and the first.
    """
    finite = np.isfinite(rows.reshape(len(rows), -1)).all(1)
    if not finite.all():
        bad = np.flatnonzero(~finite)
        raise ValueError(
            f"{name} holds NaN or infinity in {len(bad)} of {len(rows)} {what}, first in number {bad[0]}. "
            "No metric averages them away: report them as failures, or leave them out on purpose before scoring."
        )


def as_embeddings(name: str, value: Any, *, shape: str = "(samples, dim)", min_rows: int = 1) -> np.ndarray:
    """Embeddings as float64, checked.

    Args:
        name (`str`): Name of the argument, for messages.
        value (`numpy.ndarray` or `torch.Tensor`): The embeddings.
        shape (`str`, defaults to `"(samples, dim)"`): The wanted shape; every axis it names must be there.
        min_rows (`int`, defaults to 1): Fewest rows that make sense.

    Raises:
        ValueError: If the shape is another one, there are too few rows, or some hold NaN or infinity.
    """
    array = as_float64(name, value)
    if array.ndim != shape.count(",") + 1 or 0 in array.shape[1:]:
        raise ValueError(f"{name} must have shape {shape}, got {array.shape}.")
    if len(array) < min_rows:
        raise ValueError(f"{name} has {len(array)} rows; at least {min_rows} are needed.")
    check_finite(name, array)
    return array


def as_pairs(names: tuple[str, str], first: Any, second: Any) -> tuple[np.ndarray, np.ndarray]:
    """Two arrays of embeddings whose rows belong together.

    Raises:
        ValueError: As `as_embeddings`, or if the shapes differ.
    """
    one, two = (as_embeddings(name, value) for name, value in zip(names, (first, second), strict=True))
    if one.shape != two.shape:
        raise ValueError(f"Row i of {names[0]} belongs to row i of {names[1]}, but their shapes are {one.shape} and {two.shape}.")
    return one, two


def unit_rows(name: str, array: np.ndarray) -> np.ndarray:
    """Vectors scaled to length one.

    Raises:
        ValueError: If some are zero and so have no direction.
    """
    norms = np.linalg.norm(array, axis=-1, keepdims=True)
    if not norms.all():
        raise ValueError(f"{name} has {np.count_nonzero(norms == 0)} of {norms.size} vectors of length zero; a cosine needs a direction.")
    return array / norms


def check_option(name: str, value: Any, allowed: Sequence[Any]) -> None:
    """Refuse a value that is not one of those allowed.

    Raises:
        ValueError: With the value and the allowed set.
    """
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}.")


@dataclass(frozen=True)
class Clips:
    """Joints of clips of several lengths in one array.

    Args:
        joints (`numpy.ndarray`): (clips, frames, joints, 3) float64, zero behind each clip's end.
        lengths (`numpy.ndarray`): Frames per clip, (clips,) int64.
        single (`bool`): Whether one clip was given, without an axis of clips.
    """

    joints: np.ndarray
    lengths: np.ndarray
    single: bool

    def mean(self, values: np.ndarray, fewer: int = 0) -> float | np.ndarray:
        """Mean over the frames of each clip.

        Args:
            values (`numpy.ndarray`): (clips, frames - fewer), one number per frame.
            fewer (`int`, defaults to 0): How many frames at the end have none, after differences over time.

        Returns:
            `float` for a single clip, else `numpy.ndarray` (clips,).
        """
        counts = self.lengths - fewer
        valid = np.arange(values.shape[1]) < counts[:, None]
        means = np.where(valid, values, 0).sum(1) / counts
        return float(means[0]) if self.single else means


def as_clips(name: str, value: Any, lengths: Any = None, *, min_frames: int = 1) -> Clips:
    """Joint positions as one padded float64 batch, checked.

    Args:
        name (`str`): Name of the argument, for messages.
        value (`numpy.ndarray`, `torch.Tensor` or `list`): One clip (frames, joints, 3), a padded batch (clips, frames, joints, 3), or a
            list of clips of any lengths.
        lengths (`Sequence[int]`, *optional*): Frames per clip of a padded batch; what lies behind them is ignored.
        min_frames (`int`, defaults to 1): Fewest frames per clip that make sense.

    Raises:
        ValueError: If the shape is another one, a length does not fit, a clip is too short, or one holds NaN or infinity.
    """
    if isinstance(value, list | tuple) and value and all(getattr(clip, "ndim", None) == 3 or np.ndim(clip) == 3 for clip in value):
        if lengths is not None:
            raise ValueError(f"{name} is a list of clips, each with its own length; `lengths` is for a padded batch.")
        value, lengths = _pad([as_float64(name, clip) for clip in value], name)
    array = as_float64(name, value)
    single = array.ndim == 3
    array = array[None] if single else array
    if array.ndim != 4 or array.shape[-1] != 3 or 0 in array.shape:
        raise ValueError(
            f"{name} must have shape (frames, joints, 3) or (clips, frames, joints, 3), none of them empty, got {array.shape}."
        )
    frames = array.shape[1]
    counts = np.full(len(array), frames) if lengths is None else as_float64("lengths", lengths).reshape(-1)
    if len(counts) != len(array) or (counts != counts.round()).any() or (counts > frames).any():
        raise ValueError(f"lengths must be {len(array)} whole numbers of at most {frames} frames, one per clip, got {counts.tolist()}.")
    if (counts < min_frames).any():
        raise ValueError(f"{name} has a clip of {int(counts.min())} frames; this metric needs at least {min_frames} per clip.")
    counts = counts.astype(np.int64)
    if (counts < frames).any():
        array = np.where((np.arange(frames) < counts[:, None])[..., None, None], array, 0)
    check_finite(name, array, "clips")
    return Clips(array, counts, single)


def _pad(clips: list[np.ndarray], name: str) -> tuple[np.ndarray, np.ndarray]:
    shapes = {clip.shape[1:] for clip in clips}
    if len(shapes) > 1:
        raise ValueError(f"The clips of {name} must have the same joints, got shapes (frames, joints, 3) with {sorted(shapes)}.")
    lengths = np.array([len(clip) for clip in clips])
    padded = np.zeros((len(clips), lengths.max(), *shapes.pop()))
    padded[np.arange(lengths.max()) < lengths[:, None]] = np.concatenate(clips)
    return padded, lengths
