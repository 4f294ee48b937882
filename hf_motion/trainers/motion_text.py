"""What every training on captioned motion shares: settings, sampling, and batches that know their clips."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from torch.utils.data import DataLoader, Dataset, Sampler
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ..data.motion_text import LengthBucketSampler, MotionTextDataset
from ..utils.options import as_mapping
from .resuming import Resumable
from .steps import AnyDevice, FiniteLoss, WithClips


@dataclass
class MotionTextTrainingArguments(AnyDevice, TrainingArguments):
    """`transformers.TrainingArguments` and how clips are drawn.

    Args:
        balance (`float`, defaults to 0.0): How much to lift rare actions, see `MotionTextDataset.balanced_weights`.
        source_weights (`dict[str, float]`, *optional*): Draw clips of some sources more or less often, see `balanced_weights` too.
        caption_weights (`dict[str, float]`, *optional*): Draw clips whose captions contain a text more or less often, in the same way.
        epoch_size (`int`, *optional*): Examples per epoch, the number of clips by default.
        lr_drop_steps (`list[int]`, *optional*): Steps at which the learning rate is multiplied by `lr_drop_factor`, as motion models are
            usually trained; with `warmup_steps` before, and in place of `lr_scheduler_type`.
        lr_drop_factor (`float`, defaults to 0.1): By what.
    """

    balance: float = field(default=0.0, metadata={"help": "How much to lift rare actions: 0 not at all, 1 fully."})
    source_weights: dict[str, float] | str | None = field(
        default=None, metadata={"help": "Draw clips whose source contains a text more or less often, such as {keyframed: 0.4}."}
    )
    caption_weights: dict[str, float] | str | None = field(
        default=None, metadata={"help": "Draw clips one of whose captions contains a text more or less often, such as {backward: 3}."}
    )
    epoch_size: int | None = field(default=None, metadata={"help": "Examples per epoch, the number of clips by default."})
    lr_drop_steps: list[int] | None = field(default=None, metadata={"help": "Steps at which the learning rate drops."})
    lr_drop_factor: float = field(default=0.1, metadata={"help": "What the learning rate is multiplied by there."})

    def __post_init__(self) -> None:
        super().__post_init__()
        self.source_weights, self.caption_weights = as_mapping(self.source_weights), as_mapping(self.caption_weights)
        if not 0 < self.lr_drop_factor <= 1:
            raise ValueError(f"lr_drop_factor must be in (0, 1], got {self.lr_drop_factor}.")
        self.label_names = ["motion_features"]


class MotionTextTrainer(FiniteLoss, Resumable, Trainer):
    """`transformers.Trainer` over a `MotionTextDataset`: the same clips whatever the number of processes, exact resumption.

    Single numbers that a model's `forward` gives beside its loss are averaged and logged with it.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._noted: dict[str, list[Tensor]] = {}
        self.add_callback(_EpochCallback(self))

    @property
    def clip_names(self) -> Sequence[str]:  # type: ignore[override]
        """Those of the data set."""
        return self.train_dataset.ids

    def _get_train_sampler(self, train_dataset: MotionTextDataset | None = None) -> Sampler:
        dataset = train_dataset if train_dataset is not None else self.train_dataset
        batch_size = self.args.train_batch_size * self.args.gradient_accumulation_steps * self.args.world_size
        self.sampler = LengthBucketSampler(
            dataset.lengths,
            dataset.balanced_weights(self.args.balance, source_weights=self.args.source_weights, caption_weights=self.args.caption_weights),
            batch_size,
            self.args.seed,
            self.args.epoch_size,
        )
        return self.sampler

    def _get_eval_sampler(self, eval_dataset: Dataset) -> Sampler:
        return _InOrder(len(eval_dataset))

    def create_scheduler(self, num_training_steps: int, optimizer: Optimizer | None = None) -> LRScheduler:
        """The learning rate's: with `lr_drop_steps` constant between drops, otherwise as in `transformers.Trainer`."""
        if not self.args.lr_drop_steps or self.lr_scheduler is not None:
            return super().create_scheduler(num_training_steps, optimizer)
        warmup, drops, factor = self.args.get_warmup_steps(num_training_steps), sorted(self.args.lr_drop_steps), self.args.lr_drop_factor
        self.lr_scheduler = LambdaLR(
            self.optimizer if optimizer is None else optimizer,
            lambda step: min(1.0, (step + 1) / (warmup + 1)) * factor ** bisect_right(drops, step),
        )
        self._created_lr_scheduler = True
        return self.lr_scheduler

    def get_train_dataloader(self) -> DataLoader:
        """Batches that know their clips, so that a loss that is no number can name them."""
        collator = self.data_collator
        self.data_collator = WithClips(collator)
        try:
            return super().get_train_dataloader()
        finally:
            self.data_collator = collator

    def note(self, **values: Tensor) -> None:
        """Keep numbers of this step; their means go into the next log."""
        for name, value in values.items():
            self._noted.setdefault(name, []).append(value.detach().float())

    def compute_loss(self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, **kwargs: Any) -> Any:
        """The model's loss; other single numbers that it gives are noted."""
        loss, outputs = super().compute_loss(model, inputs, return_outputs=True, **kwargs)
        if model.training:
            extra = {key: value for key, value in outputs.items() if isinstance(value, Tensor) and value.ndim == 0 and key != "loss"}
            self.note(**extra)
        return (loss, outputs) if return_outputs else loss

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Log, with the means over steps and processes of what was noted since the last time."""
        if "loss" in logs and self._noted:
            means = {name: torch.stack(values).mean() for name, values in self._noted.items()}
            logs |= {name: float(self.accelerator.gather(value.reshape(1)).mean()) for name, value in means.items()}
            self._noted = {}
        super().log(logs, *args, **kwargs)


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
