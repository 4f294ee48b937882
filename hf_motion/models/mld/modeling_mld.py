"""The denoiser of MLD: a transformer over the latent tokens of a motion, the diffusion step and a text.

Chen et al., *Executing your Commands via Motion Diffusion in Latent Space*, CVPR 2023; distilled for few steps in Dai et al., *MotionLCM*,
ECCV 2024. Weights published by their authors load through `hf_motion.conversion.mld`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from diffusers.configuration_utils import register_to_config
from diffusers.utils import BaseOutput
from diffusers.utils.accelerate_utils import apply_forward_hook
from torch import Tensor, nn
from torch.nn import functional as F

from ...nn.attention import PostNormBlock, key_padding_mask
from ...nn.guidance import GuidanceProjection
from ...nn.skip import SkipBlocks
from ..text_denoiser import TextDenoiser


@dataclass
class MLDDenoiserOutput(BaseOutput):
    """Output of `MLDDenoiser`.

    Args:
        sample (`torch.Tensor`): What is predicted, the noise in published weights, (batch, latent_tokens, latent_dim).
    """

    sample: Tensor


@dataclass
class MLDCondition:
    """A text as the denoiser reads it, computed once for all steps of a sampling loop.

    Args:
        text (`torch.Tensor`): Projected text, (batch, tokens, hidden_size).
        mask (`torch.Tensor` or `None`): (batch, tokens), 1 on real tokens.
    """

    text: Tensor
    mask: Tensor | None


class MLDDenoiser(TextDenoiser):
    """Predicts the noise in latents, or whatever its scheduler is told.

    Args:
        latent_tokens (`int`, defaults to 1): Tokens of a latent.
        latent_dim (`int`, defaults to 256): Width of a latent token.
        hidden_size (`int`, defaults to 256): Width of the transformer.
        num_layers (`int`, defaults to 9): Blocks, odd.
        num_attention_heads (`int`, defaults to 4): Heads; must divide `hidden_size`.
        intermediate_size (`int`, defaults to 1024): Width of the feed-forward layers.
        dropout (`float`, defaults to 0.1): Dropout, of attention weights too.
        text_dim (`int`, defaults to 768): Width of the text encoder's output.
        text_conditioning (`str`, defaults to `"pooled"`): `"pooled"` reads one vector per text; `"tokens"` one per token.
        text_activation (`str`, *optional*, defaults to `"relu"`): What texts pass before their projection; MotionLCM-v2 has none.
        time_dim (`int`, defaults to 768): Width of the step's sinusoids.
        latent_projection (`bool`, *optional*): Whether linear layers lead from latents and to them; by default where their width is not
            that of the transformer.
        max_positions (`int`, defaults to 500): Learned positions: of latent tokens, the step and the text.
        time_cond_proj_dim (`int`, *optional*): Width of a guidance scale that is read beside the step, as distilled denoisers do; 256 in
            MotionLCM.

    Raises:
        ValueError: If widths do not fit together, or an option is unknown.
    """

    _no_split_modules = ["PostNormBlock"]

    @register_to_config
    def __init__(
        self,
        latent_tokens: int = 1,
        latent_dim: int = 256,
        hidden_size: int = 256,
        num_layers: int = 9,
        num_attention_heads: int = 4,
        intermediate_size: int = 1024,
        dropout: float = 0.1,
        text_dim: int = 768,
        text_conditioning: Literal["pooled", "tokens"] = "pooled",
        text_activation: Literal["relu"] | None = "relu",
        time_dim: int = 768,
        latent_projection: bool | None = None,
        max_positions: int = 500,
        time_cond_proj_dim: int | None = None,
    ) -> None:
        super().__init__()
        projects = latent_dim != hidden_size if latent_projection is None else latent_projection
        if hidden_size % num_attention_heads or (latent_dim != hidden_size and not projects) or time_dim % 2:
            raise ValueError(
                f"hidden_size={hidden_size} must be divisible by num_attention_heads={num_attention_heads}, latent_dim={latent_dim} be the "
                f"same unless latent_projection leads from the one to the other, and time_dim={time_dim} be even."
            )
        if text_conditioning not in ("pooled", "tokens") or text_activation not in ("relu", None):
            raise ValueError(
                f"text_conditioning must be one of 'pooled', 'tokens', got {text_conditioning!r}, and text_activation 'relu' or None, got "
                f"{text_activation!r}."
            )
        self.input_projection = nn.Linear(latent_dim, hidden_size) if projects else nn.Identity()
        self.output_projection = nn.Linear(hidden_size, latent_dim) if projects else nn.Identity()
        self.guidance_projection = GuidanceProjection(time_cond_proj_dim, time_dim) if time_cond_proj_dim is not None else None
        self.time_projection = nn.Sequential(nn.Linear(time_dim, hidden_size), nn.SiLU(), nn.Linear(hidden_size, hidden_size))
        self.text_projection = nn.Linear(text_dim, hidden_size)
        self.positions = nn.Parameter(torch.rand(max_positions, hidden_size))
        sizes = hidden_size, num_attention_heads, intermediate_size, dropout
        self.blocks = SkipBlocks(lambda: PostNormBlock(*sizes), num_layers, hidden_size)
        self.norm = nn.LayerNorm(hidden_size)
        for weight in self.blocks.parameters():
            if weight.ndim > 1:
                nn.init.xavier_uniform_(weight)

    @apply_forward_hook
    def encode_condition(self, encoder_hidden_states: Tensor, encoder_attention_mask: Tensor | None = None) -> MLDCondition:
        """Project a text once, for many calls of `forward`.

        Args:
            encoder_hidden_states (`torch.Tensor`): (batch, text_dim) if pooled, (batch, tokens, text_dim) for tokens.
            encoder_attention_mask (`torch.Tensor`, *optional*): (batch, tokens), 1 on real tokens.

        Returns:
            `MLDCondition`: To be passed as `condition`.

        Raises:
            ValueError: If the shape does not fit the configuration.
        """
        text = self._as_tokens(encoder_hidden_states, self.config.max_positions - self.config.latent_tokens - 1)
        text = self.text_projection(text.relu() if self.config.text_activation == "relu" else text)
        return MLDCondition(text, None if self.config.text_conditioning == "pooled" else encoder_attention_mask)

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor | int,
        encoder_hidden_states: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
        condition: MLDCondition | None = None,
        timestep_cond: Tensor | None = None,
        return_dict: bool = True,
    ) -> MLDDenoiserOutput | tuple[Tensor]:
        """Predict.

        Args:
            sample (`torch.Tensor`): Noisy latents, (batch, latent_tokens, latent_dim).
            timestep (`torch.Tensor` or `int`): Diffusion step, one for all or (batch,).
            encoder_hidden_states (`torch.Tensor`, *optional*): Text, see `encode_condition`. Not needed with `condition`.
            encoder_attention_mask (`torch.Tensor`, *optional*): (batch, tokens), 1 on real tokens.
            condition (`MLDCondition`, *optional*): Result of `encode_condition`. Its batch may be a multiple of that of `sample`, as for
                guidance: `sample` is then repeated.
            timestep_cond (`torch.Tensor`, *optional*): Guidance scales, (batch, time_cond_proj_dim); needed where the configuration has
                that width.
            return_dict (`bool`, defaults to `True`): Return a `MLDDenoiserOutput` rather than a tuple.

        Returns:
            `MLDDenoiserOutput`: `sample`, (batch of the condition, latent_tokens, latent_dim).

        Raises:
            ValueError: If neither a text nor a condition is given, `sample` has another shape, or a guidance scale is missing or not read.
        """
        shape = self.config.latent_tokens, self.config.latent_dim
        if sample.shape[1:] != shape:
            raise ValueError(f"sample must be (batch, {shape[0]}, {shape[1]}), got {tuple(sample.shape)}.")
        condition, copies = self._condition(condition, sample, encoder_hidden_states, encoder_attention_mask)
        time = self._step(timestep, sample, timestep_cond)[:, None]
        before = torch.cat((self.input_projection(sample.to(self.dtype)), time), dim=1).repeat(copies, 1, 1)
        hidden = torch.cat((before, condition.text), dim=1)
        hidden = hidden + self.positions[: hidden.shape[1]]
        mask = None
        if condition.mask is not None:
            mask = key_padding_mask(F.pad(condition.mask, (before.shape[1], 0), value=1), hidden.dtype)
        hidden = self.norm(self.blocks(hidden, mask, self.attention_implementation)[:, : shape[0]])
        output = self.output_projection(hidden)
        return MLDDenoiserOutput(output) if return_dict else (output,)
