"""Trainings that stop and go on, and what they say when they have ended."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

from transformers import Trainer
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from ..utils.faults import NoRoomError, writing


class Resumable:
    """Mixin of trainers, named before their class: a full disk and Ctrl-C end in one line, and the same command goes on."""

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        folder = Path(self.args.output_dir) / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        try:
            with writing(folder, "Make room; the same command goes on from the last whole checkpoint."):
                super()._save_checkpoint(*args, **kwargs)
        except NoRoomError:
            shutil.rmtree(folder, ignore_errors=True)
            raise

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
            self.state.global_step = _global_step(resume_from_checkpoint)
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


def say_finished(trainer: Trainer, checkpoint: Path, command: str) -> None:
    """Print where a finished checkpoint is and what to run next.

    Args:
        trainer (`Trainer`): Its main process prints.
        checkpoint (`pathlib.Path`): In the training's folder.
        command (`str`): The next command, with `{}` in the place of that folder, by which the checkpoint is found.
    """
    if trainer.is_world_process_zero():
        print(f"Finished: {checkpoint}\nNext: {command.format(shlex.quote(trainer.args.output_dir))}")


def _global_step(checkpoint: str | Path) -> int:
    return json.loads((Path(checkpoint) / "trainer_state.json").read_text())["global_step"]


def last_checkpoint(output_dir: str | Path) -> Path | None:
    """The newest checkpoint in a training folder that was written to its end, or None.

    The trainer's state is the last file of a checkpoint; without it, or with a torn one, the process was stopped while saving.
    """

    def complete(folder: Path) -> bool:
        try:
            return _global_step(folder) >= 0
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return False

    folders = [path for path in Path(output_dir).glob(f"{PREFIX_CHECKPOINT_DIR}-*") if path.name.rpartition("-")[2].isdigit()]
    finished = [path for path in folders if complete(path)]
    return max(finished, key=lambda path: int(path.name.rpartition("-")[2]), default=None)
