"""Questions and answers as token ids: chat turns where the base was trained on them, plain lines otherwise."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

_WAY_OUT = "Shorten the text or the motion, or ask for less."


class PromptWriter:
    """Writes questions and answers the same way for training and for making.

    With a chat template a question is a user's turn and the answer the assistant's. Without, a question is a line of text, or all that
    the encoder reads. An answer ends with the tokenizer's end token.

    Args:
        tokenizer (`PreTrainedTokenizerBase`): The language model's.
        chat (`bool`): Whether to use its chat template.
        encoder_decoder (`bool`): Whether question and answer go into two sequences.
        context (`int`, *optional*): Tokens that the model reads at most.

    Raises:
        ValueError: If the tokenizer has no chat template, or no end token.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, chat: bool, encoder_decoder: bool, context: int | None = None) -> None:
        if chat and tokenizer.chat_template is None:
            raise ValueError(
                f"This {type(tokenizer).__name__} has no chat template: its model was not trained on turns of a chat. Use chat=False "
                "(--chat false) for plain lines, or set tokenizer.chat_template to the template of its model."
            )
        if tokenizer.eos_token_id is None:
            raise ValueError(f"This {type(tokenizer).__name__} has no end token, so answers would never end. Set tokenizer.eos_token.")
        self.tokenizer, self.chat, self.encoder_decoder, self.context = tokenizer, chat, encoder_decoder, context

    def question(self, text: str) -> list[int]:
        """Ids of a question, up to where the answer begins."""
        if self.chat:
            return self._ids(self._turns(text), add_special_tokens=False)
        return self._ids(text if self.encoder_decoder else f"{text}\n", add_special_tokens=True)

    def answer(self, text: str | None = None, ids: Sequence[int] = ()) -> list[int]:
        """Ids of an answer, words or ids, with the end token."""
        return [*(ids if text is None else self._ids(text, add_special_tokens=False)), self.tokenizer.eos_token_id]

    def batch(
        self, questions: Sequence[str], tail: Sequence[int], new_tokens: int, device: torch.device, way_out: str = _WAY_OUT
    ) -> dict[str, Tensor]:
        """What `generate` takes, padded on the left.

        Args:
            questions (`list[str]`): Questions.
            tail (`Sequence[int]`): Ids that every answer begins with.
            new_tokens (`int`): How many tokens may follow.
            device (`torch.device`): Where to.
            way_out (`str`): What to do where a question does not fit, a sentence.

        Raises:
            ValueError: If a question does not fit into the context.
        """
        rows = [self.question(text) for text in questions]
        for text, row in zip(questions, rows, strict=True):
            needed = len(row) + (0 if self.encoder_decoder else len(tail) + new_tokens)
            if self.context is not None and needed > self.context:
                raise ValueError(
                    f"The prompt {_short(text)} has {len(row)} tokens; with what is to be made of it {needed}, and the model reads "
                    f"{self.context} at most. {way_out}"
                )
        tail = list(tail)
        if not self.encoder_decoder:
            rows = [[*row, *tail] for row in rows]
        width, pad = max(map(len, rows)), self.pad
        inputs = {
            "input_ids": torch.tensor([[pad] * (width - len(row)) + row for row in rows], device=device),
            "attention_mask": torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=device),
        }
        return inputs

    @property
    def pad(self) -> int:
        """Id of padding; the end token where the tokenizer has none of its own."""
        return self.tokenizer.eos_token_id if self.tokenizer.pad_token_id is None else self.tokenizer.pad_token_id

    def _turns(self, text: str) -> str:
        turns = [{"role": "user", "content": text}]
        return self.tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)

    def _ids(self, text: str, add_special_tokens: bool) -> list[int]:
        return self.tokenizer(text, add_special_tokens=add_special_tokens, verbose=False)["input_ids"]


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:40]} ... {text[-15:]}")
