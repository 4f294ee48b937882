"""Results side by side: a table, what differs in their settings, and bars with intervals."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from ..utils.files import atomic_path
from .result import REAL, EvaluationResult, markdown_table, metric

_BAR, _GAP, _LABEL, _WIDTH, _TITLE = 16, 6, 190, 260, 26
COLOURS = ["#8a8f98", "#2f6fde", "#e07a1f", "#2a9d63", "#b0449e", "#c23b3b", "#6d5bd0", "#7a7a29"]
_NOT_COMPARED = ("model", "options", "seconds", "packages", "device")


def merge(results: Mapping[str, EvaluationResult]) -> EvaluationResult:
    """One result with the rows of all.

    Rows of the same name are told apart by the name of their result; real motion is shown once if its numbers agree.

    Args:
        results (`Mapping[str, EvaluationResult]`): By name.

    Returns:
        `EvaluationResult`: With a note for every setting in which they differ, since then the numbers do not compare.

    Raises:
        ValueError: If they are of different kinds.
    """
    kinds = {name: result.kind for name, result in results.items()}
    if len(set(kinds.values())) > 1:
        raise ValueError(f"Results of different kinds do not compare: {kinds}.")
    rows: dict[str, dict[str, list[float]]] = {}
    for name, result in results.items():
        for row, values in result.rows.items():
            if row in rows and row == REAL and _equal(rows[row], values):
                continue
            rows[f"{row} ({name})" if row in rows else row] = values
    first = next(iter(results.values()))
    notes = [
        f"**Settings differ in {key}**: " + "; ".join(f"{name} {result.settings.get(key)}" for name, result in results.items())
        for key in sorted({key for result in results.values() for key in result.settings})
        if key not in _NOT_COMPARED and any(result.settings.get(key) != first.settings.get(key) for result in results.values())
    ]
    return EvaluationResult(first.kind, rows, {"compared": list(results)}, notes)


def save_bars(result: EvaluationResult, path: str | os.PathLike) -> Path:
    """Draw every metric of every row as bars with their 95 % intervals, as an SVG file.

    Args:
        result (`EvaluationResult`): What to draw.
        path (`str` or `os.PathLike`): Where to.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(_bars(result), encoding="utf-8")
    return Path(path)


def _bars(result: EvaluationResult) -> str:
    rows, names = list(result.rows), result.metrics
    height = _TITLE + len(rows) * (_BAR + _GAP) + 18
    columns = 2
    parts = []
    for index, name in enumerate(names):
        x, y = (index % columns) * (_LABEL + _WIDTH + 90), (index // columns) * height + 10
        parts.append(f'<g transform="translate({x},{y})">{_panel(result, rows, name)}</g>')
    total = -(-len(names) // columns) * height + 20
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{columns * (_LABEL + _WIDTH + 90)}" height="{total}" '
        f'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>\n'
    )


def _panel(result: EvaluationResult, rows: Sequence[str], name: str) -> str:
    values = {row: (result.mean(row, name), result.interval(row, name)) for row in rows if name in result.rows[row]}
    top = max((abs(mean) + spread for mean, spread in values.values() if np.isfinite(mean)), default=1) or 1
    sense = {"lower": "lower is better", "higher": "higher is better", "real": "as real motion is best"}[metric(name).better]
    parts = [f'<text x="{_LABEL}" y="14" font-weight="bold">{escape(metric(name).title)} <tspan fill="#888">({sense})</tspan></text>']
    for index, row in enumerate(rows):
        y = _TITLE + index * (_BAR + _GAP)
        parts.append(f'<text x="{_LABEL - 6}" y="{y + 12}" text-anchor="end">{escape(_short(row))}</text>')
        if row not in values or not np.isfinite(values[row][0]):
            parts.append(f'<text x="{_LABEL}" y="{y + 12}" fill="#888">-</text>')
            continue
        mean, spread = values[row]
        width, error = abs(mean) / top * _WIDTH, spread / top * _WIDTH
        middle = y + _BAR / 2
        parts.append(f'<rect x="{_LABEL}" y="{y}" width="{width:.1f}" height="{_BAR}" fill="{COLOURS[index % len(COLOURS)]}"/>')
        parts.append(
            f'<path d="M{_LABEL + width - error:.1f} {middle}H{_LABEL + width + error:.1f}" stroke="black" stroke-width="1.5"/>'
            f'<text x="{_LABEL + width + error + 5:.1f}" y="{y + 12}">{escape(result.cell(row, name))}</text>'
        )
    return "".join(parts)


def settings_table(results: Mapping[str, EvaluationResult]) -> str:
    """All settings of all results as a table in markdown."""
    keys = list(dict.fromkeys(key for result in results.values() for key in result.settings))
    return markdown_table(["setting", *results], [[key, *(_cell(result.settings.get(key)) for result in results.values())] for key in keys])


def _cell(value: Any) -> str:
    return "-" if value is None else str(value).replace("|", "\\|")


def _short(row: str) -> str:
    return row if len(row) <= 28 else f"{row[:27]}…"


def _equal(first: Mapping[str, Sequence[float]], second: Mapping[str, Sequence[float]]) -> bool:
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name], equal_nan=True) for name in first)
