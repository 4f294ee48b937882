"""Rotations in torch: quaternions (real part first), matrices and the continuous 6-number form, batched."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def quaternion_multiply(left: Tensor, right: Tensor) -> Tensor:
    """Hamilton product of quaternions (..., 4); rotates by `right` first, then by `left`."""
    w1, x1, y1, z1 = left.unbind(-1)
    w2, x2, y2, z2 = right.unbind(-1)
    return torch.stack(
        (
            w1 * w2 - x1 * x2 - y1 * y2 - z1 * z2,
            w1 * x2 + x1 * w2 + y1 * z2 - z1 * y2,
            w1 * y2 - x1 * z2 + y1 * w2 + z1 * x2,
            w1 * z2 + x1 * y2 - y1 * x2 + z1 * w2,
        ),
        dim=-1,
    )


def quaternion_conjugate(quaternion: Tensor) -> Tensor:
    """Conjugate of quaternions (..., 4): the inverse of unit ones."""
    return torch.cat((quaternion[..., :1], -quaternion[..., 1:]), dim=-1)


def quaternion_rotate(quaternion: Tensor, vector: Tensor) -> Tensor:
    """Rotate vectors (..., 3) by unit quaternions (..., 4); leading dimensions broadcast."""
    axis, vector = torch.broadcast_tensors(quaternion[..., 1:], vector)
    twice = 2 * torch.linalg.cross(axis, vector)
    return vector + quaternion[..., :1] * twice + torch.linalg.cross(axis, twice)


def quaternion_between(source: Tensor, target: Tensor, half_turn_axis: Tensor | None = None) -> Tensor:
    """Shortest rotation that takes the direction of `source` to that of `target`.

    Args:
        source (`torch.Tensor`): (..., 3), any length.
        target (`torch.Tensor`): (..., 3), any length.
        half_turn_axis (`torch.Tensor`, *optional*): (3,), axis used where the two are opposite and the shortest rotation is
            not unique. Defaults to an axis orthogonal to `source`. A zero vector on either side gives the identity.

    Returns:
        `torch.Tensor`: Unit quaternions (..., 4), never NaN (the published code divides zero by zero in both cases).
    """
    source, target = torch.broadcast_tensors(source, target)
    norms = torch.sqrt(source.square().sum(-1, keepdim=True) * target.square().sum(-1, keepdim=True))
    real = norms + (source * target).sum(-1, keepdim=True)
    quaternion = torch.cat((real, torch.linalg.cross(source, target)), dim=-1)
    length = torch.linalg.vector_norm(quaternion, dim=-1, keepdim=True)
    degenerate = length <= 1e-6 * norms
    if degenerate.any():
        if half_turn_axis is None:
            smallest = F.one_hot(source.abs().argmin(-1), 3).to(source)
            half_turn_axis = F.normalize(torch.linalg.cross(source, smallest), dim=-1)
        turn = torch.cat((torch.zeros_like(real), half_turn_axis.to(source).expand_as(source)), dim=-1)
        identity = torch.tensor([1.0, 0.0, 0.0, 0.0]).to(source).expand_as(turn)
        fallback = torch.where(norms > 0, turn, identity)
        quaternion = torch.where(degenerate, fallback, quaternion)
        length = torch.where(degenerate, torch.ones_like(length), length)
    return quaternion / length


def quaternion_to_matrix(quaternion: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) of quaternions (..., 4) of any positive length."""
    scale = 2 / quaternion.square().sum(-1, keepdim=True)
    w, x, y, z = quaternion.unbind(-1)
    xs, ys, zs = (scale * quaternion[..., 1:]).unbind(-1)
    rows = (
        1 - y * ys - z * zs, x * ys - w * zs, x * zs + w * ys,
        x * ys + w * zs, 1 - x * xs - z * zs, y * zs - w * xs,
        x * zs - w * ys, y * zs + w * xs, 1 - x * xs - y * ys,
    )  # fmt: skip
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def matrix_to_quaternion(matrix: Tensor) -> Tensor:
    """Unit quaternions (..., 4) of rotation matrices (..., 3, 3), real part not negative.

    Of the four equivalent formulas the one with the largest divisor is taken per matrix, so that none loses precision.
    """
    m00, m11, m22 = matrix[..., 0, 0], matrix[..., 1, 1], matrix[..., 2, 2]
    squares = torch.stack((1 + m00 + m11 + m22, 1 + m00 - m11 - m22, 1 - m00 + m11 - m22, 1 - m00 - m11 + m22), dim=-1)
    a, b, c = matrix[..., 2, 1], matrix[..., 0, 2], matrix[..., 1, 0]
    d, e, f = matrix[..., 1, 2], matrix[..., 2, 0], matrix[..., 0, 1]
    w2, x2, y2, z2 = squares.unbind(-1)
    candidates = torch.stack(
        (
            torch.stack((w2, a - d, b - e, c - f), dim=-1),
            torch.stack((a - d, x2, f + c, b + e), dim=-1),
            torch.stack((b - e, f + c, y2, a + d), dim=-1),
            torch.stack((c - f, b + e, a + d, z2), dim=-1),
        ),
        dim=-2,
    )
    best = squares.argmax(-1)[..., None, None].expand(*squares.shape[:-1], 1, 4)
    quaternion = F.normalize(candidates.gather(-2, best).squeeze(-2), dim=-1)
    return torch.where(quaternion[..., :1] < 0, -quaternion, quaternion)


def matrix_to_rotation_6d(matrix: Tensor) -> Tensor:
    """First two columns of rotation matrices (..., 3, 3), flattened to (..., 6): HumanML3D's continuous form."""
    return torch.cat((matrix[..., 0], matrix[..., 1]), dim=-1)


def rotation_6d_to_matrix(rotation: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) of the continuous 6-number form (..., 6), by Gram-Schmidt (Zhou et al. 2019)."""
    x = F.normalize(rotation[..., :3], dim=-1)
    z = F.normalize(torch.linalg.cross(x, rotation[..., 3:]), dim=-1)
    return torch.stack((x, torch.linalg.cross(z, x), z), dim=-1)


def quaternion_to_axis_angle(quaternion: Tensor) -> Tensor:
    """Rotation vectors (..., 3), axis times angle in radians from 0 to pi, of unit quaternions (..., 4)."""
    quaternion = torch.where(quaternion[..., :1] < 0, -quaternion, quaternion)
    sine = torch.linalg.vector_norm(quaternion[..., 1:], dim=-1, keepdim=True)
    angle = 2 * torch.atan2(sine, quaternion[..., :1])
    # angle / sine tends to 2 where nothing turns.
    return quaternion[..., 1:] * torch.where(sine > 1e-8, angle / sine.clamp_min(1e-8), torch.full_like(sine, 2.0))


def axis_angle_to_quaternion(vector: Tensor) -> Tensor:
    """Unit quaternions (..., 4) of rotation vectors (..., 3), axis times angle in radians."""
    half = torch.linalg.vector_norm(vector, dim=-1, keepdim=True) / 2
    return torch.cat((half.cos(), torch.sinc(half / torch.pi) * vector / 2), dim=-1)
