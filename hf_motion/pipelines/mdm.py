"""MDM's pipeline: a sentence to a motion by diffusion over frames."""

from __future__ import annotations

from typing import Any

from diffusers.schedulers import SchedulerMixin
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..models.known_actions import KnownActions
from ..models.mdm import MDMDenoiser
from ..representation import MotionFeatureExtractor
from .text_diffusion import TextDiffusionPipeline


class MDMPipeline(TextDiffusionPipeline):
    """Text to motion with the Human Motion Diffusion Model (Tevet et al., ICLR 2023).

    Args:
        denoiser (`MDMDenoiser`): Predicts clean features.
        text_encoder (`PreTrainedModel`): Any transformers text encoder: CLIP, DistilBERT, T5's encoder, ...
        tokenizer (`PreTrainedTokenizerBase`): Its tokenizer.
        scheduler (`SchedulerMixin`): A diffusers scheduler with `prediction_type="sample"`. `DDPMScheduler` samples as published; DDIM,
            DPM-Solver++ and UniPC take its place with `Scheduler.from_config(pipe.scheduler.config)`.
        feature_extractor (`MotionFeatureExtractor`): With the mean and std that the denoiser was trained with.
        max_text_tokens (`int`, *optional*): Longer prompts are cut. Published weights use 22 with CLIP and no limit with DistilBERT.
        num_inference_steps (`int`, *optional*): Denoising steps unless a call says otherwise; as many as the scheduler was trained with, up
            to 50, by default.
        noise_spacing (`float`, defaults to 1.0): Above 1, the steps lie closer together where there is much noise, see
            `hf_motion.pipelines.spacing.spaced_timesteps`; 1 leaves their spacing to the scheduler. One that takes no timesteps, as DDIM
            or with Karras' spacing, does it itself in any case.
        contact_cleanup (`bool`, defaults to `False`): Whether made motions are settled on the floor and their feet held still while they
            touch it, unless a call says otherwise: see `settle_on_floor` and `lock_feet`.
        known_actions (`KnownActions`, *optional*): What the checkpoint learned; a prompt that is far from all of it is warned of.
        ground_prompts (`bool`, defaults to `False`): Read each prompt beside the plain sentence of the action in `known_actions` that it is
            nearest to; one that is far from all is read alone. For denoisers that were trained so.
        few_steps (`dict`, *optional*): How a distilled denoiser is sampled, see `hf_motion.pipelines.few_steps.FewSteps`.
        few_step_denoiser (`MDMDenoiser`, *optional*): A distilled denoiser beside the other: calls with as few steps as it was distilled
            for take it.
        few_step_scheduler (`LCMScheduler`, *optional*): Its scheduler.

    Example:
        >>> from hf_motion import load_embedded_pipeline
        >>> pipe = load_embedded_pipeline()
        >>> motion = pipe("a person waves the left hand", seconds=3, seed=0).motions[0]
        >>> len(motion), motion.text
        (60, 'a person waves the left hand')
    """

    _optional_components = ["known_actions", "few_step_denoiser", "few_step_scheduler"]

    def __init__(
        self,
        denoiser: MDMDenoiser,
        text_encoder: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        scheduler: SchedulerMixin,
        feature_extractor: MotionFeatureExtractor,
        max_text_tokens: int | None = None,
        num_inference_steps: int | None = None,
        noise_spacing: float = 1.0,
        contact_cleanup: bool = False,
        known_actions: KnownActions | None = None,
        few_steps: dict[str, Any] | None = None,
        few_step_denoiser: MDMDenoiser | None = None,
        few_step_scheduler: SchedulerMixin | None = None,
        ground_prompts: bool = False,
    ) -> None:
        super().__init__(max_text_tokens, num_inference_steps, noise_spacing, contact_cleanup, few_steps)
        if ground_prompts and (known_actions is None or denoiser.config.text_conditioning != "tokens"):
            raise ValueError(
                "ground_prompts needs known_actions, and a denoiser with text_conditioning='tokens'; leave it out, or pass both."
            )
        self.register_modules(
            denoiser=denoiser,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            scheduler=scheduler,
            feature_extractor=feature_extractor,
            known_actions=known_actions,
            few_step_denoiser=few_step_denoiser,
            few_step_scheduler=few_step_scheduler,
        )
        self.register_to_config(ground_prompts=ground_prompts)
