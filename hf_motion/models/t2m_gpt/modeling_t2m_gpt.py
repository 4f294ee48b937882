"""T2M-GPT: motion tokens one after another.

Zhang et al., *T2M-GPT: Generating Human Motion from Textual Descriptions with Discrete Representations*, CVPR 2023. Weights published by
its authors load through `hf_motion.conversion.t2m_gpt`.
"""

from __future__ import annotations

from transformers import PreTrainedModel

from ..causal_text_motion import CausalTextMotionModel
from ..motion_vq.modeling_motion_vq import MotionVQModel
from .configuration_t2m_gpt import T2MGPTConfig


class T2MGPT(CausalTextMotionModel):
    """Predicts motion tokens from a text and the tokens before.

    A sequence begins with the id `config.bos_token_id`, in whose place the text's vector stands.

    Args:
        config (`T2MGPTConfig`): Sizes.
        text_encoder (`PreTrainedModel`, *optional*): Frozen text encoder.
        vq_model (`MotionVQModel`, *optional*): Frozen motion tokenizer.

    Example:
        >>> import torch
        >>> from hf_motion import T2MGPT, T2MGPTConfig
        >>> small = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2}
        >>> vq = {"hidden_size": 8, "code_dim": 8, "codebook_size": 32}
        >>> config = T2MGPTConfig(vq, {"num_hidden_layers": 1, **small}, num_hidden_layers=2, **small)
        >>> model = T2MGPT(config).eval()
        >>> start = torch.full((1, 1), config.bos_token_id)
        >>> model(start, text_embeds=torch.zeros(1, config.text_dim)).logits.shape
        torch.Size([1, 1, 33])
    """

    config_class = T2MGPTConfig

    def __init__(self, config: T2MGPTConfig, text_encoder: PreTrainedModel | None = None, vq_model: MotionVQModel | None = None) -> None:
        super().__init__(config, {"head": config.eos_token_id + 1}, text_encoder, vq_model)
