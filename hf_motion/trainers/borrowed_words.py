"""A small text tower that knows the words of a sentence model: each token as that model reads it alone, put into few numbers.

After Model2Vec (Tulkens and van Dongen, 2024): a table of tokens keeps much of what a sentence model knows, even of words in no caption.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from transformers import BertConfig, BertModel, PreTrainedTokenizerBase

from ..models.gemini_mvr.modeling_gemini_mvr import GeminiMVR
from ..text_encoders import text_encoder_from_config
from .text_transplant import shrink_bert

_TOKENS, _HEAD = 77, 32
_SPREAD = 2.5  # of the vectors, in standard deviations of a new table
_BATCH = 500


def borrow_words(
    encoder: BertModel, tokenizer: PreTrainedTokenizerBase, texts: Iterable[str], count: int, width: int
) -> tuple[Tensor, PreTrainedTokenizerBase]:
    """A vector for each of a sentence model's more frequent tokens.

    Args:
        encoder (`BertModel`): The sentence model, whose tokens are averaged, such as all-MiniLM-L6-v2.
        tokenizer (`PreTrainedTokenizerBase`): Its fast wordpiece tokenizer.
        texts (`Iterable[str]`): Texts whose tokens are taken whatever their frequency.
        count (`int`): How many tokens.
        width (`int`): Numbers of a vector: the principal components of what the model makes of the token alone.

    Returns:
        `tuple[torch.Tensor, PreTrainedTokenizerBase]`: (count, width) with a standard deviation of 1 and zeros for special tokens, and a
        tokenizer of these tokens.

    Raises:
        ValueError: If the model has fewer numbers or tokens, or the texts need more.
    """
    if not 1 <= width <= encoder.config.hidden_size:
        raise ValueError(f"A vector has from 1 to {encoder.config.hidden_size} numbers, those of the sentence model, got {width}.")
    _, small = shrink_bert(encoder, tokenizer, 1, texts, count, _TOKENS)
    kept = sorted(small.get_vocab(), key=small.get_vocab().__getitem__)
    real = torch.tensor([token not in small.all_special_tokens for token in kept])
    ids = torch.tensor(tokenizer.convert_tokens_to_ids(kept))[real]
    states = _alone(encoder, ids, tokenizer)
    states = states - states.mean(0)
    components = states @ torch.linalg.svd(states, full_matrices=False).Vh[:width].T
    table = torch.zeros(len(kept), width)
    table[real] = components / components.std()
    return table, small


@torch.no_grad()
def _alone(encoder: BertModel, ids: Tensor, tokenizer: PreTrainedTokenizerBase) -> Tensor:
    """(tokens, hidden_size): means over a token and what stands around it."""
    ends = torch.tensor([[tokenizer.cls_token_id, tokenizer.sep_token_id]])
    means = []
    for batch in ids.split(_BATCH):
        rows = torch.cat([ends[:, :1].expand(len(batch), 1), batch[:, None], ends[:, 1:].expand(len(batch), 1)], dim=1)
        means.append(encoder.eval()(input_ids=rows, attention_mask=torch.ones_like(rows)).last_hidden_state.mean(1).float())
    return torch.cat(means)


def give_words(
    model: GeminiMVR, encoder: BertModel, tokenizer: PreTrainedTokenizerBase, texts: Iterable[str], count: int
) -> PreTrainedTokenizerBase:
    """Put a new text tower into a retriever: one layer over borrowed words, which has to learn what they mean (stage `"text"`).

    Args:
        model (`GeminiMVR`): With an action level; it is changed.
        encoder (`BertModel`): As for `borrow_words`, as are the others.
        tokenizer (`PreTrainedTokenizerBase`): The same.
        texts (`Iterable[str]`): The same.
        count (`int`): The same.

    Returns:
        `PreTrainedTokenizerBase`: The tower's tokenizer.

    Raises:
        ValueError: As `borrow_words`.
    """
    width = model.config.hidden_size
    table, small = borrow_words(encoder, tokenizer, texts, count, width)
    config = BertConfig(
        vocab_size=len(table), hidden_size=width, num_hidden_layers=1, num_attention_heads=max(1, width // _HEAD),
        intermediate_size=4 * width, max_position_embeddings=_TOKENS, pad_token_id=small.pad_token_id,
    )  # fmt: skip
    model.config.text_config = config
    model.text_model, model.text_projection = text_encoder_from_config(config), nn.Identity()
    model.text_model.get_input_embeddings().weight.data.copy_(table * _SPREAD * config.initializer_range)
    model.set_stage(model.config.stage)
    return small
