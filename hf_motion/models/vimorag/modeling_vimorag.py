"""A causal language model that sees a video: vectors of the video in the places of one token of the question.

Xu et al., *VimoRAG: Video-based Retrieval-augmented 3D Motion Generation for Motion Language Models*, 2025, section 3.3, after VideoGPT+
(Maaz et al., 2024). With motion tokens and a motion tokenizer beside it, `MotionLanguageModel` makes motions with it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import GenerationMixin, PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast
from transformers.models.auto.modeling_auto import AutoModel

from ..checked_model import CheckedModel
from ..gemini_mvr.networks import init_action_weights
from ..vector_reading import VectorReadingMixin
from .configuration_vimorag import VimoRAGConfig
from .prefix import VideoPrefix

_PROBE = 4
_CLOSE = 1e-3


class VimoRAGPreTrainedModel(CheckedModel):
    """What both have in common."""

    config_class = VimoRAGConfig
    base_model_prefix = "model"
    main_input_name = "input_ids"
    input_modalities = ("text", "video")
    supports_gradient_checkpointing = True
    _supports_sdpa = _supports_flash_attn = _supports_flex_attn = _supports_attention_backend = True

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
        """See `CheckedModel.from_pretrained`; frozen towers are frozen again, which loading forgets."""
        loaded = super().from_pretrained(*args, **kwargs)
        model = loaded[0] if isinstance(loaded, tuple) else loaded
        prefix = model.base_model.video_prefix
        prefix.towers.requires_grad_(not prefix.config.freeze_towers)
        return loaded

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            init.normal_(module.weight, std=getattr(self.config.text_config, "initializer_range", 0.02))
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            init.normal_(module.weight, std=getattr(self.config.text_config, "initializer_range", 0.02))
        elif isinstance(module, nn.LayerNorm):
            init.ones_(module.weight)
            init.zeros_(module.bias)
        else:
            init_action_weights(module)


class VimoRAGModel(VimoRAGPreTrainedModel):
    """The language model without its head, and what it sees of videos.

    Args:
        config (`VimoRAGConfig`): Configuration.
        language_model (`PreTrainedModel`, *optional*): A decoder to take over rather than to make.
    """

    def __init__(self, config: VimoRAGConfig, language_model: PreTrainedModel | None = None) -> None:
        super().__init__(config)
        self.language_model = AutoModel.from_config(config.text_config) if language_model is None else language_model
        self.video_prefix = VideoPrefix(config)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        motion_features: Tensor | None = None,
        frame_mask: Tensor | None = None,
        pixel_values: Tensor | None = None,
        pixel_values_videos: Tensor | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPast:
        """Hidden states.

        Args:
            input_ids (`torch.Tensor`, *optional*): (batch, tokens). `config.video_token_id` stands where vectors of the row's video go,
                once for each.
            attention_mask (`torch.Tensor`, *optional*): (batch, tokens), 1 on real tokens.
            inputs_embeds (`torch.Tensor`, *optional*): In place of `input_ids`, where no video is shown.
            motion_features (`torch.Tensor`, *optional*): See `VideoPrefix.forward`; videos in the order of the rows that show one.
            frame_mask (`torch.Tensor`, *optional*): The same.
            pixel_values (`torch.Tensor`, *optional*): The same.
            pixel_values_videos (`torch.Tensor`, *optional*): The same.
            **kwargs: Of the language model.

        Raises:
            ValueError: If there are more or fewer places than vectors.
        """
        videos = {"motion_features": motion_features, "frame_mask": frame_mask, "pixel_values": pixel_values,
                  "pixel_values_videos": pixel_values_videos}  # fmt: skip
        shown = any(value is not None for value in videos.values())
        if inputs_embeds is None:
            inputs_embeds = self.get_input_embeddings()(input_ids)
            if shown:
                inputs_embeds = self._with_videos(input_ids, inputs_embeds, self.video_prefix(**videos))
        elif shown:
            raise ValueError("Videos go into places of input_ids; pass these rather than inputs_embeds.")
        return self.language_model(inputs_embeds=inputs_embeds, attention_mask=attention_mask, **kwargs)

    def _with_videos(self, input_ids: Any, embeds: Tensor, vectors: list[Tensor]) -> Tensor:
        places = input_ids == self.config.video_token_id
        wanted, given = [int(count) for count in places.sum(1) if count], [len(video) for video in vectors]
        if wanted != given:
            raise ValueError(
                f"Rows have places for {wanted} vectors of videos, the videos have {given}. Write as many tokens "
                f"{self.config.video_token_id} as VimoRAGProcessor says; a prompt that was cut lacks some (max_length)."
            )
        return embeds.masked_scatter(places[..., None], torch.cat(vectors).to(embeds.dtype))


class VimoRAGForCausalLM(VectorReadingMixin, VimoRAGPreTrainedModel, GenerationMixin):
    """A language model that sees a video; any decoder of transformers whose head is a matrix on its last hidden states.

    Args:
        config (`VimoRAGConfig`): Configuration.
        language_model (`PreTrainedModel`, *optional*): A decoder without its head, to take over rather than to make.

    Example:
        >>> from transformers import LlamaConfig
        >>> sizes = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 16}
        >>> action = {**sizes, "num_layers": 1, "encoder_dim": 16, "encoder_depth": 1, "encoder_heads": 2, "encoder_rep_dim": 4}
        >>> text = LlamaConfig(**sizes, vocab_size=20, num_hidden_layers=1)
        >>> model = VimoRAGForCausalLM(VimoRAGConfig(text, keypoint_config=action, video_token_id=19)).eval()
        >>> model(torch.tensor([[1, 19, 19, 2]]), motion_features=torch.zeros(1, 2, 51)).logits.shape
        torch.Size([1, 4, 20])
    """

    vector_inputs = ("motion_features", "frame_mask", "pixel_values", "pixel_values_videos")

    def __init__(self, config: VimoRAGConfig, language_model: PreTrainedModel | None = None) -> None:
        super().__init__(config)
        self.model = VimoRAGModel(config, language_model)
        text = config.get_text_config()
        self.lm_head = nn.Linear(text.hidden_size, text.vocab_size, bias=False)
        table = self.model.get_input_embeddings()
        name = next(name for name, module in self.model.named_modules() if module is table)
        self._tied_weights_keys = {"lm_head.weight": f"model.{name}.weight"}
        self.post_init()

    @classmethod
    def from_language_model(cls, language_model: PreTrainedModel, **options: Any) -> VimoRAGForCausalLM:
        """Let a language model see videos; it has to learn what it sees.

        Args:
            language_model (`PreTrainedModel`): A causal language model; its weights are taken over, not copied.
            **options: As for `VimoRAGConfig`, without `text_config`. `motion` is taken over too.

        Raises:
            ValueError: If it is an encoder-decoder, or its head does more than a product with its last hidden states.
        """
        name = type(language_model).__name__
        if language_model.config.is_encoder_decoder:
            raise ValueError(f"A {name} is an encoder-decoder, and videos go into decoders alone. Take a causal language model.")
        probe = torch.arange(_PROBE, device=language_model.device)[None]
        head, was = language_model.get_output_embeddings(), language_model.training
        with torch.no_grad():
            before = language_model.eval()(probe).logits
        config = language_model.config
        motion = {"motion": config.motion} if hasattr(config, "motion") else {}
        text = {key: value for key, value in config.to_dict().items() if key != "motion"}
        model = cls(VimoRAGConfig(text, **{**motion, **options}), language_model.base_model).to(language_model.device, language_model.dtype)
        model.lm_head.weight = head.weight
        model.generation_config = language_model.generation_config
        with torch.no_grad():
            after = model.eval()(probe).logits
        if getattr(head, "bias", None) is not None or not torch.allclose(before, after, atol=_CLOSE * float(before.abs().max())):
            raise ValueError(f"The head of a {name} does more than a product with its last hidden states. Take another language model.")
        return model.train(was)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        motion_features: Tensor | None = None,
        frame_mask: Tensor | None = None,
        pixel_values: Tensor | None = None,
        pixel_values_videos: Tensor | None = None,
        logits_to_keep: int | Tensor = 0,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Logits, and with labels the loss.

        Args:
            input_ids (`torch.Tensor`, *optional*): See `VimoRAGModel.forward`, as for all that is not said here.
            attention_mask (`torch.Tensor`, *optional*): The same.
            inputs_embeds (`torch.Tensor`, *optional*): The same.
            labels (`torch.Tensor`, *optional*): (batch, tokens), -100 where nothing is to be learned.
            motion_features (`torch.Tensor`, *optional*): See `VideoPrefix.forward`.
            frame_mask (`torch.Tensor`, *optional*): The same.
            pixel_values (`torch.Tensor`, *optional*): The same.
            pixel_values_videos (`torch.Tensor`, *optional*): The same.
            logits_to_keep (`int` or `torch.Tensor`, defaults to 0): Logits of so many last tokens only, or of these; 0 keeps all.
            **kwargs: Of the language model.

        Raises:
            ValueError: As `VimoRAGModel.forward`.
        """
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            inputs_embeds=inputs_embeds,
            motion_features=motion_features,
            frame_mask=frame_mask,
            pixel_values=pixel_values,
            pixel_values_videos=pixel_values_videos,
            **kwargs,
        )
        return self.read(outputs, labels, logits_to_keep, **kwargs)
