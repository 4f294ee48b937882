"""Sentences in words that no training caption has, for actions that the training data holds: how many motions show what was asked.

    python tests/benchmarks/wordings.py [--model FOLDER ...] [--seeds 2] [--output outputs/wordings] [--option temperature=0.5]

makes every wording of wordings.yaml, and one training caption of each action beside it, with the checkpoint inside the package or those
named, and lets the judges of `hf_motion.metrics.judges` say from the joints which motions show the action. Each cell is "right of made".
Sheets of seed 0 are for the eye: the judges do not see style, and some lines are wide.

    python tests/benchmarks/wordings.py --validate PARQUET [PARQUET ...]

makes nothing, but runs the judges over real clips: recall is the share accepted of the clips whose captions name the action, false accepts
the share among one in five of the clips whose captions name none that could be it; on the training split and on the rest.
"""

import argparse
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from hf_motion import Motion
from hf_motion.metrics import judges
from hf_motion.utils.options import parse_assignments

WORDINGS = Path(__file__).with_suffix(".yaml")
FPS = 20
_BATCH = 16
_ROWS_PER_SHEET = 10
_EVERY = 5


def load_actions() -> list[dict]:
    """The groups of wordings.yaml, as they stand there."""
    return yaml.safe_load(WORDINGS.read_text(encoding="utf-8"))


def judge_of(action: dict) -> Callable[[Motion], bool]:
    """The judge of an action with its parameters."""
    if action["judge"] not in judges.__all__:
        raise ValueError(f"Action {action['action']!r} asks for judge {action['judge']!r}. Judges are: {', '.join(judges.__all__)}.")
    judge, options = getattr(judges, action["judge"]), action.get("with", {})
    return lambda motion: judge(motion, **options)


def generate(system: Any, sentences: list[tuple[str, float]], seeds: int, options: dict[str, Any]) -> list[list[Motion]]:
    """Motions of sentences (text, seconds), one per seed; the seed decides, whatever else is in the batch."""
    import torch

    made: list[list[Motion]] = [[] for _ in sentences]
    wanted = sorted(((round(seconds * FPS), index, seed) for index, (_, seconds) in enumerate(sentences) for seed in range(seeds)))
    for start in range(0, len(wanted), _BATCH):
        batch = wanted[start : start + _BATCH]
        generators = [torch.Generator().manual_seed(seed) for _, _, seed in batch]
        texts, frames = [sentences[index][0] for _, index, _ in batch], [frames for frames, _, _ in batch]
        motions = system.generate_motion(texts, frames, generator=generators, **options)
        for (_, index, _), motion in zip(batch, motions, strict=True):
            made[index].append(motion)
    return made


def run(model: Path | None, actions: list[dict], seeds: int, options: dict[str, Any], output: Path) -> list[tuple[list[bool], list[bool]]]:
    """Verdicts of one checkpoint, (held-out wordings, training caption) per action; prints the wrong ones and writes sheets."""
    from hf_motion.checkpoints import EMBEDDED
    from hf_motion.evaluation.generations import load_system
    from hf_motion.rendering import save_contact_sheet

    system = load_system(model or EMBEDDED)
    sentences = [(text, action["seconds"]) for action in actions for text in (*action["wordings"], action["training"])]
    made = generate(system, sentences, seeds, options)
    motions, verdicts = iter(made), []
    print(f"\nWrong at {model or 'the checkpoint inside the package'} (of {seeds} seeds):")
    for action in actions:
        judge = judge_of(action)
        right = [[judge(motion) for motion in next(motions)] for _ in (*action["wordings"], action["training"])]
        wrong = [f"{text!r} {seeds - sum(each)}" for text, each in zip(action["wordings"], right, strict=False) if not all(each)]
        if wrong:
            print(f"  {action['action']}: {', '.join(wrong)}")
        verdicts.append(([verdict for each in right[:-1] for verdict in each], right[-1]))
    for start in range(0, len(made), _ROWS_PER_SHEET):
        sheet = [each[0] for each in made[start : start + _ROWS_PER_SHEET]]
        save_contact_sheet(sheet, output / f"sheet-{start // _ROWS_PER_SHEET:02}.png", size=(120, 150))
    print(f"Sheets of seed 0 are in {output}.")
    return verdicts


def report(names: list[str], actions: list[dict], results: list[list[tuple[list[bool], list[bool]]]]) -> None:
    """One table, models side by side."""
    print("\n| action |" + "".join(f" {name}: held-out | {name}: training |" for name in names))
    print("|---|" + "---|" * 2 * len(names))
    for row, action in enumerate(actions):
        cells = [f" {sum(verdicts)} of {len(verdicts)} |" for result in results for verdicts in result[row]]
        print(f"| {action['action']} |{''.join(cells)}")
    totals = [[verdict for each in result for verdict in each[side]] for result in results for side in (0, 1)]
    print("| **all** |" + "".join(f" **{sum(total)} of {len(total)} ({sum(total) / len(total):.0%})** |" for total in totals))


def clips(files: list[Path]) -> Iterator[tuple[Motion, list[str], bool]]:
    """Real clips, their captions, and whether they are of the training split."""
    from hf_motion.data.motion_text import load_motion_rows, read_row

    for file in files:
        for row in load_motion_rows(str(file)).with_format("numpy", columns=["joints"], output_all_columns=True):
            motion, captions = read_row(row, "humanml3d-22")
            yield motion, captions, row["split"] == "train"


def validate(real_clips: Iterable[tuple[Motion, list[str], bool]], actions: list[dict]) -> None:
    """Recall of each judge on all real clips that show its action, false accepts on one in `_EVERY` of those that do not."""
    patterns = [[re.compile(action[key], re.IGNORECASE) for key in ("real", "unclear")] for action in actions]
    accepted: list[dict] = [{(split, shown): [] for split in (True, False) for shown in (True, False)} for _ in actions]
    mistaken: list[Counter] = [Counter() for _ in actions]
    for number, (motion, captions, train) in enumerate(real_clips):
        for index, action in enumerate(actions):
            real, unclear = (any(pattern.search(caption) for caption in captions) for pattern in patterns[index])
            if not real and (unclear or (number + index) % _EVERY):
                continue
            verdict = judge_of(action)(motion)
            accepted[index][train, real].append(verdict)
            if verdict and not real:
                mistaken[index][captions[0]] += 1
    print("| action | judge | train: recall | precision | false accepts | val, test: recall | false accepts | most often mistaken for it |")
    print("|---|---|---|---|---|---|---|---|")
    for action, counts, wrong in zip(actions, accepted, mistaken, strict=True):
        options = ", ".join(f"{key}={value}" for key, value in action.get("with", {}).items())
        hits, false = sum(counts[True, True]), sum(counts[True, False])
        precision = f"{hits / (hits + false):.2f}" if hits + false else ""
        cells = [_share(counts[True, True]), precision, *(_share(counts[key]) for key in ((True, False), (False, True), (False, False)))]
        often = "; ".join(f"{text} ({count})" for text, count in wrong.most_common(2))
        print(f"| {action['action']} | {action['judge']}({options}) | {' | '.join(cells)} | {often} |")


def _share(verdicts: list[bool]) -> str:
    return f"{sum(verdicts) / len(verdicts):.2f} of {len(verdicts)}" if verdicts else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, nargs="*", default=[None], help="checkpoint folders, side by side")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--option", action="append", default=[], help="of the models, NAME=VALUE: temperature=0.5")
    parser.add_argument("--output", type=Path, default=Path("outputs/wordings"))
    parser.add_argument("--validate", type=Path, nargs="+", metavar="PARQUET")
    arguments = parser.parse_args()
    actions = load_actions()
    if arguments.validate:
        validate(clips(arguments.validate), actions)
        return
    names = [str(model or "embedded") for model in arguments.model]
    folders = [arguments.output / f"{number}-{Path(name).name}" for number, name in enumerate(names)]
    options = parse_assignments(arguments.option, "--option")
    results = [run(model, actions, arguments.seeds, options, folder) for model, folder in zip(arguments.model, folders, strict=True)]
    report(names, actions, results)


if __name__ == "__main__":
    main()
