"""CigTime's anchor loss: weights that learn stay near where they began."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from ..models.motion_language.repository import has_file

_INDEX, _WHOLE = "model.safetensors.index.json", "model.safetensors"
_TINY_RATE = 1e-4


class Anchored:
    """Mixin of trainers, named before their class: the loss has the term anchor * ||W - W0||^2 (Fang et al., NeurIPS 2024, eq. 10).

    Its gradient, 2 * anchor * (W - W0), is added to the weights' own once a step, before gradients are clipped; so no graph over all
    weights is kept, and nothing depends on how a batch is accumulated. W0 is a copy of what every process holds of the weights, at
    half the size where bfloat16 holds them exactly; after a resume it is read from the checkpoint that the training began with.

    Attributes:
        anchor (`float`): The paper's lambda, which it does not give; 0 for none.
        anchor_start (`str`): Folder or repository that the training began with.
    """

    anchor: float = 0.0
    anchor_start: str = ""
    _anchors: dict[str, Tensor] | None = None

    def training_step(self, model: nn.Module, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Tensor:
        """One step; the last of those whose gradients are added up brings the anchor's."""
        loss = super().training_step(model, inputs, *args, **kwargs)
        if self.anchor and self.accelerator.sync_gradients:
            if self._anchors is None:
                self._anchors = self._where_it_began(model)
            self._pull(model)
        return loss

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Log, the term's value included."""
        if self._anchors is not None and "loss" in logs:
            logs = {**logs, "anchor_loss": self.anchor * self._distance()}
        super().log(logs, *args, **kwargs)

    @torch.no_grad()
    def _pull(self, model: nn.Module) -> None:
        for name, weight in _learning(self.accelerator.unwrap_model(model)):
            if weight.grad is not None:
                weight.grad.add_((weight.detach() - self._anchors[name].to(weight.dtype)).to(weight.grad.dtype), alpha=2 * self.anchor)

    @torch.no_grad()
    def _distance(self) -> float:
        parts = [
            (weight.detach() - self._anchors[name].to(weight.dtype)).float().square().sum()
            for name, weight in _learning(self.accelerator.unwrap_model(self.model))
        ]
        return sum(float(part.full_tensor() if isinstance(part, DTensor) else part) for part in parts)

    @torch.no_grad()
    def _where_it_began(self, model: nn.Module) -> dict[str, Tensor]:
        inner = self.accelerator.unwrap_model(model)
        if self.state.global_step == 0:
            return {name: _lean(weight.detach()) for name, weight in _learning(inner)}
        return {name: _lean(_like(saved, weight)) for name, weight, saved in _saved(inner, self.anchor_start)}


def check_anchor(trainer: Any, model: nn.Module) -> None:
    """Refuse settings with which the anchor would not be what it says.

    Args:
        trainer (`transformers.Trainer`): With `Anchored`.
        model (`torch.nn.Module`): Its model.

    Raises:
        ValueError: If the strength is negative, or gradients cannot be reached: adapters, float16's scaled gradients, DeepSpeed, FSDP 1.
    """
    if not trainer.anchor >= 0:
        raise ValueError(f"anchor must be 0 or more, got {trainer.anchor}.")
    reasons = {
        "adapters: they are not W, and LoRA keeps near the start by itself; set lora_rank: 0": hasattr(model, "peft_config"),
        "fp16, which scales gradients; set bf16: true": trainer.args.fp16,
        "DeepSpeed, which hides gradients; use training/accelerate/gpu_fsdp.yaml with fsdp_version: 2": trainer.is_deepspeed_enabled,
        "FSDP 1, which mixes weights; set fsdp_version: 2": trainer.is_fsdp_enabled
        and getattr(trainer.accelerator.state.fsdp_plugin, "fsdp_version", 1) < 2,
    }
    wrong = [reason for reason, holds in reasons.items() if holds]
    if trainer.anchor and wrong:
        raise ValueError(f"anchor={trainer.anchor:g} does not work with {wrong[0]}, or leave anchor out.")


def check_precision(model: nn.Module, learning_rate: float) -> None:
    """Refuse to train weights of half precision in steps that most of them cannot take.

    Of weights in bfloat16, which have three decimal places, 2 % change at all at CigTime's rate of 1e-5.

    Args:
        model (`torch.nn.Module`): What is trained.
        learning_rate (`float`): Its learning rate.

    Raises:
        ValueError: If all its weights learn, some are no float32, and the rate is below 1e-4.
    """
    kinds = {str(weight.dtype).removeprefix("torch.") for _, weight in _learning(model) if weight.dtype in (torch.bfloat16, torch.float16)}
    if kinds and learning_rate < _TINY_RATE and not hasattr(model, "peft_config"):
        raise ValueError(
            f"learning_rate={learning_rate:g} is too small for weights in {', '.join(sorted(kinds))}: most would round back to where they "
            "were. Load the model with dtype=torch.float32 (bf16: true still computes in bfloat16), or train adapters."
        )


def _learning(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            yield name.replace("_orig_mod.", ""), weight


def _lean(weight: Tensor) -> Tensor:
    """A copy, in bfloat16 where that is exact."""
    half = weight.to(torch.bfloat16)
    # Shards of one weight may differ in that; whoever holds them need not agree.
    local, exact = (part.to_local() if isinstance(part, DTensor) else part for part in (weight, half))
    return half if torch.equal(exact.to(local.dtype), local) else weight.clone()


def _like(saved: Tensor, weight: Tensor) -> Tensor:
    if saved.shape != weight.shape:
        raise ValueError(f"the checkpoint that the training began with has a weight {tuple(saved.shape)} for one {tuple(weight.shape)}.")
    saved = saved.to(weight.device, weight.dtype)
    return distribute_tensor(saved, weight.device_mesh, weight.placements) if isinstance(weight, DTensor) else saved


def _saved(model: nn.Module, start: str) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Names, weights, and what the checkpoint holds for them, one after the other."""
    index = has_file(start, _INDEX)
    files = json.loads(Path(index).read_text(encoding="utf-8"))["weight_map"] if index else {}
    for name, weight in _learning(model):
        path = has_file(start, files.get(name, _WHOLE))
        if path is None:
            raise ValueError(
                f"To go on with an anchor, {start!r}, which the training began with, must still be there; it has no "
                f"{files.get(name, _WHOLE)}."
            )
        with safe_open(path, framework="pt") as file:
            if name not in file.keys():  # noqa: SIM118  (not a mapping)
                raise ValueError(f"{path!r}, which the training began with, has no weight {name!r}, so nothing can be held near it.")
            yield name, weight, file.get_tensor(name)
