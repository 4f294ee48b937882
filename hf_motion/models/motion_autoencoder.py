"""What the autoencoders of latent diffusion share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..nn.gaussian import Gaussian
from .checked_diffusers_model import CheckedDiffusersModel


class MotionAutoencoder(CheckedDiffusersModel):
    """Base of variational autoencoders of normalised motion features: a diffusers model with `encode`, `decode` and a `scaling_factor`."""

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
