"""Sentences as a pipeline's denoiser takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..text_encoders import pooled_text, token_limit

_TEXT_STEP = 32


class PromptEncoder:
    """Gives a pipeline with a `tokenizer`, a `text_encoder` and a `denoiser` the reading of its sentences."""

    tokenizer: PreTrainedTokenizerBase
    text_encoder: PreTrainedModel
    denoiser: Any
    config: Any
    _execution_device: torch.device

    def tokenize(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """`input_ids` and `attention_mask` of texts, padded to the longest and cut at the encoder's limit."""
        limit = token_limit(self.text_encoder, self.config.max_text_tokens)
        tokens = self.tokenizer(list(texts), padding=True, truncation=limit is not None, max_length=limit, return_tensors="pt")
        return {name: tokens[name] for name in ("input_ids", "attention_mask")}

    def encode_tokens(
        self, input_ids: Tensor, attention_mask: Tensor, text_encoder: PreTrainedModel | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Text as the denoiser takes it.

        Args:
            input_ids (`torch.Tensor`): (batch, tokens).
            attention_mask (`torch.Tensor`): (batch, tokens).
            text_encoder (`PreTrainedModel`, *optional*): Used instead of the pipeline's: in training it may be wrapped.

        Returns:
            `tuple[torch.Tensor, torch.Tensor | None]`: (batch, text_dim) and None for a pooled denoiser, (batch, tokens, text_dim) and the
            mask for one that reads tokens.
        """
        output = (text_encoder or self.text_encoder)(input_ids=input_ids, attention_mask=attention_mask)
        if self.denoiser.config.text_conditioning == "tokens":
            return output.last_hidden_state, attention_mask
        return pooled_text(self.text_encoder, output, attention_mask), None

    def unknown(self, texts: Sequence[str]) -> list[bool]:
        """Whether the tokenizer knows no word at all, of each text."""
        rows = self.tokenizer(list(texts), add_special_tokens=False)["input_ids"]
        return [bool(row) and set(row) == {self.tokenizer.unk_token_id} for row in rows]

    def encode_prompt(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor | None]:
        """Encode each distinct prompt once; see `encode_tokens` for what comes back.

        Below float32, products of another width round otherwise, and sampling makes centimetres of that. There, tokens are padded to full
        steps of 32, or to the encoder's limit, so that a prompt is read alike whatever the longest of its batch is.
        """
        distinct = list(dict.fromkeys(prompts))
        tokens = self.tokenize(distinct)
        if self.denoiser.dtype != torch.float32:
            longest, limit = tokens["input_ids"].shape[1], token_limit(self.text_encoder, self.config.max_text_tokens)
            width = -(-longest // _TEXT_STEP) * _TEXT_STEP
            tokens = self.tokenizer.pad(tokens, padding="max_length", max_length=min(width, limit or width), return_tensors="pt")
        tokens = {name: value.to(self._execution_device) for name, value in tokens.items()}
        states, mask = self.encode_tokens(**tokens)
        rows = torch.tensor([distinct.index(prompt) for prompt in prompts], device=states.device)
        return states[rows], mask[rows] if mask is not None else None
