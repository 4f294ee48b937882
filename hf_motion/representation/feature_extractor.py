"""`MotionFeatureExtractor`: what an image processor is to a vision model."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers.feature_extraction_utils import BatchFeature, FeatureExtractionMixin

from ..face import FACE_SETS, Face
from ..hub.loading import loading
from ..motion import Motion, check_fps
from ..skeletons import get_skeleton
from .fixed_bones import fixed_bones
from .humanml3d import HumanML3DRepresentation
from .humantomato import HumanTomatoRepresentation

FACE_KINDS = {len(names): kind for kind, names in FACE_SETS.items()}
"""Kinds of faces that features may hold, by the number of their coefficients."""

REPRESENTATIONS: dict[str, type[HumanML3DRepresentation]] = {"humanml3d": HumanML3DRepresentation, "humantomato": HumanTomatoRepresentation}


class MotionFeatureExtractor(FeatureExtractionMixin):
    """Motions to normalised, padded features, and back.

    It carries everything that a checkpoint's numbers depend on: representation, skeleton, frame rate, mean and standard
    deviation. Published models of one data set use three different normalisations, so the statistics travel with each checkpoint.

    Args:
        representation (`str`, defaults to `"humanml3d"`): Kind of features; `"humantomato"` has no rotations and contacts.
        skeleton (`str`, defaults to `"humanml3d-22"`): Name of a known skeleton.
        mean (`list[float]`, *optional*): Mean per feature. Without it features are not shifted.
        std (`list[float]`, *optional*): Standard deviation per feature, all positive. Without it features are not scaled.
        uniform_skeleton (`bool`, defaults to `True`): Retarget clips to the reference skeleton first.
        fps (`float`, *optional*): Frame rate of the features, the data set's own by default.
        max_frames (`int`, defaults to 196): Longer clips are cut, as the published loaders do.
        face_dim (`int`, defaults to 0): Coefficients of the face among the features, of `"humantomato"` alone: 50 for FLAME's expression as
            in the paper, or the size of another set of `hf_motion.face.FACE_SETS`. Motions then need a face that has them, and decoded
            ones have it.

    Raises:
        ValueError: If the representation or skeleton is unknown, or statistics have the wrong width or are not usable.

    Example:
        >>> import numpy as np
        >>> from hf_motion import Motion, MotionFeatureExtractor
        >>> extractor = MotionFeatureExtractor()
        >>> rng = np.random.default_rng(0)
        >>> batch = extractor([Motion(rng.normal(size=(n, 22, 3))) for n in (41, 21)])
        >>> batch["motion_features"].shape, batch["attention_mask"].sum(1).tolist()
        (torch.Size([2, 40, 263]), [40, 20])
        >>> [len(motion) for motion in extractor.decode(batch["motion_features"], batch["attention_mask"])]
        [40, 20]
    """

    model_input_names = ["motion_features", "attention_mask"]

    def __init__(
        self,
        representation: str = "humanml3d",
        skeleton: str = "humanml3d-22",
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        uniform_skeleton: bool = True,
        fps: float | None = None,
        max_frames: int = 196,
        face_dim: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if representation not in REPRESENTATIONS:
            raise ValueError(f"Unknown representation {representation!r}. Known ones: {', '.join(REPRESENTATIONS)}.")
        if max_frames < 1:
            raise ValueError(f"max_frames must be at least 1, got {max_frames}.")
        if face_dim and (representation != "humantomato" or face_dim not in FACE_KINDS):
            raise ValueError(
                f"face_dim must be 0, or with representation 'humantomato' one of {', '.join(map(str, FACE_KINDS))}, got {face_dim} with "
                f"{representation!r}."
            )
        self.representation, self.face_dim = representation, face_dim
        self.skeleton = get_skeleton(skeleton).name
        self.uniform_skeleton = uniform_skeleton
        self.max_frames = max_frames
        fps = None if fps is None else check_fps(fps)
        faces = {"face_dim": face_dim} if face_dim else {}
        self._features = REPRESENTATIONS[representation](skeleton, uniform_skeleton=uniform_skeleton, fps=fps, **faces)
        self.fps = self._features.fps
        self.mean = _statistics("mean", mean, self.dim)
        self.std = _statistics("std", std, self.dim)
        if self.std is not None and min(self.std) <= 0:
            channel = int(np.argmin(self.std))
            raise ValueError(f"std must be positive, got {self.std[channel]} for feature {channel}; use 1 for a constant feature.")

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike, **kwargs: Any) -> MotionFeatureExtractor:
        """Load one; see `transformers.FeatureExtractionMixin.from_pretrained` for the arguments.

        Raises:
            OSError: If there is none.
            ValueError: If its file is damaged; the message names it.
        """
        with loading(pretrained_model_name_or_path, "feature_extractor", kwargs.get("subfolder") or ""):
            return super().from_pretrained(pretrained_model_name_or_path, **kwargs)

    @property
    def dim(self) -> int:
        """Numbers per frame."""
        return self._features.dim

    @property
    def features(self) -> HumanML3DRepresentation:
        """The representation at work: `encode`, `decode` and `slices` without normalisation."""
        return self._features

    def __call__(
        self, motions: Motion | Tensor | np.ndarray | Sequence[Motion | Tensor | np.ndarray], fps: float | None = None
    ) -> BatchFeature:
        """Encode, normalise and pad.

        Args:
            motions (`Motion`, array or a list of them): Arrays are joints, (frames, joints, 3).
            fps (`float`, *optional*): Frame rate of bare arrays, the extractor's own by default. A `Motion` knows its own.

        Returns:
            `BatchFeature`: `motion_features` (batch, frames, dim) float32, zero (that is, the mean) behind each clip's end, and
            `attention_mask` (batch, frames) int64, 1 on real frames.

        Raises:
            ValueError: If the list is empty, or a clip has the wrong joints, NaN, or fewer than two frames.
        """
        clips = [features[: self.max_frames] for features in self.encode(motions, fps)]
        lengths = torch.tensor([len(clip) for clip in clips])
        mask = torch.arange(int(lengths.max())) < lengths[:, None]
        return BatchFeature({"motion_features": pad_sequence(clips, batch_first=True), "attention_mask": mask.long()})

    def encode(
        self, motions: Motion | Tensor | np.ndarray | Sequence[Motion | Tensor | np.ndarray], fps: float | None = None
    ) -> list[Tensor]:
        """Encode and normalise whole clips, neither padded nor cut.

        Args:
            motions (`Motion`, array or a list of them): As for a call.
            fps (`float`, *optional*): Frame rate of bare arrays.

        Returns:
            `list[torch.Tensor]`: (frames, dim) float32, one frame fewer than the clip has at the extractor's frame rate.

        Raises:
            ValueError: As for a call.
        """
        if isinstance(motions, Motion) or (hasattr(motions, "ndim") and motions.ndim == 3):
            motions = [motions]
        if len(motions) == 0:
            raise ValueError("Got an empty list of motions; pass at least one.")
        clips, faces = zip(*(self._joints_and_face(motion, fps) for motion in motions), strict=True)
        lengths = [len(clip) - 1 for clip in clips]
        if min(lengths) < 1:
            raise ValueError(f"Motion {lengths.index(0)} has a single frame at {self.fps:g} fps; features need at least two.")
        held = {"face": _stack_repeating_last(faces)} if self.face_dim else {}
        features = self.normalize(self._features.encode(_stack_repeating_last(clips), **held))
        return [clip[:length] for clip, length in zip(features, lengths, strict=True)]

    def decode(
        self, motion_features: Tensor, attention_mask: Tensor | None = None, texts: Sequence[str | None] | None = None
    ) -> list[Motion]:
        """Motions of normalised features, on the skeleton's reference body if the features are (`uniform_skeleton`).

        Models give each joint a place of its own, so that bones change their lengths; here these are one for all frames and clips, and
        hands and feet stay where they were, see `hf_motion.representation.fixed_bones`. `features.decode` gives the joints as they come.

        Args:
            motion_features (`torch.Tensor`): (batch, frames, dim) or (frames, dim), normalised.
            attention_mask (`torch.Tensor`, *optional*): (batch, frames), 1 on real frames, which come first.
            texts (`list[str]`, *optional*): One per motion.

        Returns:
            `list[Motion]`: One per clip, at the extractor's frame rate, metres.

        Raises:
            ValueError: If the width is wrong or `texts` has another length than the batch.
        """
        if motion_features.ndim == 2:
            motion_features = motion_features[None]
            attention_mask = attention_mask[None] if attention_mask is not None and attention_mask.ndim == 1 else attention_mask
        if texts is not None and len(texts) != len(motion_features):
            raise ValueError(f"Got {len(texts)} texts for {len(motion_features)} motions; pass one for each.")
        if attention_mask is None:
            attention_mask = torch.ones(motion_features.shape[:2])
        lengths = attention_mask.sum(-1).long().tolist()
        features = self.denormalize(motion_features.float())
        joints, faces = self._features.decode(features).cpu(), self._faces(features, lengths)
        if self.uniform_skeleton and self._features.skeleton.body_offsets is not None:
            joints = fixed_bones(joints.double(), self._features.skeleton)
        joints = joints.numpy()
        if self._features.skeleton.unit == "mm":
            joints = joints / 1000
        texts = texts if texts is not None else [None] * len(lengths)
        return [
            Motion(clip[:length], fps=self.fps, skeleton=self.skeleton, text=text, face=face)
            for clip, length, text, face in zip(joints, lengths, texts, faces, strict=True)
        ]

    def without_statistics(self) -> MotionFeatureExtractor:
        """The same features in their units, neither normalised nor cut."""
        options = {"uniform_skeleton": self.uniform_skeleton, "fps": self.fps, "max_frames": 10**9, "face_dim": self.face_dim}
        return MotionFeatureExtractor(self.representation, self.skeleton, **options)

    def normalize(self, features: Tensor) -> Tensor:
        """(features - mean) / std, (..., dim)."""
        if self.mean is not None:
            features = features - features.new_tensor(self.mean)
        return features / features.new_tensor(self.std) if self.std is not None else features

    def denormalize(self, features: Tensor) -> Tensor:
        """Features * std + mean, (..., dim)."""
        if features.shape[-1] != self.dim:
            raise ValueError(f"Features of {self.skeleton} are {self.dim} wide, got shape {tuple(features.shape)}.")
        if self.std is not None:
            features = features * features.new_tensor(self.std)
        return features + features.new_tensor(self.mean) if self.mean is not None else features

    def to_dict(self) -> dict[str, Any]:
        """The saved configuration."""
        output = super().to_dict()
        output.pop("_features", None)
        return output

    def _joints_and_face(self, motion: Motion | Tensor | np.ndarray, fps: float | None) -> tuple[Tensor, Tensor]:
        if not isinstance(motion, Motion):
            motion = Motion(motion, fps=self.fps if fps is None else fps, skeleton=self.skeleton)
        if motion.skeleton.name != self.skeleton:
            raise ValueError(
                f"This checkpoint works on skeleton {self.skeleton!r}, the motion has {motion.skeleton.name!r}. Map its joints first."
            )
        motion = motion.resample(self.fps)
        joints = torch.from_numpy(motion.joints)
        joints = joints * 1000 if self._features.skeleton.unit == "mm" else joints
        if not self.face_dim:
            return joints, joints.new_zeros(len(joints), 0)
        if motion.face is None:
            raise ValueError(
                f"These features hold a face of {FACE_KINDS[self.face_dim]}, and the motion has none. Give it one (Motion.face), or leave "
                "faces out with face_dim=0."
            )
        return joints, torch.from_numpy(motion.face.select(FACE_KINDS[self.face_dim]).coefficients)

    def _faces(self, features: Tensor, lengths: list[int]) -> list[Face | None]:
        """The faces of features in their units, (batch, frames, dim)."""
        if not isinstance(self._features, HumanTomatoRepresentation) or not self.face_dim:
            return [None] * len(lengths)
        values = self._features.decode_face(features).cpu().numpy()
        return [Face(clip[:length], FACE_KINDS[self.face_dim]) for clip, length in zip(values, lengths, strict=True)]


def _statistics(name: str, values: Sequence[float] | None, dim: int) -> list[float] | None:
    if values is None:
        return None
    values = [float(value) for value in values]
    if len(values) != dim or not np.isfinite(values).all():
        raise ValueError(f"{name} must be {dim} finite numbers, got {len(values)} of which {int(np.isfinite(values).sum())} are finite.")
    return values


def _stack_repeating_last(clips: Sequence[Tensor]) -> Tensor:
    """(batch, frames, joints, 3) or (batch, frames, coefficients), short clips held still at their last pose.

    Holding the pose changes nothing in the features before it: the heading filter repeats the last frame at the end anyway,
    and everything else looks at one frame and the next. So clips of all lengths are encoded at once.
    """
    batch = pad_sequence(list(clips), batch_first=True)
    lengths = torch.tensor([len(clip) for clip in clips])
    frames = torch.arange(batch.shape[1]).expand(len(clips), -1).minimum(lengths[:, None] - 1)
    return batch[torch.arange(len(clips))[:, None], frames]
