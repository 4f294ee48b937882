"""What the autoencoders of latent diffusion share."""

from __future__ import annotations

import os
from typing import Any

import torch
from diffusers.configuration_utils import ConfigMixin
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor

from ..hub.loading import check_loaded, loading
from ..nn.gaussian import Gaussian


class MotionAutoencoder(ModelMixin, ConfigMixin):
    """Base of variational autoencoders of normalised motion features: a diffusers model with `encode`, `decode` and a `scaling_factor`."""

    _supports_gradient_checkpointing = False

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike, **kwargs: Any) -> Any:
        """Load one; see `diffusers.ModelMixin.from_pretrained` for the arguments.

        Raises:
            OSError: If there is no such checkpoint.
            ValueError: If a file is damaged (the message names it), or the weights are not those of its configuration.
        """
        wants_info = kwargs.pop("output_loading_info", False)
        with loading(pretrained_model_name_or_path, subfolder=kwargs.get("subfolder") or ""):
            model, info = super().from_pretrained(pretrained_model_name_or_path, output_loading_info=True, **kwargs)
            check_loaded(pretrained_model_name_or_path, info)
        return (model, info) if wants_info else model

    @property
    def longest(self) -> int:
        """Frames of the longest motion that it takes."""
        raise NotImplementedError

    def latent_shape(self, frames: int) -> tuple[int, ...]:
        """Shape of the latent of a motion of so many frames, without the batch."""
        raise NotImplementedError

    @property
    def latent_options(self) -> dict[str, Any]:
        """What its latents' denoiser has to know of them, as options of that."""
        raise NotImplementedError

    def latent_mask(self, lengths: Tensor) -> Tensor | None:
        """(batch, steps) int64, 1 on real steps of latents of motions of so many frames (batch,); None where latents have no padding."""
        return None

    def encode(self, motion_features: Tensor, attention_mask: Tensor | None = None) -> Gaussian:
        """The latents that a motion may have."""
        raise NotImplementedError

    def decode(self, latents: Tensor, attention_mask: Tensor) -> Tensor:
        """The motion of latents."""
        raise NotImplementedError

    def forward(
        self, motion_features: Tensor, attention_mask: Tensor | None = None, noise: Tensor | None = None
    ) -> tuple[Tensor, Gaussian]:
        """Reconstruct motions.

        Args:
            motion_features (`torch.Tensor`): Normalised features, (batch, frames, num_features).
            attention_mask (`torch.Tensor`, *optional*): (batch, frames), 1 on real frames.
            noise (`torch.Tensor`, *optional*): Draws the latents, of their shape; the means are taken without.

        Returns:
            `tuple[torch.Tensor, Gaussian]`: Normalised features, zero behind each motion's end, and the distribution of the latents.
        """
        if attention_mask is None:
            attention_mask = torch.ones(motion_features.shape[:2], dtype=torch.long, device=motion_features.device)
        posterior = self.encode(motion_features, attention_mask)
        latents = posterior.mean if noise is None else posterior.sample(noise.to(posterior.mean))
        return self.decode(latents, attention_mask), posterior

    def _check_features(self, features: Tensor) -> None:
        width = self.config.num_features
        if features.ndim != 3 or features.shape[-1] != width:
            raise ValueError(f"motion_features must be (batch, frames, {width}), got {tuple(features.shape)}.")
        self._check_length(features.shape[1])

    def _check_length(self, frames: int) -> None:
        if not 1 <= frames <= self.longest:
            raise ValueError(f"Motions of this autoencoder have from 1 to {self.longest} frames, got {frames}.")
