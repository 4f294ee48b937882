"""From videos as files, frames or keypoints to what `VimoRAGForCausalLM` reads."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoImageProcessor

from ...motion import Motion
from ...nn.padding import pad_and_mask
from ...utils.faults import reading
from ...video.blazepose import BlazePoseDetector
from ...video.cameras import film_plainly
from ...video.frames import Video, VideoFrames, read_frames
from ...video.keypoints import Keypoints
from ...video.poses import PoseDetector, keypoints_of, read_keypoints
from .configuration_vimorag import VimoRAGConfig

VIDEO_TOKEN = "<video>"
"""The token in whose places vectors of a video go."""

AS_SHOWN = "a person moves as in the video"
"""The text that leaves everything to the video, see `silent_share` of `hf_motion.trainers.instructions.instruction_rows`."""

VideoInput = Video | VideoFrames | np.ndarray | Keypoints | Motion
"""As for a `GeminiMVRProcessor`; a file may also be an `.npz` of keypoints."""

_FOLDERS = {"images": "image_processor", "videos": "video_processor"}
_REMEMBERED = {True: 4096, False: 64}  # keypoints take a few kilobytes, frames megabytes


class ShownVideo(NamedTuple):
    """A video that was read.

    Args:
        inputs (`dict[str, torch.Tensor]`): What the model's towers read of it, without batch.
        length (`int`): Places that it takes in a question.
    """

    inputs: dict[str, Tensor]
    length: int

    @property
    def text(self) -> str:
        """What stands for it in a question."""
        return VIDEO_TOKEN * self.length


class VimoRAGProcessor:
    """Reads videos for a `VimoRAGForCausalLM`; the last files that were read are remembered.

    Args:
        config (`VimoRAGConfig`): Says which towers there are and how many frames they see.
        image_processor (`BaseImageProcessor`, *optional*): Of the tower of single frames.
        video_processor (`BaseImageProcessor`, *optional*): Of the tower of chunks of frames; it makes pictures of pictures.
        detector (`PoseDetector`, *optional*): Finds people; a `BlazePoseDetector` by default, made when it is first needed.
        least_people (`float`, defaults to 0.5): Share of frames that must show a person, where there is a keypoint tower.
    """

    def __init__(
        self,
        config: VimoRAGConfig,
        image_processor: Any = None,
        video_processor: Any = None,
        detector: PoseDetector | None = None,
        least_people: float = 0.5,
    ) -> None:
        self.config, self.least_people = config, least_people
        self.processors = {"images": image_processor, "videos": video_processor}
        self._detector = detector
        self._remembered: OrderedDict[tuple[str, int, int], ShownVideo] = OrderedDict()

    @property
    def detector(self) -> PoseDetector:
        """What finds people."""
        if self._detector is None:
            self._detector = BlazePoseDetector()
        return self._detector

    @detector.setter
    def detector(self, detector: PoseDetector) -> None:
        self._detector = detector
        self._remembered.clear()

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike, config: VimoRAGConfig, **options: Any) -> VimoRAGProcessor:
        """Load the image processors of a folder, those that it has.

        Args:
            name (`str` or `os.PathLike`): Folder of a checkpoint, with folders `image_processor` and `video_processor`.
            config (`VimoRAGConfig`): As for the class.
            **options: The same.
        """
        for folder in _FOLDERS.values():
            if (Path(name) / folder / "preprocessor_config.json").is_file():
                with reading(Path(name) / folder, "an image processor's folder"):
                    options.setdefault(folder, AutoImageProcessor.from_pretrained(Path(name) / folder))
        return cls(config, **options)

    def save_pretrained(self, folder: str | os.PathLike) -> None:
        """Save the image processors; the detector is not part of a checkpoint."""
        for name, processor in self.processors.items():
            if processor is not None:
                processor.save_pretrained(Path(folder) / _FOLDERS[name])

    def read(self, video: VideoInput | ShownVideo) -> ShownVideo:
        """Read a video.

        Args:
            video: A file, also `.npz` with keypoints, bytes, a row of a video column, `VideoFrames`, an array of frames, `Keypoints`,
                or a `Motion`.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it cannot be read, hardly shows a person, or comes as keypoints where towers read frames.
        """
        if isinstance(video, ShownVideo):
            return video
        if not isinstance(video, (str, os.PathLike)) or not Path(video).is_file():
            return self._read(video)
        about = os.stat(video)
        key = (os.path.abspath(video), about.st_size, about.st_mtime_ns)
        if key not in self._remembered:
            self._remembered[key] = self._read(video)
            while len(self._remembered) > _REMEMBERED[self.config.towers == ("keypoints",)]:
                self._remembered.popitem(last=False)
        self._remembered.move_to_end(key)
        return self._remembered[key]

    def _read(self, video: VideoInput) -> ShownVideo:
        config, inputs, frames, count = self.config, {}, None, 0
        pictures = [name for name in config.towers if name != "keypoints"]
        if pictures:
            frames = self._frames(video)
        if "keypoints" in config.towers:
            keypoints = self._keypoints(video, frames)
            keypoints.check_people(self.least_people)
            inputs["motion_features"] = torch.from_numpy(keypoints.crop_scale()).flatten(1)
            count = len(keypoints)
        for name in pictures:
            processor = self.processors[name]
            if processor is None:
                raise ValueError(f"The tower of {name} needs its image processor: VimoRAGProcessor(config, {_FOLDERS[name]}=...).")
            pixels = torch.as_tensor(processor(list(frames), return_tensors="pt")["pixel_values"])
            whole = F.pad(pixels, (0, 0, 0, 0, 0, 0, 0, config.num_frames - len(pixels)))
            inputs["pixel_values" if name == "images" else "pixel_values_videos"] = whole
        return ShownVideo(inputs, config.prefix_length(count))

    def _frames(self, video: VideoInput) -> np.ndarray:
        if isinstance(video, (Keypoints, Motion)) or (isinstance(video, (str, os.PathLike)) and Path(video).suffix.lower() == ".npz"):
            raise ValueError("This model's towers look at frames, and keypoints and motions have none. Pass a video, or frames.")
        if isinstance(video, np.ndarray):
            frames = video
        else:
            read = video if isinstance(video, VideoFrames) else read_frames(video, self.config.num_frames, self.config.sampling)
            frames = read.frames
        if frames.ndim != 4 or frames.shape[-1] != 3 or not 1 <= len(frames) <= self.config.num_frames:
            raise ValueError(f"Frames must be (1 to {self.config.num_frames}, height, width, 3) uint8, got {frames.shape}.")
        return frames

    def _keypoints(self, video: VideoInput, frames: np.ndarray | None) -> Keypoints:
        if isinstance(video, Motion):
            return film_plainly(video, self.config.num_frames, self.config.sampling)
        if isinstance(video, Keypoints):
            return video.sample(self.config.num_frames, self.config.sampling)
        if isinstance(video, VideoFrames):
            return keypoints_of(video, self.detector)
        if isinstance(video, np.ndarray):
            shown = self._frames(video) if frames is None else frames
            return keypoints_of(VideoFrames(shown, np.arange(len(shown), dtype=np.float64), 1.0, float(len(shown))), self.detector)
        if isinstance(video, (str, bytes, os.PathLike, Mapping)):
            return read_keypoints(video, self.detector, self.config.num_frames, self.config.sampling)
        raise ValueError(f"A video is a file, bytes, a row of a video column, frames, Keypoints or a Motion, got a {type(video).__name__}.")

    def collate(self, videos: Sequence[ShownVideo]) -> dict[str, Tensor]:
        """Videos as a batch, in their order: what `VimoRAGForCausalLM.forward` takes beside token ids.

        Args:
            videos (`list[ShownVideo]`): Videos of `read`; none makes nothing.
        """
        if not videos:
            return {}
        batch = {name: torch.stack([video.inputs[name] for video in videos]) for name in videos[0].inputs if name != "motion_features"}
        if "motion_features" in videos[0].inputs:
            batch["motion_features"], batch["frame_mask"] = pad_and_mask([video.inputs["motion_features"] for video in videos])
        return batch


def shown_videos(model: Any, videos: Any, texts: Sequence[str]) -> list[ShownVideo] | None:
    """One video for each text, read.

    Args:
        model (`MotionLanguageModel`): The model.
        videos: A video, a list of one for each text, or None.
        texts (`list[str]`): Texts.

    Raises:
        ValueError: If the model sees no videos, there is another number of them, or a text holds the token of a video.
    """
    if videos is None:
        return None
    if model.video_processor is None:
        raise ValueError(
            f"This {type(model.language_model).__name__} does not see videos; training/train_sft.py --retrieved teaches one to. Leave "
            "videos and retriever out, or name a VimoRAG."
        )
    listed = list(videos) if isinstance(videos, (list, tuple)) and not isinstance(videos, ShownVideo) else [videos] * len(texts)
    if len(listed) != len(texts):
        raise ValueError(f"Got {len(listed)} videos for {len(texts)} texts; pass one for each, or one for all.")
    if any(VIDEO_TOKEN in text for text in texts):
        raise ValueError(f"A text holds {VIDEO_TOKEN!r}, which stands for a video here. Say it in other words.")
    return [model.video_processor.read(video) for video in listed]
