"""The autoencoder of SALAD: a motion to latents of seven body parts, one for every four frames.

Hong et al., *SALAD: Skeleton-aware Latent Diffusion for Text-driven Motion Generation and Editing*, CVPR 2025. Published weights load
through `hf_motion.conversion.salad`.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from ...nn.gaussian import Gaussian
from ...nn.recurrent import real_lengths
from ...skeletons import get_skeleton
from ..motion_autoencoder import MotionAutoencoder
from .body_parts import connections, groups, joint_features

_ACTIVATIONS = {"gelu": nn.GELU, "silu": nn.SiLU, "relu": nn.ReLU}
_PARTS, _UNIT = 7, 4
_MAX_POSITIONS = 5000


class SALADAutoencoder(MotionAutoencoder):
    """Convolutions over joints and over time, and pooling of both.

    Args:
        num_features (`int`, defaults to 263): Width of a frame, that of the skeleton's HumanML3D features.
        skeleton (`str`, defaults to `"humanml3d-22"`): Whose joints; or `"kit-21"`.
        latent_dim (`int`, defaults to 32): Width of a part, and of all that lies between.
        blocks_per_stage (`int`, defaults to 2): Residual blocks before each pooling and behind each unpooling.
        kernel_size (`int`, defaults to 3): Frames that a convolution sees; odd.
        activation (`str`, defaults to `"silu"`): `"silu"` as trained for the paper, `"gelu"` or `"relu"`.
        dropout (`float`, defaults to 0.1): Dropout in residual blocks.
        scaling_factor (`float`, defaults to 1.0): What latents are multiplied with before they are diffused.

    Raises:
        ValueError: If the skeleton has no parts, features of it are of another width, or an option is unknown.
    """

    _no_split_modules = ["SkeletonBlock"]

    @register_to_config
    def __init__(
        self,
        num_features: int = 263,
        skeleton: str = "humanml3d-22",
        latent_dim: int = 32,
        blocks_per_stage: int = 2,
        kernel_size: int = 3,
        activation: Literal["silu", "gelu", "relu"] = "silu",
        dropout: float = 0.1,
        scaling_factor: float = 1.0,
    ) -> None:
        super().__init__()
        first, second = groups(skeleton)
        bones = get_skeleton(skeleton)
        if num_features != 12 * len(bones) - 1:
            raise ValueError(f"Features of {skeleton!r} are {12 * len(bones) - 1} wide, got num_features={num_features}.")
        if activation not in _ACTIVATIONS or kernel_size % 2 != 1:
            raise ValueError(
                f"activation must be one of {', '.join(map(repr, _ACTIVATIONS))} and kernel_size odd, got {activation!r} and {kernel_size}."
            )
        places, width, act = joint_features(bones), latent_dim, _ACTIVATIONS[activation]
        self._places = places
        order = torch.tensor([place for joint in places for place in joint])
        self.register_buffer("feature_order", torch.argsort(order), persistent=False)
        self.joint_encoders = nn.ModuleList(nn.Sequential(nn.Linear(len(own), width), act(), nn.Linear(width, width)) for own in places)
        self.joint_decoders = nn.ModuleList(nn.Sequential(nn.Linear(width, width), act(), nn.Linear(width, len(own))) for own in places)
        self.graphs = nn.ModuleList(Graph(matrix) for matrix in connections(bones))
        self.members = nn.ModuleList(Graph(matrix) for matrix in (first, second))

        def blocks() -> nn.ModuleList:
            return nn.ModuleList(SkeletonBlock(width, kernel_size, act, dropout) for _ in range(blocks_per_stage))

        self.encoder = nn.ModuleList(blocks() for _ in range(2))
        self.decoder = nn.ModuleList(blocks() for _ in range(2))
        bound = width**-0.5
        self.latent_weight = nn.Parameter(torch.empty(_PARTS, width, 2 * width).uniform_(-bound, bound))
        self.latent_bias = nn.Parameter(torch.empty(_PARTS, 2 * width).uniform_(-bound, bound))

    @property
    def longest(self) -> int:
        """Frames of the longest motion: its denoiser has so many positions."""
        return _UNIT * (_MAX_POSITIONS // _PARTS)

    @property
    def latent_options(self) -> dict[str, Any]:
        """Parts and their width, for `SALADDenoiser`."""
        return {"latent_parts": _PARTS, "latent_dim": self.config.latent_dim}

    def latent_shape(self, frames: int) -> tuple[int, ...]:
        """(steps, parts, width): one step for every four frames, begun ones too."""
        return -(-frames // _UNIT), _PARTS, self.config.latent_dim

    def latent_mask(self, lengths: Tensor) -> Tensor:
        """(batch, steps) int64, 1 on real steps of latents of motions of so many frames (batch,)."""
        steps = -(-lengths // _UNIT)
        return (torch.arange(int(steps.max()), device=lengths.device) < steps[:, None]).long()

    def encode(self, motion_features: Tensor, attention_mask: Tensor | None = None) -> Gaussian:
        """The latents that a motion may have.

        A motion whose length is no multiple of four stands still at its last frame until it is.

        Args:
            motion_features (`torch.Tensor`): Normalised features, (batch, frames, num_features).
            attention_mask (`torch.Tensor`, *optional*): (batch, frames), 1 on real frames, which come first.

        Returns:
            `Gaussian`: Means and log-variances, each (batch, steps, 7, latent_dim), not scaled; zero behind each motion's end.

        Raises:
            ValueError: If the width is wrong, the motion too long, or padding comes first.
        """
        self._check_features(motion_features)
        real = real_lengths(attention_mask, motion_features)
        lengths = -(-real // _UNIT) * _UNIT
        frames = torch.arange(int(lengths.max()), device=motion_features.device)
        index = frames.minimum(real[:, None] - 1)[..., None].expand(-1, -1, motion_features.shape[-1])
        features = motion_features.gather(1, index).to(self.dtype)
        hidden = torch.stack([layer(features[..., own]) for layer, own in zip(self.joint_encoders, self._places, strict=True)], dim=2)
        for stage, blocks in enumerate(self.encoder):
            mask = _mask(hidden, lengths)
            for block in blocks:
                hidden = block(hidden, self.graphs[stage].matrix, mask)
            members = self.members[stage].matrix
            hidden = (members / members.sum(1, keepdim=True)) @ hidden
            hidden = hidden.unflatten(1, (-1, 2)).mean(2)
            lengths = lengths // 2
        hidden = torch.einsum("bspd,pde->bspe", hidden, self.latent_weight) + self.latent_bias
        return Gaussian(*(hidden * _mask(hidden, lengths)).chunk(2, dim=-1))

    def decode(self, latents: Tensor, attention_mask: Tensor) -> Tensor:
        """The motion of latents.

        Args:
            latents (`torch.Tensor`): (batch, steps, 7, latent_dim), not scaled; a step for every four frames.
            attention_mask (`torch.Tensor`): (batch, frames), 1 on frames that are wanted, which come first.

        Returns:
            `torch.Tensor`: Normalised features, (batch, frames, num_features); zero behind each motion's end.

        Raises:
            ValueError: If latents have another shape.
        """
        frames = attention_mask.shape[1]
        self._check_length(frames)
        shape = self.latent_shape(frames)
        if latents.shape[1:] != shape:
            raise ValueError(f"latents of {frames} frames must be (batch, {', '.join(map(str, shape))}), got {tuple(latents.shape)}.")
        lengths = -(-attention_mask.sum(1).long() // _UNIT)
        hidden = latents.to(self.dtype)
        for stage, blocks in zip((1, 0), self.decoder, strict=True):
            hidden = _twice_as_long(self.members[stage].matrix.T @ hidden, lengths)
            lengths = 2 * lengths
            mask = _mask(hidden, lengths)
            for block in blocks:
                hidden = block(hidden, self.graphs[stage].matrix, mask)
        parts = [layer(hidden[:, :, joint]) for joint, layer in enumerate(self.joint_decoders)]
        features = torch.cat(parts, dim=-1)[..., self.feature_order][:, :frames]
        return features * attention_mask[..., None].to(features.dtype)


class Graph(nn.Module):
    """A fixed matrix between nodes of a skeleton, which is computed and not saved.

    Args:
        matrix (`torch.Tensor`): Any.
    """

    matrix: Tensor

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self.register_buffer("matrix", matrix, persistent=False)


class SkeletonBlock(nn.Module):
    """Two convolutions over joints and time beside a shortcut.

    Args:
        width (`int`): Channels.
        kernel_size (`int`): Frames that a convolution sees.
        activation (`type`): Comes before each convolution.
        dropout (`float`): Dropout behind the second.
    """

    def __init__(self, width: int, kernel_size: int, activation: type[nn.Module], dropout: float) -> None:
        super().__init__()
        self.activation, self.dropout = activation(), nn.Dropout(dropout)
        self.convolutions = nn.ModuleList(SkeletonConvolution(width, kernel_size) for _ in range(2))

    def forward(self, hidden: Tensor, graph: Tensor, mask: Tensor) -> Tensor:
        """(batch, frames, joints, width) in and out; `graph` is (joints, joints), `mask` (batch, frames, 1, 1)."""
        change = hidden
        for convolution in self.convolutions:
            change = convolution(self.activation(change), graph, mask)
        return hidden + self.dropout(change)


class SkeletonConvolution(nn.Module):
    """The sum of three views of a joint: its own, that of its neighbours in the same frame, and its own in the frames around.

    Args:
        width (`int`): Channels.
        kernel_size (`int`): Frames that are seen.
    """

    def __init__(self, width: int, kernel_size: int) -> None:
        super().__init__()
        self.own = nn.Linear(width, width)
        self.neighbours = nn.Linear(width, width)
        self.time = nn.Conv1d(width, width, kernel_size, padding=kernel_size // 2)

    def forward(self, hidden: Tensor, graph: Tensor, mask: Tensor) -> Tensor:
        """(batch, frames, joints, width) in and out; `graph` holds means over neighbours; behind its end a motion is zero."""
        rows = (hidden * mask).permute(0, 2, 3, 1).flatten(0, 1)
        moved = self.time(rows).unflatten(0, (hidden.shape[0], hidden.shape[2])).permute(0, 3, 1, 2)
        return self.own(hidden) + graph @ self.neighbours(hidden) + moved


def _twice_as_long(hidden: Tensor, lengths: Tensor) -> Tensor:
    """Linear interpolation to twice as many frames, as if each motion (batch, frames, ...) ended at its own length."""
    steps = torch.arange(hidden.shape[1], device=hidden.device)
    after = (steps + 1).minimum(lengths[:, None] - 1).clamp(min=0)
    following = hidden.gather(1, after.reshape(*after.shape, 1, 1).expand_as(hidden))
    before = torch.cat((hidden[:, :1], hidden[:, :-1]), dim=1)
    return torch.stack((0.25 * before + 0.75 * hidden, 0.75 * hidden + 0.25 * following), dim=2).flatten(1, 2)


def _mask(hidden: Tensor, lengths: Tensor) -> Tensor:
    """(batch, frames, 1, 1) of the type of (batch, frames, ...), 1 on real frames."""
    real = torch.arange(hidden.shape[1], device=hidden.device) < lengths[:, None]
    return real[..., None, None].to(hidden.dtype)
