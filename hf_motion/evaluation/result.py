"""What an evaluation gives: numbers with all the settings that they depend on, as JSON and as a table."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..utils.faults import reading
from ..utils.files import atomic_path, write_json
from ..utils.text import read_text

FORMAT = 1
REAL = "real motion"


@dataclass(frozen=True)
class Metric:
    """How a metric is called and read. `better` is `"lower"`, `"higher"` or `"real"`: the nearer to real motion."""

    title: str
    better: str
    digits: int = 3


METRICS = {
    "fid": Metric("FID", "lower"),
    "r_precision_top1": Metric("R-prec. top 1", "higher"),
    "r_precision_top2": Metric("top 2", "higher"),
    "r_precision_top3": Metric("top 3", "higher"),
    "matching_score": Metric("MM-Dist", "lower"),
    "diversity": Metric("Diversity", "real"),
    "multimodality": Metric("MultiModality", "higher"),
    "tmr_r_precision_top1": Metric("TMR R-prec. top 1", "higher"),
    "tmr_r_precision_top2": Metric("TMR top 2", "higher"),
    "tmr_r_precision_top3": Metric("TMR top 3", "higher"),
    "tmr_matching_score": Metric("TMR MM-Dist", "lower"),
    "bleu1": Metric("BLEU-1", "higher"),
    "bleu4": Metric("BLEU-4", "higher"),
    "rouge_l": Metric("ROUGE-L", "higher"),
    "meteor": Metric("METEOR", "higher"),
    "skating_ratio": Metric("Skating ratio", "lower", 4),
    "frames": Metric("Frames", "real", 1),
    "non_finite": Metric("Failed", "lower", 0),
    **{f"r{k}": Metric(f"R@{k}", "higher") for k in (1, 2, 3, 5, 10)},
    "median_rank": Metric("Median rank", "lower", 1),
    "mean_rank": Metric("Mean rank", "lower", 1),
    "candidates": Metric("Candidates", "real", 0),
    "mpjpe": Metric("MPJPE (mm)", "lower", 1),
    "pa_mpjpe": Metric("PA-MPJPE (mm)", "lower", 1),
    "acceleration_error": Metric("Acceleration error (mm/frame²)", "lower", 2),
    **{f"mpjpe_{part}": Metric(f"MPJPE {part}", "lower", 1) for part in ("body", "hands")},
    **{f"pa_mpjpe_{part}": Metric(f"PA-MPJPE {part}", "lower", 1) for part in ("body", "hands")},
    **{f"acceleration_error_{part}": Metric(f"Acceleration error {part}", "lower", 2) for part in ("body", "hands")},
    "bits_per_second": Metric("bit/s", "lower", 0),
}
_ARROWS = {"lower": " ↓", "higher": " ↑", "real": " →"}


def metric(name: str) -> Metric:
    """A metric's title and sense; one that is not known by name is shown as it is called."""
    return METRICS.get(name, Metric(name, "higher"))


@dataclass
class EvaluationResult:
    """Numbers of an evaluation.

    Args:
        kind (`str`): `"generation"`, `"captioning"`, `"reconstruction"`, `"retrieval"` or `"faces"`.
        rows (`dict[str, dict[str, list[float]]]`): For each row of the table the values of each metric, one per replication.
        settings (`dict`): All that the numbers depend on.
        notes (`list[str]`): What a reader has to know.
    """

    kind: str
    rows: dict[str, dict[str, list[float]]]
    settings: dict[str, Any]
    notes: list[str] = field(default_factory=list)

    def mean(self, row: str, name: str) -> float:
        """Mean over the replications."""
        return float(np.mean(self.rows[row][name]))

    def interval(self, row: str, name: str) -> float:
        """Half of the 95 % interval as the field gives it: 1.96 times the standard deviation over the root of the replications."""
        values = self.rows[row][name]
        return float(1.96 * np.std(values) / np.sqrt(len(values)))

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics, in the order of the table."""
        present = dict.fromkeys(name for values in self.rows.values() for name in values)
        return sorted(present, key=lambda name: list(METRICS).index(name) if name in METRICS else len(METRICS))

    def to_dict(self) -> dict[str, Any]:
        """Plain content for JSON."""
        rows = {
            row: {
                name: {"mean": _number(self.mean(row, name)), "interval": _number(self.interval(row, name)), "values": _numbers(values)}
                for name, values in content.items()
            }
            for row, content in self.rows.items()
        }
        return {"format": FORMAT, "kind": self.kind, "rows": rows, "settings": self.settings, "notes": self.notes}

    def save(self, folder: str | os.PathLike) -> tuple[Path, Path]:
        """Write `results.json` and `results.md` into a folder and return their paths."""
        json_path, table_path = Path(folder) / "results.json", Path(folder) / "results.md"
        write_json(json_path, self.to_dict())
        with atomic_path(table_path) as temporary:
            temporary.write_text(self.markdown(), encoding="utf-8")
        return json_path, table_path

    @classmethod
    def load(cls, path: str | os.PathLike) -> EvaluationResult:
        """Read a `results.json`, or the one in a folder.

        Raises:
            ValueError: If it is something else, or of a later version.
        """
        path = Path(path) / "results.json" if Path(path).is_dir() else Path(path)
        with reading(path, "a result of `hf-motion evaluate`"):
            content = json.loads(read_text(path))
            if content["format"] > FORMAT:
                raise ValueError(f"{str(path)!r} was written by a later version of hf_motion (format {content['format']}).")
            rows = {
                row: {name: [np.nan if value is None else value for value in entry["values"]] for name, entry in values.items()}
                for row, values in content["rows"].items()
            }
            _check_content(rows, content)
            return cls(content["kind"], rows, content["settings"], content["notes"])

    def markdown(self) -> str:
        """The table, its notes and its settings."""
        names = self.metrics
        header = ["", *(metric(name).title + _ARROWS[metric(name).better] for name in names)]
        body = [[row, *(self.cell(row, name) for name in names)] for row in self.rows]
        settings = [f"- {key}: {_plain(value)}" for key, value in self.settings.items()]
        notes = [f"- {note}" for note in self.notes]
        parts = [markdown_table(header, body), "\n".join(notes), "Settings:\n\n" + "\n".join(settings)]
        return "\n\n".join(part for part in parts if part) + "\n"

    def cell(self, row: str, name: str) -> str:
        """`mean ± interval`, or a dash."""
        if name not in self.rows[row]:
            return "-"
        digits = metric(name).digits
        mean = f"{self.mean(row, name):.{digits}f}"
        return mean if len(self.rows[row][name]) == 1 else f"{mean} ± {self.interval(row, name):.{digits}f}"


def _check_content(rows: dict[str, dict[str, list[Any]]], content: dict[str, Any]) -> None:
    kinds = {"format": int, "kind": str, "settings": dict, "notes": list}
    for name, kind in kinds.items():
        if not isinstance(content[name], kind) or isinstance(content[name], bool):
            raise ValueError(f"{name} must be a {kind.__name__}, it is {str(content[name])[:60]!r}")
    if not all(isinstance(note, str) for note in content["notes"]):
        raise ValueError("notes must be sentences")
    for row, metrics in rows.items():
        for name, values in metrics.items():
            if not values or any(isinstance(value, bool) or not isinstance(value, (int, float)) for value in values):
                raise ValueError(f"the values of {name} of {row!r} must be numbers, one at least")
            if not all(abs(value) < 1e300 for value in values if value == value):
                raise ValueError(f"a value of {name} of {row!r} is beyond all bounds")


def markdown_table(header: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A table in markdown."""
    lines = [header, ["---"] * len(header), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(item)}" for key, item in value.items())
    return str(value)


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _numbers(values: Sequence[float]) -> list[float | None]:
    return [_number(value) for value in values]
