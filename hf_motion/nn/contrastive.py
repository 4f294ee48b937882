"""Telling the motion that belongs to a text from those of its batch that do not."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def symmetric_info_nce(scores: Tensor, similar: Tensor | None = None) -> Tensor:
    """InfoNCE both ways (van den Oord et al. 2018): the mean of -log softmax of the diagonal over rows and over columns.

    Args:
        scores (`torch.Tensor`): (batch, batch), texts by motions, already divided by the temperature. Taken in float32.
        similar (`torch.Tensor`, *optional*): (batch, batch) bool, True where two captions say the same: such pairs are never negatives of
            one another. The diagonal is ignored.

    Returns:
        `torch.Tensor`: A scalar.

    Raises:
        ValueError: If a shape is wrong.

    Example:
        >>> scores = torch.tensor([[2.0, 1.0], [0.0, 3.0]])
        >>> round(symmetric_info_nce(scores).item(), 4)
        0.1539
        >>> symmetric_info_nce(scores, similar=torch.ones(2, 2, dtype=torch.bool)).item()
        0.0
    """
    if scores.ndim != 2 or scores.shape[0] != scores.shape[1]:
        raise ValueError(f"scores must be (batch, batch), as many texts as motions, got shape {tuple(scores.shape)}.")
    scores = scores.float()
    if similar is not None:
        scores = scores.masked_fill(other_similar(similar, len(scores)), -torch.inf)
    target = torch.arange(len(scores), device=scores.device)
    return (F.cross_entropy(scores, target) + F.cross_entropy(scores.T, target)) / 2


def other_similar(similar: Tensor, batch: int) -> Tensor:
    """`similar` as bool without its diagonal.

    Args:
        similar (`torch.Tensor`): (batch, batch), True where two captions say the same.
        batch (`int`): Number of pairs.

    Returns:
        `torch.Tensor`: (batch, batch) bool.

    Raises:
        ValueError: If the shape is wrong.
    """
    if similar.shape != (batch, batch):
        raise ValueError(f"similar must be ({batch}, {batch}), one row and column per pair of the batch, got shape {tuple(similar.shape)}.")
    return similar.bool() & ~torch.eye(batch, dtype=torch.bool, device=similar.device)
