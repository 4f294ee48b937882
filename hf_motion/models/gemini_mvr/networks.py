"""The keypoint encoder and the temporal transformer of Gemini-MVR."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...nn.attention import SelfAttention, key_padding_mask
from .configuration_gemini_mvr import NUM_KEYPOINTS, GeminiMVRConfig


class KeypointEncoder(nn.Module):
    """DSTformer (Zhu et al., *MotionBERT*, ICCV 2023, section 3.2): two streams of attention over joints and over frames.

    One stream looks at the joints of a frame first and then at a joint's frames, the other the other way round. After each pair of blocks
    the two are mixed by weights that depend on both.

    Args:
        config (`GeminiMVRConfig`): Configuration.
    """

    def __init__(self, config: GeminiMVRConfig) -> None:
        super().__init__()
        width = config.encoder_dim
        self.input_projection = nn.Linear(3, width)
        self.joint_positions = nn.Parameter(torch.zeros(NUM_KEYPOINTS, width))
        self.frame_positions = nn.Parameter(torch.zeros(config.encoder_frames, width))
        self.joints_first = nn.ModuleList(StreamBlock(config, joints_first=True) for _ in range(config.encoder_depth))
        self.frames_first = nn.ModuleList(StreamBlock(config, joints_first=False) for _ in range(config.encoder_depth))
        self.mixers = nn.ModuleList(nn.Linear(2 * width, 2) for _ in range(config.encoder_depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.output_projection = nn.Linear(width, config.encoder_rep_dim)

    def forward(self, keypoints: Tensor, attention_mask: Tensor | None) -> Tensor:
        """(batch, frames, 17, 3) to (batch, frames, 17, encoder_rep_dim); frames with a mask of 0 are not seen by others."""
        hidden = self.input_projection(keypoints) + self.joint_positions + self.frame_positions[: keypoints.shape[1], None]
        mask = None
        if attention_mask is not None:
            mask = key_padding_mask(attention_mask, hidden.dtype).repeat_interleave(NUM_KEYPOINTS, dim=0)
        for first, second, mixer in zip(self.joints_first, self.frames_first, self.mixers, strict=True):
            streams = torch.stack((first(hidden, mask), second(hidden, mask)), dim=-1)
            weights = mixer(streams.transpose(-1, -2).flatten(-2)).softmax(-1)
            hidden = (streams * weights[..., None, :]).sum(-1)
        return self.output_projection(self.norm(hidden)).tanh()


class StreamBlock(nn.Module):
    """Attention over joints and over frames, each with a feed-forward layer, in one of the two orders."""

    def __init__(self, config: GeminiMVRConfig, joints_first: bool) -> None:
        super().__init__()
        self.joints_first = joints_first
        width, inner = config.encoder_dim, config.encoder_dim * config.encoder_mlp_ratio
        self.over_joints = EncoderBlock(width, config.encoder_heads, inner, nn.GELU(), 1e-6)
        self.over_frames = EncoderBlock(width, config.encoder_heads, inner, nn.GELU(), 1e-6)

    def forward(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        """(batch, frames, joints, width) in and out; `mask` is additive, (batch * joints, 1, 1, frames)."""
        if self.joints_first:
            return self._along_frames(self._along_joints(hidden), mask)
        return self._along_joints(self._along_frames(hidden, mask))

    def _along_joints(self, hidden: Tensor) -> Tensor:
        return self.over_joints(hidden.flatten(0, 1), None).unflatten(0, hidden.shape[:2])

    def _along_frames(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        turned = hidden.transpose(1, 2)
        return self.over_frames(turned.flatten(0, 1), mask).unflatten(0, turned.shape[:2]).transpose(1, 2)


class EncoderBlock(nn.Module):
    """Transformer block with normalisation before each sum.

    Args:
        width (`int`): Width.
        num_heads (`int`): Heads.
        inner (`int`): Width of the feed-forward layer.
        activation (`nn.Module`): Its activation.
        eps (`float`, defaults to 1e-5): Of the normalisations.
    """

    def __init__(self, width: int, num_heads: int, inner: int, activation: nn.Module, eps: float = 1e-5) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width, eps=eps)
        self.attention = SelfAttention(width, num_heads, 0.0)
        self.mlp_norm = nn.LayerNorm(width, eps=eps)
        self.mlp = nn.Sequential(nn.Linear(width, inner), activation, nn.Linear(inner, width))

    def forward(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        """(batch, steps, width) in and out; `mask` is additive, (batch, 1, 1, steps)."""
        hidden = hidden + self.attention(self.attention_norm(hidden), mask)
        return hidden + self.mlp(self.mlp_norm(hidden))


class QuickGELU(nn.Module):
    """x * sigmoid(1.702 x), the activation of CLIP."""

    def forward(self, states: Tensor) -> Tensor:
        """Any shape in and out."""
        return states * (1.702 * states).sigmoid()
