"""What generators that write motion tokens one after another share: the trunk, training examples and generation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

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

from ..motion import Motion
from ..nn.causal import CausalBlock
from ..nn.embeddings import sinusoidal_table
from ..nn.generators import spawn_generators
from ..nn.products import quick_products
from ..nn.sampling import GumbelLogitsProcessor
from ..utils.asked import asked_frames, asked_generator
from .motion_vq.modeling_motion_vq import MotionVQModel
from .text_motion_config import TextMotionConfig
from .text_motion_model import TextMotionModel


class Layout(Protocol):
    """How codes are written as token ids, and what may follow what."""

    codebook_size: int

    def count(self, steps: int) -> int:
        """Tokens that have to be generated for a motion of so many steps."""

    def write(self, codes: Tensor) -> Tensor:
        """Codes (books, steps) to ids (tokens,), ends included."""

    def read(self, ids: Tensor) -> Tensor:
        """Generated ids (tokens,) to codes (books, steps)."""

    def books(self, ids: Tensor) -> Tensor:
        """The first id of the book that each id (tokens,) is of, -1 for an end."""

    def processor(self, max_steps: int, counts: Sequence[int] | None = None) -> LogitsProcessor:
        """What forbids tokens that must not follow; `counts` are the steps that each motion shall have, where that is wanted."""


class CausalTextMotionModel(TextMotionModel, GenerationMixin):
    """Base of models that predict motion tokens from a text and the tokens before.

    A sequence begins with the id `config.bos_token_id`, in whose place the text's vector stands; `config.token_layout` (`Layout`) says
    what follows. Each head has the logits of the ids that follow those of the heads before it.

    Args:
        config (`TextMotionConfig`): Sizes.
        heads (`dict[str, int]`): Output layers by name, and the number of ids of each.
        text_encoder (`PreTrainedModel`, *optional*): Frozen text encoder.
        vq_model (`MotionVQModel`, *optional*): Frozen motion tokenizer.
    """

    _no_split_modules = ["CausalBlock"]

    def __init__(
        self,
        config: TextMotionConfig,
        heads: dict[str, int],
        text_encoder: PreTrainedModel | None = None,
        vq_model: MotionVQModel | None = None,
    ) -> None:
        super().__init__(config, text_encoder, vq_model)
        width = config.hidden_size
        self.token_embedding = nn.Embedding(config.pad_token_id + 1, width)
        self.text_projection = nn.Linear(config.text_dim, width)
        self.blocks = nn.ModuleList(
            CausalBlock(width, config.num_attention_heads, config.intermediate_size, config.dropout)
            for _ in range(config.num_hidden_layers)
        )
        self.norm = nn.LayerNorm(width)
        self.heads = heads
        for name, tokens in heads.items():
            self.add_module(name, nn.Linear(width, tokens, bias=False))
        self.dropout = nn.Dropout(config.dropout)
        self.longest = config.token_layout.count(config.max_tokens)
        self.register_buffer("positions", sinusoidal_table(self.longest + 1, width), persistent=False)
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
            `CausalLMOutputWithPast`: `logits` (batch, places, ids), those of each head after those of the one before; `loss`, the cross
            entropy of each label within its own head: the mean over sequences of the mean over their places, as T2M-GPT's authors take it.

        Raises:
            ValueError: If padding comes before a token, or a sequence is too long.
        """
        past = past_key_values.get_seq_length() if past_key_values is not None else 0
        places = past + input_ids.shape[1]
        if places > self.longest + 1:
            raise ValueError(f"This model reads up to {self.longest} tokens behind the text, got {places - 1}.")
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
            parts = [self.get_submodule(name)(hidden) for name in self.heads]
        loss = None if labels is None else self._loss(parts, labels)
        logits = parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)
        output = CausalLMOutputWithPast(loss=loss, logits=logits, past_key_values=past_key_values if use_cache else None)
        return output if return_dict is None or return_dict else output.to_tuple()

    def prepare_batch(self, codes: Sequence[Tensor], text_embeds: Tensor, seeds: Sequence[int]) -> dict[str, Tensor]:
        """Training examples of codes, as T2M-GPT's authors make them: a third loses its first or last step, and each code is shown as it
        is with `config.keep_probability`, else as a random one of its book.

        Args:
            codes (`list[torch.Tensor]`): (books, steps) each.
            text_embeds (`torch.Tensor`): (batch, text_dim).
            seeds (`list[int]`): All chance of an example comes from its own.

        Returns:
            `dict[str, torch.Tensor]`: Arguments of `forward`.
        """
        layout, limit = self.config.token_layout, self.config.max_tokens
        longest = max(len(layout.write(clip[:, :limit])) for clip in codes)
        ids = torch.full((len(codes), longest), self.config.pad_token_id)
        labels = torch.full_like(ids, -100)
        ids[:, 0] = self.config.bos_token_id
        for row, (clip, seed) in enumerate(zip(codes, seeds, strict=True)):
            generator = torch.Generator().manual_seed(seed)
            drop, first = torch.rand(2, generator=generator).tolist()
            if drop < 1 / 3 and clip.shape[1] > 1:
                clip = clip[:, 1:] if first < 0.5 else clip[:, :-1]
            tokens = layout.write(clip[:, :limit])
            labels[row, : len(tokens)] = tokens
            books = layout.books(tokens)
            is_code = books >= 0
            shown = torch.rand(int(is_code.sum()), generator=generator) < self.config.keep_probability
            others = torch.randint(layout.codebook_size, shown.shape, generator=generator) + books[is_code]
            ids[row, 1 : len(tokens)] = tokens.masked_scatter(is_code, torch.where(shown, tokens[is_code], others))[:-1]
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
                T2M-GPT was published; with lengths it is kept from ending earlier, and cut.
            generator (`torch.Generator` or list, *optional*): For reproducible results. A motion depends on its text and its generator,
                not on the others.
            temperature (`float`, defaults to 1.0): Of sampling, as T2M-GPT was published; 0 takes the likeliest token.
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
        processors = LogitsProcessorList([layout.processor(self.config.max_tokens, counts)])
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

    def _loss(self, parts: Sequence[Tensor], labels: Tensor) -> Tensor:
        error, first = torch.zeros(labels.shape, device=labels.device), 0
        for logits in parts:
            size = logits.shape[-1]
            wanted = (labels - first).masked_fill((labels < first) | (labels >= first + size), -100)
            error = error + F.cross_entropy(logits.transpose(1, 2).float(), wanted, reduction="none", ignore_index=-100)
            first += size
        return (error.sum(1) / (labels != -100).sum(1)).mean()

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if module is self:
            init.copy_(module.positions, sinusoidal_table(*module.positions.shape))
