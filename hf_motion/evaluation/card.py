"""An evaluation's numbers in a model card's metadata."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from huggingface_hub import EvalResult, ModelCard, metadata_update
from huggingface_hub.repocard_data import eval_results_to_model_index

from ..utils.files import atomic_path
from .result import REAL, EvaluationResult, metric


def card_metadata(result: EvaluationResult, row: str, model_name: str) -> dict[str, list]:
    """The `model-index` of a model card for one row of a result; metrics that are not numbers are left out.

    Args:
        result (`EvaluationResult`): What was measured.
        row (`str`): The model's row.
        model_name (`str`): How the card calls it.
    """
    settings = result.settings
    entries = [
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
    return {"model-index": eval_results_to_model_index(model_name, entries)}


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
    metadata = card_metadata(result, rows[0], Path(model).name)
    folder = Path(model)
    if not folder.is_dir():
        return metadata_update(str(model), metadata, overwrite=True, token=token)
    path = folder / "README.md"
    if not path.is_file():
        raise ValueError(f"{str(folder)!r} has no README.md to put numbers into. Save the model with save_pretrained first.")
    card = ModelCard.load(path, ignore_metadata_errors=False)
    content = card.data.to_dict() | metadata
    body = card.text
    from yaml import safe_dump

    with atomic_path(path) as temporary:
        temporary.write_text(f"---\n{safe_dump(content, sort_keys=False, allow_unicode=True)}---\n{body}", encoding="utf-8")
    return str(path)
