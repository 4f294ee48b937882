"""What a data set of triplets holds: numbers, a card, and a sheet of pairs to look at."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..motion import Motion
from ..utils.files import atomic_path

_CARD = Path(__file__).with_name("card.md")
SHEET = "pairs.png"
"""Name of the contact sheet in the folder of a data set."""


def write_report(folder: Path, table: Any, pairs: int, seed: int) -> dict[str, Any]:
    """Count what there is, and draw a sheet of some pairs.

    Args:
        folder (`pathlib.Path`): The data set.
        table (`pyarrow.Table`): Its rows.
        pairs (`int`): Pairs on the sheet; 0 draws none.
        seed (`int`): Which.

    Returns:
        `dict`: `changes` (how many of each kind, part and direction), `amounts` (of each kind: least, median, most), `editors`, `spans`,
        `instructions` (how many different ones), `agreement` (mean rise of the judge's score).
    """
    columns = (
        "kind",
        "part",
        "direction",
        "amount",
        "unit",
        "editor",
        "instruction_id",
        "agreement",
        "span_start",
        "span_end",
        "target_frames",
    )
    rows = table.select(columns).to_pylist()
    changes = Counter(" ".join(filter(None, (row["kind"], row["part"], row["direction"]))) for row in rows)
    amounts: dict[str, list[float]] = {}
    for row in rows:
        if row["amount"] is not None:
            amounts.setdefault(f"{row['kind']} {row['direction']} ({row['unit']})", []).append(row["amount"])
    gains = [row["agreement"] for row in rows if row["agreement"] is not None]
    if pairs:
        save_pairs_sheet(folder / SHEET, table, pairs, seed)
    return {
        "changes": dict(sorted(changes.items())), "editors": dict(Counter(row["editor"] for row in rows)),
        "kinds": dict(Counter(row["kind"] for row in rows).most_common()),
        "parts": dict(Counter(row["part"] for row in rows).most_common()),
        "amounts": {name: [round(float(np.quantile(found, at)), 3) for at in (0, 0.5, 1)] for name, found in sorted(amounts.items())},
        "instructions_used": len({row["instruction_id"] for row in rows}),
        "spans": sum(row["span_end"] - row["span_start"] < row["target_frames"] for row in rows),
        "agreement": round(float(np.mean(gains)), 4) if gains else None,
    }  # fmt: skip


def save_pairs_sheet(path: Path, table: Any, pairs: int, seed: int = 0) -> None:
    """Draw some pairs, of as many kinds as there are: the source, and the target under its sentence.

    Args:
        path (`pathlib.Path`): PNG file to write.
        table (`pyarrow.Table`): Rows.
        pairs (`int`): How many.
        seed (`int`, defaults to 0): Which.

    Raises:
        ImportError: If Pillow is not installed.
    """
    from ..rendering import save_contact_sheet

    order = np.random.default_rng(seed).permutation(len(table)).tolist()
    kinds = table.column("kind").to_pylist()
    seen: Counter[str] = Counter()
    ranks = {}
    for index in order:
        ranks[index] = seen[kinds[index]]
        seen[kinds[index]] += 1
    chosen = sorted(order, key=lambda index: ranks[index])[:pairs]
    motions = []
    for row in table.take(chosen).to_pylist():
        source, target = (
            Motion(np.asarray(row[f"{side}_joints"], np.float32).reshape(row[f"{side}_frames"], -1, 3), row["fps"], row["skeleton"])
            for side in ("source", "target")
        )
        amount = f"{row['kind']} {row['direction'] or ''} {row['amount']:.3g} {row['unit']}" if row["amount"] is not None else row["kind"]
        motions.append(replace(source, text=f"{row['id']}: {row['caption']}"))
        motions.append(
            replace(target, text=f"{row['instruction']} ({row['part']}: {amount}, frames {row['span_start']}-{row['span_end']})")
        )
    save_contact_sheet(motions, path, size=(150, 190))


def write_card(folder: Path, record: dict[str, Any]) -> None:
    """Write `README.md` of a data set of triplets.

    Args:
        folder (`pathlib.Path`): The data set.
        record (`dict`): What `build.json` holds.
    """
    from huggingface_hub import DatasetCard, DatasetCardData

    data = DatasetCardData(
        pretty_name=folder.resolve().name, tags=["human-motion", "motion-correction", "hf_motion"], license="other",
        license_name="see-card",
        configs=[{"config_name": "default", "data_files": [{"split": split, "path": f"data/{split}-*"} for split in record["rows"]]}],
    )  # fmt: skip
    card = DatasetCard.from_template(data, template_path=str(_CARD), name=folder.resolve().name, record=record)
    with atomic_path(folder / "README.md") as temporary:
        temporary.write_text(str(card), encoding="utf-8")
