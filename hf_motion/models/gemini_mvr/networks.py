"""The keypoint encoder and the temporal transformer of Gemini-MVR."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import initialization as init

from ...nn.attention import SelfAttention, key_padding_mask
from .configuration_gemini_mvr import NUM_KEYPOINTS, ActionLevelConfig, GeminiMVRConfig


class ActionLevel(nn.Module):
    """The networks of the action level, as a mixin of modules that have them under these names."""

    def build_action_level(self, config: GeminiMVRConfig | ActionLevelConfig) -> None:
        """Make the networks."""
        width = config.hidden_size
        self.keypoint_encoder = KeypointEncoder(config)
        self.projector = nn.Linear(NUM_KEYPOINTS * config.encoder_rep_dim, width)
        self.positions = nn.Parameter(torch.zeros(config.max_frames, width))
        self.temporal_blocks = nn.ModuleList(
            EncoderBlock(width, config.num_attention_heads, config.intermediate_size, QuickGELU()) for _ in range(config.num_layers)
        )
        self._padded = config.max_frames if config.pad_to_max_frames else 0

    def segments(self, motion_features: Tensor, attention_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """What each frame of a video says of action, before the mean.

        Args:
            motion_features (`torch.Tensor`): (batch, frames, 51), see `GeminiMVR.get_motion_features`.
            attention_mask (`torch.Tensor`, *optional*): (batch, frames), 1 on real frames.

        Returns:
            `tuple[torch.Tensor, torch.Tensor]`: (batch, frames, hidden_size), and the mask.

        Raises:
            ValueError: If a shape is wrong, or there are too many frames.
        """
        keypoints, mask = self._check_keypoints(motion_features, attention_mask)
        frames = keypoints.shape[1]
        if self._padded:
            encoded = self.keypoint_encoder(F.pad(keypoints, (0, 0, 0, 0, 0, self._padded - frames)), None)[:, :frames]
        else:
            encoded = self.keypoint_encoder(keypoints, mask)
        states = self.projector(encoded.flatten(2))
        hidden, bias = states + self.positions[:frames], key_padding_mask(mask, states.dtype)
        for block in self.temporal_blocks:
            hidden = block(hidden, bias)
        return hidden + states, mask

    def _check_keypoints(self, features: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Keypoints (batch, frames, 17, 3), zero where the mask is, and the mask."""
        width, most = 3 * NUM_KEYPOINTS, len(self.positions)
        if features.ndim != 3 or features.shape[-1] != width:
            raise ValueError(f"motion_features must be (batch, frames, {width}), got {tuple(features.shape)}.")
        if features.shape[1] > most:
            raise ValueError(
                f"A video has at most {most} frames here, got {features.shape[1]}. Take fewer with read_frames(num_frames={most})."
            )
        mask = torch.ones(features.shape[:2], dtype=torch.long, device=features.device) if mask is None else mask
        if mask.shape != features.shape[:2]:
            raise ValueError(f"attention_mask must be {tuple(features.shape[:2])}, as its input, got {tuple(mask.shape)}.")
        features = features.to(self.projector.weight.dtype).masked_fill(~mask.bool()[..., None], 0)
        return features.unflatten(-1, (NUM_KEYPOINTS, 3)), mask


@torch.no_grad()
def init_action_weights(module: nn.Module) -> None:
    """Draw the first weights of a part of the action level; of other parts nothing."""
    if isinstance(module, KeypointEncoder):
        init.normal_(module.joint_positions, std=0.02)
        init.normal_(module.frame_positions, std=0.02)
        for mixer in module.mixers:
            init.zeros_(mixer.weight)
            init.constant_(mixer.bias, 0.5)
    elif isinstance(module, ActionLevel) and hasattr(module, "positions"):
        init.normal_(module.positions, std=1 / math.sqrt(module.positions.shape[1]))


class KeypointEncoder(nn.Module):
    """DSTformer (Zhu et al., *MotionBERT*, ICCV 2023, section 3.2): two streams of attention over joints and over frames.

    One stream looks at the joints of a frame first and then at a joint's frames, the other the other way round. After each pair of blocks
    the two are mixed by weights that depend on both.

    Args:
        config (`GeminiMVRConfig`): Configuration.
    """

    def __init__(self, config: GeminiMVRConfig | ActionLevelConfig) -> None:
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

    def __init__(self, config: GeminiMVRConfig | ActionLevelConfig, joints_first: bool) -> None:
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
