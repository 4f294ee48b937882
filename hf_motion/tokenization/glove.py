"""The published word vectors: `our_vab_data.npy`, `our_vab_words.pkl`, `our_vab_idx.pkl`."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from ..utils.arrays import load_array


class _DataUnpickler(pickle.Unpickler):
    """Reads lists, dictionaries, strings and numbers; whatever would have to be imported is refused, so no code can run."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


def load_glove_folder(folder: str | os.PathLike, prefix: str = "our_vab") -> tuple[list[str], np.ndarray]:
    """Read words and vectors in the layout that Guo et al. publish.

    Args:
        folder (`str` or `os.PathLike`): Holds `PREFIX_data.npy`, `PREFIX_words.pkl` and `PREFIX_idx.pkl`.
        prefix (`str`, defaults to `"our_vab"`): Beginning of the file names.

    Returns:
        `tuple[list[str], np.ndarray]`: Words, and their vectors (words, width) float32 in the same order.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file holds something else or the three do not fit each other.
    """
    data, words, index = (Path(folder) / f"{prefix}_{name}" for name in ("data.npy", "words.pkl", "idx.pkl"))
    missing = [path.name for path in (data, words, index) if not path.is_file()]
    if missing:
        raise FileNotFoundError(f"{str(folder)!r} lacks {', '.join(missing)}; the published vocabulary is three files.")
    names, rows = _read_pickle(words, list), _read_pickle(index, dict)
    vectors = load_array(data)
    if vectors.ndim != 2 or not np.issubdtype(vectors.dtype, np.floating) or not np.isfinite(vectors).all():
        raise ValueError(f"{str(data)!r} must hold finite numbers (words, width), got {vectors.dtype} of shape {vectors.shape}.")
    if not all(isinstance(name, str) for name in names) or len(set(names)) != len(names):
        raise ValueError(f"{str(words)!r} must list distinct words.")
    strangers = [name for name in names if type(rows.get(name)) is not int or not 0 <= rows[name] < len(vectors)]
    if strangers:
        raise ValueError(f"{str(index)!r} gives no row of the {len(vectors)} vectors for {strangers[0]!r}. Use files of one vocabulary.")
    return names, vectors[[rows[name] for name in names]].astype(np.float32)


def _read_pickle(path: Path, kind: type) -> Any:
    try:
        with path.open("rb") as file:
            content = _DataUnpickler(file).load()
    except Exception as error:  # A torn pickle raises whatever its first odd byte leads to.
        raise ValueError(f"Refused to read {str(path)!r}: {error}. The published file holds words and numbers only.") from error
    if not isinstance(content, kind):
        raise ValueError(f"{str(path)!r} must hold a {kind.__name__}, got {type(content).__name__}.")
    return content
