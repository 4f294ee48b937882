"""The hierarchical GPT of HumanTOMATO: codes of body and hands one after another.

Lu et al., *HumanTOMATO: Text-aligned Whole-body Motion Generation*, ICML 2024. No weights and no code of the model have been published.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import (
    Cache,
    GenerationMixin,
    LogitsProcessorList,
    PreTrainedModel,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)
from transformers import initialization as init
from transformers.modeling_outputs import CausalLMOutputWithPast

from ...motion import Motion
from ...nn.causal import CausalBlock
from ...nn.embeddings import sinusoidal_table
from ...nn.generators import spawn_generators
from ...nn.products import quick_products
from ...nn.sampling import GumbelLogitsProcessor
from ...utils.asked import asked_frames, asked_generator
from ..motion_vq.modeling_motion_vq import MotionVQModel
from ..text_motion_model import TextMotionModel
from .configuration_humantomato import HumanTomatoGPTConfig
from .layout import LayoutLogitsProcessor


class HumanTomatoGPT(TextMotionModel, GenerationMixin):
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
    _no_split_modules = ["CausalBlock"]

    def __init__(
        self, config: HumanTomatoGPTConfig, text_encoder: PreTrainedModel | None = None, vq_model: MotionVQModel | None = None
    ) -> None:
        super().__init__(config, text_encoder, vq_model)
        width, codes = config.hidden_size, config.vq_config.codebook_size
        self.token_embedding = nn.Embedding(config.pad_token_id + 1, width)
        self.text_projection = nn.Linear(config.text_dim, width)
        self.blocks = nn.ModuleList(
            CausalBlock(width, config.num_attention_heads, config.intermediate_size, config.dropout)
            for _ in range(config.num_hidden_layers)
        )
        self.norm = nn.LayerNorm(width)
        self.body_head = nn.Linear(width, codes + 1, bias=False)
        self.hand_head = nn.Linear(width, codes + 1, bias=False)
        self.dropout = nn.Dropout(config.dropout)
        self.register_buffer("positions", sinusoidal_table(self._longest + 1, width), persistent=False)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor,
        text_embeds: Tensor,
        attention_mask: Tensor | None = None,
        past_key_values: Cache | None = None,
        use_cache: bool | None = None,
        labels: Tensor | None = None,
        logits_to_keep: int = 0,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast | tuple[Tensor, ...]:
        """Logits of the next token at every place.

        Args:
            input_ids (`torch.Tensor`): (batch, places) int64: the place of the text first, then tokens; those that the cache does not hold.
            text_embeds (`torch.Tensor`): (batch, text_dim), see `encode_texts`.
            attention_mask (`torch.Tensor`, *optional*): (batch, places): sequences start together, so there is nothing to hide but
                padding behind their ends, which a causal model does not see.
            past_key_values (`Cache`, *optional*): Keys and values of places before.
            use_cache (`bool`, *optional*): Give the cache back.
            labels (`torch.Tensor`, *optional*): (batch, places), the token that follows each, -100 where none counts.
            logits_to_keep (`int`, defaults to 0): Logits of the last places only; 0 for all.
            return_dict (`bool`, *optional*, defaults to `True`): Return a `CausalLMOutputWithPast` rather than a tuple.
            **kwargs: What else a batch or `generate` passes; not used.

        Returns:
            `CausalLMOutputWithPast`: `logits` (batch, places, 2 * (codes + 1)), the body's head and then the hands'; `loss`, the cross
            entropy of each label within its own stream's head: the mean over sequences of the mean over their places.

        Raises:
            ValueError: If padding comes before a token, or a sequence is too long.
        """
        past = past_key_values.get_seq_length() if past_key_values is not None else 0
        places = past + input_ids.shape[1]
        if places > self._longest + 1:
            raise ValueError(f"This model reads up to {self._longest} tokens behind the text, got {places - 1}.")
        if attention_mask is not None and not attention_mask[:, 0].all():
            raise ValueError("Pad motion tokens on the right: sequences start with their text.")
        hidden = self.token_embedding(input_ids.clamp_max(self.config.pad_token_id))
        if past == 0:
            is_text = (input_ids == self.config.bos_token_id)[..., None]
            hidden = torch.where(is_text, self.text_projection(text_embeds.to(self.dtype))[:, None].to(hidden.dtype), hidden)
        hidden = self.dropout(hidden + self.positions[past:places].to(hidden.dtype))
        with quick_products(hidden):
            for layer, block in enumerate(self.blocks):
                hidden = block(hidden, past_key_values, layer)
            hidden = self.norm(hidden[:, -logits_to_keep:])
            logits = torch.cat((self.body_head(hidden), self.hand_head(hidden)), dim=-1)
        loss = None if labels is None else self._loss(logits, labels)
        output = CausalLMOutputWithPast(loss=loss, logits=logits, past_key_values=past_key_values if use_cache else None)
        return output if return_dict is None or return_dict else output.to_tuple()

    def generate(self, *args: Any, **kwargs: Any) -> Any:
        """As `transformers.GenerationMixin.generate`, within the layout."""
        processors = LogitsProcessorList(kwargs.pop("logits_processor", None) or [])
        if not any(isinstance(processor, LayoutLogitsProcessor) for processor in processors):
            processors.insert(0, LayoutLogitsProcessor(self.config.token_layout, self.config.max_tokens))
        return super().generate(*args, logits_processor=processors, **kwargs)

    def prepare_batch(self, codes: Sequence[Tensor], text_embeds: Tensor, seeds: Sequence[int]) -> dict[str, Tensor]:
        """Training examples of codes: a third loses its first or last step, and shown codes are replaced at random, as T2M-GPT does it.

        Args:
            codes (`list[torch.Tensor]`): (body_codes + 1, steps) each.
            text_embeds (`torch.Tensor`): (batch, text_dim).
            seeds (`list[int]`): All chance of an example comes from its own.

        Returns:
            `dict[str, torch.Tensor]`: Arguments of `forward`.
        """
        layout, limit = self.config.token_layout, self.config.max_tokens
        size = layout.codebook_size
        longest = layout.count(min(limit, max(clip.shape[1] for clip in codes)))
        ids = torch.full((len(codes), longest), self.config.pad_token_id)
        labels = torch.full_like(ids, -100)
        ids[:, 0] = self.config.bos_token_id
        for row, (clip, seed) in enumerate(zip(codes, seeds, strict=True)):
            generator = torch.Generator().manual_seed(seed)
            drop, first = torch.rand(2, generator=generator).tolist()
            if drop < 1 / 3 and clip.shape[1] > 1:
                clip = clip[:, 1:] if first < 0.5 else clip[:, :-1]
            tokens = layout.write(clip[:, :limit])
            is_end = (tokens == layout.body_end) | (tokens == layout.hand_end)
            shown = (torch.rand(len(tokens), generator=generator) < self.config.keep_probability) | is_end
            others = torch.randint(size, (len(tokens),), generator=generator) + (tokens > layout.body_end) * (size + 1)
            ids[row, 1 : len(tokens)] = torch.where(shown, tokens, others)[:-1]
            labels[row, : len(tokens)] = tokens
        return {"input_ids": ids, "labels": labels, "text_embeds": text_embeds}

    @torch.no_grad()
    def generate_motion(
        self,
        texts: str | Sequence[str],
        num_frames: int | Sequence[int] | None = None,
        *,
        generator: torch.Generator | list[torch.Generator] | None = None,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        output_type: str = "motion",
        seconds: float | Sequence[float] | None = None,
        seed: int | None = None,
    ) -> list[Motion] | list[Tensor]:
        """Make one motion per text, through `generate`.

        Args:
            texts (`str` or `list[str]`): Sentences.
            num_frames (`int` or `list[int]`, *optional*): Lengths. By default the model ends a motion when it finds it complete; with
                lengths it is kept from ending earlier, and cut.
            generator (`torch.Generator` or list, *optional*): For reproducible results. A motion depends on its text and its generator,
                not on the others.
            temperature (`float`, defaults to 1.0): Of sampling; 0 takes the likeliest token.
            top_k (`int`, *optional*): Draw from so many likeliest tokens only.
            top_p (`float`, *optional*): Draw from the likeliest tokens that have this probability together.
            output_type (`str`, defaults to `"motion"`): `"motion"`, `"features"` or `"codes"`.
            seconds (`float` or `list[float]`, *optional*): In place of `num_frames`.
            seed (`int`, *optional*): In place of `generator`: `seed=0` is `generator=torch.Generator().manual_seed(0)`.

        Returns:
            `list[Motion]`: In the order of the texts.

        Raises:
            ValueError: If an argument is of the wrong kind or out of range.
        """
        prompts = self.read_prompts(texts)
        num_frames = asked_frames(num_frames, seconds, self.feature_extractor.fps) if seconds is not None else num_frames
        generator = asked_generator(generator, seed)
        if not temperature >= 0:
            raise ValueError(f"temperature must be 0 or more, got {temperature}.")
        counts, layout = self.token_counts(num_frames, len(prompts)), self.config.token_layout
        generators = spawn_generators(generator, len(prompts), self.device)
        processors = LogitsProcessorList([LayoutLogitsProcessor(layout, self.config.max_tokens, counts)])
        if temperature:
            processors.append(TemperatureLogitsWarper(float(temperature)))
            processors.extend([TopKLogitsWarper(top_k)] if top_k else [])
            processors.extend([TopPLogitsWarper(top_p)] if top_p else [])
            processors.append(GumbelLogitsProcessor(generators))
        ids = self.generate(
            input_ids=torch.full((len(prompts), 1), self.config.bos_token_id, device=self.device),
            text_embeds=self.encode_texts(prompts),
            max_new_tokens=layout.count(max(counts) if counts else self.config.max_tokens),
            do_sample=False,
            logits_processor=processors,
            eos_token_id=self.config.eos_token_id,
            pad_token_id=self.config.pad_token_id,
        )[:, 1:]
        lengths = [num_frames] * len(prompts) if isinstance(num_frames, int) else num_frames
        return self.motions_of([layout.read(row) for row in ids], prompts, lengths, output_type)

    @property
    def _longest(self) -> int:
        """Most tokens behind the text."""
        return self.config.token_layout.count(self.config.max_tokens)

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        first = self.config.token_layout.body_end + 1
        body = labels.masked_fill(labels >= first, -100)
        hands = (labels - first).masked_fill(labels < first, -100)
        error = torch.zeros_like(logits[..., 0], dtype=torch.float32)
        for part, wanted in ((logits[..., :first], body), (logits[..., first:], hands)):
            error = error + F.cross_entropy(part.transpose(1, 2).float(), wanted, reduction="none", ignore_index=-100)
        return (error.sum(1) / (labels != -100).sum(1)).mean()

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if module is self:
            init.copy_(module.positions, sinusoidal_table(*module.positions.shape))
