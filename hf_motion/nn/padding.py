"""Sequences of several lengths in one batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence


def pad_and_mask(sequences: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Sequences (length, ...) as one batch, zero behind each end, and (batch, length) int64 masks, 1 on what is real."""
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    return pad_sequence(list(sequences), batch_first=True), (torch.arange(int(lengths.max())) < lengths[:, None]).long()


def padded(values: Tensor, steps: int) -> Tensor:
    """(batch, fewer steps, ...) with zeros behind, as many as make `steps`."""
    padding = values.new_zeros(len(values), steps - values.shape[1], *values.shape[2:])
    return torch.cat((values, padding), dim=1)
