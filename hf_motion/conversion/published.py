"""Reading files that other projects published, as data: no code in them is ever run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch


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
            values = np.load(path, allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise ValueError(f"Cannot read {name} from {str(path)!r}: {error}. Pass an .npy file with one number per feature.") from error
    return np.asarray(values, dtype=np.float64).ravel().tolist()
