"""How a checkpoint was trained, in its card."""

from __future__ import annotations

import re
import shlex
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard

from ..utils.files import atomic_path

_TITLE = "## How it was trained"
_SECTION = re.compile(rf"\n*{_TITLE}\n.*?(?=\n## |\Z)", re.DOTALL)
_SECRET = re.compile(r"--[\w-]*token")


@dataclass(frozen=True)
class TrainingRecord:
    """Data and command of a training.

    Args:
        dataset (`str`): Parquet file, folder, or data set on the Hub.
        split (`str`): Its split.
        clips (`int`): Clips that were trained on.
        mirrored (`int`): Clips that were trained on mirrored, besides.
        left_out (`Mapping[str, int]`): Clips that were not, by reason.
        licenses (`Mapping[str, int]`): Clips by licence, as the data set's column `license` says; empty without one.
        seed (`int`): Seed.
        steps (`int`): Optimizer steps.
        batch_size (`int`): Clips per step, over all processes.
        command (`list[str]`): The command line, that of this process by default.
    """

    dataset: str
    split: str
    clips: int
    mirrored: int
    left_out: Mapping[str, int]
    licenses: Mapping[str, int]
    seed: int
    steps: int
    batch_size: int
    command: Sequence[str] = field(default_factory=lambda: ["python", *sys.argv])

    @classmethod
    def of(cls, trainer: Any, dataset: str, split: str, rows: Any, clips: Any) -> TrainingRecord:
        """That of a trainer that has come to its end.

        Args:
            trainer (`MotionTextTrainer`): The trainer.
            dataset (`str`): What the script was given.
            split (`str`): The same.
            rows (`datasets.Dataset`): Rows of the split.
            clips (`MotionTextDataset`): What was read of them.
        """
        args = trainer.args
        batch_size = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
        licenses = Counter(str(name) for name in rows["license"]) if "license" in rows.column_names else {}
        read = len(rows) - sum(clips.skipped.values())
        mirrored = len(clips) - read
        return cls(dataset, split, read, mirrored, dict(clips.skipped), licenses, args.seed, trainer.state.global_step, batch_size)

    @classmethod
    def of_pairs(cls, trainer: Any, source: str, split: str, count: int, left_out: Mapping[str, int]) -> TrainingRecord:
        """That of a trainer of preferences that has come to its end.

        Args:
            trainer (`transformers.Trainer`): The trainer.
            source (`str`): What the script was given.
            split (`str`): The same.
            count (`int`): Pairs, or prompts, that were trained on.
            left_out (`Mapping[str, int]`): Pairs that were not, by reason.
        """
        args = trainer.args
        batch_size = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
        return cls(source, split, count, 0, dict(left_out), {}, args.seed, trainer.state.global_step, batch_size)

    def write(self, folder: Path, repo_id: str | None = None) -> None:
        """Put it into the card of a checkpoint, in the place of an earlier one.

        Args:
            folder (`pathlib.Path`): With a `README.md`.
            repo_id (`str`, *optional*): Where the checkpoint is going to be, for the card's examples.
        """
        card = ModelCard.load(folder / "README.md")
        if not Path(self.dataset).exists():
            card.data.datasets = [self.dataset]
        card.text = f"{_SECTION.sub('', card.text).rstrip()}\n\n{self._section()}\n"
        if repo_id is not None:
            card.text = card.text.replace("<this repository>", repo_id)
        with atomic_path(folder / "README.md") as temporary:
            temporary.write_text(str(card), encoding="utf-8")

    def _section(self) -> str:
        left_out = ", ".join(f"{count:,} {reason}" for reason, count in self.left_out.items()) or "none"
        licenses = ", ".join(f"{name} ({count:,} clips)" for name, count in sorted(self.licenses.items()))
        rows = {
            "data": f"`{_without_folders(self.dataset)}`, split `{self.split}`",
            "clips": f"{self.clips:,}, and {self.mirrored:,} mirrored (left out: {left_out})",
            "licences of the data": licenses or "not stated: the data set has no column `license`",
            "steps": f"{self.steps:,} of {self.batch_size} clips",
            "seed": str(self.seed),
        }
        table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
        command = shlex.join(_without_secrets([_without_folders(word) for word in self.command]))
        return f"{_TITLE}\n\n| what | value |\n|---|---|\n{table}\n\n```bash\n{command}\n```"


def _without_folders(word: str) -> str:
    """A path from where the training was started, or a name alone: others need not know the folders of this machine."""
    path = Path(word)
    if not path.is_absolute():
        return word
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else path.name


def _without_secrets(words: Sequence[str]) -> list[str]:
    kept: list[str] = []
    for before, word in zip(["", *words], words, strict=False):
        name, given, _ = word.partition("=")
        kept.append("..." if _SECRET.fullmatch(before) else f"{name}=..." if given and _SECRET.fullmatch(name) else word)
    return kept
