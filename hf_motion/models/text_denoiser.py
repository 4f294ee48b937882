"""What denoisers that read a text share: how steps and texts come in, and what is checked of them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..nn.attention import AttentionImplementation
from ..nn.embeddings import cosines_and_sines
from ..nn.guidance import GuidanceProjection, add_guidance
from .checked_diffusers_model import CheckedDiffusersModel


class TextDenoiser(CheckedDiffusersModel):
    """Base of denoisers that read a text: diffusers models with `encode_condition`, whose result goes with many calls of `forward`.

    Their configurations have `text_dim` and `text_conditioning`, and `time_dim` where steps are read as diffusers' `Timesteps` gives them.
    """

    attention_implementation: AttentionImplementation = "auto"
    time_projection: nn.Sequential
    guidance_projection: GuidanceProjection | None

    def encode_condition(self, encoder_hidden_states: Tensor, encoder_attention_mask: Tensor | None = None) -> Any:
        """Project a text once, for many calls of `forward`."""
        raise NotImplementedError

    def _as_tokens(self, states: Tensor, most: int | None = None) -> Tensor:
        """States of a text, one vector per text or one per token, as (batch, tokens, text_dim) in the weights' dtype.

        Raises:
            ValueError: If the shape does not fit the configuration, or there are more tokens than `most`.
        """
        kind, width = self.config.text_conditioning, self.config.text_dim
        tokens = states[:, None] if states.ndim == 2 else states
        most = 1 if kind == "pooled" else most
        if tokens.ndim != 3 or tokens.shape[-1] != width or not 1 <= tokens.shape[1] <= (most or tokens.shape[1]):
            wanted = "(batch, text_dim)" if kind == "pooled" else f"(batch, {f'up to {most} ' if most else ''}tokens, text_dim)"
            raise ValueError(
                f"This denoiser takes {kind} text of shape {wanted} with text_dim={width}, got {tuple(states.shape)}. Use the text encoder "
                "that it was trained with."
            )
        return tokens.to(self.dtype)

    def _condition(self, condition: Any, sample: Tensor, states: Tensor | None, mask: Tensor | None, **options: Any) -> tuple[Any, int]:
        """The condition of a call, made of the text if none is given, and how many of its rows there are to a sample.

        Raises:
            ValueError: If neither is given, or the rows are not a multiple of the samples.
        """
        if condition is None:
            if states is None:
                raise ValueError("Pass encoder_hidden_states or a condition made by `encode_condition`.")
            condition = self.encode_condition(states, mask, **options)
        copies = len(condition.text) // len(sample)
        if copies * len(sample) != len(condition.text):
            raise ValueError(f"The condition holds {len(condition.text)} texts, which is not a multiple of {len(sample)} samples.")
        return condition, copies

    def _step(self, timestep: Tensor | int, sample: Tensor, timestep_cond: Tensor | None) -> Tensor:
        """Steps and guidance scales, where these are read, as (batch, hidden_size).

        Raises:
            ValueError: If a guidance scale is missing or is not read.
        """
        timestep = torch.as_tensor(timestep, device=sample.device).expand(len(sample))
        return self.time_projection(add_guidance(self._step_waves(timestep).to(self.dtype), timestep_cond, self.guidance_projection))

    def _step_waves(self, timestep: Tensor) -> Tensor:
        """(batch, width) float32 of (batch,)."""
        return cosines_and_sines(timestep, self.config.time_dim)
