"""Stand-ins for published files of token models: weights that are the same everywhere, a text encoder, statistics."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, PreTrainedTokenizerBase

from hf_motion.trainers.new_pipeline import train_clip_tokenizer

TEXTS = ["a person walks forward", "someone jumps"]


def stable_weights(shapes: Mapping[str, Sequence[int]], seed: int) -> dict[str, Tensor]:
    """Random weights that no library's version changes: the stream of a bit generator is part of its definition.

    Matrices keep the scale of what they multiply; vectors are in (-0.5, 0.5), those of normalisations in (0.5, 1.5).
    """
    stream = np.random.PCG64(seed)
    weights = {}
    for name, shape in shapes.items():
        raw = stream.random_raw(int(np.prod(shape))) >> np.uint64(40)
        values = torch.from_numpy((raw / 2**24 - 0.5).astype(np.float32)).reshape(tuple(shape))
        is_norm = len(shape) == 1 and name.endswith("weight")
        weights[name] = values + 1 if is_norm else values if len(shape) == 1 else values * (12 / np.prod(shape[1:])) ** 0.5
    return weights


def linear(name: str, out: int, *inp: int, joint: str = ".") -> dict[str, tuple[int, ...]]:
    """Shapes of a linear layer or a convolution."""
    return {f"{name}{joint}weight": (out, *inp), f"{name}{joint}bias": (out,)}


def norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    """Shapes of a normalisation."""
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def tiny_clip(width: int) -> tuple[CLIPTextModelWithProjection, PreTrainedTokenizerBase]:
    """A CLIP text model whose vectors are that wide, and its tokenizer."""
    torch.manual_seed(0)
    tokenizer = train_clip_tokenizer(TEXTS, 600)
    special = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "projection_dim": width}
    return CLIPTextModelWithProjection(CLIPTextConfig(vocab_size=len(tokenizer), **sizes, **special)).eval(), tokenizer


def statistics(width: int) -> dict[str, np.ndarray]:
    """Mean and std of as many features."""
    return {"mean": np.linspace(-1, 1, width, dtype=np.float32), "std": np.linspace(0.5, 2, width, dtype=np.float32)}


class Malicious:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[Any, tuple[str, ...]]:
        return os.system, ("touch pwned",)
