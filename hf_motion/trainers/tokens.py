"""Training of generators of motion tokens."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from tqdm.auto import tqdm
from transformers import AutoFeatureExtractor, PreTrainedModel

from ..data.motion_text import MotionTextDataset
from ..hub.checkpoint import save_checkpoint
from ..hub.training_card import TrainingRecord
from ..models.humantomato.modeling_humantomato import HumanTomatoGPT, HumanTomatoGPTConfig
from ..models.momask.modeling_momask import MoMask, MoMaskConfig
from ..models.motion_vq.modeling_motion_vq import MotionVQModel
from ..models.t2m_gpt.modeling_t2m_gpt import T2MGPT, T2MGPTConfig
from ..models.text_motion_model import TextMotionModel
from ..nn.padding import pad_and_mask
from ..text_encoders import load_text_encoder, load_text_tokenizer, merged, token_limit, warn_of_long_captions
from ..utils.options import check_options
from ..utils.training_folder import checkpoint_in, leave_sign
from .callbacks import EvaluateMotionsCallback
from .motion_text import MotionTextTrainer, MotionTextTrainingArguments
from .text_alignment import TextMotionAlignment

MODELS = {
    "t2m-gpt": (T2MGPTConfig, T2MGPT),
    "momask": (MoMaskConfig, MoMask),
    "humantomato-gpt": (HumanTomatoGPTConfig, HumanTomatoGPT),
}
"""Generators of motion tokens, by model type."""

_ENCODE_BATCH = 32


class TokenDataset(Dataset):
    """Clips as codes, each encoded once.

    Published loaders cut a clip anew each time, from a random frame, and encode it again. A cut from frame s begins at the offset s mod
    `frames_per_token` of the clip's tokens, so encoding each clip once per offset gives the same choice, up to what the tokenizer sees
    at the border.

    Args:
        clips (`MotionTextDataset`): Clips, whole.
        vq_model (`MotionVQModel`): Motion tokenizer.
        max_tokens (`int`): Longest piece.
        offsets (`bool`, defaults to `True`): Encode every clip at every offset rather than from its first frame only.
        show_progress (`bool`, defaults to `True`): Show a progress bar.
    """

    def __init__(
        self, clips: MotionTextDataset, vq_model: MotionVQModel, max_tokens: int, offsets: bool = True, show_progress: bool = True
    ) -> None:
        self.clips, self.ids = clips, clips.ids
        self.max_tokens, self.unit = max_tokens, vq_model.config.frames_per_token
        pieces = [
            (clip, features[start : start + (len(features) - start) // self.unit * self.unit])
            for clip, features in enumerate(clips.features)
            for start in range(self.unit if offsets else 1)
            if len(features) - start >= self.unit
        ]
        self.codes: list[list[Tensor]] = [[] for _ in clips.features]
        order = sorted(range(len(pieces)), key=lambda index: len(pieces[index][1]))
        for start in tqdm(range(0, len(order), _ENCODE_BATCH), desc="Encoding to tokens", disable=not show_progress):
            batch = [pieces[index] for index in order[start : start + _ENCODE_BATCH]]
            features, mask = pad_and_mask([piece for _, piece in batch])
            codes = vq_model.encode(features.to(vq_model.device), mask.to(vq_model.device)).cpu()
            for (clip, piece), row in zip(batch, codes, strict=True):
                self.codes[clip].append(row[:, : len(piece) // self.unit].clone())
        if not all(self.codes):
            raise ValueError(f"Clip {self.codes.index([])} is shorter than a token of {self.unit} frames; raise min_frames.")

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, index: tuple[int, int]) -> dict[str, Any]:
        clip, seed = index
        draw = random.Random(seed)
        caption = draw.choice(self.clips.captions[clip])
        codes = draw.choice(self.codes[clip])
        surplus = codes.shape[1] - self.max_tokens
        start = draw.randint(0, surplus) if surplus > 0 else 0
        return {"codes": codes[:, start : start + self.max_tokens], "caption": caption, "seed": seed, "clip": clip}

    @property
    def lengths(self) -> list[int]:
        """Tokens per clip, after cutting."""
        return [min(codes[0].shape[1], self.max_tokens) for codes in self.codes]

    def balanced_weights(self, strength: float, **factors: dict[str, float] | None) -> list[float]:
        """See `MotionTextDataset.balanced_weights`."""
        return self.clips.balanced_weights(strength, **factors)


class TokenCollator:
    """Batches of `TokenDataset`; each caption is encoded once, now.

    Args:
        model (`TextMotionModel`): Encodes texts, and makes training examples of codes.
        captions (`list[str]`): All captions.
        alignment (`TextMotionAlignment`, *optional*): Its texts are added to the batches.
    """

    def __init__(self, model: TextMotionModel, captions: Sequence[str], alignment: TextMotionAlignment | None = None) -> None:
        self.model = model
        self.numbers = {caption: number for number, caption in enumerate(captions)}
        self.alignment_texts = alignment.embed_texts(captions) if alignment is not None else None
        self.texts: dict[str, Tensor] = {}
        for start in range(0, len(captions), 256):
            batch = captions[start : start + 256]
            self.texts.update(zip(batch, model.encode_texts(batch).float().cpu(), strict=True))

    def __call__(self, examples: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """Arguments of the model's `forward`."""
        texts = torch.stack([self.texts[example["caption"]] for example in examples])
        seeds = [example["seed"] for example in examples]
        batch = self.model.prepare_batch([example["codes"] for example in examples], texts, seeds)
        if self.alignment_texts is not None:
            captions = torch.tensor([self.numbers[example["caption"]] for example in examples])
            aligned = {"text_embeds": self.alignment_texts[captions], "captions": captions, "seeds": torch.tensor(seeds)}
            batch |= {f"alignment_{name}": value for name, value in aligned.items()}
        return batch


class TokenTrainer(MotionTextTrainer):
    """Trains a generator of motion tokens; text encoder and motion tokenizer stay as they are.

    Args:
        model (`TextMotionModel`): `T2MGPT`, `MoMask` or `HumanTomatoGPT`, with its processors.
        args (`MotionTextTrainingArguments`): Settings.
        train_dataset (`TokenDataset`): Clips as codes.
        alignment (`TextMotionAlignment`, *optional*): Adds the alignment of texts and predicted motions to the loss; both are logged.
        alignment_weight (`float`, defaults to 0.1): Its weight, HumanTOMATO's eta.
        **kwargs: As for `transformers.Trainer`.
    """

    ema = None

    def __init__(
        self,
        model: TextMotionModel,
        args: MotionTextTrainingArguments,
        train_dataset: TokenDataset,
        alignment: TextMotionAlignment | None = None,
        alignment_weight: float = 0.1,
        **kwargs: Any,
    ) -> None:
        self.alignment, self.alignment_weight = alignment, alignment_weight
        captions = sorted({caption for captions in train_dataset.clips.captions for caption in captions})
        warn_of_long_captions(captions, model.tokenizer, token_limit(model.text_encoder, model.config.max_text_tokens))
        collator = TokenCollator(model.to(args.device), captions, alignment)
        super().__init__(model=model, args=args, train_dataset=train_dataset, data_collator=collator, **kwargs)
        for callback in self.callback_handler.callbacks:
            if isinstance(callback, EvaluateMotionsCallback):
                callback.trainer = self

    def compute_loss(self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, **kwargs: Any) -> Any:
        """The model's loss and, if wanted, that of alignment."""
        texts = {name.removeprefix("alignment_"): inputs.pop(name) for name in list(inputs) if name.startswith("alignment_")}
        labels = inputs.get("labels")
        loss, outputs = super().compute_loss(model, inputs, return_outputs=True, **kwargs)
        if self.alignment is not None:
            seeds = texts.pop("seeds").tolist()
            aligned = self.alignment(outputs["logits"], labels, **texts, seeds=seeds)
            self.note(token_loss=loss, alignment_loss=aligned)
            loss = loss + self.alignment_weight * aligned
        return (loss, outputs) if return_outputs else loss

    def save_checkpoint(
        self, folder: str | Path, repo_id: str | None = None, token: str | None = None, record: TrainingRecord | None = None
    ) -> None:
        """Save the finished model as a complete repository.

        Args:
            folder (`str` or `pathlib.Path`): Where to.
            repo_id (`str`, *optional*): Push it to the Hub too.
            token (`str`, *optional*): Access token.
            record (`TrainingRecord`, *optional*): What its card tells of the training.
        """
        if not self.is_world_process_zero():
            return

        def write_card(path: Path, repository: str | None) -> None:
            if record is not None:
                record.write(path, repository)

        save_checkpoint(folder, [self.model], write_card, repo_id, token)
        leave_sign(Path(self.args.output_dir), Path(folder))


def new_token_model(
    model_type: str, motion_tokenizer: str, text_encoder: str, options: dict[str, Any] | None = None, max_text_tokens: int | None = None
) -> TextMotionModel:
    """Build a generator to train.

    Args:
        model_type (`str`): `"t2m-gpt"`, `"momask"` or `"humantomato-gpt"`.
        motion_tokenizer (`str`): Folder or repository of a `MotionVQModel`.
        text_encoder (`str`): Folder or repository of a text encoder, see `load_text_encoder`; an AdaCLIP is added to the weights.
        options (`dict`, *optional*): Of the model's configuration.
        max_text_tokens (`int`, *optional*): Longer captions are cut.

    Returns:
        `TextMotionModel`: With random weights around the frozen parts.

    Raises:
        ValueError: If the model type is unknown, or the tokenizer does not suit it.
    """
    if model_type not in MODELS:
        raise ValueError(f"model_type must be one of {', '.join(map(repr, MODELS))}, got {model_type!r}.")
    config_class, model_class = MODELS[model_type]
    check_options(options or {}, config_class, "model_options")
    motion_tokenizer = checkpoint_in(motion_tokenizer)
    vq_model = MotionVQModel.from_pretrained(motion_tokenizer, use_safetensors=True)
    encoder: PreTrainedModel = merged(load_text_encoder(text_encoder))
    encoder.config.architectures = [type(encoder).__name__]
    config = config_class(vq_model.config, encoder.config, max_text_tokens=max_text_tokens, **(options or {}))
    model = model_class(config, encoder, vq_model)
    model.tokenizer = load_text_tokenizer(text_encoder)
    model.feature_extractor = AutoFeatureExtractor.from_pretrained(motion_tokenizer)
    return model
