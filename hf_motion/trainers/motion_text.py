"""What every training on captioned motion shares: settings, sampling, and which checkpoint to go on from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset, Sampler
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from ..data.motion_text import LengthBucketSampler, MotionTextDataset


@dataclass
class MotionTextTrainingArguments(TrainingArguments):
    """`transformers.TrainingArguments` and how clips are drawn.

    Args:
        balance (`float`, defaults to 0.0): How much to lift rare actions, see `MotionTextDataset.balanced_weights`.
        epoch_size (`int`, *optional*): Examples per epoch, the number of clips by default.
    """

    balance: float = field(default=0.0, metadata={"help": "How much to lift rare actions: 0 not at all, 1 fully."})
    epoch_size: int | None = field(default=None, metadata={"help": "Examples per epoch, the number of clips by default."})

    def __post_init__(self) -> None:
        # transformers takes bf16 for a wish for a GPU unless told otherwise.
        self.use_cpu = self.use_cpu or not torch.accelerator.is_available()
        super().__post_init__()
        # The models take what the collators make; there are no data set columns to match against.
        self.remove_unused_columns = False
        self.label_names = ["motion_features"]


class MotionTextTrainer(Trainer):
    """`transformers.Trainer` over a `MotionTextDataset`: the same clips whatever the number of processes, exact resumption."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.add_callback(_EpochCallback(self))

    def _get_train_sampler(self, train_dataset: MotionTextDataset | None = None) -> Sampler:
        dataset = train_dataset if train_dataset is not None else self.train_dataset
        batch_size = self.args.train_batch_size * self.args.gradient_accumulation_steps * self.args.world_size
        self.sampler = LengthBucketSampler(
            dataset.lengths, dataset.balanced_weights(self.args.balance), batch_size, self.args.seed, self.args.epoch_size
        )
        return self.sampler

    def _get_eval_sampler(self, eval_dataset: Dataset) -> Sampler:
        return _InOrder(len(eval_dataset))

    def train(self, resume_from_checkpoint: str | None = None, **kwargs: Any) -> Any:
        """Train to `max_steps`; a run that has got there is only loaded.

        Args:
            resume_from_checkpoint (`str`, *optional*): Checkpoint to go on from.
            **kwargs: As for `transformers.Trainer.train`.

        Returns:
            `TrainOutput`, or None if there was nothing left to do.
        """
        if resume_from_checkpoint and _global_step(resume_from_checkpoint) >= self.args.max_steps > 0:
            self._load_from_checkpoint(resume_from_checkpoint)
            output = None
        else:
            output = super().train(resume_from_checkpoint=resume_from_checkpoint, **kwargs)
        self.model.eval()
        return output

    def train_or_resume(self) -> None:
        """Train, from the last checkpoint in the output folder if there is one.

        Raises:
            SystemExit: On Ctrl-C, with a message that says where to go on from.
        """
        checkpoint = last_checkpoint(self.args.output_dir)
        try:
            self.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        except KeyboardInterrupt:
            found = last_checkpoint(self.args.output_dir)
            raise SystemExit(f"Stopped. The last checkpoint is {found}; the same command goes on from there.") from None


class _InOrder(Sampler[tuple[int, int]]):
    """Every clip once, always with the same seed."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return ((clip, clip) for clip in range(self.count))


class _EpochCallback(TrainerCallback):
    """Tells the sampler its epoch: on several processes, a resumed run's data loader hides it from those who would."""

    def __init__(self, trainer: MotionTextTrainer) -> None:
        self.trainer = trainer

    def on_epoch_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.trainer.sampler.set_epoch(int(state.epoch or 0))


def _global_step(checkpoint: str | Path) -> int:
    return json.loads((Path(checkpoint) / "trainer_state.json").read_text())["global_step"]


def last_checkpoint(output_dir: str | Path) -> Path | None:
    """The newest checkpoint in a training folder that was written to its end, or None.

    The trainer's state is the last file of a checkpoint; without it, or with a torn one, the process was stopped while saving.
    """

    def complete(folder: Path) -> bool:
        try:
            return _global_step(folder) >= 0
        except (OSError, ValueError, KeyError):
            return False

    folders = [path for path in Path(output_dir).glob(f"{PREFIX_CHECKPOINT_DIR}-*") if path.name.rpartition("-")[2].isdigit()]
    finished = [path for path in folders if complete(path)]
    return max(finished, key=lambda path: int(path.name.rpartition("-")[2]), default=None)
