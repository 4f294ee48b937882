"""What exact edits share: a clip with its axes, limbs that reach, turns, and weights that rise and fall."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from ..motion import Motion
from ..representation.fixed_bones import turned, two_bones
from ..skeletons import HUMANML3D_22

SIDES = ("left", "right")
UP = np.array([0.0, 1.0, 0.0])
# A limb that is stretched by more than this share of its length looks broken at the hinge.
_STRETCHED = 0.995
_EASE_SECONDS = 0.4


class NotApplicable(ValueError):
    """A change has no meaning for a clip, or cannot be made there.

    Args:
        reason (`str`): In a few words, the same for all clips with that fault, so that it can be counted.
        details (`str`, *optional*): What was found, with numbers.
    """

    def __init__(self, reason: str, details: str = "") -> None:
        super().__init__(f"{reason}{f' ({details})' if details else ''}.")
        self.reason = reason


@dataclass(frozen=True)
class Clip:
    """A motion to be edited.

    Args:
        joints (`numpy.ndarray`): (frames, 22, 3) float64, metres.
        fps (`float`): Frames per second.
        weight (`numpy.ndarray`): (frames,) How much of the change is in force, 0 to 1.
    """

    joints: np.ndarray
    fps: float
    weight: np.ndarray

    def __len__(self) -> int:
        return len(self.joints)

    def joint(self, name: str) -> np.ndarray:
        """Positions of a joint, (frames, 3)."""
        return self.joints[:, HUMANML3D_22.joint(name)]

    @cached_property
    def left(self) -> np.ndarray:
        """Horizontal unit vectors to the body's left, (frames, 3)."""
        across = self.joint("left_hip") - self.joint("right_hip") + self.joint("left_shoulder") - self.joint("right_shoulder")
        return unit(across * [1, 0, 1])

    @cached_property
    def forward(self) -> np.ndarray:
        """Horizontal unit vectors to where the body faces, (frames, 3)."""
        return np.cross(self.left, UP)

    @property
    def full(self) -> np.ndarray:
        """Frames in which the whole change is in force, (frames,) bool; at least one."""
        return self.weight > min(0.999, self.weight.max() - 1e-9)

    def chain(self, side: str, limb: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Start, middle and end of an arm or a leg, (frames, 3) each."""
        return tuple(self.joint(name) for name in chain_names(side, limb))  # type: ignore[return-value]


def clip_of(motion: Motion, span: tuple[int, int] | None) -> Clip:
    """A motion as a clip whose weight is in force within a span."""
    return Clip(motion.joints.astype(np.float64), motion.fps, span_weight(len(motion), motion.fps, span))


def span_weight(frames: int, fps: float, span: tuple[int, int] | None) -> np.ndarray:
    """How much of a change is in force in each frame.

    Args:
        frames (`int`): Frames of the clip.
        fps (`float`): Frames per second.
        span (`tuple[int, int]`, *optional*): First frame and the frame behind the last; all by default. It rises and falls within the
            span, over 0.4 seconds or a third of the span, except where the span begins or ends with the clip.

    Returns:
        `numpy.ndarray`: (frames,) 0 to 1.
    """
    if span is None:
        return np.ones(frames)
    start, stop = span
    width = max(1.0, min(_EASE_SECONDS * fps, (stop - start) / 3))
    frame = np.arange(frames)
    rise = ease((frame - start + 1) / width) if start > 0 else np.ones(frames)
    fall = ease((stop - frame) / width) if stop < frames else np.ones(frames)
    return np.where((frame >= start) & (frame < stop), rise * fall, 0.0)


def chain_names(side: str, limb: str) -> tuple[str, str, str]:
    """Names of start, middle and end of an arm or a leg."""
    parts = ("shoulder", "elbow", "wrist") if limb == "arm" else ("hip", "knee", "ankle")
    first, second, third = (f"{side}_{part}" for part in parts)
    return first, second, third


def chain_lengths(start: np.ndarray, middle: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lengths of the two bones of a limb, (frames,) each."""
    return np.linalg.norm(middle - start, axis=-1), np.linalg.norm(end - middle, axis=-1)


def reach_for(
    chain: tuple[np.ndarray, np.ndarray, np.ndarray], start: np.ndarray, wanted: np.ndarray, ahead: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Middle and end of a limb that begins at `start` and reaches for `wanted`, bones as long as before (two-bone inverse kinematics).

    Args:
        chain (`tuple`): The limb as it was: start, middle and end, (frames, 3) each; it goes on bending on the same side.
        start (`numpy.ndarray`): Where it begins now, (frames, 3).
        wanted (`numpy.ndarray`): Where it shall end, (frames, 3).
        ahead (`numpy.ndarray`): Where a straight limb bends to, (frames, 3).

    Returns:
        `tuple[numpy.ndarray, numpy.ndarray]`: Middle and end, (frames, 3) each.
    """
    upper, lower = chain_lengths(*chain)
    old = chain[2] - chain[0]
    longest = np.maximum(np.linalg.norm(old, axis=-1), 0.9999 * (upper + lower))
    values = (start, chain[1] - chain[0], old, wanted, ahead, upper[:, None], lower[:, None], longest[:, None])
    begin, bend, was, goal, front, one, two, far = (torch.from_numpy(np.ascontiguousarray(value)) for value in values)
    middle, end = two_bones(begin, turned(bend, was, goal - begin), goal, front, one, two, far)
    return middle.numpy(), end.numpy()


def stretch_limit(chain: tuple[np.ndarray, np.ndarray, np.ndarray]) -> np.ndarray:
    """How far a limb may reach, (frames,): nearly its length, or as far as it does already."""
    upper, lower = chain_lengths(*chain)
    return np.maximum(_STRETCHED * (upper + lower), np.linalg.norm(chain[2] - chain[0], axis=-1))


def chest_axes(clip: Clip) -> np.ndarray:
    """Left, up and forward of the chest, (frames, 3, 3), one axis a row."""
    up = unit(clip.joint("neck") - clip.joint("spine1"))
    left = clip.joint("left_shoulder") - clip.joint("right_shoulder")
    left = unit(left - (left * up).sum(-1, keepdims=True) * up)
    return np.stack((left, up, np.cross(left, up)), axis=1)


def rotate(vectors: np.ndarray, axis: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Vectors (frames, ..., 3) turned about unit axes (frames, 3) by angles (frames,) in radians (Rodrigues)."""
    shape = (-1, *[1] * (vectors.ndim - 2), 1)
    axis = axis.reshape(len(axis), *[1] * (vectors.ndim - 2), 3)
    sine, cosine = np.sin(angle).reshape(shape), np.cos(angle).reshape(shape)
    along = (vectors * axis).sum(-1, keepdims=True)
    return vectors * cosine + np.cross(np.broadcast_to(axis, vectors.shape), vectors) * sine + axis * along * (1 - cosine)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors (..., 3) of length 1."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


def ease(share: np.ndarray) -> np.ndarray:
    """From 0 to 1 with a soft start and end."""
    share = np.clip(share, 0, 1)
    return share * share * (3 - 2 * share)


def sides_of(part: str) -> tuple[str, ...]:
    """The sides that a part of a change has."""
    side = part.partition(" ")[0]
    return (side,) if side in SIDES else SIDES


def within(asked: float, possible: float, reason: str, unit_name: str, share: float = 0.6) -> float:
    """What is reached of an amount of which no more than `possible` can be.

    Raises:
        NotApplicable: If it is less than a share of what was asked for.
    """
    if possible < share * asked:
        raise NotApplicable(reason, f"asked for {asked:.3g} {unit_name}, possible are {max(possible, 0):.3g}")
    return min(asked, possible)
