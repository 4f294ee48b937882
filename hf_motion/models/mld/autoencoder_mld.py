"""The autoencoder of MLD: a motion to one or a few latent tokens, and back at any length.

Chen et al., *Executing your Commands via Motion Diffusion in Latent Space*, CVPR 2023. Weights published by its authors, and those of
MotionLCM, load through `hf_motion.conversion.mld`.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn
from torch.nn import functional as F

from ...nn.attention import AttentionImplementation, PostNormBlock, SelfAttention, attend, feed_forward, key_padding_mask, split_heads
from ...nn.gaussian import Gaussian
from ...nn.skip import SkipBlocks
from ..motion_autoencoder import MotionAutoencoder


class MLDAutoencoder(MotionAutoencoder):
    """A transformer that reads a motion into latent tokens, and another one that writes it from these.

    Args:
        num_features (`int`, defaults to 263): Width of a frame.
        latent_tokens (`int`, defaults to 1): Tokens of a latent. Later versions have more: MotionLCM-v2 has 16, 32 wide.
        latent_dim (`int`, defaults to 256): Width of a latent token.
        hidden_size (`int`, defaults to 256): Width of the transformers.
        num_layers (`int`, defaults to 9): Blocks of each, odd.
        num_attention_heads (`int`, defaults to 4): Heads; must divide `hidden_size`.
        intermediate_size (`int`, defaults to 1024): Width of the feed-forward layers.
        dropout (`float`, defaults to 0.1): Dropout, of attention weights too.
        latent_projection (`bool`, *optional*): Whether linear layers lead to latents and from them; by default where their width is not
            that of the transformers.
        max_positions (`int`, defaults to 500): Learned positions: of the two Gaussians' tokens and frames.
        scaling_factor (`float`, defaults to 1.0): What latents are multiplied with before they are diffused, see `fit_scaling_factor`.

    Raises:
        ValueError: If widths do not fit together.
    """

    _no_split_modules = ["PostNormBlock", "MLDDecoderBlock"]

    @register_to_config
    def __init__(
        self,
        num_features: int = 263,
        latent_tokens: int = 1,
        latent_dim: int = 256,
        hidden_size: int = 256,
        num_layers: int = 9,
        num_attention_heads: int = 4,
        intermediate_size: int = 1024,
        dropout: float = 0.1,
        latent_projection: bool | None = None,
        max_positions: int = 500,
        scaling_factor: float = 1.0,
    ) -> None:
        super().__init__()
        projects = latent_dim != hidden_size if latent_projection is None else latent_projection
        if hidden_size % num_attention_heads or (latent_dim != hidden_size and not projects):
            raise ValueError(
                f"hidden_size={hidden_size} must be divisible by num_attention_heads={num_attention_heads}, and latent_dim={latent_dim} be "
                "the same unless latent_projection leads from the one to the other."
            )
        self.attention_implementation: AttentionImplementation = "auto"
        sizes = hidden_size, num_attention_heads, intermediate_size, dropout
        self.input_projection = nn.Linear(num_features, hidden_size)
        self.distribution_tokens = nn.Parameter(torch.randn(2 * latent_tokens, hidden_size))
        self.encoder_positions = nn.Parameter(torch.rand(max_positions, hidden_size))
        self.encoder = SkipBlocks(lambda: PostNormBlock(*sizes), num_layers, hidden_size)
        self.encoder_norm = nn.LayerNorm(hidden_size)
        self.to_latent = nn.Linear(hidden_size, latent_dim) if projects else nn.Identity()
        self.from_latent = nn.Linear(latent_dim, hidden_size) if projects else nn.Identity()
        self.decoder_positions = nn.Parameter(torch.rand(max_positions, hidden_size))
        self.decoder = SkipBlocks(lambda: MLDDecoderBlock(*sizes), num_layers, hidden_size)
        self.decoder_norm = nn.LayerNorm(hidden_size)
        self.output_projection = nn.Linear(hidden_size, num_features)
        for weight in (*self.encoder.parameters(), *self.decoder.parameters()):
            if weight.ndim > 1:
                nn.init.xavier_uniform_(weight)

    @property
    def longest(self) -> int:
        """Frames of the longest motion that there are positions for."""
        return self.config.max_positions - 2 * self.config.latent_tokens

    @property
    def latent_options(self) -> dict[str, Any]:
        """Tokens and width of a latent, for `MLDDenoiser`."""
        return {"latent_tokens": self.config.latent_tokens, "latent_dim": self.config.latent_dim}

    def latent_shape(self, frames: int) -> tuple[int, ...]:
        """(tokens, width) of the latent of a motion, whatever its length."""
        return self.config.latent_tokens, self.config.latent_dim

    def encode(self, motion_features: Tensor, attention_mask: Tensor | None = None) -> Gaussian:
        """The latents that a motion may have.

        Args:
            motion_features (`torch.Tensor`): Normalised features, (batch, frames, num_features).
            attention_mask (`torch.Tensor`, *optional*): (batch, frames), 1 on real frames.

        Returns:
            `Gaussian`: Means and log-variances, each (batch, latent_tokens, latent_dim), not scaled.

        Raises:
            ValueError: If the width is wrong, or the motion longer than there are positions.
        """
        self._check_features(motion_features)
        tokens = self.distribution_tokens.expand(len(motion_features), -1, -1)
        hidden = torch.cat((tokens, self.input_projection(motion_features.to(self.dtype))), dim=1)
        hidden = hidden + self.encoder_positions[: hidden.shape[1]]
        mask = None
        if attention_mask is not None:
            mask = key_padding_mask(F.pad(attention_mask, (tokens.shape[1], 0), value=1), hidden.dtype)
        hidden = self.encoder_norm(self.encoder(hidden, mask, self.attention_implementation)[:, : tokens.shape[1]])
        return Gaussian(*self.to_latent(hidden).chunk(2, dim=1))

    def decode(self, latents: Tensor, attention_mask: Tensor) -> Tensor:
        """The motion of latents.

        Args:
            latents (`torch.Tensor`): (batch, latent_tokens, latent_dim), not scaled.
            attention_mask (`torch.Tensor`): (batch, frames), 1 on frames that are wanted.

        Returns:
            `torch.Tensor`: Normalised features, (batch, frames, num_features); zero behind each motion's end.

        Raises:
            ValueError: If latents have another shape, or the motion is longer than there are positions.
        """
        shape = self.latent_shape(0)
        if latents.shape[1:] != shape:
            raise ValueError(f"latents must be (batch, {shape[0]}, {shape[1]}), got {tuple(latents.shape)}.")
        self._check_length(attention_mask.shape[1])
        memory = self.from_latent(latents.to(self.dtype))
        hidden = self.decoder_positions[: attention_mask.shape[1]].expand(len(latents), -1, -1)
        mask = key_padding_mask(attention_mask, hidden.dtype)
        hidden = self.decoder_norm(self.decoder(hidden, mask, memory, self.attention_implementation))
        return self.output_projection(hidden) * attention_mask[..., None].to(hidden.dtype)


class MLDDecoderBlock(nn.Module):
    """Transformer block with normalisation after each residual sum whose frames also look at the latent tokens.

    Args:
        hidden_size (`int`): Width.
        num_heads (`int`): Heads.
        intermediate_size (`int`): Width of the feed-forward layer.
        dropout (`float`): Dropout, of attention weights too.
    """

    def __init__(self, hidden_size: int, num_heads: int, intermediate_size: int, dropout: float) -> None:
        super().__init__()
        self.num_heads, self.attention_dropout = num_heads, dropout
        self.self_attention = SelfAttention(hidden_size, num_heads, dropout)
        self.self_attention_norm = nn.LayerNorm(hidden_size)
        self.cross_q = nn.Linear(hidden_size, hidden_size)
        self.cross_kv = nn.Linear(hidden_size, 2 * hidden_size)
        self.cross_out = nn.Linear(hidden_size, hidden_size)
        self.cross_attention_norm = nn.LayerNorm(hidden_size)
        self.mlp = feed_forward(hidden_size, intermediate_size, dropout)
        self.mlp_norm = nn.LayerNorm(hidden_size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Tensor, mask: Tensor | None, memory: Tensor, implementation: AttentionImplementation = "auto") -> Tensor:
        """(batch, frames, hidden_size) in and out; `mask` is additive, `memory` the latent tokens (batch, latent_tokens, hidden_size)."""
        hidden = self.self_attention_norm(hidden + self.dropout(self.self_attention(hidden, mask, implementation)))
        hidden = self.cross_attention_norm(hidden + self.dropout(self._read(hidden, memory, implementation)))
        return self.mlp_norm(hidden + self.dropout(self.mlp(hidden)))

    def _read(self, hidden: Tensor, memory: Tensor, implementation: AttentionImplementation) -> Tensor:
        keys, values = self.cross_kv(memory).chunk(2, dim=-1)
        dropout = self.attention_dropout if self.training else 0.0
        if memory.shape[1] == 1 and not dropout:
            # A softmax over one key is one, whatever the query: every frame receives the value.
            return self.cross_out(values).expand_as(hidden)
        query, keys, values = split_heads(self.num_heads, self.cross_q(hidden), keys, values)
        return self.cross_out(attend(query, keys, values, None, dropout, implementation).transpose(1, 2).flatten(2))
