"""Motions as tokens and back: a motion tokenizer with all that it needs."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import AutoFeatureExtractor, AutoModel

from ..hub.loading import load_part
from ..models.motion_vq.modeling_motion_vq import MotionVQModel, pad_codes
from ..motion import Motion
from ..nn.padding import pad_and_mask
from ..representation import MotionFeatureExtractor
from ..utils.training_folder import checkpoint_in
from .motion_tokenizer import MotionTokenizer


class MotionCodec:
    """Turns motions into codes and codes into motions.

    Args:
        model (`MotionVQModel`): Motion tokenizer.
        feature_extractor (`MotionFeatureExtractor`): With the statistics that it was trained with.

    Example:
        >>> from hf_motion import MotionFeatureExtractor, MotionVQConfig, MotionVQModel
        >>> import torch
        >>> model = MotionVQModel(MotionVQConfig(hidden_size=16, code_dim=8, codebook_size=32))
        >>> codec = MotionCodec(model, MotionFeatureExtractor())
        >>> [len(motion) for motion in codec.decode([torch.tensor([[3, 1, 4]]), torch.tensor([[1, 5]])])]
        [12, 8]
    """

    def __init__(self, model: MotionVQModel, feature_extractor: MotionFeatureExtractor) -> None:
        self.model, self.feature_extractor = model.eval(), feature_extractor
        self.tokenizer = MotionTokenizer.of(model.config)

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike, device: str | torch.device = "cpu") -> MotionCodec:
        """Load a motion tokenizer, or that of a model of motion tokens.

        Args:
            name (`str` or `os.PathLike`): Folder or Hub repository.
            device (`str` or `torch.device`, defaults to `"cpu"`): Where to run.

        Raises:
            OSError: If there is no such checkpoint.
            ValueError: If it has no motion tokenizer.
        """
        name = checkpoint_in(name)
        model = load_part(AutoModel, name, "model")
        tokenizer = model if isinstance(model, MotionVQModel) else getattr(model, "vq_model", None)
        if tokenizer is None:
            raise ValueError(f"{str(name)!r} holds a {type(model).__name__}, which has no motion tokens. Use a MotionVQModel, or a T2MGPT.")
        return cls(tokenizer.to(device), load_part(AutoFeatureExtractor, name, "feature_extractor"))

    def encode(self, motions: Sequence[Motion]) -> list[Tensor]:
        """Codes of motions, (quantizers, tokens) int64 each.

        Args:
            motions (`list[Motion]`): At any frame rate. A motion of n poses at the model's rate has n - 1 frames of features.

        Raises:
            ValueError: If a motion is too short to have a frame of features, or is not finite.
        """
        features, mask = pad_and_mask(self.feature_extractor.encode(motions))
        codes = self.model.encode(features.to(self.model.device), mask.to(self.model.device)).cpu()
        counts = (codes[:, 0] >= 0).sum(1).tolist()
        return [clip[:, :count] for clip, count in zip(codes, counts, strict=True)]

    def encode_latents(self, motions: Sequence[Motion]) -> list[Tensor]:
        """What motions are before they are quantised, (code_dim, tokens) float32 each; see `encode`."""
        features, mask = pad_and_mask(self.feature_extractor.encode(motions))
        return [clip.cpu() for clip in self.model.encode_latents(features.to(self.model.device), mask.to(self.model.device))]

    def decode(self, codes: Sequence[Tensor], texts: Sequence[str] | None = None) -> list[Motion]:
        """Motions of codes.

        Args:
            codes (`list[torch.Tensor]`): (quantizers, tokens) or, for one quantizer, (tokens,) int64 each.
            texts (`list[str]`, *optional*): One per motion.

        Raises:
            ValueError: If the list is empty, or codes do not belong to this tokenizer.
        """
        if not codes:
            raise ValueError("Got no codes; pass those of at least one motion.")
        rows = [torch.as_tensor(clip).reshape(-1, torch.as_tensor(clip).shape[-1]) for clip in codes]
        if len({len(row) for row in rows}) > 1:
            raise ValueError(f"All motions must have as many quantizers, got {[len(row) for row in rows]}.")
        padded = pad_codes(rows)
        with torch.no_grad():
            features = self.model.decode(padded.to(self.model.device)).float().cpu()
        frames = (padded[:, 0] >= 0).long().repeat_interleave(self.model.config.frames_per_token, dim=1)
        return self.feature_extractor.decode(features, frames, texts)
