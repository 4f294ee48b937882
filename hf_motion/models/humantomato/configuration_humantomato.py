"""Configuration of `HumanTomatoGPT`."""

from __future__ import annotations

from typing import Any

from transformers.configuration_utils import PreTrainedConfig

from ..motion_vq.configuration_motion_vq import MotionVQConfig
from ..text_motion_config import TextMotionConfig
from .layout import LAYOUTS, TokenLayout


class HumanTomatoGPTConfig(TextMotionConfig):
    """Sizes and training of `HumanTomatoGPT`; the defaults are the published ones (appendix B.3).

    Token ids are those of `TokenLayout`; then come padding and the place of the text.

    Args:
        vq_config (`MotionVQConfig` or `dict`, *optional*): The motion tokenizer's, with two streams. By default that of 52 joints.
        text_config (`PreTrainedConfig` or `dict`, *optional*): The text encoder's: a TMR's (`TMRTextEncoder`) or CLIP's.
        layout (`str`, defaults to `"steps"`): Order of the tokens, `"steps"` or `"streams"`, see `TokenLayout`.
        hidden_size (`int`, defaults to 1024): Width.
        num_hidden_layers (`int`, defaults to 18): Blocks.
        num_attention_heads (`int`, defaults to 16): Heads.
        intermediate_size (`int`, defaults to 4096): Width of the feed-forward layers; the paper does not say.
        dropout (`float`, defaults to 0.1): Dropout; the paper does not say, and T2M-GPT's is taken.
        max_tokens (`int`, defaults to 49): Longest motion, in steps; 49 are the published 149 tokens.
        keep_probability (`float`, defaults to 0.5): In training a code is shown as it is with this probability, else a random one of its
            book is; as T2M-GPT, from which the paper starts. It does not say.
        max_text_tokens (`int`, *optional*): Longer prompts are cut.

    Raises:
        ValueError: If the tokenizer has one stream, the layout is unknown, or sizes do not fit.
    """

    model_type = "humantomato-gpt"

    def __init__(
        self,
        vq_config: MotionVQConfig | dict[str, Any] | None = None,
        text_config: PreTrainedConfig | dict[str, Any] | None = None,
        layout: str = "steps",
        hidden_size: int = 1024,
        num_hidden_layers: int = 18,
        num_attention_heads: int = 16,
        intermediate_size: int = 4096,
        dropout: float = 0.1,
        max_tokens: int = 49,
        keep_probability: float = 0.5,
        max_text_tokens: int | None = None,
        **kwargs: Any,
    ) -> None:
        if layout not in LAYOUTS:
            raise ValueError(f"layout must be one of {', '.join(map(repr, LAYOUTS))}, got {layout!r}.")
        if hidden_size % num_attention_heads or hidden_size % 2:
            raise ValueError(f"hidden_size={hidden_size} must be even and divisible by num_attention_heads={num_attention_heads}.")
        if not 0 <= keep_probability <= 1:
            raise ValueError(f"keep_probability must be in [0, 1], got {keep_probability}.")
        self.layout = layout
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.intermediate_size = intermediate_size
        self.dropout = dropout
        self.max_tokens = max_tokens
        self.keep_probability = keep_probability
        for name in ("eos_token_id", "pad_token_id", "bos_token_id"):
            kwargs.pop(name, None)  # they follow from the codebook
        super().__init__(vq_config if vq_config is not None else _whole_body(), text_config, max_text_tokens, **kwargs)
        if self.vq_config.hand_features is None:
            raise ValueError(
                "HumanTOMATO reads two streams of codes; this tokenizer has one. Train one with hand_features (train_tokenizer.py "
                "--hand_joints hands), or use T2M-GPT or MoMask."
            )
        self.eos_token_id = self.token_layout.hand_end
        self.pad_token_id = self.eos_token_id + 1
        self.bos_token_id = self.eos_token_id + 2
        self.vocab_size = self.eos_token_id + 3

    @property
    def token_layout(self) -> TokenLayout:
        """The order of the tokens."""
        return TokenLayout(self.layout, self.vq_config.codebook_size, self.vq_config.body_codes)


def _whole_body() -> MotionVQConfig:
    """The published tokenizer: 313 features of 52 joints, of which the fingers' are a stream."""
    from ...representation import HumanTomatoRepresentation

    features = HumanTomatoRepresentation()
    options = {"num_features": features.dim, "hand_features": features.features_of("hands")}
    return MotionVQConfig(**options, reconstruction_loss="l2", position_weight=0.0)
