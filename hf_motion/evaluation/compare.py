"""Results side by side: a table, what differs in their settings, and bars with intervals."""

from __future__ import annotations

import os
from collections import Counter
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

    Rows that several results have are told apart by the names of their results; real motion is shown once if its numbers agree.

    Args:
        results (`Mapping[str, EvaluationResult]`): By name.

    Returns:
        `EvaluationResult`: With a note that names the settings in which they differ, since then the numbers do not compare.

    Raises:
        ValueError: If they are of different kinds.
    """
    kinds = {name: result.kind for name, result in results.items()}
    if len(set(kinds.values())) > 1:
        raise ValueError(f"Results of different kinds do not compare: {kinds}.")
    rows: dict[str, dict[str, list[float]]] = {}
    counts = Counter(row for result in results.values() for row in result.rows)
    first = next(iter(results.values()))
    same_real = all(_equal(first.rows.get(REAL, {}), result.rows.get(REAL, {})) for result in results.values())
    for name, result in results.items():
        for row, values in result.rows.items():
            alone = counts[row] == 1 or (row == REAL and same_real)
            rows[row if alone else f"{row} ({name})"] = values
    keys = sorted(key for key in _differing(results) if key.partition(": ")[0] not in _NOT_COMPARED)
    notes = [f"**Settings differ in {', '.join(keys)}**: such numbers do not compare."] if keys else []
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
    """The settings in which results differ, as a table in markdown; how long they took does not count."""
    differing = {key: values for key, values in _differing(results).items() if key != "seconds"}
    if not differing:
        return "All settings are the same."
    return markdown_table(["setting", *results], [[key, *map(_cell, values)] for key, values in differing.items()])


def tell_apart(paths: Sequence[Path]) -> list[str]:
    """Short names for files or folders: what is left of their paths without the folders that all have in common.

    Example:
        >>> tell_apart([Path("runs/a/eval/results.json"), Path("runs/b/eval")])
        ['a', 'b']
    """
    parts = [list((path.parent if path.name == "results.json" else path).absolute().parts) for path in paths]
    for end in (0, -1):
        while len(parts) > 1 and min(map(len, parts)) > 1 and len({names[end] for names in parts}) == 1:
            for names in parts:
                del names[end]
    short = ["/".join(names) for names in parts] if len(parts) > 1 else [parts[0][-1]]
    return short if len(set(short)) == len(short) else [f"{number}: {path}" for number, path in enumerate(paths, 1)]


def _differing(results: Mapping[str, EvaluationResult]) -> dict[str, list[Any]]:
    """Values of the settings that are not the same in all results; of those that are mappings, of each part."""
    settings = [_flat(result.settings) for result in results.values()]
    values = {key: [part.get(key) for part in settings] for key in dict.fromkeys(key for part in settings for key in part)}
    return {key: found for key, found in values.items() if any(value != found[0] for value in found)}


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat.update({f"{key}: {name}": part for name, part in value.items()} if isinstance(value, Mapping) else {key: value})
    return flat


def _cell(value: Any) -> str:
    return "-" if value is None else str(value).replace("|", "\\|")


def _short(row: str) -> str:
    return row if len(row) <= 28 else f"{row[:9]}…{row[-18:]}"


def _equal(first: Mapping[str, Sequence[float]], second: Mapping[str, Sequence[float]]) -> bool:
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name], equal_nan=True) for name in first)
