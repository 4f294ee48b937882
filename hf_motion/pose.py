"""Local rotations of a motion in NumPy: what `Motion` checks, resamples, turns and mirrors them with.

Quaternions have their real part first. In the rest pose every rotation is the identity, and each joint stands at its rest offset from its
parent; a bone in world space is `global_rotation(parent) @ rest_offset(child)`.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from .skeletons import Skeleton

logger = logging.getLogger("hf_motion")

FITS = 0.001
"""Metres by which rotations may miss the joints that they belong to."""

_UNIT = 1e-3  # by which the length of a unit quaternion may be off before that is said
_ROUNDING = 1e-5
_SIZE = 1e-6  # below which a quaternion is no rotation at all


class Fitted(np.ndarray):
    """Rotations that were checked against joints once: with other joints they are dropped, where a fresh array is an error."""


def multiply(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Hamilton product of quaternions (..., 4); rotates by `right` first, then by `left`."""
    w1, x1, y1, z1 = np.moveaxis(left, -1, 0)
    w2, x2, y2, z2 = np.moveaxis(right, -1, 0)
    return np.stack(
        (
            w1 * w2 - x1 * x2 - y1 * y2 - z1 * z2,
            w1 * x2 + x1 * w2 + y1 * z2 - z1 * y2,
            w1 * y2 - x1 * z2 + y1 * w2 + z1 * x2,
            w1 * z2 + x1 * y2 - y1 * x2 + z1 * w2,
        ),
        axis=-1,
    )


def inverse(rotations: np.ndarray) -> np.ndarray:
    """Inverse of unit quaternions (..., 4)."""
    return rotations * np.array([1, -1, -1, -1], rotations.dtype)


def rotate(rotations: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Vectors (..., 3) turned by unit quaternions (..., 4); leading dimensions broadcast."""
    axis = rotations[..., 1:]
    twice = 2 * np.cross(axis, vectors)
    return vectors + rotations[..., :1] * twice + np.cross(axis, twice)


def slerp(one: np.ndarray, other: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Rotations (..., 4) between two, the short way round, at constant speed (Shoemake 1985); `weight` 0 to 1, broadcastable."""
    cosine = (one * other).sum(-1, keepdims=True)
    other, cosine = np.where(cosine < 0, -other, other), np.minimum(np.abs(cosine), 1.0)
    angle = np.arccos(cosine)
    sine = np.sin(angle)
    near = sine < 1e-6  # the formula divides by it; so close, the chord is the arc
    safe = np.where(near, 1.0, sine)
    left = np.where(near, 1 - weight, np.sin((1 - weight) * angle) / safe)
    right = np.where(near, weight, np.sin(weight * angle) / safe)
    mixed = left * one + right * other
    return mixed / np.linalg.norm(mixed, axis=-1, keepdims=True)


def without_jumps(rotations: np.ndarray) -> np.ndarray:
    """The same rotations over time, (frames, joints, 4), each quaternion with the sign that is nearer to the one before."""
    flips = np.where((rotations[1:] * rotations[:-1]).sum(-1, keepdims=True) < 0, -1.0, 1.0)
    return np.concatenate((rotations[:1], rotations[1:] * np.cumprod(flips, axis=0)))


def world_rotations(rotations: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Rotations (..., joints, 4) relative to the parents as rotations in the world."""
    world = np.empty_like(rotations)
    for joint, parent in enumerate(skeleton.parents):
        world[..., joint, :] = multiply(world[..., parent, :], rotations[..., joint, :]) if joint else rotations[..., joint, :]
    return world


def local_rotations(world: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Rotations (..., joints, 4) in the world as rotations relative to the parents."""
    local = multiply(inverse(world[..., [max(parent, 0) for parent in skeleton.parents], :]), world)
    local[..., 0, :] = world[..., 0, :]
    return local


def place_joints(rotations: np.ndarray, root: np.ndarray, rest_offsets: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Forward kinematics.

    Args:
        rotations (`numpy.ndarray`): Local rotations, (frames, joints, 4).
        root (`numpy.ndarray`): Positions of the root, (frames, 3).
        rest_offsets (`numpy.ndarray`): From each joint's parent, (joints, 3) or (frames, joints, 3); the root's is not used.
        skeleton (`Skeleton`): The hierarchy.

    Returns:
        `numpy.ndarray`: Positions, (frames, joints, 3).
    """
    world = world_rotations(rotations, skeleton)
    bones = rotate(world[:, [max(parent, 0) for parent in skeleton.parents]], rest_offsets)
    joints = np.empty((len(rotations), len(skeleton), 3), bones.dtype)
    for joint, parent in enumerate(skeleton.parents):
        joints[:, joint] = joints[:, parent] + bones[:, joint] if joint else root
    return joints


def offsets_between(world: np.ndarray, joints: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Rest offsets that put the joints where they are.

    Args:
        world (`numpy.ndarray`): Rotations in the world, (frames, joints, 4).
        joints (`numpy.ndarray`): Positions, (frames, joints, 3).
        skeleton (`Skeleton`): The hierarchy.

    Returns:
        `numpy.ndarray`: (joints, 3) if each is the same in all frames to half of `FITS`, else (frames, joints, 3); the root's is zero.
    """
    parents = [max(parent, 0) for parent in skeleton.parents]
    offsets = rotate(inverse(world[:, parents]), joints - joints[:, parents])
    offsets[:, 0] = 0
    mean = offsets.mean(axis=0)
    # Misses add up along a chain of bones, of which the longest has some ten.
    return mean if np.abs(offsets - mean).max() < FITS / 20 else offsets


def resized_offsets(rest_offsets: np.ndarray, before: np.ndarray, after: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Rest offsets of a body whose bones got other lengths and kept their directions.

    Args:
        rest_offsets (`numpy.ndarray`): (joints, 3) or (frames, joints, 3).
        before (`numpy.ndarray`): Joints that they belong to, (frames, joints, 3).
        after (`numpy.ndarray`): The joints now, of the same shape.
        skeleton (`Skeleton`): The hierarchy.

    Returns:
        `numpy.ndarray`: In the shape of `rest_offsets`.
    """
    parents = [max(parent, 0) for parent in skeleton.parents]
    was, now = (np.linalg.norm(joints - joints[:, parents], axis=-1) for joints in (before, after))
    ratios = np.where(was > _SIZE, now / np.maximum(was, _SIZE), 1.0)
    return rest_offsets * (ratios.mean(axis=0) if rest_offsets.ndim == 2 else ratios)[..., None]


def checked_rotations(rotations: Any, rest_offsets: Any, joints: np.ndarray, skeleton: Skeleton) -> tuple[Fitted, np.ndarray] | None:
    """Rotations and offsets of a motion as `Motion` keeps them, or None where the joints have moved away from them since.

    Args:
        rotations (array): (frames, joints, 4).
        rest_offsets (array): (joints, 3) or (frames, joints, 3).
        joints (`numpy.ndarray`): Positions, (frames, joints, 3).
        skeleton (`Skeleton`): The hierarchy.

    Raises:
        ValueError: If shapes do not fit, something is NaN or no rotation at all, or a fresh array does not give the joints.
    """
    fitted = isinstance(rotations, Fitted)
    if rest_offsets is None:
        raise ValueError("rotations come with rest_offsets, (joints, 3): where each joint stands from its parent while nothing is turned.")
    quaternions, offsets = (np.asarray(_plain(values), dtype=np.float32) for values in (rotations, rest_offsets))
    shapes = ((len(skeleton), 3), (len(joints), len(skeleton), 3))
    if quaternions.shape != (*joints.shape[:2], 4) or offsets.shape not in shapes:
        if fitted:
            return None
        raise ValueError(
            f"rotations must have shape {(*joints.shape[:2], 4)} and rest_offsets {shapes[0]} or {shapes[1]}, got {quaternions.shape} and "
            f"{offsets.shape}."
        )
    if not (np.isfinite(quaternions).all() and np.isfinite(offsets).all()):
        raise ValueError("rotations or rest_offsets hold NaN or infinity; repair these frames, or leave both out.")
    sizes = np.linalg.norm(quaternions, axis=-1, keepdims=True)
    if sizes.min() < _SIZE:
        frame, joint = np.argwhere(sizes[..., 0] < _SIZE)[0]
        raise ValueError(
            f"rotations holds a quaternion of length zero, which is no rotation: frame {frame}, joint {skeleton.joint_names[joint]!r}. "
            "No turn is (1, 0, 0, 0)."
        )
    off = int((np.abs(sizes - 1) > _UNIT).sum())
    if off:
        logger.warning("%d of %d rotations are not of unit length and are scaled to it.", off, sizes.size)
    quaternions = np.where(np.abs(sizes - 1) > _ROUNDING, quaternions / sizes, quaternions)  # a second time nothing changes
    misses = np.linalg.norm(place_joints(quaternions, joints[:, 0], offsets, skeleton) - joints, axis=-1)
    if misses.max() > FITS:
        if fitted:
            return None
        frame, joint = np.unravel_index(misses.argmax(), misses.shape)
        raise ValueError(
            f"rotations and rest_offsets put joint {skeleton.joint_names[joint]!r} {100 * misses.max():.2g} cm from where joints has it "
            f"(frame {frame}); at most {100 * FITS:g} cm is allowed. Quaternions are local, real part first (wxyz), in a right-handed "
            "system; leave both out to have rotations solved from the joints."
        )
    offsets = offsets.copy()
    offsets[..., 0, :] = 0
    return np.ascontiguousarray(quaternions).view(Fitted), offsets


def _plain(values: Any) -> Any:
    return values.detach().cpu().numpy() if hasattr(values, "detach") else values
