"""MLD's pipeline: a sentence to a motion by diffusion of a few latent tokens."""

from __future__ import annotations

from typing import Any

from diffusers.schedulers import SchedulerMixin
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..models.mld import MLDAutoencoder, MLDDenoiser
from ..representation import MotionFeatureExtractor
from .latent_diffusion import LatentDiffusionPipeline


class MLDPipeline(LatentDiffusionPipeline):
    """Text to motion with Motion Latent Diffusion (Chen et al., CVPR 2023), and with MotionLCM (Dai et al., ECCV 2024), which distils it.

    Args:
        vae (`MLDAutoencoder`): Its autoencoder.
        denoiser (`MLDDenoiser`): Predicts the noise in latents.
        text_encoder (`PreTrainedModel`): CLIP ViT-L/14 with its projection in the paper, sentence-T5 in MotionLCM-v2.
        tokenizer (`PreTrainedTokenizerBase`): Its tokenizer.
        scheduler (`SchedulerMixin`): `DDIMScheduler` samples as published.
        feature_extractor (`MotionFeatureExtractor`): With the mean and std that the autoencoder was trained with.
        max_text_tokens (`int`, *optional*): Longer prompts are cut.
        num_inference_steps (`int`, *optional*): Denoising steps unless a call says otherwise, 50 by default.
        noise_spacing (`float`, defaults to 1.0): See `MDMPipeline`.
        contact_cleanup (`bool`, defaults to `False`): See `MDMPipeline`.
        few_steps (`dict`, *optional*): How a distilled denoiser is sampled, see `hf_motion.pipelines.few_steps.FewSteps`.
        few_step_denoiser (`MLDDenoiser`, *optional*): A distilled denoiser beside the other: calls with as few steps as it was distilled
            for take it.
        few_step_scheduler (`LCMScheduler`, *optional*): Its scheduler.

    Raises:
        ValueError: If the parts do not fit each other.

    Example:
        >>> from hf_motion import MLDPipeline
        >>> pipe = MLDPipeline.from_pretrained("mld-humanml3d")  # doctest: +SKIP
        >>> motion = pipe("a person walks in a circle", seconds=6, seed=0).motions[0]  # doctest: +SKIP
    """

    _optional_components = ["few_step_denoiser", "few_step_scheduler"]

    def __init__(
        self,
        vae: MLDAutoencoder,
        denoiser: MLDDenoiser,
        text_encoder: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        scheduler: SchedulerMixin,
        feature_extractor: MotionFeatureExtractor,
        max_text_tokens: int | None = None,
        num_inference_steps: int | None = None,
        noise_spacing: float = 1.0,
        contact_cleanup: bool = False,
        few_steps: dict[str, Any] | None = None,
        few_step_denoiser: MLDDenoiser | None = None,
        few_step_scheduler: SchedulerMixin | None = None,
    ) -> None:
        super().__init__(max_text_tokens, num_inference_steps, noise_spacing, contact_cleanup, few_steps)
        self.register_modules(
            vae=vae,
            denoiser=denoiser,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            scheduler=scheduler,
            feature_extractor=feature_extractor,
            few_step_denoiser=few_step_denoiser,
            few_step_scheduler=few_step_scheduler,
        )
        self._check_autoencoder()
