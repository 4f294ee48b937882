"""Text to motion with AdaQF: MDM's denoiser and a text encoder that learned from the quality of the motions that it led to."""

from __future__ import annotations

from .mdm import MDMPipeline


class AdaQFPipeline(MDMPipeline):
    """Text to motion with AdaQF (*High-fidelity human motion generation with motion quality feedback*).

    What AdaQF adds to MDM happens in training: extractors judge the motions, and the text encoder adapts by LoRA. Sampling is MDM's, so
    this class is MDM's pipeline; it is the one place where a system extends another, because the paper defines it so. Its text encoder
    carries the adapter, AdaCLIP: `save_lora_weights` saves it alone, `fuse_lora` adds it to the weights, `load_lora_weights` takes another.

    Args:
        denoiser (`MDMDenoiser`): Predicts clean features; `arch="trans_dec"` in the paper.
        text_encoder (`PreTrainedModel`): CLIP's text model in the paper, with an adapter or without.
        tokenizer (`PreTrainedTokenizerBase`): Its tokenizer.
        scheduler (`SchedulerMixin`): A diffusers scheduler with `prediction_type="sample"`.
        feature_extractor (`MotionFeatureExtractor`): With the mean and std that the denoiser was trained with.
        max_text_tokens (`int`, *optional*): Longer prompts are cut.
        num_inference_steps (`int`, *optional*): Denoising steps unless a call says otherwise; 50 in the paper.
        noise_spacing (`float`, defaults to 1.0): See `MDMPipeline`.
    """
