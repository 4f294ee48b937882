"""T2M-GPT: motion tokens one after another.

Zhang et al., *T2M-GPT: Generating Human Motion from Textual Descriptions with Discrete Representations*, CVPR 2023. Weights published by
its authors load through `hf_motion.conversion.t2m_gpt`.
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
    LogitsProcessor,
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
from .configuration_t2m_gpt import T2MGPTConfig


class T2MGPT(TextMotionModel, GenerationMixin):
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
    _no_split_modules = ["CausalBlock"]

    def __init__(self, config: T2MGPTConfig, text_encoder: PreTrainedModel | None = None, vq_model: MotionVQModel | None = None) -> None:
        super().__init__(config, text_encoder, vq_model)
        width = config.hidden_size
        self.token_embedding = nn.Embedding(config.vq_config.codebook_size + 2, width)
        self.text_projection = nn.Linear(config.text_dim, width)
        self.blocks = nn.ModuleList(
            CausalBlock(width, config.num_attention_heads, config.intermediate_size, config.dropout)
            for _ in range(config.num_hidden_layers)
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, config.eos_token_id + 1, bias=False)
        self.dropout = nn.Dropout(config.dropout)
        self.register_buffer("positions", sinusoidal_table(config.max_tokens + 1, width), persistent=False)
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
        """Logits of the next token at every step.

        Args:
            input_ids (`torch.Tensor`): (batch, steps) int64: the place of the text first, then codes; those that the cache does not hold.
            text_embeds (`torch.Tensor`): (batch, text_dim), see `encode_texts`.
            attention_mask (`torch.Tensor`, *optional*): (batch, steps): sequences start together, so there is nothing to hide but
                padding behind their ends, which a causal model does not see.
            past_key_values (`Cache`, *optional*): Keys and values of steps before.
            use_cache (`bool`, *optional*): Give the cache back.
            labels (`torch.Tensor`, *optional*): (batch, steps), the token that follows each step, -100 where none counts.
            logits_to_keep (`int`, defaults to 0): Logits of the last steps only; 0 for all.
            return_dict (`bool`, *optional*, defaults to `True`): Return a `CausalLMOutputWithPast` rather than a tuple.
            **kwargs: What else a batch or `generate` passes; not used.

        Returns:
            `CausalLMOutputWithPast`: `logits` (batch, steps, codes + 1); `loss`, the mean over sequences of the mean cross entropy over
            their steps, as published.

        Raises:
            ValueError: If padding comes before a token, or a sequence is too long.
        """
        past = past_key_values.get_seq_length() if past_key_values is not None else 0
        steps = past + input_ids.shape[1]
        if steps > self.config.max_tokens + 1:
            raise ValueError(f"This model reads up to {self.config.max_tokens} tokens behind the text, got {steps - 1}.")
        if attention_mask is not None and not attention_mask[:, 0].all():
            raise ValueError("Pad motion tokens on the right: sequences start with their text.")
        ids = input_ids.clamp_max(self.config.pad_token_id)
        hidden = self.token_embedding(ids)
        is_text = (input_ids == self.config.bos_token_id)[..., None]
        if past == 0:
            hidden = torch.where(is_text, self.text_projection(text_embeds.to(self.dtype))[:, None].to(hidden.dtype), hidden)
        hidden = self.dropout(hidden + self.positions[past:steps].to(hidden.dtype))
        with quick_products(hidden):
            for layer, block in enumerate(self.blocks):
                hidden = block(hidden, past_key_values, layer)
            logits = self.head(self.norm(hidden[:, -logits_to_keep:]))
        loss = None
        if labels is not None:
            error = F.cross_entropy(logits.transpose(1, 2).float(), labels, reduction="none", ignore_index=-100)
            loss = (error.sum(1) / (labels != -100).sum(1)).mean()
        output = CausalLMOutputWithPast(loss=loss, logits=logits, past_key_values=past_key_values if use_cache else None)
        return output if return_dict is None or return_dict else output.to_tuple()

    def prepare_batch(self, codes: Sequence[Tensor], text_embeds: Tensor, seeds: Sequence[int]) -> dict[str, Tensor]:
        """Training examples of codes, as published: a third loses its first or last token, and shown tokens are replaced at random.

        Args:
            codes (`list[torch.Tensor]`): (1, tokens) each.
            text_embeds (`torch.Tensor`): (batch, text_dim).
            seeds (`list[int]`): All chance of an example comes from its own.

        Returns:
            `dict[str, torch.Tensor]`: Arguments of `forward`.
        """
        size, limit = self.config.vq_config.codebook_size, self.config.max_tokens
        ids = torch.full((len(codes), 1 + min(limit, max(clip.shape[1] for clip in codes))), self.config.pad_token_id)
        labels = torch.full_like(ids, -100)
        ids[:, 0] = self.config.bos_token_id
        for row, (clip, seed) in enumerate(zip(codes, seeds, strict=True)):
            generator = torch.Generator().manual_seed(seed)
            drop, first = torch.rand(2, generator=generator).tolist()
            tokens = clip[0]
            if drop < 1 / 3 and len(tokens) > 1:
                tokens = tokens[1:] if first < 0.5 else tokens[:-1]
            tokens = tokens[:limit]
            shown = torch.rand(len(tokens), generator=generator) < self.config.keep_probability
            ids[row, 1 : len(tokens) + 1] = torch.where(shown, tokens, torch.randint(size, (len(tokens),), generator=generator))
            labels[row, : len(tokens)] = tokens
            if len(tokens) < ids.shape[1]:
                labels[row, len(tokens)] = self.config.eos_token_id
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
            num_frames (`int` or `list[int]`, *optional*): Lengths. By default the model ends a motion when it finds it complete, as
                published; with lengths it is kept from ending earlier, and cut.
            generator (`torch.Generator` or list, *optional*): For reproducible results. A motion depends on its text and its generator,
                not on the others.
            temperature (`float`, defaults to 1.0): Of sampling, as published; 0 takes the likeliest token.
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
        counts = self.token_counts(num_frames, len(prompts))
        generators = spawn_generators(generator, len(prompts), self.device)
        processors = LogitsProcessorList([_EndAt(self.config.eos_token_id, counts)])
        if temperature:
            processors.append(TemperatureLogitsWarper(float(temperature)))
            processors.extend([TopKLogitsWarper(top_k)] if top_k else [])
            processors.extend([TopPLogitsWarper(top_p)] if top_p else [])
            processors.append(GumbelLogitsProcessor(generators))
        ids = self.generate(
            input_ids=torch.full((len(prompts), 1), self.config.bos_token_id, device=self.device),
            text_embeds=self.encode_texts(prompts),
            max_new_tokens=max(counts) if counts else self.config.max_tokens,
            do_sample=False,
            logits_processor=processors,
            eos_token_id=self.config.eos_token_id,
            pad_token_id=self.config.pad_token_id,
        )[:, 1:]
        codes = [row[row < self.config.eos_token_id][None] for row in ids]
        lengths = [num_frames] * len(prompts) if isinstance(num_frames, int) else num_frames
        return self.motions_of(codes, prompts, lengths, output_type)

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if module is self:
            init.copy_(module.positions, sinusoidal_table(*module.positions.shape))


class _EndAt(LogitsProcessor):
    """Forbids the end before the wanted number of tokens, and as the very first token: a motion has at least one."""

    def __init__(self, eos_token_id: int, counts: Sequence[int] | None) -> None:
        self.eos_token_id, self.counts = eos_token_id, counts

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        made = input_ids.shape[1] - 1
        wanted = torch.tensor(self.counts or [1] * len(scores), device=scores.device)
        scores = scores.clone()
        scores[made < wanted, self.eos_token_id] = -torch.inf
        if self.counts is not None:
            finished = made >= wanted
            scores[finished] = -torch.inf
            scores[finished, self.eos_token_id] = 0.0
        return scores
