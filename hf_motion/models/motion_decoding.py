"""From motion codes to motions: what all generators of motion tokens do at the end."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..motion import Motion
from ..representation import MotionFeatureExtractor
from .motion_vq.modeling_motion_vq import MotionVQModel, pad_codes

OUTPUT_TYPES = ("motion", "features", "codes")
"""What `generate_motion` can return."""


def token_counts(num_frames: int | Sequence[int] | None, texts: int, unit: int, limit: int) -> list[int] | None:
    """How many tokens hold the wanted frames; None if no length is wanted.

    Args:
        num_frames (`int` or `list[int]`, *optional*): Wanted lengths.
        texts (`int`): How many motions are asked for.
        unit (`int`): Frames per token.
        limit (`int`): The longest motion, in frames.

    Raises:
        ValueError: If a length is not a whole number in range, or there are not as many as texts.

    Example:
        >>> token_counts([12, 13], 2, unit=4, limit=196)
        [3, 4]
    """
    if num_frames is None:
        return None
    if isinstance(num_frames, (list, tuple)) and len(num_frames) != texts:
        raise ValueError(f"num_frames has {len(num_frames)} entries for {texts} prompts; pass one number, or one per prompt.")
    lengths = list(num_frames) if isinstance(num_frames, (list, tuple)) else [num_frames] * texts
    for length in lengths:
        if isinstance(length, bool) or not isinstance(length, int) or not 1 <= length <= limit:
            raise ValueError(f"num_frames must be whole numbers from 1 to {limit}, got {length!r}.")
    return [-(-length // unit) for length in lengths]


def decode_codes(
    vq_model: MotionVQModel,
    feature_extractor: MotionFeatureExtractor | None,
    codes: Sequence[Tensor],
    texts: Sequence[str] | None,
    lengths: Sequence[int] | None = None,
    output_type: str = "motion",
) -> list[Motion] | list[Tensor]:
    """Decode codes, all at once.

    Args:
        vq_model (`MotionVQModel`): Motion tokenizer.
        feature_extractor (`MotionFeatureExtractor`, *optional*): With its statistics; needed for all but codes.
        codes (`list[torch.Tensor]`): (quantizers, tokens) each.
        texts (`list[str]`, *optional*): What they show.
        lengths (`list[int]`, *optional*): Frames to keep of each; all that the tokens make by default.
        output_type (`str`, defaults to `"motion"`): `"motion"`, `"features"` (with units, (frames, dim) each) or `"codes"`.

    Raises:
        ValueError: If the output type is unknown, or there is no feature extractor.
    """
    if output_type not in OUTPUT_TYPES:
        raise ValueError(f"output_type must be one of {', '.join(map(repr, OUTPUT_TYPES))}, got {output_type!r}.")
    if output_type == "codes":
        return list(codes)
    if feature_extractor is None:
        raise ValueError("This model has no feature extractor. Load it with from_pretrained, or set model.feature_extractor.")
    features = vq_model.decode(pad_codes(codes).to(vq_model.device)).float()
    wanted = lengths or [clip.shape[1] * vq_model.config.frames_per_token for clip in codes]
    if output_type == "features":
        return [feature_extractor.denormalize(clip[:length]) for clip, length in zip(features, wanted, strict=True)]
    frames = torch.arange(features.shape[1], device=features.device) < torch.tensor(wanted, device=features.device)[:, None]
    return feature_extractor.decode(features, frames.long(), None if texts is None else list(texts))
