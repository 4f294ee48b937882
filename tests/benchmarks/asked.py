"""Prompts of several events, in order or counted: how many motions show what was asked, by verifiers that read the joints.

    python tests/benchmarks/asked.py --model runs/motion_lm runs/atom [--prompts 60] [--motions 2] [--seed 1000] [--not-in runs/prefer] \
        [--option temperature=0.5]

makes `--prompts` prompts of each task of AToM (integrity, temporal, frequency) and `--motions` motions of each, the same for every model.
All events: share of motions that show every event of their prompt; in order: share that show all in order; right: share that count right;
mean error: how far counts are off; events: share of single events shown. `--not-in` leaves prompts out that were trained on. Motions are
kept in `--output`, so that more models can be added later.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from hf_motion import Motion
from hf_motion.checkpoints import EMBEDDED
from hf_motion.evaluation.generations import load_system, make_or_load, requests_for
from hf_motion.preferences import Prompt, make_prompts
from hf_motion.retrieval.embedder import checkpoint_folder, fingerprint
from hf_motion.rewards import TMRReward
from hf_motion.rewards.specification import TASKS
from hf_motion.rewards.verifiers import Verdict, verify
from hf_motion.utils.options import parse_assignments

COLUMNS = ["model", "integrity: all events", "temporal: all events", "in order", "frequency: right", "mean error", "events", "TMR"]


def held_out(count: int, seed: int, not_in: list[Path]) -> list[Prompt]:
    """`count` prompts of each task, none of those that a build made."""
    seen = {prompt["text"] for folder in not_in for prompt in json.loads((folder / "work" / "prompts.json").read_text())["prompts"]}
    prompts = []
    for task in TASKS:
        new = [prompt for prompt in make_prompts(task, 2 * count if task != "frequency" else count, seed) if prompt.text not in seen]
        prompts += new[:count]
    return prompts


def motions_of(model: Path | None, prompts: list[Prompt], count: int, seed: int, options: dict[str, Any], output: Path) -> list[Motion]:
    """`count` motions of each prompt, in their order; read back if they were made before."""
    place = checkpoint_folder(model or EMBEDDED)
    system = load_system(place)
    extractor = system.feature_extractor
    longest = getattr(system, "max_frames", extractor.max_frames)
    asked = [prompt for prompt in prompts for _ in range(count)]
    frames = [min(round(prompt.seconds * extractor.fps), longest) for prompt in asked]
    requests = requests_for([prompt.text for prompt in asked], frames, (seed, 21))

    def generate(texts: list[str], lengths: list[int] | None, seeds: list[int]) -> list[torch.Tensor]:
        made = system.generate_motion(texts, lengths, generator=[torch.Generator().manual_seed(one) for one in seeds], **options)
        return [torch.from_numpy(motion.joints) for motion in made]

    settings = {"model": fingerprint(place), "options": options}
    clips = make_or_load(requests, generate, output / settings["model"][:16], settings, f"Generating ({place.name})")
    return [Motion(clip.numpy(), extractor.fps, extractor.skeleton, one.text) for clip, one in zip(clips, asked, strict=True)]


def row(name: str, verdicts: list[Verdict], similarity: float) -> list[str]:
    """One line of the table."""
    tasks = {task: [one for one in verdicts if one.specification.task == task] for task in TASKS}
    several = [*tasks["integrity"], *tasks["temporal"]]
    events = [bool(count) for one in several for count in one.counts]
    off = [abs((one.specification.events[0].count or 0) - one.counts[0]) for one in tasks["frequency"]]
    shares = [
        [not one.missing for one in tasks["integrity"]], [not one.missing for one in tasks["temporal"]],
        [one.correct for one in tasks["temporal"]], [one.correct for one in tasks["frequency"]], off, events,
    ]  # fmt: skip
    return [name, *(f"{sum(share) / len(share):.3f}" for share in shares), f"{similarity:.3f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, nargs="*", default=[None], help="checkpoint folders; the one inside the package by default")
    parser.add_argument("--prompts", type=int, default=60)
    parser.add_argument("--motions", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1000)
    parser.add_argument("--option", action="append", default=[], help="of the models, NAME=VALUE: temperature=0.5")
    parser.add_argument("--not-in", type=Path, nargs="*", default=[], metavar="FOLDER", help="builds of hf-motion prefer")
    parser.add_argument("--output", type=Path, default=Path("outputs/asked"))
    arguments = parser.parse_args()
    prompts = held_out(arguments.prompts, arguments.seed, arguments.not_in)
    asked = [prompt for prompt in prompts for _ in range(arguments.motions)]
    judge, options = TMRReward.from_pretrained(), parse_assignments(arguments.option, "--option")
    rows = [COLUMNS, ["---"] * len(COLUMNS)]
    for model in arguments.model:
        motions = motions_of(model, prompts, arguments.motions, arguments.seed, options, arguments.output)
        verdicts = [verify(motion, prompt.specification) for motion, prompt in zip(motions, asked, strict=True)]
        similarities = judge(motions, [prompt.text for prompt in asked])
        rows.append(row(str(model or "embedded"), verdicts, sum(similarities) / len(similarities)))
    print(f"{len(prompts)} prompts, {arguments.motions} motions each, seed {arguments.seed}")
    for cells in rows:
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
