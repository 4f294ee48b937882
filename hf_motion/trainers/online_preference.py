"""Tuning motion language models on rewards as they speak: group relative policy optimisation (Shao et al., 2024), by TRL."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList

from ..models.motion_decoding import decode_codes
from ..models.motion_language.modeling_motion_language import MotionLanguageModel
from ..models.motion_language.vocabulary import MotionVocabulary
from ..preferences.prompts import Prompt
from ..rewards.base import Reward
from ..rewards.specification import Specification
from ..utils.extras import require
from .preference import attention_adapters, check_whole
from .resuming import Resumable
from .steps import AnyDevice

trl = require("trl", "Preference tuning")


@dataclass
class MotionGRPOConfig(AnyDevice, trl.GRPOConfig):
    """`trl.GRPOConfig` that runs on a CPU where there is no accelerator."""


class WholeAnswer(LogitsProcessor):
    """Start, codes in the order of their books, end, and the end of the answer: all that may be said, and at most so many codes.

    Args:
        vocabulary (`MotionVocabulary`): Where the motion tokens are.
        prompt (`int`): Tokens of the (left-padded) prompts.
        most (`int`): Time steps at which a motion ends at the latest.
        eos (`int`): What ends an answer.
    """

    def __init__(self, vocabulary: MotionVocabulary, prompt: int, most: int, eos: int) -> None:
        self.vocabulary, self.prompt, self.most, self.eos = vocabulary, prompt, most, eos

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """(rows, vocabulary) scores: minus infinity for all that may not come."""
        vocabulary, said = self.vocabulary, input_ids[:, self.prompt :]
        allowed = torch.full_like(scores, -torch.inf)
        if said.shape[1] == 0:
            allowed[:, vocabulary.start] = scores[:, vocabulary.start]
            return allowed
        steps, book = divmod(said.shape[1] - 1, vocabulary.num_quantizers)
        closed = (said == vocabulary.end).any(1)
        low, high = vocabulary.book(book)
        if steps < self.most:
            allowed[:, low:high] = scores[:, low:high].masked_fill(closed[:, None], -torch.inf)
        if book == 0 and steps >= 1:
            allowed[:, vocabulary.end] = scores[:, vocabulary.end].masked_fill(closed, -torch.inf)
        allowed[:, self.eos] = scores[:, self.eos].masked_fill(~closed, -torch.inf)
        return allowed


def prompt_rows(model: MotionLanguageModel, prompts: Sequence[Prompt]) -> Any:
    """Prompts as TRL's trainer takes them.

    Args:
        model (`MotionLanguageModel`): Its wordings.
        prompts (`Sequence[Prompt]`): See `hf_motion.preferences.make_prompts`.

    Returns:
        `datasets.Dataset`: `prompt`, and for the reward `text` and `specification`.
    """
    rows = []
    for one in prompts:
        question = model.instructions("text_to_motion", text=one.text)
        prompt: Any = [{"role": "user", "content": question}] if model.prompts.chat else f"{question}\n"
        rows.append({"prompt": prompt, "text": one.text, "specification": one.specification.to_json()})
    return require("datasets", "Preference tuning").Dataset.from_list(rows)


def motion_reward(model: MotionLanguageModel, reward: Reward) -> Callable[..., list[float | None]]:
    """A reward of motions as TRL calls rewards: of token ids.

    Args:
        model (`MotionLanguageModel`): Decodes the ids.
        reward (`Reward`): Scores motions. What it cannot judge (NaN) is None to TRL, which leaves it out.
    """
    vocabulary = model.vocabulary
    if vocabulary is None:
        raise ValueError("This model spells its motions; online tuning needs one with motion tokens (format motion or motiongpt).")

    def score(completion_ids: Sequence[Sequence[int]], text: Sequence[str], specification: Sequence[str], **_: Any) -> list[float | None]:
        codes = [vocabulary.codes(ids).to(model.vq_model.device) for ids in completion_ids]
        motions = decode_codes(model.vq_model, model.feature_extractor, codes, list(text), None, "motion")
        values = reward(motions, list(text), [Specification.from_json(one) for one in specification])
        return [None if math.isnan(value) else value for value in values]

    score.__name__ = reward.name
    return score


class MotionGRPOTrainer(Resumable, trl.GRPOTrainer):
    """TRL's trainer, whose model says nothing but motions.

    Args:
        model (`MotionLanguageModel`): A causal model with motion tokens and without adapters; afterwards it carries the new ones.
        reward (`Reward`): What is to grow.
        args (`MotionGRPOConfig`): Settings; `max_completion_length` is set to the longest motion.
        prompts (`Sequence[Prompt]`): What to ask.
        rank (`int`, defaults to 8): Rank of adapters; 0 tunes all weights.
        alpha (`int`, defaults to 16): Their strength.
        dropout (`float`, defaults to 0.0): Their dropout.
        **kwargs: As for `trl.GRPOTrainer`.

    Raises:
        ValueError: If the model is an encoder-decoder, spells its motions, or has adapters already.
    """

    def __init__(
        self,
        model: MotionLanguageModel,
        reward: Reward,
        args: MotionGRPOConfig,
        prompts: Sequence[Prompt],
        rank: int = 8,
        alpha: int = 16,
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        if model.config.is_encoder_decoder:
            raise ValueError("Online tuning takes causal language models; tune encoder-decoders with training/train_dpo.py.")
        check_whole(model)
        function = motion_reward(model, reward)
        args.max_completion_length = model.max_tokens * model.vocabulary.num_quantizers + 3
        super().__init__(
            model.language_model,
            function,
            args,
            train_dataset=prompt_rows(model, prompts),
            processing_class=model.tokenizer,
            peft_config=attention_adapters(model, rank, alpha, dropout),
            **kwargs,
        )
        model.language_model, self._motion_model = self.model, model

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """See `transformers.Trainer.train`."""
        model, generate = self._motion_model, self.model.generate

        def motions_only(*inputs: Any, **options: Any) -> Any:
            answer = WholeAnswer(model.vocabulary, options["input_ids"].shape[1], model.max_tokens, model.tokenizer.eos_token_id)
            return generate(*inputs, logits_processor=LogitsProcessorList([answer]), **options)

        self.model.generate = motions_only
        try:
            return super().train(*args, **kwargs)
        finally:
            del self.model.generate
