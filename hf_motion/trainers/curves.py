"""Curves of what training runs logged, side by side, as an SVG file."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from ..evaluation.compare import COLOURS
from ..evaluation.result import METRICS, metric
from ..utils.files import atomic_path
from .resuming import last_checkpoint

_WIDTH, _HEIGHT, _LEFT, _TOP, _GAP = 420, 220, 56, 30, 40
_COLUMNS = 2

History = dict[str, list[tuple[int, float]]]


def read_history(run: str | os.PathLike) -> History:
    """What a training run logged: by name, (step, value) pairs. What is not finite is left out.

    Args:
        run (`str` or `os.PathLike`): A training output folder; the last complete checkpoint in it holds the log.

    Raises:
        ValueError: If there is no complete checkpoint, or its log is damaged.
    """
    checkpoint = last_checkpoint(run)
    if checkpoint is None:
        raise ValueError(f"{str(run)!r} holds no complete checkpoint, so there is nothing to draw.")
    history: History = {}
    path = checkpoint / "trainer_state.json"
    try:
        for entry in json.loads(path.read_text(encoding="utf-8"))["log_history"]:
            for name, value in entry.items():
                if isinstance(value, (int, float)) and math.isfinite(value) and name not in ("step", "epoch"):
                    history.setdefault(name, []).append((entry["step"], float(value)))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"{str(path)!r} is damaged, or not what a training writes: {error!r}.") from error
    return history


def save_curves(histories: Mapping[str, History], path: str | os.PathLike, names: Sequence[str] | None = None) -> Path:
    """Draw logged values over steps, one panel per name and one line per run.

    Args:
        histories (`Mapping[str, History]`): By the name of the run, see `read_history`.
        path (`str` or `os.PathLike`): SVG file.
        names (`list[str]`, *optional*): What to draw, in this order; all by default. Names that no run logged are left out.

    Raises:
        ValueError: If nothing is left to draw.
    """
    logged = list(dict.fromkeys(name for history in histories.values() for name in history))
    names = [name for name in names or logged if name in logged]
    if not names:
        raise ValueError(f"None of the runs logged what is asked for. They logged: {', '.join(logged) or 'nothing'}.")
    panels = [
        f'<g transform="translate({index % _COLUMNS * (_WIDTH + _LEFT + _GAP)},{index // _COLUMNS * (_HEIGHT + _TOP + _GAP)})">'
        f"{_panel(histories, name)}</g>"
        for index, name in enumerate(names)
    ]
    rows = -(-len(names) // _COLUMNS)
    top = rows * (_HEIGHT + _TOP + _GAP) + 10
    legend = "".join(
        f'<path d="M{_LEFT} {top + 18 * index + 8}h24" {_stroke(index)} stroke-width="3"/>'
        f'<text x="{_LEFT + 32}" y="{top + 18 * index + 12}">{escape(run)}</text>'
        for index, run in enumerate(histories)
    )
    width, height = min(len(names), _COLUMNS) * (_WIDTH + _LEFT + _GAP), top + 18 * len(histories) + 14
    with atomic_path(path) as temporary:
        temporary.write_text(
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="12">'
            f'<rect width="100%" height="100%" fill="white"/>{"".join(panels)}{legend}</svg>\n',
            encoding="utf-8",
        )
    return Path(path)


def _panel(histories: Mapping[str, History], name: str) -> str:
    points = [point for history in histories.values() for point in history.get(name, [])]
    last = max(step for step, _ in points)
    low, high = min(value for _, value in points), _ceiling([value for _, value in points])
    spread = (high - low) or 1.0

    def place(step: int, value: float) -> str:
        return f"{_LEFT + step / last * _WIDTH:.1f},{_TOP + (1 - (min(value, high) - low) / spread) * _HEIGHT:.1f}"

    plain = name.removeprefix("eval_")
    title = metric(plain).title if plain in METRICS else plain
    if plain.startswith(("r_precision", "tmr_r_precision")) and "R-prec." not in title:
        title = title.replace("top", "R-prec. top")
    parts = [
        f'<text x="{_LEFT}" y="18" font-weight="bold">{escape(title)}</text>',
        f'<path d="M{_LEFT} {_TOP}v{_HEIGHT}h{_WIDTH}" fill="none" stroke="#888"/>',
        *(
            f'<text x="{_LEFT - 6}" y="{_TOP + (1 - share) * _HEIGHT + 4:.0f}" text-anchor="end">{low + share * spread:.3g}</text>'
            for share in (0, 0.5, 1)
        ),
        f'<text x="{_LEFT + _WIDTH}" y="{_TOP + _HEIGHT + 16}" text-anchor="end">step {last}</text>',
    ]
    for index, history in enumerate(histories.values()):
        line = " ".join(place(step, value) for step, value in history.get(name, []))
        parts.append(f'<polyline points="{line}" fill="none" {_stroke(index)} stroke-width="1.8"/>')
    return "".join(parts)


def _ceiling(values: Sequence[float]) -> float:
    """The top of a panel: a first value far above all others, as an untrained model's FID, must not flatten the rest."""
    ordered = sorted(values)
    return min(ordered[-1], 3 * ordered[len(ordered) // 2]) if ordered[0] >= 0 else ordered[-1]


def _stroke(index: int) -> str:
    """A colour for each of the first runs; the next ones have the same colours in dashes."""
    colours = COLOURS[1:]
    dashes = ' stroke-dasharray="6 4"' if index >= len(colours) else ""
    return f'stroke="{colours[index % len(colours)]}"{dashes}'
