"""From texts, and videos as files, frames or keypoints, to what `GeminiMVR` reads."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoImageProcessor, AutoTokenizer

from ...hub.loading import load_part
from ...motion import Motion
from ...nn.padding import pad_and_mask
from ...utils.faults import reading
from ...video.blazepose import BlazePoseDetector
from ...video.cameras import film_plainly
from ...video.frames import Video, VideoFrames, read_frames
from ...video.keypoints import Keypoints
from ...video.poses import PoseDetector, keypoints_of, read_keypoints

VideoInput = Video | VideoFrames | np.ndarray | Keypoints | Motion
"""A file, its bytes, a row of a video column; frames that were read; (n, height, width, 3) uint8; keypoints; or a motion, filmed."""


class GeminiMVRProcessor:
    """Makes inputs of `GeminiMVR`.

    Args:
        tokenizer (`PreTrainedTokenizerBase`, *optional*): Of the action level's text tower.
        object_tokenizer (`PreTrainedTokenizerBase`, *optional*): Of the object level; without one the same tokens go to both.
        image_processor (`BaseImageProcessor`, *optional*): Of the object level; without one there are no `pixel_values`.
        detector (`PoseDetector`, *optional*): Finds people; a `BlazePoseDetector` by default, made when it is first needed.
        num_frames (`int`, defaults to 16): Frames of a video, the model's `max_frames`.
        sampling (`str`, defaults to `"vimorag"`): As for `read_frames`.
        least_people (`float`, defaults to 0.5): Share of frames that must show a person, see `Keypoints.check_people`.

    Example:
        >>> processor = GeminiMVRProcessor()
        >>> points = Keypoints(np.ones((8, 17, 3)), np.arange(8), (640, 480), np.ones(8))
        >>> processor(videos=[points])["motion_features"].shape
        torch.Size([1, 8, 51])
    """

    def __init__(
        self,
        tokenizer: Any = None,
        object_tokenizer: Any = None,
        image_processor: Any = None,
        detector: PoseDetector | None = None,
        num_frames: int = 16,
        sampling: str = "vimorag",
        least_people: float = 0.5,
    ) -> None:
        self.tokenizer, self.object_tokenizer, self.image_processor = tokenizer, object_tokenizer, image_processor
        self.num_frames, self.sampling, self.least_people = num_frames, sampling, least_people
        self._detector = detector

    @property
    def detector(self) -> PoseDetector:
        """What finds people."""
        if self._detector is None:
            self._detector = BlazePoseDetector()
        return self._detector

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike, **options: Any) -> GeminiMVRProcessor:
        """Load tokenizers and image processor of a folder, those that it has.

        Args:
            name (`str` or `os.PathLike`): Folder of a checkpoint. The object level's parts are in its folder `object`.
            **options: As for the class.

        Raises:
            OSError: If there is no tokenizer.
        """
        objects = Path(name) / "object"
        options.setdefault("tokenizer", load_part(AutoTokenizer, name, "tokenizer"))
        if (objects / "tokenizer_config.json").is_file():
            options.setdefault("object_tokenizer", load_part(AutoTokenizer, objects, "tokenizer"))
        if (objects / "preprocessor_config.json").is_file():
            with reading(objects, "an image processor's folder"):
                options.setdefault("image_processor", AutoImageProcessor.from_pretrained(objects))
        return cls(**options)

    def save_pretrained(self, folder: str | os.PathLike) -> None:
        """Save tokenizers and image processor; the detector is not part of a checkpoint."""
        if self.tokenizer is not None:
            self.tokenizer.save_pretrained(folder)
        for part in (self.object_tokenizer, self.image_processor):
            if part is not None:
                part.save_pretrained(Path(folder) / "object")

    def __call__(self, texts: str | Sequence[str] | None = None, videos: Sequence[VideoInput] | None = None) -> dict[str, Tensor]:
        """Inputs of texts, of videos, or of both.

        Args:
            texts (`str` or `list[str]`, *optional*): Sentences.
            videos (`list`, *optional*): Files, bytes, rows of a video column, `VideoFrames`, arrays of frames, or `Keypoints`.

        Returns:
            `dict[str, torch.Tensor]`: `input_ids`, `text_mask` and, with an object tokenizer, `object_input_ids` and `object_text_mask`;
            `motion_features`, `attention_mask` and, with an image processor, `pixel_values`: as `GeminiMVR.forward` takes them.

        Raises:
            ValueError: If there is neither, a video cannot be read or hardly shows a person, or keypoints come without the frames that an
                object level needs.
        """
        if texts is None and videos is None:
            raise ValueError("Pass texts, videos, or both.")
        inputs = {} if texts is None else self.read_texts([texts] if isinstance(texts, str) else texts)
        if videos is None:
            return inputs
        read = [self.read_video(video) for video in videos]
        features, mask = pad_and_mask([torch.from_numpy(keypoints.crop_scale()).flatten(1) for keypoints, _ in read])
        inputs |= {"motion_features": features, "attention_mask": mask}
        if self.image_processor is not None:
            frames = [found for _, found in read if found is not None]
            if len(frames) < len(read):
                raise ValueError("The object level reads frames, and keypoints have none. Pass files or frames.")
            pixels = [self.image_processor(list(images), return_tensors="pt")["pixel_values"] for images in frames]
            inputs["pixel_values"] = pad_and_mask(pixels)[0]
        return inputs

    def read_texts(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """Tokens of texts for both levels."""
        inputs = {}
        for prefix, tokenizer in (("", self.tokenizer), ("object_", self.object_tokenizer)):
            if tokenizer is not None:
                limit = tokenizer.model_max_length if tokenizer.model_max_length < 10**6 else None
                tokens = tokenizer(list(texts), padding=True, truncation=limit is not None, max_length=limit, return_tensors="pt")
                inputs |= {f"{prefix}input_ids": tokens["input_ids"], f"{prefix}text_mask": tokens["attention_mask"]}
        if not inputs:
            raise ValueError("This processor has no tokenizer. Load it with from_pretrained, or pass one.")
        return inputs

    def read_video(self, video: VideoInput) -> tuple[Keypoints, np.ndarray | None]:
        """Keypoints of a video and, where an image processor needs them, its frames.

        Raises:
            ValueError: If it cannot be read, or hardly shows a person.
        """
        frames = None
        if isinstance(video, Keypoints):
            keypoints = video.sample(self.num_frames, self.sampling)
        elif isinstance(video, Motion):
            keypoints = film_plainly(video, self.num_frames, self.sampling)
        elif isinstance(video, (VideoFrames, np.ndarray)):
            if isinstance(video, np.ndarray):
                video = VideoFrames(video, np.arange(len(video), dtype=np.float64), 1.0, float(len(video)))
            frames, keypoints = video.frames, keypoints_of(video, self.detector)
        elif isinstance(video, (str, bytes, os.PathLike, Mapping)):
            keypoints = read_keypoints(video, self.detector, self.num_frames, self.sampling)
            if self.image_processor is not None:
                frames = read_frames(video, self.num_frames, self.sampling).frames
        else:
            raise ValueError(
                f"A video is a file, bytes, a row of a video column, frames, Keypoints or a Motion, got a {type(video).__name__}."
            )
        keypoints.check_people(self.least_people)
        return keypoints, frames
