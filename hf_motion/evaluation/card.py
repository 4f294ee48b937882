"""An evaluation's numbers in a model card's metadata."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from huggingface_hub import EvalResult, ModelCard, metadata_update
from huggingface_hub.repocard_data import eval_results_to_model_index

from ..utils.extras import require
from ..utils.files import atomic_path
from .result import REAL, EvaluationResult, metric


def check_card(folder: Path) -> None:
    """Find out whether a folder has a card, before what goes into it is computed.

    Raises:
        ValueError: If it has none.
    """
    if not (folder / "README.md").is_file():
        raise ValueError(f"{str(folder)!r} has no README.md to put numbers into. Save the model with save_pretrained first.")


def _data(result: EvaluationResult) -> tuple[str, str]:
    return str(result.settings["dataset"]), str(result.settings["split"])


def _entries(result: EvaluationResult, row: str) -> list[EvalResult]:
    """One entry per metric of a row; those that are not numbers are left out."""
    settings = result.settings
    return [
        EvalResult(
            task_type="text-to-motion",
            dataset_type=str(settings["dataset"]),
            dataset_name=str(settings["dataset"]),
            dataset_split=str(settings["split"]),
            metric_type=name,
            metric_name=metric(name).title,
            metric_value=round(result.mean(row, name), 6),
            metric_config=f"protocol {settings.get('protocol')}, evaluator {settings.get('evaluator')}, seed {settings.get('seed')}",
        )
        for name in result.rows[row]
        if np.isfinite(result.mean(row, name))
    ]


def update_card(result: EvaluationResult, model: str | os.PathLike, token: str | None = None) -> str:
    """Put a model's numbers into its card, in a folder or on the Hub; numbers measured earlier on the same data are replaced.

    Args:
        result (`EvaluationResult`): With one row besides real motion.
        model (`str` or `os.PathLike`): Folder with a `README.md`, or Hub repository.
        token (`str`, *optional*): Access token.

    Returns:
        `str`: The card's path or the commit's address.

    Raises:
        ValueError: If the result does not have exactly one model, or the folder has no card.
    """
    rows = [row for row in result.rows if row != REAL]
    if len(rows) != 1:
        raise ValueError(f"A card takes the numbers of one model; this result has {rows}.")
    folder = Path(model)
    if not folder.is_dir():
        metadata = {"model-index": eval_results_to_model_index(folder.name, _entries(result, rows[0]))}
        return metadata_update(str(model), metadata, overwrite=True, token=token)
    check_card(folder)
    path = folder / "README.md"
    safe_dump = require("yaml", "Changing a card").safe_dump
    card = ModelCard.load(path)
    kept = [entry for entry in card.data.eval_results or [] if (entry.dataset_type, entry.dataset_split) != _data(result)]
    entries = kept + _entries(result, rows[0])
    content = card.data.to_dict() | {"model-index": eval_results_to_model_index(Path(model).name, entries)}
    body = card.text

    with atomic_path(path) as temporary:
        temporary.write_text(f"---\n{safe_dump(content, sort_keys=False, allow_unicode=True)}---\n{body}", encoding="utf-8")
    return str(path)
