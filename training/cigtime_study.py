"""CigTime's tables: train and score every row on the same triplets, with the same steps and seeds.

    hf-motion corrections build DATA -o runs/triplets --count 5000 --held-out-instructions
    hf-motion corrections build DATA -o runs/seen --count 2000 --seed 1 --split test
    python training/cigtime_study.py --config training/configs/cigtime_study.yaml --base path/to/SmolLM2-135M-Instruct \
        --motion_tokenizer runs/vq --triplets runs/triplets --output runs/study \
        --sets '{"held-out instructions": "runs/triplets", "held-out sources": "runs/seen"}'

A row is a run of `train_sft.py` whose options differ, or a `method` of `hf-motion corrections evaluate` that needs no training; `model:`
names a model that is there already, `of:` another row, whose untaught base is shown examples. What is there is left alone, so the same
command goes on after a stop. `--worker 0 --workers 2` and `--worker 1 --workers 2` share the rows. Tables are written of all finished rows.
To see it run in minutes: `--score '["--max-samples", "20"]' --only '["truth", "measured"]'`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hf_motion.evaluation.corrections import corrections_table
from hf_motion.trainers.options import TrainingParser
from hf_motion.utils.extras import require
from hf_motion.utils.files import atomic_path, check_writable

TRAINING = Path(__file__).parent


@dataclass
class StudyArguments:
    """What to train and score, on what."""

    triplets: str = field(metadata={"help": "Triplets that every row learns from: folder, or data set on the Hub."})
    output: str = field(metadata={"help": "Folder for all rows."})
    settings: str = field(metadata={"help": "Configuration of train_sft.py that every row starts from."})
    runs: dict[str, Any] | str = field(metadata={"help": "By name: what differs, see above."})
    tables: dict[str, Any] | str = field(metadata={"help": "By title: names of the runs that are its rows, sets and editors."})
    sets: dict[str, str] | str | None = field(
        default=None, metadata={"help": "By name: triplets to score on, split test; those by default."}
    )
    base: str | None = field(default=None, metadata={"help": "Language model that rows begin with, unless they name another."})
    motion_tokenizer: str | None = field(default=None, metadata={"help": "Motion tokenizer of the rows, likewise."})
    score: list[str] | str | None = field(default=None, metadata={"help": "Options of hf-motion corrections evaluate."})
    worker: int = field(default=0, metadata={"help": "Which of the workers this is, from 0."})
    workers: int = field(default=1, metadata={"help": "Processes that share the rows."})
    only: list[str] | str | None = field(default=None, metadata={"help": "Only these rows."})


def main(study: StudyArguments) -> None:
    output = Path(study.output)
    check_writable(output)
    for key in ("runs", "tables", "sets", "score", "only"):
        if isinstance(getattr(study, key), str):
            setattr(study, key, require("yaml", "Training").safe_load(getattr(study, key)))
    study.sets = study.sets or {"test": study.triplets}
    unknown = {name for table in study.tables.values() for name in table["runs"]} - study.runs.keys()
    if unknown:
        raise ValueError(f"Tables name {', '.join(sorted(unknown))}, which are no runs; there are: {', '.join(study.runs)}.")
    names = [name for name in study.runs if study.only is None or name in study.only]
    for name in names[study.worker :: study.workers]:
        row = dict(study.runs[name] or {})
        method, model, of = (row.pop(key, default) for key, default in (("method", "model"), ("model", None), ("of", None)))
        if of is not None:
            model = output / of / "base"
            wait_for(model / "motion_tokenizer" / "config.json")
        elif method == "model" and model is None:
            model = output / name / "model"
            parts = {"base": study.base, "motion_tokenizer": study.motion_tokenizer, **row}
            if not (model / "README.md").is_file():  # its last file
                launch(TRAINING / "train_sft.py", config=study.settings, triplets=study.triplets, output_dir=output / name, **parts)
        for where, editor in wanted(study, name):
            file = scores_of(output, name, where, editor)
            if not file.is_file():
                options = {} if model is None else {"model": model}
                command = ("-m", "hf_motion.cli", "corrections", "evaluate", study.sets[where], *(study.score or ()))
                launch(*command, method=method, editor=editor, output=file, **options)
    report(study, output)


def wanted(study: StudyArguments, name: str) -> list[tuple[str, str]]:
    """Sets and editors that a row is scored with: those of the tables that have it."""
    found = [
        (where, editor)
        for table in study.tables.values()
        for where in table.get("sets", study.sets)
        for editor in table["editors"]
        if name in table["runs"] and where in study.sets
    ]
    return list(dict.fromkeys(found))


def scores_of(output: Path, name: str, where: str, editor: str) -> Path:
    """File of a row's scores."""
    return output / name / f"{where} by {Path(editor).name}.json".replace(" ", "-")


def wait_for(file: Path) -> None:
    """Wait until another worker has made it."""
    while not file.is_file():
        print(f"waiting for {file}", flush=True)
        time.sleep(30)


def launch(*command: str | Path, **options: Any) -> None:
    """Run a program of ours with options; a mapping is given as JSON."""
    words = [str(word) for word in command]
    for name, value in options.items():
        if value is not None:
            words += [f"--{name}", json.dumps(value) if isinstance(value, dict) else str(value)]
    print(" ".join(words), flush=True)
    subprocess.run([sys.executable, *words], check=True)


def report(study: StudyArguments, output: Path) -> None:
    """Write `tables.md` from the rows that are finished."""
    parts = []
    for title, table in study.tables.items():
        for where in table.get("sets", study.sets):
            for editor in table["editors"] if where in study.sets else ():
                rows = {}
                for name in table["runs"]:
                    file = scores_of(output, name, where, editor)
                    if file.is_file():
                        rows[name] = next(iter(json.loads(file.read_text(encoding="utf-8"))["scores"].values()))
                if rows:
                    parts.append(f"## {title}: {where}, done by {editor}\n\n{corrections_table(rows)}\n")
    with atomic_path(output / "tables.md") as temporary:
        temporary.write_text("\n".join(parts), encoding="utf-8")
    print(output / "tables.md")


if __name__ == "__main__":
    main(*TrainingParser((StudyArguments,)).parse())
