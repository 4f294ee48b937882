"""Packages that only some tasks need: where they are imported, and what is said when they are not installed."""

from __future__ import annotations

import importlib
from typing import Any

EXTRAS = {
    "PIL": "render",
    "av": "render",
    "datasets": "train",
    "evaluate": "eval",
    "faiss": "index",
    "nltk": "eval",
    "pxr": "usd",
    "pyarrow": "train",
    "rouge_score": "eval",
    "sacrebleu": "eval",
    "spacy": "spacy",
    "trl": "train",
    "yaml": "train",
}
"""The extra of `pip install 'hf-motion[...]'` that each optional package comes with."""


def require(module: str, purpose: str, otherwise: str = "") -> Any:
    """Import an optional package, or a module of it.

    Args:
        module (`str`): Such as `"pyarrow.parquet"`; its package is in `EXTRAS`.
        purpose (`str`): What it is needed for, to begin a sentence with.
        otherwise (`str`, *optional*): What can be done without it, another sentence.

    Returns:
        `types.ModuleType`: The module.

    Raises:
        ImportError: If it is not installed; the message is the command that installs it.

    Example:
        >>> require("yaml", "Reading YAML").safe_load("[1, 2]")
        [1, 2]
    """
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        message = f"{purpose} needs {package}: pip install 'hf-motion[{EXTRAS[package]}]'."
        if getattr(error, "name", None) not in (package, module):
            message += f" It is installed, but failed with: {error}."
        raise ImportError(" ".join(filter(None, (message, otherwise)))) from error
