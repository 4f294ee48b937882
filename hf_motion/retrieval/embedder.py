"""A retrieval model with all that it needs to embed motions and texts."""

from __future__ import annotations

import hashlib
import inspect
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from huggingface_hub import snapshot_download
from torch import Tensor
from tqdm.auto import tqdm
from transformers import AutoFeatureExtractor, AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from ..checkpoints import EMBEDDED, say_licence
from ..hub.loading import load_part
from ..motion import Motion
from ..nn.padding import pad_and_mask
from ..representation import MotionFeatureExtractor
from ..utils.text import clean_text, warn_of_unread
from ..utils.training_folder import checkpoint_in

_NOT_LOADED = ["*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.tar"]


def checkpoint_folder(name: str | os.PathLike) -> Path:
    """A checkpoint's folder, the one in a training's folder too; one on the Hub is downloaded.

    Raises:
        OSError: If there is neither such a folder nor such a repository.
    """
    name = checkpoint_in(name)
    return Path(name) if Path(name).is_dir() else Path(snapshot_download(str(name), ignore_patterns=_NOT_LOADED))


def fingerprint(folder: Path) -> str:
    """sha256 of all weights, configurations and vocabularies of a checkpoint; cards, pictures and results do not count.

    Raises:
        ValueError: If the folder holds none of these.
    """
    parts = []
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        own = path.suffix in (".safetensors", ".json", ".txt", ".model") and path.name != "results.json"
        if own and path.is_file() and not {".cache", "motions"} & set(inside.parts):
            parts.append((inside.as_posix(), hashlib.sha256(path.read_bytes()).hexdigest()))
    if not parts:
        raise ValueError(f"{str(folder)!r} holds no weights and no configuration, so it is no checkpoint.")
    return hashlib.sha256(repr(parts).encode()).hexdigest()


class MotionTextEmbedder:
    """Embeds motions and texts with a retrieval model (`T2MEvaluator`, `TMR`, `AdaQFExtractors`).

    Motions come as features with their units, as `HumanML3DRepresentation.encode` gives them: the model's own statistics are applied
    here, once, whoever made the motion.

    Args:
        model (`PreTrainedModel`): With `get_motion_features` and `get_text_features`.
        tokenizer (`PreTrainedTokenizerBase`): Its tokenizer.
        feature_extractor (`MotionFeatureExtractor`): With the statistics that the model was trained with.
        batch_size (`int`, defaults to 64): Clips or texts at once; the results do not depend on it.
        name (`str`, defaults to the model's class): For reports.
        digest (`str`, *optional*): See `fingerprint`.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        feature_extractor: MotionFeatureExtractor,
        batch_size: int = 64,
        name: str | None = None,
        digest: str | None = None,
    ) -> None:
        if feature_extractor.mean is None or feature_extractor.std is None:
            raise ValueError(
                f"The feature extractor of {name or type(model).__name__} has no mean and std: its numbers cannot be compared. "
                "Save the one that the model was trained with beside it."
            )
        self.model, self.tokenizer, self.feature_extractor = model.eval(), tokenizer, feature_extractor
        self.batch_size, self.name, self.digest = batch_size, name or type(model).__name__, digest
        self._reads_tags = "pos_ids" in inspect.signature(model.get_text_features).parameters

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike, device: str | torch.device = "cpu", batch_size: int = 64) -> MotionTextEmbedder:
        """Load a complete retrieval checkpoint.

        Args:
            name (`str` or `os.PathLike`): Folder or Hub repository.
            device (`str` or `torch.device`, defaults to `"cpu"`): Where to run.
            batch_size (`int`, defaults to 64): As for the class.

        Raises:
            OSError: If there is no such checkpoint.
            ValueError: If it is no retrieval model, or lacks its feature extractor or its statistics.
        """
        folder = checkpoint_folder(name)
        if not (folder / "preprocessor_config.json").is_file():
            raise ValueError(
                f"{str(name)!r} has no preprocessor_config.json, which holds the mean and std that its numbers are measured with. "
                "Is it a retrieval checkpoint, saved with its tokenizer and its feature extractor?"
            )
        if folder.resolve().parent == EMBEDDED.resolve().parent:
            say_licence()
        model = load_part(AutoModel, folder, "model", dtype=torch.float32)
        if not hasattr(model, "get_motion_features"):
            raise ValueError(f"{str(name)!r} holds a {type(model).__name__}, which does not embed motions. Use a T2MEvaluator or a TMR.")
        extractor = load_part(AutoFeatureExtractor, folder, "feature_extractor")
        tokenizer = load_part(AutoTokenizer, folder, "tokenizer")
        return cls(model.to(device), tokenizer, extractor, batch_size, Path(name).name, fingerprint(folder))

    def encode(self, motions: Sequence[Motion]) -> list[Tensor]:
        """Features in units, (frames, dim) each, of motions at any frame rate: what `embed_motions` takes."""
        return [self.feature_extractor.denormalize(clip) for clip in self.feature_extractor.encode(motions)]

    def embed_motions(self, clips: Sequence[Tensor], show_progress: bool = False) -> np.ndarray:
        """Embed clips.

        Args:
            clips (`list[torch.Tensor]`): (frames, dim) each, in units, not normalised.
            show_progress (`bool`, defaults to `False`): Show a progress bar.

        Returns:
            `np.ndarray`: (clips, embed_dim) float64. A clip that is not finite has a row of NaN.
        """
        order = sorted(range(len(clips)), key=lambda index: len(clips[index]))
        rows: list[np.ndarray] = [np.empty(0)] * len(clips)
        for start in tqdm(range(0, len(order), self.batch_size), desc=f"Embedding ({self.name})", disable=not show_progress):
            batch = order[start : start + self.batch_size]
            features = [self.feature_extractor.normalize(clips[index][: self.feature_extractor.max_frames]) for index in batch]
            padded, mask = pad_and_mask(features)
            finite = torch.stack([clip.isfinite().all() for clip in features])
            padded[~finite] = 0
            with _exact():
                output = self.model.get_motion_features(padded.to(self.model.device), mask.to(self.model.device)).float().cpu()
            output[~finite] = torch.nan
            for index, row in zip(batch, output.double().numpy(), strict=True):
                rows[index] = row
        return np.stack(rows)

    def embed_texts(self, texts: Sequence[str], tags: Mapping[str, str] | None = None) -> np.ndarray:
        """Embed texts, each distinct one once; a warning says what of them the model does not read.

        Args:
            texts (`list[str]`): Captions.
            tags (`Mapping[str, str]`, *optional*): The `word/POS` form of captions, for models that read parts of speech; the tokenizer
                tags those without.

        Returns:
            `np.ndarray`: (texts, embed_dim) float64.

        Raises:
            ValueError: If a text is empty.
        """
        cleaned = {text: clean_text(text) for text in dict.fromkeys(texts)}
        texts = [cleaned[text] for text in texts]
        tags = {text: tags[raw] for raw, text in cleaned.items() if raw in tags} if tags else None
        warn_of_unread_captions(self.tokenizer, texts, tags if self._reads_tags else None)
        distinct = sorted(set(texts), key=lambda text: (len(text), text))
        rows: dict[str, np.ndarray] = {}
        for start in range(0, len(distinct), self.batch_size):
            batch = distinct[start : start + self.batch_size]
            inputs = tokenize_captions(self.tokenizer, batch, tags if self._reads_tags else None)
            with _exact():
                output = self.model.get_text_features(**{key: value.to(self.model.device) for key, value in inputs.items()}).float().cpu()
            rows.update(zip(batch, output.double().numpy(), strict=True))
        return np.stack([rows[text] for text in texts])


@contextmanager
def _exact() -> Iterator[None]:
    """No gradients, and no TF32 in cuDNN's convolutions and GRUs, which is on by default and moves scores."""
    with torch.no_grad(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield


def tokenize_captions(
    tokenizer: PreTrainedTokenizerBase, captions: Sequence[str], tags: Mapping[str, str] | None = None
) -> dict[str, Tensor]:
    """`input_ids`, `attention_mask` and, for a tokenizer that knows them, `pos_ids` of captions, padded to the longest.

    Args:
        tokenizer (`PreTrainedTokenizerBase`): Any.
        captions (`list[str]`): Texts; cut at the tokenizer's limit.
        tags (`Mapping[str, str]`, *optional*): The `word/POS` form of captions.
    """
    options = {}
    if "pos_ids" in tokenizer.model_input_names:
        options["pos_tagged"] = [(tags or {}).get(caption) for caption in captions]
    limit = _limit(tokenizer)
    output = tokenizer(list(captions), padding=True, truncation=limit is not None, max_length=limit, return_tensors="pt", **options)
    return {name: output[name] for name in ("input_ids", "attention_mask", "pos_ids") if name in output}


def warn_of_unread_captions(tokenizer: PreTrainedTokenizerBase, captions: Sequence[str], tags: Mapping[str, str] | None = None) -> None:
    """Say what of captions `tokenize_captions` leaves out, see `hf_motion.utils.text.warn_of_unread`."""
    warn_of_unread(captions, tokenizer, _limit(tokenizer), tags)


def _limit(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """Tokens that are read."""
    return tokenizer.model_max_length if tokenizer.model_max_length < 10**6 else None
