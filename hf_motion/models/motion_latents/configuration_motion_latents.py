"""Configuration of `MotionLatentsForCausalLM`."""

from __future__ import annotations

from typing import Any

from transformers.configuration_utils import PreTrainedConfig

from ..checked import CheckedConfig


class MotionLatentsConfig(CheckedConfig):
    """A causal language model, and the width of the latents that it reads.

    Args:
        text_config (`PreTrainedConfig` or `dict`, *optional*): The language model: any causal one of transformers; a dictionary names its
            `model_type`. Llama's by default.
        latent_size (`int`, defaults to 512): Width of a latent: `code_dim` of the motion tokenizer.
        latent_token_id (`int`, defaults to 0): The token in whose place a latent stands.
        **kwargs: Options of every configuration.

    Raises:
        ValueError: If the width is below 1, or the language model is unknown.
    """

    model_type = "motion-latents"
    sub_configs = {"text_config": PreTrainedConfig}

    def __init__(
        self,
        text_config: PreTrainedConfig | dict[str, Any] | None = None,
        latent_size: int = 512,
        latent_token_id: int = 0,
        **kwargs: Any,
    ) -> None:
        if latent_size < 1:
            raise ValueError(f"latent_size must be at least 1, got {latent_size}.")
        if not isinstance(text_config, PreTrainedConfig):
            from transformers.models.auto.configuration_auto import AutoConfig

            text_config = AutoConfig.for_model(**{"model_type": "llama", **(text_config or {})})
        self.text_config = text_config
        self.latent_size = latent_size
        self.latent_token_id = latent_token_id
        kwargs.setdefault("tie_word_embeddings", text_config.tie_word_embeddings)
        for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
            kwargs.setdefault(name, getattr(text_config, name, None))
        # transformers would reset it to None, and a language model that exists already would then no longer hide padding.
        kwargs.setdefault("attn_implementation", {"text_config": text_config._attn_implementation})
        super().__init__(**kwargs)
