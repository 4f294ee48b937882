"""The hierarchical GPT of HumanTOMATO: codes of body and hands one after another.

Lu et al., *HumanTOMATO: Text-aligned Whole-body Motion Generation*, ICML 2024. No weights and no code of the model have been published.
"""

from __future__ import annotations

from typing import Any

from transformers import LogitsProcessorList, PreTrainedModel

from ..causal_text_motion import CausalTextMotionModel
from ..motion_vq.modeling_motion_vq import MotionVQModel
from .configuration_humantomato import HumanTomatoGPTConfig
from .layout import LayoutLogitsProcessor


class HumanTomatoGPT(CausalTextMotionModel):
    """Predicts the codes of body and hands from a text and the codes before.

    A sequence begins with the id `config.bos_token_id`, in whose place the text's vector stands; `config.token_layout` says what follows.
    Each stream has a head of its own, with an end. Whatever generates, `generate` of transformers included, cannot leave the layout.

    Args:
        config (`HumanTomatoGPTConfig`): Sizes.
        text_encoder (`PreTrainedModel`, *optional*): Frozen text encoder.
        vq_model (`MotionVQModel`, *optional*): Frozen motion tokenizer with two streams.

    Example:
        >>> import torch
        >>> from hf_motion import HumanTomatoGPT, HumanTomatoGPTConfig
        >>> small = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2}
        >>> vq = {"hidden_size": 8, "code_dim": 8, "codebook_size": 32, "hand_features": range(52, 67)}
        >>> config = HumanTomatoGPTConfig(vq, {"num_hidden_layers": 1, **small}, num_hidden_layers=2, **small)
        >>> model = HumanTomatoGPT(config).eval()
        >>> start = torch.full((1, 1), config.bos_token_id)
        >>> model(start, text_embeds=torch.zeros(1, config.text_dim)).logits.shape
        torch.Size([1, 1, 66])
    """

    config_class = HumanTomatoGPTConfig

    def __init__(
        self, config: HumanTomatoGPTConfig, text_encoder: PreTrainedModel | None = None, vq_model: MotionVQModel | None = None
    ) -> None:
        codes = config.vq_config.codebook_size
        super().__init__(config, {"body_head": codes + 1, "hand_head": codes + 1}, text_encoder, vq_model)

    def generate(self, *args: Any, **kwargs: Any) -> Any:
        """As `transformers.GenerationMixin.generate`, within the layout."""
        processors = LogitsProcessorList(kwargs.pop("logits_processor", None) or [])
        if not any(isinstance(processor, LayoutLogitsProcessor) for processor in processors):
            processors.insert(0, self.config.token_layout.processor(self.config.max_tokens))
        return super().generate(*args, logits_processor=processors, **kwargs)
