"""How often the finders of `hf_motion.metrics.occurrences`, on which the verifiers stand, are right on real clips.

    python tests/benchmarks/verifiers.py PARQUET [PARQUET ...] [--every 5] [--copies 2 3] [--seed 0]

For each event of verifiers.yaml: recall is the share that is found of the clips whose captions name it, false accepts the share among one
in `--every` of the clips whose captions name nothing that could be it, precision what that makes of one clip of each kind. Counts are
checked on clips that show the event exactly once, alone and repeated: two or three of them, drawn by `--seed` from the same split, cut one
behind the other, hold it two or three times. The lines were drawn while looking at the training split; the rest was only measured.
"""

import argparse
import re
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from wordings import clips

from hf_motion import Motion
from hf_motion.metrics.occurrences import occurrences

TRUTH = Path(__file__).with_suffix(".yaml")
_COUNTED = 60


class Clip(NamedTuple):
    """A real clip."""

    motion: Motion
    captions: list[str]
    train: bool


def says(clip: Clip, pattern: str | None) -> bool:
    """Whether one of the captions matches."""
    return pattern is not None and any(re.search(pattern, caption, re.IGNORECASE) for caption in clip.captions)


def measure(real: list[Clip], event: dict[str, Any], every: int, copies: list[int], seed: int) -> tuple[str, Counter]:
    """A row of the table, and what was mistaken for the event."""
    options, cells, mistaken = event.get("with", {}), [], Counter()
    for train in (True, False):
        hits: list[bool] = []
        false: list[bool] = []
        for number, clip in enumerate(clip for clip in real if clip.train == train):
            shown = says(clip, event["real"])
            if shown or (not says(clip, event["unclear"]) and number % every == 0):
                found = bool(occurrences(clip.motion, event["event"], **options))
                (hits if shown else false).append(found)
                if found and not shown:
                    mistaken[clip.captions[0]] += 1
        recall, accepted = (np.mean(flags) if flags else np.nan for flags in (hits, false))
        precision = recall / (recall + accepted) if recall + accepted > 0 else np.nan
        cells += [f"{precision:.2f}", f"{recall:.2f} of {len(hits)}", f"{accepted:.3f} of {len(false)}"]
        longest = event.get("seconds", np.inf)
        single = [clip for clip in real if clip.train == train and says(clip, event.get("once")) and clip.motion.duration <= longest]
        cells.append(counted(single, event, copies, seed))
    name = event["event"] + (f" ({', '.join(options.values())})" if options else "")
    return f"| {name} | {' | '.join(cells)} |", mistaken


def counted(real: list[Clip], event: dict[str, Any], copies: list[int], seed: int) -> str:
    """Share of right counts among clips that show the event once, and among several of them one behind the other."""
    if not real:
        return ""
    draw, shares = np.random.default_rng(seed), []
    for times in (1, *copies):
        right = []
        for _ in range(min(_COUNTED, len(real))):
            parts = [real[index].motion for index in draw.choice(len(real), size=times, replace=times > len(real))]
            motion = Motion.concatenate([part.resample(20) for part in parts])
            right.append(len(occurrences(motion, event["event"], **event.get("with", {}))) == times)
        shares.append(f"{times}: {np.mean(right):.2f}")
    return ", ".join(shares) + f" of {min(_COUNTED, len(real))}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+", metavar="PARQUET")
    parser.add_argument("--every", type=int, default=5)
    parser.add_argument("--copies", type=int, nargs="*", default=[2, 3])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", help="events")
    parser.add_argument("--mistaken", action="store_true", help="show what is most often mistaken for each event")
    arguments = parser.parse_args()
    real = [Clip(*clip) for clip in clips(arguments.files)]
    columns = ("precision", "recall", "false accepts", "right counts")
    print("| event |" + "".join(f" {split}: {column} |" for split in ("train", "val, test") for column in columns))
    print("|---|" + "---|" * 8)
    for event in yaml.safe_load(TRUTH.read_text(encoding="utf-8")):
        if not arguments.only or event["event"] in arguments.only:
            row, mistaken = measure(real, event, arguments.every, arguments.copies, arguments.seed)
            print(row, flush=True)
            if arguments.mistaken:
                print(f"    {mistaken.most_common(6)}")


if __name__ == "__main__":
    main()
