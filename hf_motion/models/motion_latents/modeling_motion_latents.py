"""A language model that reads latents of motions in the place of tokens: the layout "Ours-Continuous" in Table 2 of CigTime.

Chen et al., *MotionLLM: Understanding Human Behaviors from Human Motions and Videos* (2024): what the encoder of a motion tokenizer makes,
before it is quantised, goes through one linear layer into the language model.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModel, GenerationMixin, PreTrainedModel
from transformers import initialization as init
from transformers.cache_utils import Cache
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast

from ..checked_model import CheckedModel
from ..vector_reading import VectorReadingMixin
from .configuration_motion_latents import MotionLatentsConfig


class _MotionLatents(CheckedModel):
    config_class = MotionLatentsConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _supports_sdpa = _supports_flash_attn = _supports_flex_attn = _supports_attention_backend = True

    def _init_weights(self, module: nn.Module) -> None:
        """The language model knows its own initial weights; a layer of ours gets what most of them take."""
        if isinstance(module, nn.Linear):
            init.normal_(module.weight, std=0.02)
            if module.bias is not None:
                init.zeros_(module.bias)


class MotionLatentsModel(_MotionLatents):
    """The language model without its head; wherever the token `config.latent_token_id` stands, it reads the next latent.

    Args:
        config (`MotionLatentsConfig`): Sizes.
        language_model (`PreTrainedModel`, *optional*): The model without its head; an untrained one of `config.text_config` by default.
    """

    def __init__(self, config: MotionLatentsConfig, language_model: PreTrainedModel | None = None) -> None:
        super().__init__(config)
        self.language_model = language_model or AutoModel.from_config(config.text_config)
        self.projector = nn.Linear(config.latent_size, config.text_config.hidden_size)
        self.post_init()

    def forward(self, input_ids: Tensor, motion_latents: Tensor | None = None, **kwargs: Any) -> BaseModelOutputWithPast:
        """Read tokens and latents.

        Args:
            input_ids (`torch.Tensor`): (batch, tokens) int64.
            motion_latents (`torch.Tensor`, *optional*): (latents, latent_size), for all places of the batch, row by row.
            **kwargs: As for the language model, such as `attention_mask` and `past_key_values`.

        Raises:
            ValueError: If there are not as many latents as places for them, or embeddings are given.
        """
        if kwargs.pop("inputs_embeds", None) is not None:  # adapters pass it on, None
            raise ValueError("This model takes input_ids, in which it finds the places of latents, and no inputs_embeds.")
        embeddings = self.get_input_embeddings()(input_ids)
        places = input_ids == self.config.latent_token_id
        count = 0 if motion_latents is None else len(motion_latents)
        if int(places.sum()) != count:
            raise ValueError(f"The tokens have {int(places.sum())} places for latents of motion, and there are {count} latents.")
        if motion_latents is not None:
            read = self.projector(motion_latents.to(self.projector.weight.dtype)).to(embeddings.dtype)
            embeddings = embeddings.masked_scatter(places[..., None], read)
        return self.language_model(inputs_embeds=embeddings, **kwargs)


class MotionLatentsForCausalLM(VectorReadingMixin, _MotionLatents, GenerationMixin):
    """A causal language model that reads latents of motions among its tokens, and answers in words.

    Args:
        config (`MotionLatentsConfig`): Sizes.
        language_model (`PreTrainedModel`, *optional*): A causal language model whose parts it takes; an untrained one by default.

    Example:
        >>> import torch
        >>> from hf_motion.models.motion_latents.configuration_motion_latents import MotionLatentsConfig
        >>> sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 40}
        >>> model = MotionLatentsForCausalLM(MotionLatentsConfig(sizes, latent_size=8, latent_token_id=39))
        >>> model(torch.tensor([[1, 39, 39, 2]]), motion_latents=torch.zeros(2, 8)).logits.shape
        torch.Size([1, 4, 40])
    """

    _tied_weights_keys = {"lm_head.weight": "model.language_model.embed_tokens.weight"}
    vector_inputs = ("motion_latents",)

    def __init__(self, config: MotionLatentsConfig, language_model: PreTrainedModel | None = None) -> None:
        super().__init__(config)
        self.model = MotionLatentsModel(config, None if language_model is None else language_model.base_model)
        sizes = config.text_config
        self.lm_head = nn.Linear(sizes.hidden_size, sizes.vocab_size, bias=False)
        if language_model is not None:
            self.lm_head = language_model.get_output_embeddings()
        self.post_init()

    @classmethod
    @torch.no_grad()
    def from_language_model(
        cls, language_model: PreTrainedModel, latent_size: int, latent_token_id: int, generator: torch.Generator | None = None
    ) -> MotionLatentsForCausalLM:
        """Let a language model read latents; it has to learn what they mean.

        Args:
            language_model (`PreTrainedModel`): A causal language model; its parts are taken over.
            latent_size (`int`): Width of a latent.
            latent_token_id (`int`): The token in whose place a latent stands, which the embedding has a row for already.
            generator (`torch.Generator`, *optional*): Of the new layer, whose outputs of unit latents are spread like embeddings.

        Raises:
            ValueError: If it is an encoder-decoder, or its parts have other names than Llama's.
        """
        base, table = language_model.base_model, language_model.get_input_embeddings()
        if language_model.config.is_encoder_decoder or base is language_model or getattr(base, "embed_tokens", None) is not table:
            raise ValueError(
                "Latents of motion are read by causal language models that are built like Llama (Qwen, Phi-3, SmolLM2, Mistral, ...), got "
                f"a {type(language_model).__name__}. Take another base, or write motions as tokens: format 'motion' or 'list'."
            )
        text_config = language_model.config.get_text_config()
        config = MotionLatentsConfig(text_config, latent_size, latent_token_id, dtype=language_model.dtype)
        model = cls(config, language_model)
        weight = model.model.projector.weight
        spread = table.weight.float().std() / latent_size**0.5
        weight.copy_(torch.randn(weight.shape, generator=generator) * spread.to("cpu"))
        model.generation_config = language_model.generation_config
        return model.to(language_model.device)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        motion_latents: Tensor | None = None,
        past_key_values: Cache | None = None,
        labels: Tensor | None = None,
        logits_to_keep: int | Tensor = 0,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Scores of the next tokens.

        Args:
            input_ids (`torch.Tensor`): (batch, tokens) int64.
            attention_mask (`torch.Tensor`, *optional*): (batch, tokens), 1 where there is no padding.
            motion_latents (`torch.Tensor`, *optional*): (latents, latent_size), see `MotionLatentsModel.forward`.
            past_key_values (`Cache`, *optional*): What was read before.
            labels (`torch.Tensor`, *optional*): (batch, tokens) int64, -100 where nothing is learned.
            logits_to_keep (`int` or `torch.Tensor`, defaults to 0): Only the last scores; 0 for all.
            **kwargs: As for the language model.
        """
        output = self.model(input_ids, motion_latents, attention_mask=attention_mask, past_key_values=past_key_values, **kwargs)
        return self.read(output, labels, logits_to_keep, **kwargs)
