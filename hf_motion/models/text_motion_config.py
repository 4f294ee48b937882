"""Configuration that generators of motion tokens share."""

from __future__ import annotations

from typing import Any

from transformers.configuration_utils import PreTrainedConfig
from transformers.models.auto.configuration_auto import AutoConfig

from .checked import CheckedConfig
from .motion_vq.configuration_motion_vq import MotionVQConfig


class TextMotionConfig(CheckedConfig):
    """Configuration of a model that holds a text encoder and a motion tokenizer.

    Args:
        vq_config (`MotionVQConfig` or `dict`, *optional*): The motion tokenizer's.
        text_config (`PreTrainedConfig` or `dict`, *optional*): The text encoder's, a CLIP text model by default.
        max_text_tokens (`int`, *optional*): Longer prompts are cut; the text encoder's limit by default.
    """

    sub_configs = {"vq_config": MotionVQConfig, "text_config": AutoConfig}

    def __init__(
        self,
        vq_config: MotionVQConfig | dict[str, Any] | None = None,
        text_config: PreTrainedConfig | dict[str, Any] | None = None,
        max_text_tokens: int | None = None,
        **kwargs: Any,
    ) -> None:
        self.vq_config = vq_config if isinstance(vq_config, MotionVQConfig) else MotionVQConfig(**(vq_config or {}))
        if not isinstance(text_config, PreTrainedConfig):
            options = {"model_type": "clip_text_model", **(text_config or {})}
            text_config = AutoConfig.for_model(options.pop("model_type"), **options)
        self.text_config = text_config
        self.max_text_tokens = max_text_tokens
        # transformers would reset it to None in the text encoder's own configuration, and an encoder that exists already would then no
        # longer hide padding.
        kwargs.setdefault("attn_implementation", {"text_config": text_config._attn_implementation})
        super().__init__(**kwargs)

    @property
    def text_dim(self) -> int:
        """Width of a text's vector."""
        projects = "CLIPTextModelWithProjection" in (self.text_config.architectures or ())
        return self.text_config.projection_dim if projects else getattr(self.text_config, "dim", None) or self.text_config.hidden_size

    def get_text_config(self, *args: Any, **kwargs: Any) -> PreTrainedConfig:
        """This configuration: what generates is the motion model, not its text encoder, which the name would suggest to transformers."""
        return self
