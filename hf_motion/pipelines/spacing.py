"""Which of the diffusion steps that a scheduler was trained with are taken."""

from __future__ import annotations

import inspect

from diffusers.schedulers import SchedulerMixin


def takes_timesteps(scheduler: SchedulerMixin) -> bool:
    """Whether a scheduler can be told its steps: some never can, others not while they space them by a rule of their own."""
    rules = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas")
    takes = "timesteps" in inspect.signature(scheduler.set_timesteps).parameters
    return takes and not any(getattr(scheduler.config, rule, False) for rule in rules)


def spaced_timesteps(total: int, count: int, power: float) -> list[int]:
    """Diffusion steps that lie closer together where there is much noise, where what a motion will be is settled.

    Args:
        total (`int`): How many the scheduler was trained with.
        count (`int`): How many to take.
        power (`float`): The i-th of n leaves 1 - (i / n) ** power of the steps to go; 1 spaces them evenly.

    Raises:
        ValueError: If there are not so many.

    Example:
        >>> spaced_timesteps(1000, 5, 1.0), spaced_timesteps(1000, 5, 2.0)
        ([999, 799, 599, 399, 199], [999, 959, 839, 639, 359])
    """
    if count > total:
        raise ValueError(f"num_inference_steps={count} is more than the {total} steps that the scheduler was trained with.")
    steps = [round(total * (1 - (index / count) ** power)) - 1 for index in range(count)]
    for index in range(1, count):
        steps[index] = min(steps[index], steps[index - 1] - 1)
    return [max(step, count - 1 - index) for index, step in enumerate(steps)]
