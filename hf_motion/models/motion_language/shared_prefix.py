"""Questions that begin alike are read from where they differ: what comes before is read once for all of them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.cache_utils import DynamicCache, DynamicLayer

_WORTH = 24  # tokens: a shorter beginning is read sooner than it is copied


def read_prefix_once(model: PreTrainedModel, inputs: dict[str, Tensor], pad: int, own: int | None = None) -> dict[str, Any]:
    """What `generate` takes, with the beginning that all questions share in the cache already.

    Padding moves from before the questions to where they begin to differ. It is hidden there too, and positions do not count it, so answers
    are the same, to rounding. Questions that share little, and models whose layers do not remember all tokens, stay as they are.

    Args:
        model (`PreTrainedModel`): A causal language model.
        inputs (`dict[str, torch.Tensor]`): `input_ids` and `attention_mask`, (questions, tokens), padded on the left.
        pad (`int`): Id of padding.
        own (`int`, *optional*): A token that stands for something else in each question, such as a latent; the beginning ends before it.

    Returns:
        `dict`: The same, as wide or narrower, and `past_key_values`.
    """
    ids = inputs["input_ids"]
    rows = [row[-count:] for row, count in zip(ids.tolist(), inputs["attention_mask"].sum(1).tolist(), strict=True)]
    first, last = min(rows), max(rows)
    most = min(len(row) for row in rows) - 1  # one token at least is read by each
    shared = next((place for place in range(most) if first[place] != last[place] or first[place] == own), most)
    if len(rows) < 2 or shared < _WORTH or not model.generation_config.use_cache:
        return inputs
    cache = DynamicCache(config=model.config)
    model(input_ids=ids.new_tensor(rows[0][:shared])[None], past_key_values=cache, use_cache=True, logits_to_keep=1)
    if any(type(layer) is not DynamicLayer for layer in cache.layers):
        return inputs
    cache.batch_repeat_interleave(len(rows))
    width = max(len(row) for row in rows) - shared
    gaps = [width - len(row) + shared for row in rows]
    return {
        **inputs,
        "input_ids": ids.new_tensor([[*row[:shared], *[pad] * gap, *row[shared:]] for row, gap in zip(rows, gaps, strict=True)]),
        "attention_mask": torch.stack([_mask(ids, shared, gap, width) for gap in gaps]),
        "past_key_values": cache,
    }


def _mask(ids: Tensor, shared: int, gap: int, width: int) -> Tensor:
    mask = torch.ones(shared + width, dtype=torch.long, device=ids.device)
    mask[shared : shared + gap] = 0
    return mask
