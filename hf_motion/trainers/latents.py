"""Latents of training clips, encoded once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from tqdm.auto import tqdm

from ..data.motion_text import MotionTextDataset
from ..models.motion_autoencoder import MotionAutoencoder
from ..nn.gaussian import Gaussian
from ..nn.padding import pad_and_mask

_AT_ONCE = 64


class LatentCache:
    """What an autoencoder makes of clips: distributions of latents, kept in memory, from which every draw is its own.

    A clip that is longer than the model's motions is cut anew at each draw, so that it is encoded at each draw too.

    Args:
        vae (`MotionAutoencoder`): The frozen autoencoder.
        dataset (`MotionTextDataset`): The clips.
        show_progress (`bool`, defaults to `True`): Show a progress bar.
    """

    def __init__(self, vae: MotionAutoencoder, dataset: MotionTextDataset, show_progress: bool = True) -> None:
        self.vae = vae
        self.clips: dict[int, Gaussian] = {}
        longest = dataset.feature_extractor.max_frames
        whole = [clip for clip, features in enumerate(dataset.features) if len(features) <= longest]
        whole.sort(key=lambda clip: len(dataset.features[clip]))  # of like length together, so that little is padded
        for start in tqdm(range(0, len(whole), _AT_ONCE), desc="Encoding latents", disable=not show_progress):
            part = whole[start : start + _AT_ONCE]
            self.clips.update(zip(part, self._encode([dataset.features[clip] for clip in part]), strict=True))

    def __call__(self, examples: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """Latents of a batch, drawn and scaled.

        Args:
            examples (`list[dict]`): Of a `MotionTextDataset`.

        Returns:
            `dict`: `motion_features`, (batch, steps, ...), and `attention_mask` (batch, steps) int64 where latents have padding.
        """
        new = [example["motion_features"] for example in examples if example["clip"] not in self.clips]
        made = iter(self._encode(new) if new else [])
        rows = []
        for example in examples:
            posterior = self.clips.get(example["clip"]) or next(made)
            generator = torch.Generator().manual_seed(example["seed"] + 2**40)
            rows.append(posterior.sample(torch.randn(posterior.mean.shape, generator=generator)) * self.vae.config.scaling_factor)
        mask = self.vae.latent_mask(torch.tensor([len(example["motion_features"]) for example in examples]))
        return {"motion_features": pad_sequence(rows, batch_first=True), **({} if mask is None else {"attention_mask": mask})}

    @torch.no_grad()
    def _encode(self, clips: Sequence[Tensor]) -> list[Gaussian]:
        features, mask = pad_and_mask(clips)
        posterior = self.vae.encode(features.to(self.vae.device), mask.to(self.vae.device))
        mean, log_variance = (part.float().cpu() for part in posterior)
        steps = [self.vae.latent_shape(len(clip))[0] for clip in clips]
        return [Gaussian(mean[row, :count].clone(), log_variance[row, :count].clone()) for row, count in enumerate(steps)]
