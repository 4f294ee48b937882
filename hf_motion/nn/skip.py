"""Transformer blocks in the shape of a U."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class SkipBlocks(nn.Module):
    """Blocks of which each in the second half also gets what its mirror image in the first half gave (Bao et al., CVPR 2023).

    Args:
        make_block (`Callable`): Makes a block.
        num_layers (`int`): How many; odd.
        hidden_size (`int`): Width of what they pass on.

    Raises:
        ValueError: If the number is even.
    """

    def __init__(self, make_block: Callable[[], nn.Module], num_layers: int, hidden_size: int) -> None:
        super().__init__()
        if num_layers % 2 != 1:
            raise ValueError(f"num_layers must be odd, half of the blocks on either side of the middle one, got {num_layers}.")
        half = num_layers // 2
        self.down = nn.ModuleList(make_block() for _ in range(half))
        self.middle = make_block()
        self.up = nn.ModuleList(make_block() for _ in range(half))
        self.merges = nn.ModuleList(nn.Linear(2 * hidden_size, hidden_size) for _ in range(half))

    def forward(self, hidden: Tensor, *inputs: Any) -> Tensor:
        """(batch, ..., hidden_size) in and out; other inputs go to every block as they are."""
        seen = []
        for block in self.down:
            hidden = block(hidden, *inputs)
            seen.append(hidden)
        hidden = self.middle(hidden, *inputs)
        for merge, block in zip(self.merges, self.up, strict=True):
            hidden = block(merge(torch.cat((hidden, seen.pop()), dim=-1)), *inputs)
        return hidden
