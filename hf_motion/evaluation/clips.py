"""The clips that a model is judged on."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from ..data.motion_text import published_features, put_on_one_body, read_row, read_tags
from ..motion import Motion
from ..representation import MotionFeatureExtractor

_ENCODE_BATCH = 64


@dataclass
class EvaluationClips:
    """Real motion with its captions, as features in units, not normalised.

    Args:
        ids (`list[str]`): Names of the clips.
        features (`list[torch.Tensor]`): (frames, dim) each.
        captions (`list[list[str]]`): At least one each.
        tags (`dict[str, str]`): The `word/POS` form of those captions that came with one.
        skipped (`Counter`): How many rows were left out, and why.
        digest (`str`): sha256 of ids, captions and joints.
    """

    ids: list[str]
    features: list[Tensor]
    captions: list[list[str]]
    tags: dict[str, str] = field(default_factory=dict)
    skipped: Counter[str] = field(default_factory=Counter)
    digest: str = ""

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def from_rows(
        cls,
        rows: Any,
        feature_extractor: MotionFeatureExtractor,
        min_frames: int = 40,
        leave_out_from: int | None = None,
        max_clips: int | None = None,
        strict: bool = True,
        show_progress: bool = False,
        one_body: bool = False,
    ) -> EvaluationClips:
        """Read and encode.

        Args:
            rows (`datasets.Dataset`): See `hf_motion.data.motion_text.load_motion_rows`.
            feature_extractor (`MotionFeatureExtractor`): The evaluator's; its representation, skeleton and frame rate are used, its
                statistics are not.
            min_frames (`int`, defaults to 40): Clips with fewer frames of features are left out and counted; 40 is HumanML3D's rule.
            leave_out_from (`int`, *optional*): Clips with this many frames of features or more are left out and counted; HumanML3D leaves
                out from 200 on. By default none is.
            max_clips (`int`, *optional*): Take the first clips only.
            strict (`bool`, defaults to `True`): Raise at an unreadable row or one without captions rather than leave it out.
            show_progress (`bool`, defaults to `False`): Show a progress bar.
            one_body (`bool`, defaults to `False`): Put clips on the body that decoding ends on, see `hf_motion.representation.fixed_bones`,
                and take their features from there, published ones or not.

        Raises:
            ValueError: If no clip is left, or a row is unreadable (and `strict`).
        """
        plain = feature_extractor.without_statistics()
        clips = cls([], [], [])
        motions: list[Motion | Tensor] = []
        digest = hashlib.sha256()
        for row in tqdm(rows, desc="Reading clips", disable=not show_progress):
            if len(motions) == max_clips:
                break
            try:
                motion, captions = read_row(row, feature_extractor.skeleton)
            except ValueError:
                if strict:
                    raise
                clips.skipped["unreadable"] += 1
                continue
            motion, published = motion.resample(plain.fps), None if one_body else published_features(row, plain)
            if one_body:
                motion = put_on_one_body(motion, plain)
            frames = len(motion) - 1 if published is None else len(published)
            if frames < min_frames:
                clips.skipped[f"under {min_frames} frames"] += 1
            elif leave_out_from is not None and frames >= leave_out_from:
                clips.skipped[f"{leave_out_from} frames or more"] += 1
            else:
                motions.append(motion if published is None else published)
                clips.ids.append(str(row["id"]))
                clips.captions.append(captions)
                clips.tags.update(read_tags(row))
                digest.update(repr((clips.ids[-1], captions)).encode())
                digest.update(np.asarray(row["joints"], np.float32).tobytes())
        if not motions:
            raise ValueError(
                f"No clip to evaluate among {len(rows)} rows; left out: {dict(clips.skipped) or 'none'}. "
                "Is the split right? --min-frames lets shorter clips in."
            )
        clips.features = _encode(motions, plain)
        clips.digest = digest.hexdigest()
        return clips


def _encode(motions: list[Motion | Tensor], extractor: MotionFeatureExtractor) -> list[Tensor]:
    """Features of whole clips, those of like length together; what is features already stays."""
    features = [motion if isinstance(motion, Tensor) else torch.empty(0) for motion in motions]
    order = sorted((index for index, motion in enumerate(motions) if isinstance(motion, Motion)), key=lambda index: len(motions[index]))
    for start in range(0, len(order), _ENCODE_BATCH):
        batch = order[start : start + _ENCODE_BATCH]
        for index, clip in zip(batch, extractor.encode([motions[index] for index in batch]), strict=True):
            features[index] = clip.clone()
    return features
