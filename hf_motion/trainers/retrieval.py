"""Training of retrieval models: batches, and untrained models from plain settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..data.motion_text import MotionTextDataset, collate_motion_text
from ..hub.card import write_retrieval_card
from ..hub.checkpoint import save_checkpoint
from ..hub.training_card import TrainingRecord
from ..nn.padding import pad_and_mask
from ..representation import MotionFeatureExtractor
from ..retrieval.embedder import tokenize_captions, warn_of_unread_captions
from ..retrieval.text_similarity import SentenceEncoder, similar_captions
from .motion_text import MotionTextTrainer, MotionTextTrainingArguments


@dataclass
class RetrievalTrainingArguments(MotionTextTrainingArguments):
    """`MotionTextTrainingArguments` and what retrieval adds.

    Args:
        sentence_encoder (`str`, *optional*): Sentence model, such as `"sentence-transformers/all-MiniLM-L6-v2"`: captions that it finds
            alike are not taken for negatives of one another. Without one only equal captions are.
        similarity_threshold (`float`, defaults to 0.85): From what cosine similarity on captions are alike.
    """

    sentence_encoder: str | None = field(default=None, metadata={"help": "Sentence model that finds captions that say the same."})
    similarity_threshold: float = field(default=0.85, metadata={"help": "From what cosine similarity on captions say the same."})

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.similarity_threshold <= 1:
            raise ValueError(f"similarity_threshold must be in (0, 1], got {self.similarity_threshold}.")


class RetrievalCollator:
    """Batches of `MotionTextDataset` with token ids and which captions say the same, whatever wordings stand for them.

    Args:
        tokenizer (`PreTrainedTokenizerBase`): The model's.
        tags (`Mapping[str, str]`): The `word/POS` form of captions that have one.
        encoder (`SentenceEncoder`, *optional*): Finds captions that say the same; without it equal ones are.
        threshold (`float`, defaults to 0.85): Cosine that captions which say the same exceed.
        states (`Mapping[str, torch.Tensor]`, *optional*): What a frozen text model says of each caption, (tokens, width), see
            `frozen_text_states`; then captions are not tokenized.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        tags: Mapping[str, str] | None = None,
        encoder: SentenceEncoder | None = None,
        threshold: float = 0.85,
        states: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.tokenizer, self.tags, self.encoder, self.threshold, self.states = tokenizer, tags or {}, encoder, threshold, states

    def __call__(self, examples: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """Pad clips and texts; see `MotionTextDataset` for the examples."""
        batch = collate_motion_text(examples)
        captions = batch.pop("captions")
        if self.states is None:
            tokens = tokenize_captions(self.tokenizer, captions, self.tags)
            tokens["text_mask"] = tokens.pop("attention_mask")
        else:
            padded, mask = pad_and_mask([self.states[caption] for caption in captions])
            tokens = {"text_states": padded, "text_mask": mask}
        originals = [example.get("original", example["caption"]) for example in examples]
        return {**batch, **tokens, "similar": similar_captions(originals, self.encoder, self.threshold)}


@torch.no_grad()
def frozen_text_states(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, captions: Sequence[str], batch_size: int = 256
) -> dict[str, Tensor] | None:
    """What a model's frozen text encoder says of captions, each computed once; None if the model has none, or trains it.

    Args:
        model (`PreTrainedModel`): A retrieval model.
        tokenizer (`PreTrainedTokenizerBase`): Its tokenizer.
        captions (`list[str]`): Captions.
        batch_size (`int`, defaults to 256): Captions at once.
    """
    if not getattr(model.config, "freeze_text_model", False):
        return None
    model.eval()
    states: dict[str, Tensor] = {}
    for start in range(0, len(captions), batch_size):
        batch = captions[start : start + batch_size]
        tokens = {name: value.to(model.device) for name, value in tokenize_captions(tokenizer, batch).items()}
        output = model.get_text_states(**tokens).cpu()
        for caption, state, mask in zip(batch, output, tokens["attention_mask"].cpu(), strict=True):
            states[caption] = state[mask.bool()]
    return states


class RetrievalTrainer(MotionTextTrainer):
    """Trains a retrieval model, whose `forward` gives the loss.

    Args:
        model (`PreTrainedModel`): `T2MEvaluator`, `TMR` or `AdaQFExtractors`.
        args (`RetrievalTrainingArguments`): Settings.
        train_dataset (`MotionTextDataset`): Clips.
        tokenizer (`PreTrainedTokenizerBase`): The model's.
        eval_dataset (`MotionTextDataset`, *optional*): Clips to watch the loss on.
        **kwargs: As for `transformers.Trainer`.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        args: RetrievalTrainingArguments,
        train_dataset: MotionTextDataset,
        tokenizer: PreTrainedTokenizerBase,
        eval_dataset: MotionTextDataset | None = None,
        **kwargs: Any,
    ) -> None:
        self.tokenizer = tokenizer
        self.feature_extractor: MotionFeatureExtractor = train_dataset.feature_extractor
        datasets = [dataset for dataset in (train_dataset, eval_dataset) if dataset is not None]
        captions = sorted({text for dataset in datasets for text in dataset.texts()})
        encoder = None
        if args.sentence_encoder is not None:
            encoder = SentenceEncoder(args.sentence_encoder, device=args.device)
            encoder(captions)
        tags = {caption: tags for dataset in datasets for caption, tags in dataset.tags.items()}
        warn_of_unread_captions(tokenizer, captions, tags)
        collator = RetrievalCollator(
            tokenizer, tags, encoder, args.similarity_threshold, frozen_text_states(model.to(args.device), tokenizer, captions)
        )
        super().__init__(model=model, args=args, train_dataset=train_dataset, eval_dataset=eval_dataset, data_collator=collator, **kwargs)

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
            save_retrieval_checkpoint(folder, self.model, self.tokenizer, self.feature_extractor, repo_id, token, record)


def save_retrieval_checkpoint(
    folder: str | Path,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    feature_extractor: MotionFeatureExtractor,
    repo_id: str | None = None,
    token: str | None = None,
    record: TrainingRecord | None = None,
) -> None:
    """Save all that a retrieval model needs into one folder, with a card unless it has one.

    Args:
        folder (`str` or `pathlib.Path`): Where to.
        model (`PreTrainedModel`): The model.
        tokenizer (`PreTrainedTokenizerBase`): Its tokenizer.
        feature_extractor (`MotionFeatureExtractor`): With the statistics that it was trained with; not saved with a model that finds
            videos, which reads no features.
        repo_id (`str`, *optional*): Push it to the Hub too.
        token (`str`, *optional*): Access token.
        record (`TrainingRecord`, *optional*): What its card tells of the training.
    """
    own = None if model.config.model_type == "gemini-mvr" else feature_extractor

    def write_card(path: Path, repository: str | None) -> None:
        write_retrieval_card(path, model, own, repository)
        if record is not None:
            record.write(path, repository)

    save_checkpoint(
        folder,
        [model, tokenizer, *([own] if own is not None else [])],
        write_card,
        repo_id,
        token,
    )
