"""Exponential moving average of weights, on diffusers' `EMAModel`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from diffusers.training_utils import EMAModel
from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


@contextmanager
def averaged_weights(ema: EMAModel | None, model: nn.Module) -> Iterator[None]:
    """Context in which a model has its averaged weights; without an average nothing happens.

    Args:
        ema (`EMAModel`, *optional*): The average.
        model (`torch.nn.Module`): The model that it follows.
    """
    if ema is None:
        yield
        return
    parameters = trained_parameters(model)
    ema.store(parameters)
    ema.copy_to(parameters)
    try:
        yield
    finally:
        ema.restore(parameters)


def trained_parameters(model: nn.Module) -> list[nn.Parameter]:
    """The parameters that want a gradient: those that are averaged."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


class EMACallback(TrainerCallback):
    """Updates the average after every optimisation step.

    Args:
        ema (`EMAModel`): The average.
        model (`torch.nn.Module`): The model to follow.
    """

    def __init__(self, ema: EMAModel, model: nn.Module) -> None:
        self.ema, self.model = ema, model

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Take the step's weights into the average."""
        self.ema.step(trained_parameters(self.model))
