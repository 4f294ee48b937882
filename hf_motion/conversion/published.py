"""Reading files that other projects published, as data: no code in them is ever run."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..utils.arrays import load_array


def existing_file(path: str | os.PathLike) -> Path:
    """The path of a file.

    Raises:
        FileNotFoundError: If there is none.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {str(path)!r}.")
    return path


def load_tensors(path: str | os.PathLike) -> Any:
    """Content of a PyTorch file that holds nothing but tensors, numbers, strings, lists and dictionaries.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a PyTorch file, or could run code when opened.
    """
    path = existing_file(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # PyTorch raises whatever the first odd byte leads to.
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(
            f"Refused to load {str(path)!r}: it is not a PyTorch file, or holds more than tensors and could run code when opened. "
            f"Published checkpoints hold tensors only; download it again from its authors. PyTorch says: {reason}"
        ) from error


def load_weights(path: str | os.PathLike, keys: Sequence[str], what: str) -> dict[str, Tensor]:
    """Weights by name in a PyTorch file.

    Args:
        path (`str` or `os.PathLike`): The file.
        keys (`list[str]`): Under which of them the weights lie; the first that is there counts. A file may also hold nothing but weights.
        what (`str`): What errors call them.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no PyTorch file, could run code when opened, or holds no weights.
    """
    content = load_tensors(path)
    if isinstance(content, dict):
        content = next((content[key] for key in keys if isinstance(content.get(key), dict)), content)
    if not isinstance(content, dict) or not content or not all(isinstance(value, Tensor) for value in content.values()):
        found = ", ".join(map(repr, list(content)[:5])) if isinstance(content, dict) else type(content).__name__
        raise ValueError(
            f"{str(path)!r} holds no {what}: expected tensors, or those under {' or '.join(map(repr, keys))}, found {found or None}. "
            "Pass the checkpoint as it was published."
        )
    return content


def check_names(weights: Mapping[str, Tensor], wanted: Mapping[str, Any], what: str) -> None:
    """Refuse weights that have other names than those wanted.

    Raises:
        ValueError: If names are missing or unknown; it lists them.
    """
    missing, unexpected = sorted(wanted.keys() - weights.keys()), sorted(weights.keys() - wanted.keys())
    if missing or unexpected:
        found = "; ".join(f"{kind}: {', '.join(keys)}" for kind, keys in (("missing", missing), ("unexpected", unexpected)) if keys)
        raise ValueError(f"These are not the weights of {what}: {found}. Pass the checkpoint as it was published.")


def count_layers(names: Iterable[str], prefix: str) -> int:
    """How many layers there are, from the numbers that follow a prefix in the names of weights."""
    numbers = (name.removeprefix(prefix).split(".")[0] for name in names if name.startswith(prefix))
    return 1 + max((int(number) for number in numbers if number.isdigit()), default=-1)


def load_statistics(name: str, values: str | os.PathLike | np.ndarray | Sequence[float]) -> list[float]:
    """One number per feature, from an `.npy` file or as they are.

    Args:
        name (`str`): What errors call them.
        values (`str`, `os.PathLike` or array): The numbers or their file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds no numbers.
    """
    if isinstance(values, (str, os.PathLike)):
        path = existing_file(values)
        try:
            values = load_array(path)
        except ValueError as error:
            raise ValueError(f"Cannot read {name}: {error} Pass an .npy file with one number per feature.") from error
    return np.asarray(values, dtype=np.float64).ravel().tolist()


def text_encoder_pair(
    source: str | os.PathLike | tuple[PreTrainedModel, PreTrainedTokenizerBase],
    text_dim: int,
    published: Iterable[str],
    pooled: bool = True,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The text encoder and tokenizer that converted weights go with.

    Args:
        source (`str`, `os.PathLike` or a pair): Name or folder, or the two themselves.
        text_dim (`int`): Width of the text's vector that the weights expect.
        published (`Iterable[str]`): Names of those that published weights were trained with, for the error.
        pooled (`bool`, defaults to `True`): Whether the weights read one vector per text rather than one per token.

    Raises:
        OSError: If there is no such text encoder.
        ValueError: If its vectors have another width.
    """
    from ..text_encoders import load_text_encoder, load_text_tokenizer, text_width

    if isinstance(source, (str, os.PathLike)):
        source = load_text_encoder(source), load_text_tokenizer(source)
    encoder, tokenizer = source
    width = text_width(encoder, pooled)
    if width != text_dim:
        raise ValueError(
            f"The weights expect text vectors {text_dim} wide, {type(encoder).__name__} gives {width}. Pass the text encoder "
            f"that they were trained with; published ones are {', '.join(map(repr, published))}."
        )
    return encoder, tokenizer
