"""Where chance comes from: a generator for each sample."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def spawn_generators(
    generator: torch.Generator | Sequence[torch.Generator] | None, count: int, device: torch.device
) -> list[torch.Generator]:
    """One generator per sample, so that a sample does not depend on what else is made with it.

    Args:
        generator (`torch.Generator` or a list of them, *optional*): One gives the seeds of all; a list is taken as it is; None draws from
            torch's global state. A CPU generator gives the same noise whatever device the model is on.
        count (`int`): Number of samples.
        device (`torch.device`): Where generators are made if none is given.

    Returns:
        `list[torch.Generator]`: `count` generators.

    Raises:
        ValueError: If a list has another length, or something is not a generator.
    """
    if isinstance(generator, (list, tuple)):
        if len(generator) != count:
            raise ValueError(f"Got {len(generator)} generators for {count} samples; pass one, or one for each sample.")
        return list(generator)
    if generator is not None and not isinstance(generator, torch.Generator):
        raise ValueError(
            f"generator must be a torch.Generator or a list of them, got {generator!r}. For a seed: torch.Generator().manual_seed(0)."
        )
    device = generator.device if generator is not None else device
    seeds = [int(torch.randint(2**62, (), generator=generator, device=device)) for _ in range(count)]
    return [torch.Generator(device).manual_seed(seed) for seed in seeds]
