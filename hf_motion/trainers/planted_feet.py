"""A loss on feet that should stand: how far they slide."""

from __future__ import annotations

import torch
from torch import Tensor

from ..representation import MotionFeatureExtractor


class PlantedFeet:
    """How fast feet slide that stand in the real clip.

    MDM's foot contact loss (Tevet et al. 2023, eq. 5) with two changes: a foot stands where the real one moves by less than `still`, since
    the contacts among HumanML3D's features let feet move at 0.9 m/s; and a prediction counts as much as there is signal in its input, since
    from noise alone nobody can tell when a foot stands.

    Args:
        feature_extractor (`MotionFeatureExtractor`): Of the features.
        alphas_cumprod (`torch.Tensor`): (diffusion steps,), of the noise schedule.
        still (`float`, defaults to 0.2): Metres per second.
    """

    def __init__(self, feature_extractor: MotionFeatureExtractor, alphas_cumprod: Tensor, still: float = 0.2) -> None:
        self.feature_extractor, self.alphas_cumprod = feature_extractor, alphas_cumprod
        skeleton = feature_extractor.features.skeleton
        self.feet = list(skeleton.feet)
        unit = 1000.0 if skeleton.unit == "mm" else 1.0
        self.still = still * unit / feature_extractor.fps

    def __call__(self, prediction: Tensor, target: Tensor, attention_mask: Tensor, timesteps: Tensor) -> Tensor:
        """Mean over clips of the mean square of the way that standing feet slide in a frame, in units of `still`.

        Args:
            prediction (`torch.Tensor`): Predicted clean features, normalised, (batch, frames, dim).
            target (`torch.Tensor`): The real ones.
            attention_mask (`torch.Tensor`): (batch, frames), 1 on real frames.
            timesteps (`torch.Tensor`): Diffusion steps, (batch,).

        Returns:
            `torch.Tensor`: A number.
        """
        with torch.no_grad():
            stands = self._steps(target).square().sum(-1) < self.still**2
            stands = stands * attention_mask[:, 1:, None]
        slide = self._steps(prediction).square().sum(-1) / self.still**2
        clips = (slide * stands).sum((1, 2)) / stands.sum((1, 2)).clamp_min(1)
        return (clips * self.alphas_cumprod.to(clips.device)[timesteps]).mean()

    def _steps(self, features: Tensor) -> Tensor:
        """How ankles and toes move from each frame to the next, (batch, frames - 1, 4, 3)."""
        joints = self.feature_extractor.features.decode(self.feature_extractor.denormalize(features.float()))
        return joints[..., self.feet, :].diff(dim=-3)
