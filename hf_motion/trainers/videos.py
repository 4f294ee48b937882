"""Videos in the training of motion language models: which text is shown which, and batches that hold them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from ..models.motion_language.modeling_motion_language import MotionLanguageModel
from ..models.vimorag.from_retriever import add_video_prefix
from ..models.vimorag.processing_vimorag import ShownVideo, VimoRAGProcessor
from ..retrieval.video_building import GeminiMVREmbedder
from ..utils.faults import reason

logger = logging.getLogger("hf_motion")

NO_VIDEO = -1
"""In the column `video`: the row shows none."""

TOWERS = "projectors"
"""Part of the names of what puts towers into the language model's width."""


class ShownVideos:
    """For each key the first of its videos that can be used, by number.

    Args:
        processor (`VimoRAGProcessor`): Reads them; towers of pictures read each again when it is shown, since their inputs are large.
        candidates (`Mapping[str, Sequence[str]]`): Files for each key, best first. A key without any is shown none.
        show_progress (`bool`, defaults to `True`): Show a progress bar.

    Raises:
        ValueError: If none of the videos can be used; the message says why the first cannot.
    """

    def __init__(self, processor: VimoRAGProcessor, candidates: Mapping[str, Sequence[str]], show_progress: bool = True) -> None:
        self.processor, self.files = processor, list[str]()
        self._kept: dict[int, ShownVideo] = {}
        self._numbers: dict[str, int] = {}
        small, known, bad = processor.config.towers == ("keypoints",), dict[str, int](), dict[str, str]()
        for key, files in tqdm(candidates.items(), desc="Looking at videos", disable=not show_progress):
            for file in files:
                if file not in known and file not in bad:
                    try:
                        video = processor.read(file)
                    except (OSError, ValueError) as error:
                        bad[file] = reason(error)
                        continue
                    known[file] = len(self.files)
                    self.files.append(file)
                    self._kept[known[file]] = video if small else ShownVideo({}, video.length)
                if file in known:
                    self._numbers[key] = known[file]
                    break
        if bad:
            first = next(iter(bad))
            logger.warning("%d videos cannot be used and are passed over, such as %r: %s", len(bad), first, bad[first])
        if not self.files:
            why = f", the first because: {next(iter(bad.values()))}" if bad else ": there are none"
            raise ValueError(f"None of the retrieved videos can be used{why} Look at their paths, and make the data set anew.")

    def number(self, key: str) -> int:
        """The number of a key's video, or `NO_VIDEO`."""
        return self._numbers.get(key, NO_VIDEO)

    def text(self, number: int) -> str:
        """What stands for a video in a question."""
        return self._kept[number].text

    def read(self, number: int) -> ShownVideo:
        """A video."""
        return self._kept[number] if self._kept[number].inputs else self.processor.read(self.files[number])


class WithVideos:
    """A collator's batches with the videos that their rows show.

    Args:
        collator (`Callable`): Makes batches of rows.
        videos (`ShownVideos`): Videos by the numbers in the column `video`.
        copies (`int`, defaults to 1): How often a batch holds its rows one after the other; preferences hold them twice.
    """

    def __init__(self, collator: Callable[[list[Any]], dict[str, Tensor]], videos: ShownVideos, copies: int = 1) -> None:
        self.collator, self.videos, self.copies = collator, videos, copies

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """A batch."""
        numbers = [row["video"] for row in rows if row.get("video") not in (None, NO_VIDEO)]
        shown = [self.videos.read(number) for number in numbers] * self.copies
        return {**self.collator(list(rows)), **self.videos.processor.collate(shown)}


def seeing_model(name: str | Path, folder: Path, tower: str | None = None, seed: int = 0) -> str | Path:
    """A motion language model that sees videos: this one, or this one with a keypoint tower, which is saved into a folder once.

    Args:
        name (`str` or `pathlib.Path`): Folder or repository of a motion language model.
        folder (`pathlib.Path`): Where to, if it sees none yet.
        tower (`str`, *optional*): `GeminiMVR` whose action level it gets; the one inside the package by default.
        seed (`int`, defaults to 0): Of the new weights.

    Returns:
        `str` or `pathlib.Path`: Where the model is.
    """
    if (folder / "motion_tokenizer" / "config.json").is_file():
        return folder
    model = MotionLanguageModel.from_pretrained(name, dtype=torch.float32)
    if model.video_processor is not None:
        return name
    if model.has_adapters:
        model.merge_adapters()
    torch.manual_seed(seed)
    retriever = GeminiMVREmbedder.from_pretrained(tower).model
    add_video_prefix(model, retriever, generator=torch.Generator().manual_seed(seed)).save_pretrained(folder)
    return folder
