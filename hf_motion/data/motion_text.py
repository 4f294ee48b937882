"""Captioned motion as a data set: parquet files or a Hub repository in, training examples out."""

from __future__ import annotations

import logging
import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler
from tqdm.auto import tqdm

from ..canonical import uniform_skeleton
from ..floor import level_floor
from ..hands import without_hands
from ..motion import Motion
from ..nn.padding import pad_and_mask
from ..representation import MotionFeatureExtractor
from ..representation.fixed_bones import fixed_bones
from ..skeletons import HUMANML3D_22, get_skeleton
from ..utils.extras import require
from ..utils.faults import reading
from ..utils.text import tidy_text
from ..utils.training_folder import check_place
from .face_columns import face_of_row
from .paraphrases import Paraphrases

logger = logging.getLogger("hf_motion")

_ENCODE_BATCH = 64
WAY_OUT = "Repair or drop the row, or skip and count such rows with strict=False."
_OTHER_SIDE = {
    "left": "right", "leftward": "rightward", "leftwards": "rightwards", "clockwise": "counterclockwise",
    "lefthand": "righthand", "lefthanded": "righthanded",
}  # fmt: skip
_OTHER_SIDE.update({right: left for left, right in _OTHER_SIDE.items()})
_WORD = re.compile(r"[^\W\d_]+")
_SIDE_WORD = re.compile(rf"(?<!energy )\b((?:counter|anti)[- ]?clockwise|{'|'.join(_OTHER_SIDE)})\b", re.IGNORECASE)


def load_motion_rows(source: str, split: str | None = None) -> Any:
    """Load captioned motions as a `datasets.Dataset`.

    Args:
        source (`str`): A parquet file, a folder of them, or the id of a data set on the Hub.
        split (`str`, *optional*): Keep the rows whose `split` column says so (files), or load that split (Hub).

    Returns:
        `datasets.Dataset`: With the columns `id`, `fps`, `n_frames`, `joints` (flat, n_frames x joints x 3) and `captions` (a list
        of records with `text`), and whatever else the files hold.

    Raises:
        FileNotFoundError: If the folder has no parquet file, or there is no such folder and the name cannot be a data set's on the Hub.
        ValueError: If a file is not parquet, a column is missing, or no row is of the wanted split.
    """
    load_dataset = require("datasets", "Reading data sets").load_dataset
    path = Path(source)
    check_place(source, "a data set's folder or parquet file")
    if path.exists():
        files = [path] if path.is_file() else sorted(path.rglob("*.parquet"))
        if not files:
            raise FileNotFoundError(f"No .parquet file in {source!r}.")
        for file in files:
            _check_parquet(file)
        with reading(path, "a readable data set of parquet files"):
            rows = load_dataset("parquet", data_files=[str(file) for file in files], split="train")
    else:
        rows = load_dataset(source, split=split or "train")
    missing = {"id", "fps", "n_frames", "joints", "captions"} - set(rows.column_names)
    if missing:
        raise ValueError(f"{source!r} lacks the columns {sorted(missing)}; it has {rows.column_names}.")
    if split is not None and "split" in rows.column_names:
        splits = rows["split"]
        known = sorted(set(splits))
        if split not in known:
            raise ValueError(f"{source!r} has no rows of split {split!r}; its splits are {known}.")
        rows = rows.select([index for index, name in enumerate(splits) if name == split])
    return rows


def _check_parquet(file: Path) -> None:
    parquet = require("pyarrow.parquet", "Reading data sets")
    with reading(file, "a readable parquet file (truncated or another format)"):
        parquet.read_metadata(file)


def take_rows(rows: Any, count: int | None, seed: int = 0) -> Any:
    """A fixed random part of a data set: the rows of a smaller count are among those of a larger one.

    Args:
        rows (`datasets.Dataset`): All rows.
        count (`int`, *optional*): How many; all by default.
        seed (`int`, defaults to 0): Which.

    Raises:
        ValueError: If there are not so many.
    """
    if count is None:
        return rows
    if not 1 <= count <= len(rows):
        raise ValueError(f"Cannot take {count} clips of {len(rows)}; take from 1 to {len(rows)}.")
    return rows.select(np.random.default_rng(seed).permutation(len(rows))[:count])


def read_row(row: dict[str, Any], skeleton: str) -> tuple[Motion, list[str]]:
    """The motion and the captions of a row.

    Of a row whose column `skeleton` says that it has fingers, a body without them can be asked for, which is said once.

    Raises:
        ValueError: If the row's numbers do not fit together, are not finite, or it has no caption; the message names the row.
    """
    try:
        wanted = get_skeleton(skeleton)
        own = get_skeleton(row.get("skeleton") or skeleton) if wanted == HUMANML3D_22 else wanted
        joints = np.asarray(row["joints"], dtype=np.float32).reshape(row["n_frames"], len(own), 3)
        motion = Motion(joints, fps=row["fps"], skeleton=own, face=face_of_row(row))
        if own != wanted:
            motion = without_hands(motion)
            _say_without_hands(own.name)
        captions = [text for caption in row["captions"] if (text := tidy_text(caption["text"]))]
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
        raise ValueError(f"Row {row['id']!r} is unreadable: {error} {WAY_OUT}") from error
    if not captions:
        raise ValueError(f"Row {row['id']!r} has no caption. {WAY_OUT}")
    return motion, captions


@cache
def _say_without_hands(skeleton: str) -> None:
    logger.warning("The clips are on %s, their bodies are wanted: fingers are left out.", skeleton)


def read_tags(row: dict[str, Any]) -> dict[str, str]:
    """Those captions of a row that come with parts of speech, each with its `word/POS word/POS` form."""
    tagged = ((tidy_text(caption["text"]), caption.get("pos_tagged")) for caption in row["captions"])
    return {text: tags for text, tags in tagged if text and tags}


def published_features(row: dict[str, Any], extractor: MotionFeatureExtractor) -> Tensor | None:
    """Features that came with a row, (frames, dim) in units, if the extractor would make the same kind; else None.

    Features computed anew from joints that were recovered from features would be a frame shorter and differ at the end.
    """
    values = row.get("features")
    same = values and len(values) == row["n_frames"] * extractor.dim and row["fps"] == extractor.fps and extractor.uniform_skeleton
    return torch.tensor(values).reshape(-1, extractor.dim) if same else None


def mirror_motion(motion: Motion) -> Motion:
    """The motion seen in a mirror: x negated, left and right joints and the sides in its text exchanged."""
    return replace(motion.mirror(), text=mirror_text(motion.text) if motion.text else None)


def mirror_text(text: str) -> str:
    """The caption of a mirrored clip.

    Example:
        >>> mirror_text("a person turns left, then waves the Right hand with no energy left")
        'a person turns right, then waves the Left hand with no energy left'
    """

    def swap(match: re.Match[str]) -> str:
        word = _OTHER_SIDE.get(match[0].lower(), "clockwise")
        return word.capitalize() if match[0][0].isupper() else word

    return _SIDE_WORD.sub(swap, text)


class MotionTextDataset(Dataset):
    """Clips as normalised features with their captions, held in memory.

    An index is a pair (clip, seed): which caption, and which part of a clip that is too long, follow from the seed alone, so an
    example does not depend on which process or worker makes it. `captions` and `sources` are each clip's; `tags` holds the `word/POS`
    form of those that came with one, `wordings` the other wordings of those captions that have some. Rows that carry published `features`
    of the extractor's kind are taken as published; others are encoded from joints.

    Args:
        rows (`datasets.Dataset`): See `load_motion_rows`.
        feature_extractor (`MotionFeatureExtractor`): With the statistics to normalise with.
        mirror (`bool`, defaults to `False`): Add every clip mirrored, sides exchanged in its captions. Data that brings its own mirrored
            clips (`mirror` column) gets no more.
        min_frames (`int`, defaults to 24): Shorter clips are left out; `skipped` counts them.
        strict (`bool`, defaults to `True`): Raise at an unreadable row rather than skip and count it.
        show_progress (`bool`, defaults to `True`): Show a progress bar.
        level_floor (`bool`, defaults to `False`): Let feet stand at height 0 all along each clip, on the extractor's uniform body, see
            `hf_motion.floor.level_floor`. Published features stay as they are.
        paraphrases (`Paraphrases`, *optional*): Other wordings of captions, see `load_paraphrases`.
        paraphrase_share (`float`, defaults to 0.5): Probability of replacing a caption that has other wordings by one of them.
        fixed_bones (`bool`, defaults to `False`): Put clips on the body that decoding ends on, pelvis and chest included, see
            `hf_motion.representation.fixed_bones`, so that a model trained on them needs no correction. Published features stay.
        example_share (`float`, defaults to 0.0): Probability of giving, as `example`, the plain sentence of the action beside a caption
            that has other wordings, as `ground_prompts` of a pipeline does.

    Raises:
        ValueError: If a row is unreadable (and `strict`), or none is left; or a share is no probability, or no caption has wordings.
    """

    def __init__(
        self,
        rows: Any,
        feature_extractor: MotionFeatureExtractor,
        mirror: bool = False,
        min_frames: int = 24,
        strict: bool = True,
        show_progress: bool = True,
        level_floor: bool = False,
        paraphrases: Paraphrases | None = None,
        paraphrase_share: float = 0.5,
        fixed_bones: bool = False,
        example_share: float = 0.0,
    ) -> None:
        for name, share in (("paraphrase_share", paraphrase_share), ("example_share", example_share)):
            if not 0 <= share <= 1:
                raise ValueError(f"{name} must be a probability, from 0 to 1, got {share}.")
        if example_share and paraphrases is None:
            raise ValueError("example_share takes its examples from other wordings: pass paraphrases too.")
        self.feature_extractor, self.paraphrase_share, self.example_share = feature_extractor, paraphrase_share, example_share
        self.ids: list[str] = []
        self.sources: list[str] = []
        self.captions: list[list[str]] = []
        self.tags: dict[str, str] = {}
        self.skipped: Counter[str] = Counter()
        self._published: dict[int, Tensor] = {}
        motions = self._read(rows, mirror, min_frames, strict, show_progress, _Preparation(feature_extractor, level_floor, fixed_bones))
        if not motions:
            raise ValueError(f"No usable clip among {len(rows)} rows; left out: {dict(self.skipped)}. Lower min_frames?")
        self.wordings = self._find_wordings(paraphrases) if paraphrases is not None else {}
        self._examples = self._find_examples(paraphrases) if example_share else {}
        # Clips of like length together, so that little is padded.
        order = sorted((index for index in range(len(motions)) if index not in self._published), key=lambda index: len(motions[index]))
        self.features: list[Tensor] = [self._published.get(index, torch.empty(0)) for index in range(len(motions))]
        for start in tqdm(range(0, len(order), _ENCODE_BATCH), desc="Encoding motions", disable=not show_progress):
            batch = order[start : start + _ENCODE_BATCH]
            for index, features in zip(batch, feature_extractor.encode([motions[index] for index in batch]), strict=True):
                self.features[index] = features.clone()

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, index: tuple[int, int]) -> dict[str, Any]:
        clip, seed = index
        features = self.features[clip]
        draw = random.Random(seed)
        caption = draw.choice(self.captions[clip])
        surplus = len(features) - self.feature_extractor.max_frames
        if surplus > 0:
            start = draw.randint(0, surplus)
            features = features[start : start + self.feature_extractor.max_frames]
        wordings, examples, original = self.wordings.get(caption), self._examples.get(caption), caption
        if wordings and draw.random() < self.paraphrase_share:
            caption = draw.choice(wordings)
        example = {"example": draw.choice(examples)} if examples and draw.random() < self.example_share else {}
        return {"motion_features": features, "caption": caption, "original": original, "seed": seed, "clip": clip, **example}

    @property
    def lengths(self) -> list[int]:
        """Frames per clip, after cutting."""
        return [min(len(features), self.feature_extractor.max_frames) for features in self.features]

    def texts(self) -> list[str]:
        """Every text that an example can have, once each: captions and their other wordings, sorted."""
        captions = {caption for captions in self.captions for caption in captions}
        if self.paraphrase_share:
            captions.update(wording for wordings in self.wordings.values() for wording in wordings)
        captions.update(example for examples in self._examples.values() for example in examples)
        return sorted(captions)

    def balanced_weights(
        self, strength: float, source_weights: dict[str, float] | None = None, caption_weights: dict[str, float] | None = None
    ) -> list[float]:
        """Sampling weights that lift rare actions: (clips that share the clip's rarest word) ** -strength.

        Args:
            strength (`float`): 0 draws clips evenly, 1 gives every rarest word the same share.
            source_weights (`dict[str, float]`, *optional*): Factors of clips whose `source` column contains a text, such as
                `{"keyframed": 0.4}`; of several that it contains, all count.
            caption_weights (`dict[str, float]`, *optional*): Factors of clips one of whose captions contains a text, such as
                `{"backward": 3}`, in the same way.

        Raises:
            ValueError: If a factor is negative, or no clip's source or captions contain a text.
        """
        words = [set(_WORD.findall(" ".join(captions).lower())) for captions in self.captions]
        counts = Counter(word for clip in words for word in clip)
        weights = [min((counts[word] for word in clip), default=1) ** -strength for clip in words]
        captions = ["\n".join(texts) for texts in self.captions]
        for name, texts, factors in (("source", self.sources, source_weights), ("caption", captions, caption_weights)):
            for text, factor in (factors or {}).items():
                chosen = [index for index, where in enumerate(texts) if text in where]
                if not chosen or not factor >= 0:
                    raise ValueError(
                        f"{name}_weights={{{text!r}: {factor}}}: factors are 0 or more, and a text must be in some clip's {name}; some are "
                        f"{sorted(set(texts))[:20]}."
                    )
                for index in chosen:
                    weights[index] *= factor
        return weights

    def fit_statistics(self) -> None:
        """Set the extractor's mean and std from these clips and normalise them.

        HumanML3D's convention: the std is averaged within each slice, so that joints keep their relative weights; of skeletons with
        fingers body and hands apart, see `hf_motion.data.statistics.convention_std`.
        """
        count = sum(len(features) for features in self.features)
        mean = sum(features.sum(0, dtype=torch.float64) for features in self.features) / count
        std = (sum((features - mean).square().sum(0) for features in self.features) / count).sqrt()
        groups = self.feature_extractor.features.groups.values()
        for part in self.feature_extractor.features.slices.values():
            for group in groups:
                chosen = [feature for feature in group if part.start <= feature < part.stop]
                if chosen:
                    std[chosen] = std[chosen].mean().clamp_min(1e-4)
        self.feature_extractor.mean, self.feature_extractor.std = mean.float().tolist(), std.float().tolist()
        self.features = [self.feature_extractor.normalize(features) for features in self.features]

    def _find_examples(self, paraphrases: Paraphrases) -> dict[str, list[str]]:
        """Plain sentences of the actions by caption; a mirrored clip's are mirrored."""
        return {
            caption: paraphrases.examples(caption) or [mirror_text(text) for text in paraphrases.examples(mirror_text(caption))]
            for caption in self.wordings
        }

    def _find_wordings(self, paraphrases: Paraphrases) -> dict[str, list[str]]:
        """Other wordings by caption; those of a mirrored clip's caption are the mirrored ones of the caption it came from."""
        found = {}
        for caption in sorted({caption for captions in self.captions for caption in captions}):
            wordings = paraphrases(caption) or [mirror_text(wording) for wording in paraphrases(mirror_text(caption))]
            if wordings:
                found[caption] = wordings
        if not found:
            raise ValueError("None of the captions has other wordings in these paraphrases; they are of another data set. Train without.")
        return found

    def _read(self, rows: Any, mirror: bool, min_frames: int, strict: bool, show_progress: bool, prepare: _Preparation) -> list[Motion]:
        motions = []
        mirror = mirror and not ("mirror" in rows.column_names and any(rows["mirror"]))
        for row in tqdm(rows, desc="Reading motions", disable=not show_progress):
            try:
                motion, captions = read_row(row, self.feature_extractor.skeleton)
            except ValueError:
                if strict:
                    raise
                self.skipped["unreadable"] += 1
                continue
            if motion.duration * self.feature_extractor.fps <= max(min_frames, 1):
                self.skipped["too short"] += 1
                continue
            features = published_features(row, self.feature_extractor)
            if features is not None:
                self._published[len(motions)] = self.feature_extractor.normalize(features)
            motion = prepare(motion)
            motions.append(motion)
            self.ids.append(str(row["id"]))
            self.sources.append(str(row.get("source", "")))
            self.captions.append(captions)
            tags = read_tags(row)
            self.tags.update(tags)
            if mirror:
                self.tags.update((mirror_text(caption), mirror_text(tagged)) for caption, tagged in tags.items())
                motions.append(mirror_motion(motion))
                self.ids.append(f"{row['id']} (mirrored)")
                self.sources.append(self.sources[-1])
                self.captions.append([mirror_text(caption) for caption in captions])
        return motions


@dataclass(frozen=True)
class _Preparation:
    """What is done to clips before features are taken."""

    extractor: MotionFeatureExtractor
    level_floor: bool
    fixed_bones: bool

    def __call__(self, motion: Motion) -> Motion:
        if self.fixed_bones:
            motion = put_on_one_body(motion, self.extractor)
        elif self.level_floor and self.extractor.features.uniform_skeleton:
            motion = uniform_skeleton(motion)
        return level_floor(motion) if self.level_floor else motion


def put_on_one_body(motion: Motion, extractor: MotionFeatureExtractor) -> Motion:
    """A motion on the body that an extractor's decoding ends on, see `hf_motion.representation.fixed_bones`."""
    motion = uniform_skeleton(motion) if extractor.features.uniform_skeleton else motion
    return replace(motion, joints=fixed_bones(torch.from_numpy(motion.joints).double(), motion.skeleton))


class LengthBucketSampler(Sampler[tuple[int, int]]):
    """Draws clips with given weights, in batches of similar length, the same for any number of processes.

    Each draw is a pair (clip, seed); all of an epoch follows from `seed` and the epoch.

    Args:
        lengths (`list[int]`): Frames per clip.
        weights (`list[float]`): Relative probability per clip.
        batch_size (`int`): Clips per optimisation step over all processes.
        seed (`int`, defaults to 0): Seed.
        epoch_size (`int`, *optional*): Draws per epoch, the number of clips by default; rounded up to whole batches.
    """

    def __init__(
        self, lengths: Sequence[int], weights: Sequence[float], batch_size: int, seed: int = 0, epoch_size: int | None = None
    ) -> None:
        self.lengths = np.asarray(lengths)
        self.weights = np.asarray(weights, dtype=np.float64) / np.sum(weights)
        self.batch_size, self.seed, self.epoch = batch_size, seed, 0
        self.batches = -(-(epoch_size or len(lengths)) // batch_size)

    def __len__(self) -> int:
        return self.batches * self.batch_size

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch to draw next."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[tuple[int, int]]:
        draw = np.random.default_rng((self.seed, self.epoch))
        clips = draw.choice(len(self.lengths), size=len(self), p=self.weights)
        # Clips are sorted by length with some noise, so that batches are alike in length but not the same every epoch.
        order = np.argsort(self.lengths[clips] * draw.uniform(0.9, 1.1, len(clips)), kind="stable")
        batches = clips[order].reshape(self.batches, self.batch_size)
        batches = draw.permuted(batches[draw.permutation(self.batches)], axis=1)
        seeds = draw.integers(2**31, size=len(self))
        return iter(zip(batches.ravel().tolist(), seeds.tolist(), strict=True))


def collate_motion_text(examples: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Pad examples of `MotionTextDataset` to a batch.

    Returns:
        `dict`: `motion_features` (batch, frames, dim), `attention_mask` (batch, frames) int64, `seeds` (batch,) int64 and
        `captions`, a list of strings.
    """
    features, mask = pad_and_mask([example["motion_features"] for example in examples])
    return {
        "motion_features": features,
        "attention_mask": mask,
        "seeds": torch.tensor([example["seed"] for example in examples]),
        "captions": [example["caption"] for example in examples],
    }
