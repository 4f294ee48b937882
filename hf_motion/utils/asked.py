"""What callers may ask for in two ways: a seed or a generator, seconds or frames."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real

import torch

Generators = torch.Generator | list[torch.Generator]


def asked_generator(generator: Generators | None, seed: int | None) -> Generators | None:
    """The generator, or one on the CPU with that seed: what `--seed` is on the command line.

    Args:
        generator (`torch.Generator` or list, *optional*): A generator, or one per motion.
        seed (`int`, *optional*): A seed.

    Raises:
        ValueError: If both are given, or the seed is not a whole number.

    Example:
        >>> asked_generator(None, 3).initial_seed()
        3
    """
    if seed is None:
        return generator
    if generator is not None:
        raise ValueError("Give either seed or generator, not both.")
    if isinstance(seed, bool) or not isinstance(seed, Integral):
        raise ValueError(f"seed must be a whole number, got {seed!r}.")
    return torch.Generator().manual_seed(int(seed))


def asked_frames(
    num_frames: int | Sequence[int] | None, seconds: float | Sequence[float] | None, fps: float, most: int | None = None
) -> int | Sequence[int] | None:
    """The number of frames, or that of so many seconds: what `--seconds` is on the command line.

    Args:
        num_frames (`int` or `list[int]`, *optional*): Lengths in frames.
        seconds (`float` or `list[float]`, *optional*): Lengths in seconds.
        fps (`float`): Frames per second of the model.
        most (`int`, *optional*): Frames that the model makes at most.

    Raises:
        ValueError: If both are given, or a length is not a positive number, or longer than the model makes.

    Example:
        >>> asked_frames(None, 4, fps=20), asked_frames(None, [1.5, 2], fps=20)
        (80, [30, 40])
    """
    if seconds is None:
        return num_frames
    if num_frames is not None:
        raise ValueError("Give the length either as seconds or as num_frames, not both.")
    if isinstance(seconds, (list, tuple)):
        return [_frames(value, fps, most) for value in seconds]
    return _frames(seconds, fps, most)


def _frames(seconds: float, fps: float, most: int | None) -> int:
    if isinstance(seconds, bool) or not isinstance(seconds, Real) or not (math.isfinite(seconds) and seconds > 0):
        raise ValueError(f"seconds must be a positive number, got {seconds!r}.")
    if most is not None and round(seconds * fps) > most:
        raise ValueError(
            f"seconds must be at most {most / fps:g}, got {seconds:g}: the model makes motions of up to {most / fps:.1f} s; longer motions "
            'have several sentences, of diffusion models: timeline=[("a person walks", 5.0), ("a person runs", 8.0)].'
        )
    return max(1, round(seconds * fps))
