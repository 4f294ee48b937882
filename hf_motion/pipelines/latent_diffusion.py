"""What pipelines share whose denoisers work on the latents of an autoencoder."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..models.motion_autoencoder import MotionAutoencoder
from ..nn.generators import spawn_generators
from ..nn.padding import padded
from ..nn.predictions import prediction_of
from .constraint import Constraint
from .text_diffusion import TextDiffusionPipeline
from .windows import Windows


class LatentDiffusionPipeline(TextDiffusionPipeline):
    """Base of the pipelines with an autoencoder, `vae`.

    Each window of a motion has a latent of its own. What windows share where they overlap, what a control asks for and what an edit keeps
    are things of frames: at every step predicted clean latents are decoded, the features are mixed and changed as in the other pipelines,
    and the latents move by what the encoder says of the difference. Where nothing is changed they stay exactly as they were.
    """

    model_cpu_offload_seq = "text_encoder->denoiser->vae"
    _guidance_scale = 7.5
    _null_text = ""
    _noise_axes = "the autoencoder's latent"
    _made_of_frames = False
    vae: MotionAutoencoder

    def _check_autoencoder(self) -> None:
        """Refuse parts that do not fit each other.

        Raises:
            ValueError: If the autoencoder makes other features than the feature extractor, or takes shorter motions.
        """
        extractor, config = self.feature_extractor, self.vae.config
        if config.num_features != extractor.dim:
            raise ValueError(
                f"The autoencoder makes features {config.num_features} wide, those of {extractor.skeleton!r} are {extractor.dim} wide. "
                "Pass the feature extractor that it was trained with."
            )
        if extractor.max_frames > self.vae.longest:
            raise ValueError(
                f"The feature extractor says max_frames={extractor.max_frames}, the autoencoder takes {self.vae.longest} frames at most."
            )

    def _draws(self, generators: list[torch.Generator], windows: Windows) -> list[torch.Generator]:
        """Each window draws its own noise."""
        drawn = []
        for motion, generator in enumerate(generators):
            count = sum(window.motion == motion for window in windows.windows)
            drawn += [generator] if count == 1 else spawn_generators(generator, count, generator.device)
        return drawn

    def _noise_shape(self, frames: int) -> tuple[int, ...]:
        return self.vae.latent_shape(self.feature_extractor.max_frames)

    def _step_mask(self, windows: Windows, part: slice) -> Tensor | None:
        mask = self.vae.latent_mask(torch.tensor(windows.lengths[part], device=self._execution_device))
        if mask is None or self._buckets is None:
            return mask
        steps = self.vae.latent_shape(self._buckets.length(max(windows.lengths)))[0]
        return F.pad(mask, (0, steps - mask.shape[1]))

    def _denoise(self, sample: Tensor, timestep: Tensor, condition: Any, mask: Tensor | None, **options: Any) -> Tensor:
        if mask is None:
            return self.denoiser(sample, timestep, condition=condition, **options).sample
        steps = sample.shape[1]
        sample = padded(sample[:, : mask.shape[1]], mask.shape[1])
        made = self.denoiser(sample, timestep, attention_mask=mask, condition=condition, **options).sample
        return padded(made[:, :steps], steps)

    def _cut(self, sample: Tensor, windows: Windows) -> Tensor:
        return sample

    def _merge(self, predictions: Tensor, windows: Windows) -> Tensor:
        return predictions

    def _constrained(self, prediction: Tensor, sample: Tensor, timestep: Tensor, windows: Windows, constraint: Constraint | None) -> Tensor:
        if constraint is None and not windows.overlap:
            return prediction
        clean = self._clean(prediction, sample, timestep)
        moved = clean + self._shift(clean, windows, constraint)
        return prediction_of(moved, sample, timestep, self.scheduler.alphas_cumprod, self.scheduler.config.prediction_type)

    def _shift(self, latents: Tensor, windows: Windows, constraint: Constraint | None) -> Tensor:
        """How latents move so that their motions agree where they overlap, and do what is asked."""
        shifts = []
        mask = self._frame_mask(windows)
        made = torch.cat([self._decoded(latents[part], mask[part]) for part in windows.batches])
        merged = windows.merge(made)
        wanted = windows.cut(merged if constraint is None else constraint.constrain(merged)) * mask[..., None]
        for part in windows.batches:
            features, twice = torch.cat((made[part], wanted[part])).to(self.vae.dtype), mask[part].repeat(2, 1)
            before, after = self.vae.encode(features, twice).mean.float().chunk(2)
            shift = (after - before) * self.vae.config.scaling_factor
            shifts.append(padded(shift, latents.shape[1]))
        return torch.cat(shifts)

    def _frame_mask(self, windows: Windows) -> Tensor:
        """(windows, frames) int64, 1 on real frames."""
        if windows.mask is not None:
            return windows.mask
        return torch.ones(len(windows.lengths), max(windows.lengths), dtype=torch.long, device=self._execution_device)

    def _decoded(self, latents: Tensor, mask: Tensor) -> Tensor:
        steps = self.vae.latent_shape(mask.shape[1])[0]
        return self.vae.decode((latents[:, :steps] / self.vae.config.scaling_factor).to(self.vae.dtype), mask).float()

    def _features(self, latents: Tensor, windows: Windows) -> Tensor:
        mask = self._frame_mask(windows)
        return windows.merge(torch.cat([self._decoded(latents[part], mask[part]) for part in windows.batches]))
