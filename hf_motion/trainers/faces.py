"""Training of generators of faces: faces with texts as a data set, and batches of them."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset
from transformers import AutoTokenizer

from ..data.face_columns import face_of_row
from ..data.motion_text import WAY_OUT
from ..face import Face
from ..hub.checkpoint import save_checkpoint
from ..hub.training_card import TrainingRecord
from ..models.humantomato.emotions import face_texts
from ..models.humantomato.modeling_facial_cvae import FacialCVAE, FacialCVAEConfig
from ..nn.padding import pad_and_mask
from ..retrieval.text_similarity import similar_captions
from ..utils.options import check_options
from .new_retrieval import small_bert


class FaceTextDataset(Dataset):
    """Faces with what is said about them.

    Texts are a row's `face_text` or, without one, the emotions at the ends of its captions. An index is a pair (clip, seed), as of
    `MotionTextDataset`; faces that are too long are cut anew each time.

    Args:
        rows (`datasets.Dataset`): With the columns of faces, see `hf_motion.data.face_columns`.
        config (`FacialCVAEConfig`): Kind of the coefficients, frame rate and longest face.
        min_frames (`int`, defaults to 1): Shorter faces are left out; `skipped` counts them, and rows without a face or a text.
        strict (`bool`, defaults to `True`): Raise at a row with a face of another kind or that is damaged, rather than count it.

    Raises:
        ValueError: If a row is unreadable (and `strict`), or none is left.
    """

    def __init__(self, rows: Any, config: FacialCVAEConfig, min_frames: int = 1, strict: bool = True) -> None:
        self.config = config
        self.ids: list[str] = []
        self.texts: list[list[str]] = []
        self.faces: list[Face] = []
        self.skipped: Counter[str] = Counter()
        for row in rows:
            texts = face_texts(row)
            try:
                face = face_of_row(row)
                face = None if face is None else face.select(config.face_kind).resample(row["fps"], config.fps)
            except ValueError as error:
                if strict:
                    raise ValueError(f"Row {row['id']!r} has no face of {config.face_kind}: {error} {WAY_OUT}") from error
                self.skipped["unreadable"] += 1
                continue
            reason = "no face" if face is None else "no text about the face" if not texts else None
            if face is not None and len(face) < min_frames:
                reason = "too short"
            if face is None or reason is not None:
                self.skipped[str(reason)] += 1
                continue
            self.ids.append(str(row["id"]))
            self.texts.append(texts)
            self.faces.append(face)
        if not self.faces:
            raise ValueError(f"No usable face among {len(rows)} rows; left out: {dict(self.skipped)}. See the columns face and face_text.")

    def __len__(self) -> int:
        return len(self.faces)

    def __getitem__(self, index: tuple[int, int]) -> dict[str, Any]:
        clip, seed = index
        draw, face = random.Random(seed), self.faces[clip]
        text = draw.choice(self.texts[clip])
        start = draw.randint(0, max(0, len(face) - self.config.max_frames))
        return {"face": face[start : start + self.config.max_frames], "text": text, "seed": seed, "clip": clip}

    @property
    def lengths(self) -> list[int]:
        """Frames per face, after cutting."""
        return [min(len(face), self.config.max_frames) for face in self.faces]

    def balanced_weights(self, strength: float, **factors: dict[str, float] | None) -> list[float]:
        """Sampling weights that lift rare texts: (faces that share the rarest of its texts) ** -strength.

        Raises:
            ValueError: If there are weights of sources or captions, which are for motions.
        """
        if any(factors.values()):
            raise ValueError(f"source_weights and caption_weights are for motions, got {factors}; leave them out.")
        counts = Counter(text for texts in self.texts for text in texts)
        return [min(counts[text] for text in texts) ** -strength for texts in self.texts]

    def fit_statistics(self) -> None:
        """Set the configuration's mean and std from these faces; what hardly changes keeps a std of 1e-3."""
        values = torch.cat([torch.from_numpy(face.coefficients) for face in self.faces]).double()
        self.config.mean = values.mean(0).tolist()
        self.config.std = values.std(0, correction=0).clamp_min(1e-3).tolist()


class FaceCollator:
    """Batches of `FaceTextDataset`: arguments of the model's `forward`.

    Args:
        model (`FacialCVAE`): With its tokenizer.
    """

    def __init__(self, model: FacialCVAE) -> None:
        self.model = model

    def __call__(self, examples: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """Normalise, tokenize and pad."""
        features, mask = pad_and_mask(self.model.features_of([example["face"] for example in examples]))
        texts = [example["text"] for example in examples]
        batch = {"face_features": features, "attention_mask": mask, **self.model.tokens_of(texts)}
        batch["seeds"] = torch.tensor([example["seed"] for example in examples])
        return {**batch, "similar": similar_captions(texts)}


def new_face_model(
    texts: Sequence[str], text_model: str | dict[str, Any] | None = None, options: dict[str, Any] | None = None
) -> FacialCVAE:
    """Build a generator of faces to train.

    Args:
        texts (`list[str]`): Training texts; a new tokenizer learns its vocabulary from them.
        text_model (`str` or `dict`, *optional*): A pretrained text encoder (folder or repository), or the options of a small BERT to train
            from scratch.
        options (`dict`, *optional*): Of `FacialCVAEConfig`.

    Raises:
        ValueError: If an option is unknown or out of range.
    """
    options = options or {}
    check_options(options, FacialCVAEConfig, "model_options")
    if isinstance(text_model, str):
        model = FacialCVAE.from_text_model(text_model, **options)
        model.tokenizer = AutoTokenizer.from_pretrained(text_model)
        return model
    text_config, tokenizer = small_bert(texts, text_model)
    model = FacialCVAE(FacialCVAEConfig(text_config=text_config, **{"freeze_text_model": False, **options}))
    model.tokenizer = tokenizer
    return model


def save_face_model(
    folder: str | Path, model: FacialCVAE, repo_id: str | None = None, token: str | None = None, record: TrainingRecord | None = None
) -> None:
    """Save a finished generator of faces as a complete repository.

    Args:
        folder (`str` or `pathlib.Path`): Where to.
        model (`FacialCVAE`): The model.
        repo_id (`str`, *optional*): Push it to the Hub too.
        token (`str`, *optional*): Access token.
        record (`TrainingRecord`, *optional*): What its card tells of the training.
    """

    def write_card(path: Path, repository: str | None) -> None:
        if record is not None:
            record.write(path, repository)

    save_checkpoint(folder, [model], write_card, repo_id, token)
