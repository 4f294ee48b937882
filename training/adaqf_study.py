"""The ablations of AdaQF: train and score every row of its tables on the same data, with the same steps and seeds.

    python training/adaqf_study.py --config training/configs/adaqf_study.yaml --dataset path/to/parquet --text_encoder NAME --output runs

First the extractors (`train_retrieval.py`), then each run (`train_diffusion.py`, then `hf-motion evaluate` on the test split). What is
there already is left alone, so the same command goes on after a stop. `--worker 0 --workers 2` and `--worker 1 --workers 2` share the runs
between two processes. Tables and curves are drawn from all finished runs at the end.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hf_motion.evaluation.compare import merge
from hf_motion.evaluation.result import EvaluationResult, markdown_table
from hf_motion.trainers.curves import History, read_history, save_curves
from hf_motion.trainers.options import TrainingParser
from hf_motion.utils.extras import require
from hf_motion.utils.files import atomic_path, check_writable

TRAINING = Path(__file__).parent


@dataclass
class StudyArguments:
    """What to train, on what."""

    dataset: str = field(metadata={"help": "Parquet file, folder of them, or data set on the Hub."})
    output: str = field(metadata={"help": "Folder for all runs."})
    text_encoder: str = field(metadata={"help": "Pretrained text encoder, in a folder or on the Hub."})
    settings: str = field(metadata={"help": "Configuration of train_diffusion.py that every run starts from."})
    extractors: str = field(metadata={"help": "Configuration of train_retrieval.py for the extractors."})
    runs: dict[str, Any] | str = field(metadata={"help": "By name: options of train_diffusion.py that differ."})
    tables: dict[str, Any] | str = field(metadata={"help": "By title: names of the runs that are its rows."})
    extractors_seed: int = field(default=1, metadata={"help": "Seed of the extractors: not that of any evaluator."})
    score: list[str] = field(default_factory=list, metadata={"help": "Options of hf-motion evaluate."})
    worker: int = field(default=0, metadata={"help": "Which of the workers this is, from 0."})
    workers: int = field(default=1, metadata={"help": "Processes that share the runs."})
    only: list[str] | None = field(default=None, metadata={"help": "Only these runs."})


def main(study: StudyArguments) -> None:
    output = Path(study.output)
    check_writable(output)
    extractors = output / "extractors" / "model"
    if study.worker == 0 and not finished(extractors):
        launch(TRAINING / "train_retrieval.py", config=study.extractors, dataset=study.dataset, output_dir=extractors.parent,
               seed=study.extractors_seed, report_to="none")  # fmt: skip
    wait_for(extractors)
    runs = [name for name in study.runs if study.only is None or name in study.only]
    for name in runs[study.worker :: study.workers]:
        folder = output / name
        options = {"text_encoder": study.text_encoder, **study.runs[name]}
        if options.pop("feedback", True):
            options["extractors"] = extractors
        if "text_encoder_of" in options:
            options["text_encoder"] = output / options.pop("text_encoder_of") / "pipeline"
            wait_for(options["text_encoder"])
        if not finished(folder / "pipeline"):
            launch(TRAINING / "train_diffusion.py", config=study.settings, dataset=study.dataset, output_dir=folder, **options)
        if not (folder / "test" / "results.json").is_file():
            judged = {"model": folder / "pipeline", "dataset": study.dataset, "output": folder / "test"}
            launch("-m", "hf_motion.cli", "evaluate", *study.score, **judged)
    report(study, output)


def finished(checkpoint: Path) -> bool:
    """Whether a checkpoint was saved to its end: the card is its last file."""
    return (checkpoint / "README.md").is_file()


def wait_for(checkpoint: Path) -> None:
    """Wait until another worker has made it."""
    while not finished(checkpoint):
        print(f"waiting for {checkpoint}", flush=True)
        time.sleep(30)


def convergence(histories: dict[str, History]) -> str:
    """How soon each run has the best FID of the plain MDM of its seed, on the split that is scored while training."""
    rows = []
    for name, history in histories.items():
        curve, plain = history.get("eval_fid", []), histories.get(f"mdm-{name.rpartition('-')[2]}", {}).get("eval_fid", [])
        best = min((value for _, value in plain), default=None)
        reached = next((step for step, value in curve if best is not None and value <= best), None)
        rows.append([name, f"{min((value for _, value in curve), default=float('nan')):.2f}", str(reached or "not reached")])
    return markdown_table(["while training", "best FID", "first step with MDM's best FID"], rows)


def launch(*command: str | Path, **options: Any) -> None:
    """Run a program of ours with options; a mapping is given as JSON."""
    words = [str(word) for word in command]
    for name, value in options.items():
        words += [f"--{name}", json.dumps(value) if isinstance(value, dict) else str(value)]
    print(" ".join(words), flush=True)
    subprocess.run([sys.executable, *words], check=True)


def report(study: StudyArguments, output: Path) -> None:
    """Write `tables.md` and one picture of curves per table, from the runs that are finished."""
    parts = []
    for title, names in study.tables.items():
        done = [name for name in names if (output / name / "test" / "results.json").is_file()]
        if not done:
            continue
        results = {name: EvaluationResult.load(output / name / "test") for name in done}
        for name, result in results.items():
            result.rows = {name if row == "pipeline" else row: values for row, values in result.rows.items()}
        merged = merge(results)
        histories = {name: read_history(output / name) for name in done}
        for history in histories.values():
            history.setdefault("mse", history["loss"])  # without feedback they are one
        parts.append(f"## {title}\n\n{merged.markdown()}\n{convergence(histories)}\n")
        curves = output / f"{title.lower().replace(' ', '-')}.svg"
        save_curves(histories, curves, ["eval_fid", "eval_r_precision_top3", "eval_tmr_r_precision_top3", "eval_skating_ratio", "mse"])
    with atomic_path(output / "tables.md") as temporary:
        temporary.write_text("\n".join(parts), encoding="utf-8")


if __name__ == "__main__":
    arguments = TrainingParser((StudyArguments,)).parse()[0]
    for key in ("runs", "tables"):
        if isinstance(getattr(arguments, key), str):
            setattr(arguments, key, require("yaml", "Training").safe_load(getattr(arguments, key)))
    main(arguments)
