"""The ablations of HumanTOMATO: train and score every row of its tables on the same data, with the same steps and seeds.

    hf-motion data build BODIES -o runs/composite --hands HANDS --no-features
    hf-motion data build HANDS -o runs/hands --format hands --skeleton smplx-52
    python training/humantomato_study.py --config training/configs/humantomato_study.yaml --output runs/tomato \
        --sets '{"composite": "runs/composite", "hands": "runs/hands", "bodies": "BODIES"}'

Each run is a training and `hf-motion evaluate` on the test split; runs that others build on come first in the file. What is there already
is left alone, so the same command goes on after a stop. `--only composite-h2vq composite-rvq3` makes some, `--max_steps 200` a rehearsal.
`--budget training/configs/humantomato_study_small.yaml` makes all of them smaller alike. A checkpoint that is put in a run's place, such as
`runs/tomato/bodies-tmr-s0/model`, is taken for it. `tables.md` is written after every run, from all that are finished.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hf_motion.evaluation.compare import merge
from hf_motion.evaluation.result import EvaluationResult
from hf_motion.trainers.options import TrainingParser
from hf_motion.utils.extras import require
from hf_motion.utils.files import atomic_path, check_writable
from hf_motion.utils.options import as_mapping

TRAINING = Path(__file__).parent


@dataclass
class StudyArguments:
    """What to train, on what."""

    output: str = field(metadata={"help": "Folder for all runs."})
    runs: dict[str, Any] | str = field(metadata={"help": "By name: script, set, config, options, scores; @NAME is another run's model."})
    tables: dict[str, Any] | str = field(metadata={"help": "By title: names of the runs that are its rows."})
    sets: dict[str, Any] | str | None = field(default=None, metadata={"help": "Data sets by the names that the runs give them, as JSON."})
    seeds: list[int] = field(default_factory=lambda: [0, 1], metadata={"help": "Seeds that every run is made with."})
    score: list[str] = field(default_factory=list, metadata={"help": "Options of hf-motion evaluate for every run."})
    text_encoder: str | None = field(default=None, metadata={"help": "Sentence encoder in CLIP's place, for runs that take @text."})
    max_steps: int | None = field(default=None, metadata={"help": "Steps of every training, in place of its configuration's."})
    budget: str | None = field(default=None, metadata={"help": "YAML file: by script, options of every training over those of its run."})
    only: list[str] | None = field(default=None, metadata={"help": "Only these runs, without their seed."})


def main(study: StudyArguments) -> None:
    output = Path(study.output)
    study.sets = as_mapping(study.sets)
    if not study.sets:
        raise SystemExit('Say where the data is: --sets \'{"composite": FOLDER, "hands": FOLDER, "bodies": FOLDER}\', or some of these.')
    check_writable(output)
    unknown = [name for name in study.only or () if name not in study.runs]
    if unknown:
        raise SystemExit(f"There is no run {unknown[0]!r}; the configuration has {', '.join(study.runs)}.")
    for seed in study.seeds:
        for name, run in study.runs.items():
            if (study.only is None or name in study.only) and run["set"] in study.sets:
                make(study, output, name, run, seed)
                report(study, output)


def make(study: StudyArguments, output: Path, name: str, run: dict[str, Any], seed: int) -> None:
    """Train and score one run, unless that is done."""
    folder, dataset = output / f"{name}-s{seed}", study.sets[run["set"]]
    checkpoint = folder / ("pipeline" if run["script"] == "train_diffusion" else "model")
    if not (checkpoint / "README.md").is_file():  # the card is the last file of a checkpoint
        wanted = over(run.get("options", {}), budget(study).get(run["script"], {}))
        options = {key: resolved(study, output, value, seed) for key, value in wanted.items()}
        steps = {} if study.max_steps is None else {"max_steps": study.max_steps}
        fixed = {"config": run["config"], "dataset": dataset, "output_dir": folder, "seed": seed + run.get("seed_offset", 0)}
        launch(TRAINING / f"{run['script']}.py", **{**fixed, "report_to": "none", **options, **steps})
    scored = folder / "test" / "results.json"
    if "score" in run and not scored.is_file():
        words = [resolved(study, output, word, seed) for word in (*study.score, *run["score"])]
        launch("-m", "hf_motion.cli", "evaluate", *words, model=checkpoint, dataset=dataset, output=scored.parent)


def budget(study: StudyArguments) -> dict[str, Any]:
    """Options by script."""
    return {} if study.budget is None else require("yaml", "Training").safe_load(Path(study.budget).read_text(encoding="utf-8"))


def over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Both mappings in one, the second's values where both have some; mappings within them likewise."""
    return below | {key: over(below[key], value) if isinstance(below.get(key), dict) else value for key, value in above.items()}


def resolved(study: StudyArguments, output: Path, value: Any, seed: int) -> Any:
    """A value of the configuration with another run's checkpoint in the place of @NAME."""
    if not isinstance(value, str) or not value.startswith("@"):
        return value
    if value == "@text":
        if study.text_encoder is None:
            raise SystemExit("This run takes a sentence encoder: --text_encoder NAME.")
        return study.text_encoder
    checkpoint = output / f"{value[1:]}-s{seed}" / "model"
    if not checkpoint.is_dir():
        raise SystemExit(f"The run {value[1:]!r} with seed {seed} comes first; it is not in {output}.")
    return checkpoint


def launch(*command: str | Path, **options: Any) -> None:
    """Run a program of ours with options; a mapping is given as JSON, a list as several words."""
    words = [str(word) for word in command]
    for name, value in options.items():
        values = value if isinstance(value, list) else [value]
        words += [f"--{name}", *(json.dumps(one) if isinstance(one, (dict, bool)) else str(one) for one in values)]
    print(" ".join(words), flush=True)
    subprocess.run([sys.executable, *words], check=True)


def report(study: StudyArguments, output: Path) -> None:
    """Write `tables.md` from the runs that are finished."""
    parts = []
    for title, names in study.tables.items():
        results = {}
        for run in (f"{name}-s{seed}" for name in names for seed in study.seeds):
            if (output / run / "test" / "results.json").is_file():
                result = EvaluationResult.load(output / run / "test")
                result.rows = {run if row in ("model", "pipeline") else row: values for row, values in result.rows.items()}
                results[run] = result
        if results:
            parts.append(f"## {title}\n\n{merge(results).markdown()}\n")
    with atomic_path(output / "tables.md") as temporary:
        temporary.write_text("\n".join(parts), encoding="utf-8")


if __name__ == "__main__":
    arguments = TrainingParser((StudyArguments,)).parse()[0]
    for key in ("runs", "tables"):
        if isinstance(getattr(arguments, key), str):
            setattr(arguments, key, require("yaml", "Training").safe_load(getattr(arguments, key)))
    main(arguments)
