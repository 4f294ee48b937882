"""How SALAD's autoencoder groups joints into parts, in two stages, and what is connected with what."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ...skeletons import Skeleton, get_skeleton

_FIRST_STAGE: dict[str, tuple[tuple[int, ...], ...]] = {
    "humanml3d-22": ((0, 1, 2, 3), (0, 1, 4), (4, 7, 10), (0, 2, 5), (5, 8, 11), (0, 3, 6, 9), (6, 9, 12, 13, 14), (9, 13, 16),
                     (16, 18, 20), (9, 14, 17), (17, 19, 21), (9, 12, 15)),
    "kit-21": ((0, 1, 11, 16), (0, 16, 17, 18), (17, 18, 19, 20), (0, 11, 12, 13), (12, 13, 14, 15), (0, 1, 2, 3), (2, 3, 4, 5, 8),
               (3, 8, 9), (8, 9, 10), (3, 5, 6), (5, 6, 7), (3, 4)),
}  # fmt: skip
_SECOND_STAGE = ((0, 1, 3, 5), (0, 1, 2), (0, 3, 4), (0, 5, 6), (6, 7, 8), (6, 9, 10), (6, 11))
_BONES = (
    ((0, 1), (0, 3), (0, 5), (1, 2), (3, 4), (5, 6), (6, 7), (6, 9), (6, 11), (7, 8), (9, 10)),
    ((0, 1), (0, 2), (0, 3), (3, 4), (3, 5), (3, 6)),
)
"""Between the parts of the first stage, and between those of the second."""

PART_NAMES = ("root", "left_leg", "right_leg", "spine", "left_arm", "right_arm", "head")
"""The parts of a latent."""

SKELETONS = tuple(_FIRST_STAGE)
"""Skeletons that have such groups."""


def groups(skeleton: str) -> tuple[Tensor, Tensor]:
    """Which nodes belong to which part in each stage: (12, joints) and (7, 12) float32, 1 where one does.

    Raises:
        ValueError: If the skeleton has no groups.
    """
    if skeleton not in _FIRST_STAGE:
        raise ValueError(f"SALAD has parts for the skeletons {', '.join(map(repr, SKELETONS))}, got {skeleton!r}.")
    stages = ((_FIRST_STAGE[skeleton], len(get_skeleton(skeleton))), (_SECOND_STAGE, 12))
    first, second = (_membership(parts, count) for parts, count in stages)
    return first, second


def connections(skeleton: Skeleton) -> tuple[Tensor, Tensor, Tensor]:
    """Means over each node and its neighbours, of joints and of the parts of both stages: (n, n) float32 whose rows add up to 1."""
    joints = [(joint, parent) for joint, parent in enumerate(skeleton.parents) if parent >= 0]
    first, second = (_means(bones, count) for bones, count in zip(_BONES, (12, 7), strict=True))
    return _means(joints, len(skeleton)), first, second


def joint_features(skeleton: Skeleton) -> list[list[int]]:
    """For each joint the numbers of its features among those of a frame: position, rotation, velocity, contact; of the root its motion."""
    count, feet = len(skeleton), list(skeleton.feet)
    rotations, velocities = 4 + 3 * (count - 1), 4 + 9 * (count - 1)
    contacts = velocities + 3 * count
    places = [[*range(4), *range(velocities, velocities + 3)]]
    for joint in range(1, count):
        position, rotation, velocity = 4 + 3 * (joint - 1), rotations + 6 * (joint - 1), velocities + 3 * joint
        own = [*range(position, position + 3), *range(rotation, rotation + 6), *range(velocity, velocity + 3)]
        places.append([*own, contacts + feet.index(joint)] if joint in feet else own)
    return places


def _membership(parts: Sequence[Sequence[int]], count: int) -> Tensor:
    matrix = torch.zeros(len(parts), count, dtype=torch.float32)
    for part, members in enumerate(parts):
        matrix[part, list(members)] = 1
    return matrix


def _means(bones: Sequence[tuple[int, int]], count: int) -> Tensor:
    matrix = torch.eye(count, dtype=torch.float32)
    for one, other in bones:
        matrix[one, other] = matrix[other, one] = 1
    return matrix / (matrix.sum(1, keepdim=True) + 1e-6)
