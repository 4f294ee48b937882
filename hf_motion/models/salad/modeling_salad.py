"""The denoiser of SALAD: frames look at frames, parts at parts, and both at the words of a text.

Hong et al., *SALAD: Skeleton-aware Latent Diffusion for Text-driven Motion Generation and Editing*, CVPR 2025. Published weights load
through `hf_motion.conversion.salad`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from diffusers.configuration_utils import register_to_config
from diffusers.utils import BaseOutput
from diffusers.utils.accelerate_utils import apply_forward_hook
from torch import Tensor, nn

from ...nn.attention import AttentionImplementation, CrossAttention, key_padding_mask, split_heads
from ...nn.embeddings import sinusoidal_table
from ...nn.guidance import GuidanceProjection
from ...nn.skip import SkipBlocks
from ..text_denoiser import TextDenoiser

_MAX_POSITIONS = 5000

AttentionEdit = Callable[[str, Tensor], Tensor]
"""Looks at attention weights and gives those to use: called with `"temporal"`, `"skeletal"` or `"cross"`, layer by layer in this order, and
weights (batch, parts, heads, steps, steps), (batch, steps, heads, parts, parts) or (batch, 1, heads, steps * parts, tokens)."""


@dataclass
class SALADDenoiserOutput(BaseOutput):
    """Output of `SALADDenoiser`.

    Args:
        sample (`torch.Tensor`): What is predicted, velocities in published weights, (batch, steps, latent_parts, latent_dim).
    """

    sample: Tensor


@dataclass
class SALADCondition:
    """What the denoiser needs of a text, computed once for all steps of a sampling loop.

    Args:
        keys_values (`list[torch.Tensor]`): Per layer, keys and values of the text, (batch, tokens, 2 * hidden_size).
        mask (`torch.Tensor` or `None`): Additive mask over the tokens, (batch, 1, 1, tokens).
    """

    keys_values: list[Tensor]
    mask: Tensor | None

    @property
    def text(self) -> Tensor:
        """(batch, tokens, ...)."""
        return self.keys_values[0]


class SALADDenoiser(TextDenoiser):
    """Predicts velocities in latents, or whatever its scheduler is told.

    Args:
        latent_parts (`int`, defaults to 7): Parts of the body in a latent.
        latent_dim (`int`, defaults to 32): Width of a part.
        hidden_size (`int`, defaults to 256): Width of the transformer.
        num_layers (`int`, defaults to 5): Blocks, odd.
        num_attention_heads (`int`, defaults to 8): Heads; must divide `hidden_size`.
        intermediate_size (`int`, defaults to 1024): Width of the feed-forward layers.
        dropout (`float`, defaults to 0.1): Dropout, of attention weights too.
        activation (`str`, defaults to `"gelu"`): Of the feed-forward layers, or `"relu"`.
        text_dim (`int`, defaults to 512): Width of the text encoder's output.
        text_conditioning (`str`, defaults to `"tokens"`): `"tokens"` reads one vector per token; `"pooled"` one per text.
        time_dim (`int`, defaults to 256): Width of the step's sinusoids.
        time_cond_proj_dim (`int`, *optional*): Width of a guidance scale that is read beside the step, as distilled denoisers do.

    Raises:
        ValueError: If widths do not fit together, or an option is unknown.
    """

    _no_split_modules = ["SALADBlock"]

    @register_to_config
    def __init__(
        self,
        latent_parts: int = 7,
        latent_dim: int = 32,
        hidden_size: int = 256,
        num_layers: int = 5,
        num_attention_heads: int = 8,
        intermediate_size: int = 1024,
        dropout: float = 0.1,
        activation: Literal["gelu", "relu"] = "gelu",
        text_dim: int = 512,
        text_conditioning: Literal["tokens", "pooled"] = "tokens",
        time_dim: int = 256,
        time_cond_proj_dim: int | None = None,
    ) -> None:
        super().__init__()
        if hidden_size % num_attention_heads or hidden_size % 2 or time_dim % 2:
            raise ValueError(
                f"hidden_size={hidden_size} must be even and divisible by num_attention_heads={num_attention_heads}, and "
                f"time_dim={time_dim} be even."
            )
        if text_conditioning not in ("pooled", "tokens") or activation not in ("gelu", "relu"):
            raise ValueError(
                f"text_conditioning must be one of 'tokens', 'pooled', got {text_conditioning!r}, and activation one of 'gelu', 'relu', "
                f"got {activation!r}."
            )
        self.input_projection = nn.Sequential(nn.Linear(latent_dim, hidden_size), nn.ReLU(), nn.Linear(hidden_size, hidden_size))
        self.guidance_projection = GuidanceProjection(time_cond_proj_dim, time_dim) if time_cond_proj_dim is not None else None
        self.time_projection = nn.Sequential(nn.Linear(time_dim, hidden_size), nn.SiLU(), nn.Linear(hidden_size, hidden_size))
        self.text_projection = nn.Linear(text_dim, hidden_size)
        self.blocks = SkipBlocks(
            lambda: SALADBlock(hidden_size, num_attention_heads, intermediate_size, dropout, activation), num_layers, hidden_size
        )
        for index, block in enumerate(self._ordered()):
            block.index = index
        self.output_norm = nn.LayerNorm(hidden_size)
        self.output_projection = nn.Sequential(nn.Linear(hidden_size, hidden_size), nn.ReLU(), nn.Linear(hidden_size, latent_dim))
        self.embedding_dropout = nn.Dropout(dropout)
        self.register_buffer("positions", sinusoidal_table(_MAX_POSITIONS, hidden_size), persistent=False)

    @apply_forward_hook
    def encode_condition(self, encoder_hidden_states: Tensor, encoder_attention_mask: Tensor | None = None) -> SALADCondition:
        """Project a text once, for many calls of `forward`.

        Args:
            encoder_hidden_states (`torch.Tensor`): (batch, tokens, text_dim), or (batch, text_dim) if pooled.
            encoder_attention_mask (`torch.Tensor`, *optional*): (batch, tokens), 1 on real tokens.

        Returns:
            `SALADCondition`: To be passed as `condition`.

        Raises:
            ValueError: If the shape does not fit the configuration.
        """
        text = self.text_projection(self._as_tokens(encoder_hidden_states))
        pooled = encoder_attention_mask is None or self.config.text_conditioning == "pooled"
        mask = None if pooled else key_padding_mask(encoder_attention_mask, text.dtype)
        return SALADCondition([block.cross_attention.kv(block.text_norm(text)) for block in self._ordered()], mask)

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor | int,
        encoder_hidden_states: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
        attention_mask: Tensor | None = None,
        condition: SALADCondition | None = None,
        timestep_cond: Tensor | None = None,
        attention_edit: AttentionEdit | None = None,
        return_dict: bool = True,
    ) -> SALADDenoiserOutput | tuple[Tensor]:
        """Predict.

        Args:
            sample (`torch.Tensor`): Noisy latents, (batch, steps, latent_parts, latent_dim).
            timestep (`torch.Tensor` or `int`): Diffusion step, one for all or (batch,).
            encoder_hidden_states (`torch.Tensor`, *optional*): Text, see `encode_condition`. Not needed with `condition`.
            encoder_attention_mask (`torch.Tensor`, *optional*): (batch, tokens), 1 on real tokens.
            attention_mask (`torch.Tensor`, *optional*): (batch, steps), 1 on real steps.
            condition (`SALADCondition`, *optional*): Result of `encode_condition`. Its batch may be a multiple of that of `sample`, as for
                guidance: `sample` is then repeated.
            timestep_cond (`torch.Tensor`, *optional*): Guidance scales, (batch, time_cond_proj_dim); needed where the configuration has
                that width.
            attention_edit (`AttentionEdit`, *optional*): Sees and changes attention weights; attention is not fused then.
            return_dict (`bool`, defaults to `True`): Return a `SALADDenoiserOutput` rather than a tuple.

        Returns:
            `SALADDenoiserOutput`: `sample`, (batch of the condition, steps, latent_parts, latent_dim); zero on padded steps.

        Raises:
            ValueError: If neither a text nor a condition is given, `sample` has another shape, or a guidance scale is missing or not read.
        """
        parts, width = self.config.latent_parts, self.config.latent_dim
        if sample.ndim != 4 or sample.shape[2:] != (parts, width) or sample.shape[1] * parts > _MAX_POSITIONS:
            raise ValueError(f"sample must be (batch, up to {_MAX_POSITIONS // parts} steps, {parts}, {width}), got {tuple(sample.shape)}.")
        condition, copies = self._condition(condition, sample, encoder_hidden_states, encoder_attention_mask)
        time = self._step(timestep, sample, timestep_cond)[:, None, None].repeat(copies, 1, 1, 1)
        hidden = self.input_projection(sample.to(self.dtype)).flatten(1, 2)
        hidden = self.embedding_dropout(hidden + self.positions[: hidden.shape[1]].to(hidden.dtype))
        hidden = hidden.unflatten(1, (-1, parts)).repeat(copies, 1, 1, 1)
        mask = None
        if attention_mask is not None:
            attention_mask = attention_mask.repeat(copies, 1)
            mask = key_padding_mask(attention_mask, hidden.dtype).repeat_interleave(parts, dim=0)
        hidden = self.blocks(hidden, condition, time, mask, self.attention_implementation, attention_edit)
        output = self.output_projection(self.output_norm(hidden))
        if attention_mask is not None:
            output = output * attention_mask[..., None, None].to(output.dtype)
        return SALADDenoiserOutput(output) if return_dict else (output,)

    def _ordered(self) -> list[Any]:
        return [*self.blocks.down, self.blocks.middle, *self.blocks.up]


class SALADBlock(nn.Module):
    """Attention over time, over parts and to the text, and feed-forward layers; the diffusion step scales and shifts what each adds."""

    index = 0
    """Which of the blocks it is."""

    def __init__(self, hidden_size: int, num_heads: int, intermediate_size: int, dropout: float, activation: str) -> None:
        super().__init__()
        self.temporal_norm, self.skeletal_norm, self.cross_norm, self.text_norm, self.mlp_norm = (
            nn.LayerNorm(hidden_size) for _ in range(5)
        )
        self.temporal_attention = SALADAttention(hidden_size, num_heads, dropout)
        self.skeletal_attention = SALADAttention(hidden_size, num_heads, dropout)
        self.cross_attention = SALADAttention(hidden_size, num_heads, dropout)
        self.mlp = nn.Sequential(
            nn.Linear(hidden_size, intermediate_size),
            nn.ReLU() if activation == "relu" else nn.GELU(),
            nn.Linear(intermediate_size, hidden_size),
        )
        self.films = nn.ModuleList(nn.Sequential(nn.SiLU(), nn.Linear(hidden_size, 2 * hidden_size)) for _ in range(4))
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        hidden: Tensor,
        condition: SALADCondition,
        time: Tensor,
        mask: Tensor | None,
        implementation: AttentionImplementation,
        edit: AttentionEdit | None,
    ) -> Tensor:
        """(batch, steps, parts, hidden_size) in and out; `time` is (batch, 1, 1, hidden_size), `mask` additive over steps."""
        batch, steps, parts, _ = hidden.shape
        scales = [film(time).chunk(2, dim=-1) for film in self.films]

        def add(hidden: Tensor, change: Tensor, scale: tuple[Tensor, Tensor]) -> Tensor:
            return hidden + self.dropout(change) * (scale[0] + 1) + scale[1]

        own = self.temporal_norm(hidden).transpose(1, 2).flatten(0, 1)
        looked = self.temporal_attention(own, None, mask, implementation, edit, "temporal", parts)
        hidden = add(hidden, looked.unflatten(0, (batch, parts)).transpose(1, 2), scales[0])
        own = self.skeletal_norm(hidden).flatten(0, 1)
        looked = self.skeletal_attention(own, None, None, implementation, edit, "skeletal", steps)
        hidden = add(hidden, looked.unflatten(0, (batch, steps)), scales[1])
        own = self.cross_norm(hidden).flatten(1, 2)
        looked = self.cross_attention(own, condition.keys_values[self.index], condition.mask, implementation, edit, "cross", 1)
        hidden = add(hidden, looked.unflatten(1, (steps, parts)), scales[2])
        return add(hidden, self.mlp(self.mlp_norm(hidden)), scales[3])


class SALADAttention(CrossAttention):
    """Multi-head attention of a sequence to itself or to a text, whose weights can be looked at and changed."""

    def forward(
        self,
        hidden: Tensor,
        keys_values: Tensor | None,
        mask: Tensor | None,
        implementation: AttentionImplementation,
        edit: AttentionEdit | None,
        kind: str,
        rows: int,
    ) -> Tensor:
        """(batch * rows, queries, hidden_size) in and out; keys and values are those of `hidden` where none are given."""
        keys, values = (self.kv(hidden) if keys_values is None else keys_values).chunk(2, dim=-1)
        if edit is None:
            return self.attend_to(hidden, keys, values, mask, implementation)
        query, keys, values = split_heads(self.num_heads, self.q(hidden), keys, values)
        scores = query @ keys.transpose(-2, -1) * query.shape[-1] ** -0.5
        weights = (scores if mask is None else scores + mask).softmax(-1)
        weights = edit(kind, weights.unflatten(0, (-1, rows))).flatten(0, 1)
        return self.out((weights @ values).transpose(1, 2).flatten(2))
