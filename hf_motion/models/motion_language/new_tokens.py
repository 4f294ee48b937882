"""New rows for the embeddings of a language model, and smaller language models."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase


def keep_own_head(model: PreTrainedModel) -> None:
    """Let a T5 with a head of its own keep it.

    `T5Config` says of every T5 that its head is its embedding. Loading takes the head of the file all the same, but whatever ties weights
    later, such as `resize_token_embeddings`, would throw it away.

    Args:
        model (`PreTrainedModel`): Just loaded; its configuration is set right.
    """
    head, table = model.get_output_embeddings(), model.get_input_embeddings()
    if head is not None and model.config.tie_word_embeddings and head.weight is not table.weight:
        model.config.tie_word_embeddings = False


@torch.no_grad()
def add_token_rows(model: PreTrainedModel, first: int, count: int, generator: torch.Generator | None = None) -> None:
    """Give new tokens rows of their own in the embedding and in the head: the mean of the old rows, and noise of their spread.

    transformers' own start makes all new rows nearly the same vector, which is learned several times slower.

    Args:
        model (`PreTrainedModel`): A language model; it is changed.
        first (`int`): Id of the first new token; rows before it are old.
        count (`int`): How many there are, with ids that follow each other.
        generator (`torch.Generator`, *optional*): Of the noise.
    """
    keep_own_head(model)
    tables = [model.get_input_embeddings(), model.get_output_embeddings()]
    olds = [None if table is None else table.weight.detach()[:first].float().clone() for table in tables]
    if len(tables[0].weight) < first + count:
        model.resize_token_embeddings(first + count, mean_resizing=False)
    _spread(model.get_input_embeddings().weight, olds[0], first, count, generator)
    head = model.get_output_embeddings()
    if head is not None and head.weight is not model.get_input_embeddings().weight:
        _spread(head.weight, olds[1], first, count, generator)
        if getattr(head, "bias", None) is not None:
            head.bias[first : first + count] = head.bias[:first].mean()


def cut_layers(model: PreTrainedModel, layers: int) -> None:
    """Keep the first layers only, of an encoder-decoder those of both.

    Args:
        model (`PreTrainedModel`): A language model; it is changed.
        layers (`int`): How many.

    Raises:
        ValueError: If the model has fewer.

    Example:
        >>> from transformers import LlamaConfig, LlamaForCausalLM
        >>> options = {"vocab_size": 16, "hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 2}
        >>> model = LlamaForCausalLM(LlamaConfig(num_hidden_layers=4, **options))
        >>> cut_layers(model, 2)
        >>> len(model.model.layers), model.config.num_hidden_layers
        (2, 2)
    """
    config = model.config
    count = config.num_hidden_layers
    if not 1 <= layers <= count:
        raise ValueError(f"max_layers must be from 1 to the {count} layers of this {type(model).__name__}, got {layers}.")
    found = [
        (module, name)
        for module in model.modules()
        for name, child in module.named_children()
        if isinstance(child, nn.ModuleList) and len(child) in {count, getattr(config, "num_decoder_layers", count)} and _are_layers(child)
    ]
    for module, name in found:
        setattr(module, name, getattr(module, name)[:layers])
        if getattr(module, "config", None) is not None and module.config is not config:
            _set_count(module.config, layers)
    if not found:
        raise ValueError(f"max_layers: the layers of a {type(model).__name__} were not found. Leave max_layers out.")
    _set_count(config, layers)


def cut_vocabulary(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, size: int) -> PreTrainedTokenizerBase:
    """Keep the most frequent entries of a byte-pair vocabulary only: rarer words are written in more pieces, and none is lost.

    Where a small model trains on a CPU, the head over tens of thousands of words is half of the work. Byte-pair vocabularies are learned
    from the most frequent merge to the rarest, so their first entries are a vocabulary too.

    Args:
        model (`PreTrainedModel`): A language model; its embedding and head are cut.
        tokenizer (`PreTrainedTokenizerBase`): Its tokenizer, which stays as it is.
        size (`int`): How many entries to keep.

    Returns:
        `PreTrainedTokenizerBase`: The smaller tokenizer.

    Raises:
        ValueError: If the tokenizer is of another kind, its entries are in another order, or the size keeps too few or more than there are.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    state = json.loads(backend.to_str()) if backend is not None else {"model": {"type": "slow"}}
    core = state["model"]
    if core["type"] != "BPE":
        kind = f"that of this {type(tokenizer).__name__} is {core['type']}"
        raise ValueError(f"max_vocabulary cuts byte-pair vocabularies; {kind}. Leave it out.")
    merges = [merge if isinstance(merge, list) else merge.split(" ") for merge in core["merges"]]
    made = {core["vocab"]["".join(pair)] for pair in merges}
    least = 1 + max([*(place for place in core["vocab"].values() if place not in made), *(token["id"] for token in state["added_tokens"])])
    if not least <= size <= len(core["vocab"]):
        raise ValueError(
            f"max_vocabulary must be from {least}, which its letters and special tokens take, to the {len(core['vocab'])} entries of this "
            f"{type(tokenizer).__name__}, got {size}."
        )
    core["vocab"] = {word: place for word, place in core["vocab"].items() if place < size}
    core["merges"] = [pair for pair in merges if "".join(pair) in core["vocab"]]
    if any(part not in core["vocab"] for pair in core["merges"] for part in pair):
        where = f"the entries of this {type(tokenizer).__name__}"
        raise ValueError(f"max_vocabulary: {where} are not in the order of its merges. Leave it out.")
    model.resize_token_embeddings(size, mean_resizing=False)
    return _with_state(tokenizer, state)


def _with_state(tokenizer: PreTrainedTokenizerBase, state: dict[str, Any]) -> PreTrainedTokenizerBase:
    """The same tokenizer with another core; through files, since that is the way that every class of tokenizers supports."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        (Path(folder) / "tokenizer.json").write_text(json.dumps(state, ensure_ascii=False), encoding="utf-8")
        return type(tokenizer).from_pretrained(folder)


def _are_layers(modules: nn.ModuleList) -> bool:
    """Layers of a stack are of one class and rather large; so are not the parts of one layer."""
    return len({type(module) for module in modules}) == 1 and any(isinstance(part, nn.Linear) for part in modules[0].modules())


def _set_count(config: object, layers: int) -> None:
    for name in ("num_hidden_layers", "num_layers", "num_decoder_layers"):
        if getattr(config, name, None) is not None:
            setattr(config, name, layers)
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:layers]  # type: ignore[attr-defined]


def _spread(table: Tensor, old: Tensor, first: int, count: int, generator: torch.Generator | None) -> None:
    noise = torch.randn((count, old.shape[1]), generator=generator)
    table[first : first + count] = (old.mean(0) + noise.to(old.device) * old.std(0)).to(table.dtype)
