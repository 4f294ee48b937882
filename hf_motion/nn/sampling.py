"""Draws from logits, each sample with its own generator: a sample does not depend on what else is made with it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import LogitsProcessor


def gumbel_noise(shape: Sequence[int], generators: Sequence[torch.Generator], device: torch.device) -> Tensor:
    """Gumbel(0, 1) noise, (samples, *shape) float32; row i comes from generator i. The argmax of logits plus it is a draw."""
    rows = [torch.rand(tuple(shape), generator=generator, device=generator.device) for generator in generators]
    uniform = torch.stack([row.to(device) for row in rows])
    return -(-uniform.clamp_min(1e-20).log()).clamp_min(1e-20).log()


class GumbelLogitsProcessor(LogitsProcessor):
    """Makes greedy decoding a draw: `generate` then samples with one generator per row, whatever else is in the batch.

    Args:
        generators (`list[torch.Generator]`): One per row.
    """

    def __init__(self, generators: Sequence[torch.Generator]) -> None:
        self.generators = generators

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """(rows, vocabulary) logits, already filtered and divided by the temperature."""
        return scores.float() + gumbel_noise(scores.shape[1:], self.generators, scores.device)
