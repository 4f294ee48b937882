"""What retrieval models return."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from transformers.utils import ModelOutput


@dataclass
class MotionTextOutput(ModelOutput):
    """Motions and texts in one space. A model with several loss terms adds them as further fields.

    Args:
        loss (`torch.Tensor`, *optional*): What training makes small, a scalar.
        motion_embeds (`torch.Tensor`): (batch, embed_dim), in the caller's order.
        text_embeds (`torch.Tensor`): (batch, embed_dim), in the caller's order.
    """

    loss: Tensor | None = None
    motion_embeds: Tensor | None = None
    text_embeds: Tensor | None = None
