"""Configuration of `T2MGPT`."""

from __future__ import annotations

from typing import Any

from transformers.configuration_utils import PreTrainedConfig

from ..motion_vq.configuration_motion_vq import MotionVQConfig
from ..text_motion_config import TextMotionConfig
from .layout import OneStream


class T2MGPTConfig(TextMotionConfig):
    """Sizes and training of `T2MGPT`; the defaults are the published ones.

    Token ids: a code is its own number, then come the end (`codebook_size`), padding and the place of the text.

    Args:
        vq_config (`MotionVQConfig` or `dict`, *optional*): The motion tokenizer's, with one quantizer.
        text_config (`PreTrainedConfig` or `dict`, *optional*): The text encoder's.
        hidden_size (`int`, defaults to 1024): Width.
        num_hidden_layers (`int`, defaults to 18): Blocks. Published as two stacks of nine, which are one.
        num_attention_heads (`int`, defaults to 16): Heads.
        intermediate_size (`int`, defaults to 4096): Width of the feed-forward layers.
        dropout (`float`, defaults to 0.1): Dropout.
        max_tokens (`int`, defaults to 50): Longest motion, in tokens.
        keep_probability (`float`, defaults to 0.5): In training a token is shown as it is with this probability, else a random code is.
        max_text_tokens (`int`, *optional*): Longer prompts are cut.

    Raises:
        ValueError: If the tokenizer has several quantizers, or sizes do not fit.
    """

    model_type = "t2m-gpt"

    def __init__(
        self,
        vq_config: MotionVQConfig | dict[str, Any] | None = None,
        text_config: PreTrainedConfig | dict[str, Any] | None = None,
        hidden_size: int = 1024,
        num_hidden_layers: int = 18,
        num_attention_heads: int = 16,
        intermediate_size: int = 4096,
        dropout: float = 0.1,
        max_tokens: int = 50,
        keep_probability: float = 0.5,
        max_text_tokens: int | None = None,
        **kwargs: Any,
    ) -> None:
        if hidden_size % num_attention_heads or hidden_size % 2:
            raise ValueError(f"hidden_size={hidden_size} must be even and divisible by num_attention_heads={num_attention_heads}.")
        if not 0 <= keep_probability <= 1:
            raise ValueError(f"keep_probability must be in [0, 1], got {keep_probability}.")
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.intermediate_size = intermediate_size
        self.dropout = dropout
        self.max_tokens = max_tokens
        self.keep_probability = keep_probability
        special = {"eos_token_id": 0, "pad_token_id": 1, "bos_token_id": 2}
        for name in special:
            kwargs.pop(name, None)  # they follow from the codebook
        super().__init__(vq_config, text_config, max_text_tokens, **kwargs)
        if self.vq_config.hand_features is not None:
            raise ValueError("T2M-GPT reads one stream of codes; this tokenizer has two, of body and hands. Use HumanTOMATO.")
        if self.vq_config.num_quantizers != 1:
            raise ValueError(f"T2M-GPT reads one code per step; this tokenizer has {self.vq_config.num_quantizers} quantizers. Use MoMask.")
        for name, offset in special.items():
            setattr(self, name, self.vq_config.codebook_size + offset)
        self.vocab_size = self.vq_config.codebook_size + len(special)

    @property
    def token_layout(self) -> OneStream:
        """How codes are written."""
        return OneStream(self.vq_config.codebook_size)
