"""A motion language model that learns to look at videos."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken

from ..gemini_mvr.configuration_gemini_mvr import ActionLevelConfig
from ..gemini_mvr.modeling_gemini_mvr import GeminiMVR
from ..motion_language.instructions import Instructions
from ..motion_language.modeling_motion_language import MotionLanguageModel
from ..motion_language.new_tokens import add_token_rows
from .modeling_vimorag import VimoRAGForCausalLM
from .processing_vimorag import VIDEO_TOKEN

WORDINGS = Path(__file__).parent / "templates.yaml"
"""How a model that sees videos is asked."""


def add_video_prefix(
    model: MotionLanguageModel,
    retriever: GeminiMVR | None = None,
    *,
    image_tower: Any = None,
    video_tower: Any = None,
    generator: torch.Generator | None = None,
    **options: Any,
) -> MotionLanguageModel:
    """Let a motion language model see videos; it has to learn what it sees (`training/train_sft.py --retrieved`).

    Its tokenizer gets the token of a video, its instructions the wordings of the paper, and without a video it answers as before.

    Args:
        model (`MotionLanguageModel`): A causal one, without adapters; its parts are taken over.
        retriever (`GeminiMVR`, *optional*): Its action level becomes the keypoint tower: a copy.
        image_tower (`PreTrainedModel`, *optional*): Tower of single frames, such as a `CLIPVisionModel`; taken over.
        video_tower (`PreTrainedModel`, *optional*): Tower of chunks of frames, such as a `VideoMAEModel`; taken over.
        generator (`torch.Generator`, *optional*): Of the row of the new token.
        **options: As for `VimoRAGConfig`.

    Returns:
        `MotionLanguageModel`: With a `VimoRAGForCausalLM`. Towers of pictures need their image processors:
        `model.video_processor = VimoRAGProcessor(model.config, image_processor=..., video_processor=...)`.

    Raises:
        ValueError: If it sees videos already, has adapters, is an encoder-decoder, or there is no tower.
    """
    if model.video_processor is not None:
        raise ValueError("This model sees videos already.")
    if model.has_adapters:
        raise ValueError("This model has adapters, which would be lost. Call model.merge_adapters() first.")
    language_model, tokenizer = model.language_model, model.tokenizer
    if retriever is not None:
        options.setdefault("keypoint_config", ActionLevelConfig.of(retriever.config))
        options.setdefault("num_frames", retriever.config.max_frames)
    for name, tower in (("image_config", image_tower), ("video_config", video_tower)):
        if tower is not None:
            options.setdefault(name, tower.config)
    tokenizer.add_tokens([AddedToken(VIDEO_TOKEN, normalized=False, special=True)])
    token = tokenizer.convert_tokens_to_ids(VIDEO_TOKEN)
    made = VimoRAGForCausalLM.from_language_model(language_model, video_token_id=token, **options)
    add_token_rows(made, token, 1, generator)
    towers = made.model.video_prefix.towers
    for name, tower in (("images", image_tower), ("videos", video_tower)):
        if tower is not None:
            towers[name] = tower.requires_grad_(not made.config.freeze_towers)
    if retriever is not None:
        own = towers["keypoints"].state_dict()
        towers["keypoints"].load_state_dict({name: value for name, value in retriever.state_dict().items() if name in own})
    instructions = Instructions(made.config.motion["instructions"])
    instructions.add(Instructions.from_file(WORDINGS))
    made.config.motion = {**made.config.motion, "instructions": instructions.templates}
    parts = (tokenizer, model.vq_model, model.motion_tokenizer, model.feature_extractor)
    return MotionLanguageModel(made, *parts).train(model.training)
