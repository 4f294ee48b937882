"""What converters of generators of motion tokens share: a text encoder and a motion tokenizer around the converted weights."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, TypeVar

from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..models.motion_vq.modeling_motion_vq import MotionVQModel
from ..models.text_motion_model import TextMotionModel
from ..representation import MotionFeatureExtractor
from .published import text_encoder_pair

TEXT_ENCODER = "openai/clip-vit-base-patch32"
"""The text encoder that every published one was trained with."""

TextEncoder = str | os.PathLike | tuple[PreTrainedModel, PreTrainedTokenizerBase]
Model = TypeVar("Model", bound=TextMotionModel)


def build_token_model(
    model_class: type[Model],
    weights: Mapping[str, Tensor],
    options: Mapping[str, Any],
    text_dim: int,
    text_encoder: TextEncoder,
    vq_model: MotionVQModel,
    feature_extractor: MotionFeatureExtractor,
) -> Model:
    """A complete model of converted weights.

    Args:
        model_class (`type`): Its class.
        weights (`Mapping[str, torch.Tensor]`): All its weights but those of text encoder and motion tokenizer.
        options (`Mapping`): Of its configuration.
        text_dim (`int`): Width of the text's vector that the weights expect.
        text_encoder (`str`, `os.PathLike` or a pair): Name or folder, or a model and its tokenizer.
        vq_model (`MotionVQModel`): Motion tokenizer.
        feature_extractor (`MotionFeatureExtractor`): Its statistics.

    Returns:
        `TextMotionModel`: In evaluation mode.

    Raises:
        OSError: If there is no such text encoder.
        ValueError: If the parts do not fit each other.
    """
    encoder, tokenizer = text_encoder_pair(text_encoder, text_dim, [TEXT_ENCODER])
    encoder.config.architectures = [type(encoder).__name__]
    model = model_class(model_class.config_class(vq_model.config, encoder.config, **options), encoder, vq_model)
    inner = {name: value for name, value in model.state_dict().items() if name.startswith(("text_encoder.", "vq_model."))}
    try:
        model.load_state_dict({**weights, **inner})
    except RuntimeError as error:
        raise ValueError(f"The weights do not fit each other: {error}") from error
    model.tokenizer, model.feature_extractor = tokenizer, feature_extractor
    return model.eval()
