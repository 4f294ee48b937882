"""Captions in tables: CSV, TSV or JSON lines with a file name and a sentence per line, and CMU's index in its three forms."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..utils.text import clean_text, read_lines, read_text

_TABLE_NAMES = ("captions", "metadata")
_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_CMU_NAMES = ("cmu-mocap-index-text.txt", "cmu_index.csv", "cmu_index.jsonl")
_CMU_TEXT = re.compile(r"(\d+)_(\d+)\s+(\S.*)")
_CMU_TAKE = re.compile(r"(\d+)_(\d+)(?!\d)")


@dataclass(frozen=True)
class CaptionLine:
    """One line of a captions table.

    Args:
        place (`str`): File and line, for reports.
        file (`str`): Motion file, relative to the folder; with or without its suffix.
        text (`str`): The sentence.
        start (`float`): Where it begins to hold, in seconds.
        end (`float`): Where it ends; 0 means the end of the file.
        split (`str`, *optional*): Split of the file.
        take (`str`, *optional*): Recording of the file, the file itself by default.
        pos_tagged (`str`, *optional*): `word/POS word/POS`.
    """

    place: str
    file: str
    text: str
    start: float = 0.0
    end: float = 0.0
    split: str | None = None
    take: str | None = None
    pos_tagged: str | None = None


def find_table(folder: Path) -> Path | None:
    """`captions.csv`, `.tsv` or `.jsonl` of a folder, or `metadata` with one of these suffixes."""
    names = (folder / f"{name}{suffix}" for name in _TABLE_NAMES for suffix in (*_SEPARATORS, ".jsonl"))
    return next((path for path in names if path.is_file()), None)


def find_cmu_index(folder: Path) -> Path | None:
    """CMU's index in a folder, under the names that it goes by."""
    return next((folder / name for name in _CMU_NAMES if (folder / name).is_file()), None)


def read_table(path: Path) -> Iterator[CaptionLine | ValueError]:
    """Lines of a captions table.

    Args:
        path (`pathlib.Path`): CSV or TSV with a header, or JSON lines, with `file` (or `file_name`) and `text`, and if wanted `start`,
            `end` (seconds), `split`, `take` and `pos_tagged`. Where `text` is the last column, commas in it need no quotation marks.

    Yields:
        `CaptionLine`, or the `ValueError` that says what is wrong with a line, its place first.

    Raises:
        ValueError: If the table as a whole is unreadable or lacks a column.
    """
    records = _csv_records(path) if path.suffix.lower() in _SEPARATORS else _json_records(path)
    for number, record in records:
        place = f"{path.name}:{number}"
        try:
            yield _line(place, record) if isinstance(record, dict) else ValueError(f"{place}: {record}")
        except ValueError as error:
            yield ValueError(f"{place}: {error}")


def read_cmu_index(path: Path) -> dict[str, str]:
    """CMU's one-line descriptions by take (`"02_01"`).

    Args:
        path (`pathlib.Path`): B. Hahne's text file (`02_01<tab>walk`), a CSV with the columns Subject, Trial # and Motion Description,
            or file (`02_01.amc`) and text, or JSON lines with `id` and `captions`. Takes described as "Unknown" are left out.

    Raises:
        ValueError: If no line can be understood.
    """
    found: dict[str, str] = {}
    if path.suffix.lower() in _SEPARATORS:
        for number, record in _csv_records(path):
            if isinstance(record, str):
                raise ValueError(f"{str(path)!r}, line {number}: {record}.")
            fields = {str(name).strip().lower(): value for name, value in record.items()}
            subject, trial, file = (str(fields.get(name) or "").strip() for name in ("subject", "trial #", "file"))
            if take := cmu_take(f"{subject}_{trial}" if subject.isdigit() and trial.isdigit() else file):
                found[take] = str(fields.get("motion description") or fields.get("text") or "").strip()
    elif path.suffix.lower() in (".jsonl", ".json"):
        for _, record in _json_records(path):
            if isinstance(record, dict) and (take := cmu_take(str(record.get("id", "")))):
                texts = [item.get("text") for item in record.get("captions") or () if isinstance(item, dict)]
                found[take] = next((text.strip() for text in texts if isinstance(text, str)), "")
    else:
        for _, line in read_lines(path):
            if match := _CMU_TEXT.fullmatch(line):
                found[cmu_take(f"{match[1]}_{match[2]}") or ""] = match[3].strip()
    if not found:
        raise ValueError(f"{str(path)!r} is no index of CMU's takes: no line names a take such as 02_01 and describes it.")
    return {take: text for take, text in found.items() if text and text.lower() != "unknown"}


def cmu_take(name: str) -> str | None:
    """The take that a name mentions.

    Example:
        >>> cmu_take("cmu_2_1_poses"), cmu_take("131_05"), cmu_take("walk")
        ('02_01', '131_05', None)
    """
    match = _CMU_TAKE.search(name)
    return f"{int(match[1]):02d}_{int(match[2]):02d}" if match else None


def _line(place: str, record: dict[str, Any]) -> CaptionLine:
    file, text = (str(record.get(name) or "").strip() for name in ("file", "text"))
    file = file or str(record.get("file_name") or "").strip()
    if not file:
        raise ValueError("no file name")
    if not text:
        raise ValueError(f"no caption for {file!r}")
    start, end = (_seconds(name, record.get(name)) for name in ("start", "end"))
    if end and end <= start:
        raise ValueError(f"end ({end:g} s) must come after start ({start:g} s)")
    split, take, tags = (str(record.get(name) or "").strip() or None for name in ("split", "take", "pos_tagged"))
    return CaptionLine(place, file.replace("\\", "/"), clean_text(text, "the caption"), start, end, split, take, tags)


def _seconds(name: str, value: Any) -> float:
    if value is None or str(value).strip() == "":
        return 0.0
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = -1.0
    if not (math.isfinite(seconds) and seconds >= 0):
        raise ValueError(f"{name} must be seconds, got {value!r}")
    return seconds


def _csv_records(path: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Numbers of lines and what they hold, or what is wrong with them."""
    separator = _SEPARATORS[path.suffix.lower()]
    reader = csv.DictReader(io.StringIO(read_text(path), newline=""), delimiter=separator)
    columns = [str(name).strip().lower() for name in reader.fieldnames or ()]
    names = set(columns)
    if not ({"text"} <= names and names & {"file", "file_name"}) and not {"subject", "trial #"} <= names:
        raise ValueError(
            f"{str(path)!r} must have the columns file and text (and if wanted start, end, split, take), parted by {separator!r}; it has "
            f"{sorted(names)}."
        )
    try:
        for record in reader:
            surplus = record.pop(None, [])
            fields = {str(name).strip().lower(): value for name, value in record.items()}
            if surplus and columns[-1] in ("text", "motion description"):
                fields[columns[-1]] = separator.join([fields[columns[-1]], *surplus])
            elif any(field.strip() for field in surplus):
                reason = f"it has {len(columns) + len(surplus)} fields for {len(columns)} columns; put quotation marks around the caption"
                yield reader.line_num, reason
                continue
            yield reader.line_num, fields
    except csv.Error as error:
        raise ValueError(f"{str(path)!r}, line {reader.line_num}: {error}.") from error


def _json_records(path: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    for number, line in read_lines(path):
        try:
            record = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            record = f"it is no JSON: {error}"
        yield number, record if isinstance(record, (dict, str)) else "it is no JSON object"
