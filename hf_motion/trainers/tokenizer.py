"""Training of motion tokenizers: batches, and scores of what they reconstruct."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ..checkpoints import EMBEDDED_EVALUATOR
from ..data.motion_text import MotionTextDataset, collate_motion_text
from ..evaluation.clips import EvaluationClips
from ..evaluation.generations import speaks_same
from ..evaluation.reconstruction import reconstruction_scores
from ..hub.card import write_tokenizer_card
from ..hub.checkpoint import save_checkpoint
from ..hub.training_card import TrainingRecord
from ..models.motion_vq.modeling_motion_vq import MotionVQModel
from ..representation import MotionFeatureExtractor
from ..retrieval.embedder import MotionTextEmbedder
from ..tokenization.motion_tokenizer import MotionTokenizer
from .motion_text import MotionTextTrainer, MotionTextTrainingArguments


class MotionVQTrainer(MotionTextTrainer):
    """Trains a `MotionVQModel` on windows of clips; reconstruction, position and commitment losses, perplexity and dead codes are logged.

    Args:
        model (`MotionVQModel`): The model.
        args (`MotionTextTrainingArguments`): Settings.
        train_dataset (`MotionTextDataset`): Clips; its feature extractor's `max_frames` is the length of a window.
        feature_extractor (`MotionFeatureExtractor`): What is saved with the model: the same statistics, and the longest clip.
        **kwargs: As for `transformers.Trainer`.
    """

    def __init__(
        self,
        model: MotionVQModel,
        args: MotionTextTrainingArguments,
        train_dataset: MotionTextDataset,
        feature_extractor: MotionFeatureExtractor,
        **kwargs: Any,
    ) -> None:
        self.feature_extractor = feature_extractor
        super().__init__(model=model, args=args, train_dataset=train_dataset, data_collator=without_texts, **kwargs)
        for callback in self.callback_handler.callbacks:
            if isinstance(callback, ReconstructionCallback):
                callback.trainer = self

    def save_checkpoint(
        self, folder: str | Path, repo_id: str | None = None, token: str | None = None, record: TrainingRecord | None = None
    ) -> None:
        """Save model, tokenizer, feature extractor and a card as one complete repository.

        Args:
            folder (`str` or `pathlib.Path`): Where to.
            repo_id (`str`, *optional*): Push it to the Hub too.
            token (`str`, *optional*): Access token.
            record (`TrainingRecord`, *optional*): What its card tells of the training.
        """
        if self.is_world_process_zero():
            save_motion_tokenizer(folder, self.model, self.feature_extractor, repo_id, token, record)


def save_motion_tokenizer(
    folder: str | Path,
    model: MotionVQModel,
    feature_extractor: MotionFeatureExtractor,
    repo_id: str | None = None,
    token: str | None = None,
    record: TrainingRecord | None = None,
) -> None:
    """Save a motion tokenizer, the `MotionTokenizer` that writes its codes as text, and its feature extractor.

    Args:
        folder (`str` or `pathlib.Path`): Where to.
        model (`MotionVQModel`): The model.
        feature_extractor (`MotionFeatureExtractor`): With the statistics that it was trained with.
        repo_id (`str`, *optional*): Push it to the Hub too.
        token (`str`, *optional*): Access token.
        record (`TrainingRecord`, *optional*): What its card tells of the training.
    """

    def write_card(path: Path, repository: str | None) -> None:
        write_tokenizer_card(path, model, feature_extractor, repository)
        if record is not None:
            record.write(path, repository)

    tokenizer = MotionTokenizer.of(model.config)
    save_checkpoint(
        folder,
        [model, tokenizer, feature_extractor],
        write_card,
        repo_id,
        token,
    )


class ReconstructionCallback(TrainerCallback):
    """Scores what the tokenizer reconstructs while it trains: logs `eval_fid`, `eval_mpjpe`, `eval_pa_mpjpe`, `eval_acceleration_error`.

    Features that the evaluator inside the package does not read, such as whole bodies', have no FID unless another one is named.

    Args:
        rows (`datasets.Dataset`): Clips that it does not learn from.
        feature_extractor (`MotionFeatureExtractor`): The model's.
        every (`int`): Steps between scores; 0 for none.
        evaluator (`str`, *optional*): Folder or repository of a `T2MEvaluator` for the FID, the one inside the package by default.
    """

    def __init__(self, rows: Any, feature_extractor: MotionFeatureExtractor, every: int, evaluator: str | None = None) -> None:
        self.feature_extractor, self.every = feature_extractor, every
        self.trainer: Any = None
        judge = MotionTextEmbedder.from_pretrained(evaluator or EMBEDDED_EVALUATOR)
        self.evaluator = judge if evaluator is not None or speaks_same(feature_extractor, judge.feature_extractor) else None
        clips = EvaluationClips.from_rows(rows, feature_extractor, min_frames=1)
        self.clips = [clip[: feature_extractor.max_frames] for clip in clips.features]

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: MotionVQModel, **kwargs: Any
    ) -> None:
        """Score when the step has come."""
        if not self.every or state.global_step % self.every:
            return
        training = model.training
        scores = reconstruction_scores(model.eval(), self.feature_extractor, self.clips, self.evaluator)
        model.train(training)
        self.trainer.log({f"eval_{name}": value for name, value in scores.items()})


def without_texts(examples: Sequence[dict[str, Any]], *more: str) -> dict[str, Tensor]:
    """Batches of motions alone, with what else is named."""
    batch = collate_motion_text(examples)
    return {name: batch[name] for name in ("motion_features", "attention_mask", *more)}
