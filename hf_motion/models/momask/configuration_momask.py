"""Configuration of `MoMask`."""

from __future__ import annotations

from typing import Any

from transformers.configuration_utils import PreTrainedConfig

from ..motion_vq.configuration_motion_vq import MotionVQConfig
from ..text_motion_config import TextMotionConfig


class MoMaskConfig(TextMotionConfig):
    """Sizes and training of `MoMask`; the defaults are the published ones for HumanML3D.

    Args:
        vq_config (`MotionVQConfig` or `dict`, *optional*): The motion tokenizer's; published with six quantizers.
        text_config (`PreTrainedConfig` or `dict`, *optional*): The text encoder's.
        hidden_size (`int`, defaults to 384): Width of both transformers.
        num_hidden_layers (`int`, defaults to 8): Blocks of each.
        num_attention_heads (`int`, defaults to 6): Heads.
        intermediate_size (`int`, defaults to 1024): Width of the feed-forward layers.
        token_dim (`int`, defaults to 512): Width of the token tables.
        dropout (`float`, defaults to 0.2): Dropout.
        max_tokens (`int`, defaults to 49): Longest motion, in tokens; mask ratios count from it.
        condition_dropout (`float`, defaults to 0.1): Probability of training the masked transformer without the text.
        residual_condition_dropout (`float`, defaults to 0.2): The same for the residual transformer.
        share_weights (`bool`, defaults to `True`): The residual transformer's tables of inner books serve as input and as output.
        double_logits (`bool`, defaults to `False`): Published code without shared weights doubles the logits before it adds the bias;
            needed for such checkpoints only.
        max_text_tokens (`int`, *optional*): Longer prompts are cut.

    Raises:
        ValueError: If sizes do not fit.
    """

    model_type = "momask"

    def __init__(
        self,
        vq_config: MotionVQConfig | dict[str, Any] | None = None,
        text_config: PreTrainedConfig | dict[str, Any] | None = None,
        hidden_size: int = 384,
        num_hidden_layers: int = 8,
        num_attention_heads: int = 6,
        intermediate_size: int = 1024,
        token_dim: int = 512,
        dropout: float = 0.2,
        max_tokens: int = 49,
        condition_dropout: float = 0.1,
        residual_condition_dropout: float = 0.2,
        share_weights: bool = True,
        double_logits: bool = False,
        max_text_tokens: int | None = None,
        **kwargs: Any,
    ) -> None:
        if hidden_size % num_attention_heads or hidden_size % 2:
            raise ValueError(f"hidden_size={hidden_size} must be even and divisible by num_attention_heads={num_attention_heads}.")
        for name, value in (("condition_dropout", condition_dropout), ("residual_condition_dropout", residual_condition_dropout)):
            if not 0 <= value < 1:
                raise ValueError(f"{name} must be in [0, 1), got {value}.")
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.intermediate_size = intermediate_size
        self.token_dim = token_dim
        self.dropout = dropout
        self.max_tokens = max_tokens
        self.condition_dropout = condition_dropout
        self.residual_condition_dropout = residual_condition_dropout
        self.share_weights = share_weights
        self.double_logits = double_logits
        super().__init__(vq_config, text_config, max_text_tokens, **kwargs)
        if self.vq_config.num_quantizers < 2:
            raise ValueError("MoMask refines the first book's codes by those of others; this tokenizer has one. Use T2M-GPT.")
        if self.vq_config.hand_features is not None:
            raise ValueError("MoMask refines the codes of one stream; this tokenizer has two, of body and hands. Use HumanTOMATO.")
