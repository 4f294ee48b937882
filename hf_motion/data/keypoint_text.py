"""Captioned motion as keypoints: each time a clip is drawn, another camera films it."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch

from ..representation import MotionFeatureExtractor
from ..video.cameras import CameraRange, film_motion
from .motion_text import MotionTextDataset


class KeypointTextDataset(MotionTextDataset):
    """As `MotionTextDataset`, but an example's features are (frames, 51) keypoints that a random camera sees, scaled by `crop_scale`.

    Camera, noise and part of a longer clip follow from the example's seed alone.

    Args:
        rows (`datasets.Dataset`): As `load_motion_rows` gives them.
        feature_extractor (`MotionFeatureExtractor`): Whose skeleton and frame rate motions are read with.
        mirror (`bool`, defaults to `False`): As for `MotionTextDataset`.
        num_frames (`int`, defaults to 16): Frames of an example, the model's `max_frames`.
        cameras (`CameraRange`, *optional*): What cameras are drawn from.
        **options: As for `MotionTextDataset`.
    """

    def __init__(
        self,
        rows: Any,
        feature_extractor: MotionFeatureExtractor,
        mirror: bool = False,
        *,
        num_frames: int = 16,
        cameras: CameraRange | None = None,
        **options: Any,
    ) -> None:
        super().__init__(rows, feature_extractor, mirror, **options)
        self.num_frames, self.cameras = num_frames, cameras

    def _read(self, *args: Any, **kwargs: Any) -> Any:
        self.motions = super()._read(*args, **kwargs)
        return self.motions

    def __getitem__(self, index: tuple[int, int]) -> dict[str, Any]:
        """An example; see `MotionTextDataset`."""
        example = super().__getitem__(index)
        clip, seed = index
        motion = self.motions[clip]
        longest = round(self.feature_extractor.max_frames / self.feature_extractor.fps * motion.fps)
        if len(motion) > longest:
            start = random.Random(seed).randint(0, len(motion) - longest)
            motion = motion[start : start + longest]
        filmed = film_motion(motion, np.random.default_rng(seed), self.num_frames, "vimorag", self.cameras)
        return {**example, "motion_features": torch.from_numpy(filmed.crop_scale()).flatten(1)}
