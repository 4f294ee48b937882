"""What all trainings share at every step: settings for any device, and a loss that is a number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..utils.device import choose_device
from .resuming import last_checkpoint


class AnyDevice:
    """Mixin of training arguments, named before their class: they take a CPU where there is no accelerator, and all columns of batches."""

    def __post_init__(self) -> None:
        # transformers takes bf16 for a wish for a GPU unless told otherwise.
        self.use_cpu = self.use_cpu or choose_device() == "cpu"
        super().__post_init__()
        # The models take what the collators make; there are no data set columns to match against.
        self.remove_unused_columns = False


class WithClips:
    """A collator's batches with the numbers of their clips, so that a loss that is no number can name them.

    Args:
        collator (`Callable`): Makes batches of rows.
        columns (`Sequence[str]`, *optional*): What it gets of each row; all by default.
    """

    def __init__(self, collator: Callable[[list[Any]], dict[str, Tensor]], columns: Sequence[str] | None = None) -> None:
        self.collator, self.columns = collator, columns

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """A batch, and `clips`, (batch,) int64."""
        wanted = list(rows) if self.columns is None else [{name: row[name] for name in self.columns} for row in rows]
        return {**self.collator(wanted), "clips": torch.tensor([row["clip"] for row in rows])}


class FiniteLoss:
    """Mixin of trainers, named before their class: stops at a loss that is no number, before the weights are touched.

    Attributes:
        clip_names (`Sequence[str]`): Names by the numbers of `WithClips`.
    """

    clip_names: Sequence[str] = ()

    def training_step(self, model: nn.Module, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Tensor:
        """One step.

        Raises:
            FloatingPointError: If the loss is not finite, with the clips of the batch.
        """
        clips = inputs.pop("clips", None)
        loss = super().training_step(model, inputs, *args, **kwargs)
        if not torch.isfinite(loss):
            names = ", ".join(self.clip_names[clip] for clip in clips.tolist()) if clips is not None else "unknown"
            raise FloatingPointError(
                f"The loss of step {self.state.global_step + 1} is {float(loss)}. Its clips: {names}. Look at these (hf-motion data "
                f"check), or lower the learning rate; the last good checkpoint is {last_checkpoint(self.args.output_dir)}."
            )
        return loss
