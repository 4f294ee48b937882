"""The denoiser of MDM: a transformer over frames, conditioned on a text and a diffusion step.

Tevet et al., *Human Motion Diffusion Model*, ICLR 2023. Weights published by its authors load through `hf_motion.conversion`.
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

from ...nn.attention import AttentionImplementation, CrossAttention, SelfAttention, feed_forward, key_padding_mask
from ...nn.embeddings import sinusoidal_table, sinusoids
from ...nn.guidance import GuidanceProjection
from ..text_denoiser import TextDenoiser

_MAX_POSITIONS = 5000


@dataclass
class MDMDenoiserOutput(BaseOutput):
    """Output of `MDMDenoiser`.

    Args:
        sample (`torch.Tensor`): Predicted clean features x0, (batch, frames, num_features).
    """

    sample: Tensor


@dataclass
class MDMCondition:
    """What the denoiser needs of a text, computed once for all steps of a sampling loop.

    Args:
        text (`torch.Tensor`): Projected text, (batch, tokens, hidden_size).
        mask (`torch.Tensor` or `None`): Additive mask over the tokens, (batch, 1, 1, tokens).
        keys_values (`list[tuple[torch.Tensor, torch.Tensor]]` or `None`): Per layer, the part of the cross-attention's keys and
            values that comes from the text, each (batch, tokens, hidden_size).
    """

    text: Tensor
    mask: Tensor | None
    keys_values: list[tuple[Tensor, Tensor]] | None


class MDMDenoiser(TextDenoiser):
    """Predicts clean motion features from noisy ones.

    Args:
        num_features (`int`, defaults to 263): Width of a frame.
        hidden_size (`int`, defaults to 512): Width of the transformer.
        num_layers (`int`, defaults to 8): Number of blocks.
        num_attention_heads (`int`, defaults to 4): Heads; must divide `hidden_size`.
        intermediate_size (`int`, defaults to 1024): Width of the feed-forward layers.
        dropout (`float`, defaults to 0.1): Dropout everywhere but on attention weights, see `attention_dropout`.
        attention_dropout (`float`, defaults to 0.1): Dropout of attention weights.
        arch (`str`, defaults to `"trans_enc"`): `"trans_enc"` prepends the condition to the frames; `"trans_dec"` lets frames attend to it.
        text_dim (`int`, defaults to 512): Width of the text encoder's output.
        text_conditioning (`str`, defaults to `"pooled"`): `"pooled"` uses one vector per text; `"tokens"` uses one per token and
            needs `arch="trans_dec"`.
        time_token (`bool`, defaults to `False`): With `"trans_dec"`, also prepend the step to the frames (`emb_trans_dec` in the
            published code).
        condition_merge (`str`, defaults to `"add"`): With `"tokens"`, add the step to each token or `"concat"` it as one more
            (`emb_policy` in the published code).
        mask_frames (`bool`, defaults to `True`): Hide padded frames while training. Older published checkpoints were trained without.
            In evaluation mode padding is always hidden, so a clip comes out as if it had been run alone at its own length.
        timestep_scale (`float`, defaults to 1.0): Diffusion step t enters as sinusoids of (t + 1) * timestep_scale - 1; published models
            have 1. With 0.05 a model that was trained with 50 steps goes on with 1,000, which hold the same noise levels and 19 between
            each two.
        patch_size (`int`, defaults to 1): Frames that share a token, as image transformers take patches of pixels (Peebles and Xie, *DiT*,
            ICCV 2023): 4 makes blocks four times cheaper. Published models have 1. Any number of frames can be passed all the same.
        time_cond_proj_dim (`int`, *optional*): Width of a guidance scale that is read beside the step, as distilled denoisers do; see
            `hf_motion.nn.guidance.guidance_embedding`. Without it there is none.

    Raises:
        ValueError: If an option is unknown or two of them do not fit together.
    """

    _no_split_modules = ["MDMBlock"]

    @register_to_config
    def __init__(
        self,
        num_features: int = 263,
        hidden_size: int = 512,
        num_layers: int = 8,
        num_attention_heads: int = 4,
        intermediate_size: int = 1024,
        dropout: float = 0.1,
        attention_dropout: float = 0.1,
        arch: Literal["trans_enc", "trans_dec"] = "trans_enc",
        text_dim: int = 512,
        text_conditioning: Literal["pooled", "tokens"] = "pooled",
        time_token: bool = False,
        condition_merge: Literal["add", "concat"] = "add",
        mask_frames: bool = True,
        timestep_scale: float = 1.0,
        patch_size: int = 1,
        time_cond_proj_dim: int | None = None,
    ) -> None:
        super().__init__()
        if not timestep_scale > 0:
            raise ValueError(f"timestep_scale must be positive, got {timestep_scale}.")
        if patch_size < 1:
            raise ValueError(f"patch_size must be 1 frame or more, got {patch_size}.")
        _check_options(arch, text_conditioning, time_token, condition_merge, hidden_size, num_attention_heads)
        cross_attention = arch == "trans_dec"
        self.time_first = arch == "trans_enc" or time_token
        self.input_projection = nn.Linear(num_features * patch_size, hidden_size)
        self.time_projection = nn.Sequential(nn.Linear(hidden_size, hidden_size), nn.SiLU(), nn.Linear(hidden_size, hidden_size))
        self.guidance_projection = GuidanceProjection(time_cond_proj_dim, hidden_size) if time_cond_proj_dim is not None else None
        self.text_projection = nn.Linear(text_dim, hidden_size)
        self.blocks = nn.ModuleList(
            MDMBlock(hidden_size, num_attention_heads, intermediate_size, dropout, attention_dropout, cross_attention)
            for _ in range(num_layers)
        )
        self.output_projection = nn.Linear(hidden_size, num_features * patch_size)
        self.embedding_dropout = nn.Dropout(dropout)
        self.register_buffer("positions", sinusoidal_table(_MAX_POSITIONS, hidden_size), persistent=False)

    @apply_forward_hook
    def encode_condition(
        self, encoder_hidden_states: Tensor, encoder_attention_mask: Tensor | None = None, cache_keys_values: bool = True
    ) -> MDMCondition:
        """Project a text once, for many calls of `forward`.

        Args:
            encoder_hidden_states (`torch.Tensor`): (batch, text_dim) or (batch, 1, text_dim) if pooled, (batch, tokens, text_dim)
                for tokens. All zeros stand for no text.
            encoder_attention_mask (`torch.Tensor`, *optional*): (batch, tokens), 1 on real tokens.
            cache_keys_values (`bool`, defaults to `True`): Also compute each layer's keys and values of the text.

        Returns:
            `MDMCondition`: To be passed as `condition`.

        Raises:
            ValueError: If the shape does not fit the configuration.
        """
        text = self.text_projection(self._as_tokens(encoder_hidden_states))
        pooled = self.config.text_conditioning == "pooled"
        mask = None if encoder_attention_mask is None or pooled else key_padding_mask(encoder_attention_mask, text.dtype)
        if mask is not None and self.config.condition_merge == "concat":
            mask = F.pad(mask, (1, 0))
        caches = cache_keys_values and self.config.arch == "trans_dec"
        return MDMCondition(text, mask, [block.cross_attention.keys_values(text) for block in self.blocks] if caches else None)

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor | int,
        encoder_hidden_states: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
        attention_mask: Tensor | None = None,
        condition: MDMCondition | None = None,
        timestep_cond: Tensor | None = None,
        return_dict: bool = True,
    ) -> MDMDenoiserOutput | tuple[Tensor]:
        """Predict x0.

        Args:
            sample (`torch.Tensor`): Noisy features, (batch, frames, num_features).
            timestep (`torch.Tensor` or `int`): Diffusion step, one for all or (batch,).
            encoder_hidden_states (`torch.Tensor`, *optional*): Text, see `encode_condition`. Not needed with `condition`.
            encoder_attention_mask (`torch.Tensor`, *optional*): (batch, tokens), 1 on real tokens.
            attention_mask (`torch.Tensor`, *optional*): (batch, frames), 1 on real frames.
            condition (`MDMCondition`, *optional*): Result of `encode_condition`. Its batch may be a multiple of that of `sample`, as for
                guidance: `sample` is then repeated, and what does not depend on the text is computed once.
            timestep_cond (`torch.Tensor`, *optional*): Guidance scales, (batch, time_cond_proj_dim); needed where the configuration has
                that width.
            return_dict (`bool`, defaults to `True`): Return a `MDMDenoiserOutput` rather than a tuple.

        Returns:
            `MDMDenoiserOutput`: `sample`, (batch of the condition, frames, num_features); zero on padded frames.

        Raises:
            ValueError: If neither a text nor a condition is given, `sample` has the wrong width, or a guidance scale is missing or is not
                read.
        """
        if sample.ndim != 3 or sample.shape[-1] != self.config.num_features:
            raise ValueError(f"sample must be (batch, frames, {self.config.num_features}), got {tuple(sample.shape)}.")
        condition, copies = self._condition(condition, sample, encoder_hidden_states, encoder_attention_mask, cache_keys_values=False)
        time = self._step(timestep, sample, timestep_cond)[:, None]
        if self.config.arch == "trans_enc":
            sample, time, attention_mask, copies = _repeat(copies, sample), _repeat(copies, time), _repeat(copies, attention_mask), 1

        hidden = self.input_projection(self._patches(sample.to(self.dtype), attention_mask))
        if self.time_first:
            first = time + condition.text if self.config.arch == "trans_enc" else time
            hidden = torch.cat((first, hidden), dim=1)
        hidden = self.embedding_dropout(hidden + self._token_positions(hidden.shape[1]).to(hidden.dtype))
        frame_mask = self._frame_mask(attention_mask, hidden.dtype)
        for index, block in enumerate(self.blocks):
            hidden = block.mix_frames(hidden, frame_mask, self.attention_implementation)
            if index == 0:
                hidden, time, frame_mask, attention_mask = (_repeat(copies, x) for x in (hidden, time, frame_mask, attention_mask))
            cached = condition.keys_values[index] if condition.keys_values is not None else None
            hidden = block.read_text(hidden, condition, time, cached, self.config.condition_merge, self.attention_implementation)
        output = self.output_projection(hidden[:, 1:] if self.time_first else hidden)
        output = output.unflatten(2, (self.config.patch_size, -1)).flatten(1, 2)[:, : sample.shape[1]]
        if attention_mask is not None:
            output = output * attention_mask[..., None].to(output.dtype)
        return MDMDenoiserOutput(output) if return_dict else (output,)

    def _step_waves(self, timestep: Tensor) -> Tensor:
        if self.config.timestep_scale == 1:
            return self.positions[timestep.round().long()]
        return sinusoids((timestep.float() + 1) * self.config.timestep_scale - 1, self.config.hidden_size)

    def _patches(self, sample: Tensor, attention_mask: Tensor | None) -> Tensor:
        """Frames of a token side by side, zeros where there are none: (batch, tokens, patch_size * num_features)."""
        size = self.config.patch_size
        if size == 1:
            return sample
        if attention_mask is not None:
            sample = sample * attention_mask[..., None].to(sample.dtype)
        return F.pad(sample, (0, 0, 0, -sample.shape[1] % size)).unflatten(1, (-1, size)).flatten(2)

    def _token_positions(self, tokens: int) -> Tensor:
        """A token's position is that of its middle frame, so that distances in time stay what they were: (tokens, width)."""
        size, first = self.config.patch_size, int(self.time_first)
        patches = self.positions[first + size // 2 :: size][: tokens - first]
        return torch.cat((self.positions[:first], patches)) if first else patches

    def _frame_mask(self, attention_mask: Tensor | None, dtype: torch.dtype) -> Tensor | None:
        if attention_mask is None or (self.training and not self.config.mask_frames):
            return None
        size = self.config.patch_size
        if size > 1:
            attention_mask = F.pad(attention_mask, (0, -attention_mask.shape[1] % size)).unflatten(1, (-1, size)).amax(2)
        return key_padding_mask(F.pad(attention_mask, (1, 0), value=1) if self.time_first else attention_mask, dtype)


class MDMBlock(nn.Module):
    """Transformer block with normalisation after each residual sum, as `torch.nn.Transformer` has it by default."""

    def __init__(
        self, hidden_size: int, num_heads: int, intermediate_size: int, dropout: float, attention_dropout: float, cross_attention: bool
    ) -> None:
        super().__init__()
        self.self_attention = SelfAttention(hidden_size, num_heads, attention_dropout)
        self.self_attention_norm = nn.LayerNorm(hidden_size)
        self.cross_attention = TextAttention(hidden_size, num_heads, attention_dropout) if cross_attention else None
        self.cross_attention_norm = nn.LayerNorm(hidden_size) if cross_attention else None
        self.mlp = feed_forward(hidden_size, intermediate_size, dropout)
        self.mlp_norm = nn.LayerNorm(hidden_size)
        self.dropout = nn.Dropout(dropout)

    def mix_frames(self, hidden: Tensor, frame_mask: Tensor | None, implementation: AttentionImplementation) -> Tensor:
        """Frames look at frames. (batch, frames, hidden_size) in and out."""
        return self.self_attention_norm(hidden + self.dropout(self.self_attention(hidden, frame_mask, implementation)))

    def read_text(
        self,
        hidden: Tensor,
        condition: MDMCondition,
        time: Tensor,
        cached: tuple[Tensor, Tensor] | None,
        merge: str,
        implementation: AttentionImplementation,
    ) -> Tensor:
        """Frames look at the text, if the block does, and pass the feed-forward layers. (batch, frames, hidden_size) in and out."""
        if self.cross_attention is not None:
            keys, values = self.cross_attention.keys_values(condition.text) if cached is None else cached
            attended = self.cross_attention(hidden, keys, values, time, merge, condition.mask, implementation)
            hidden = self.cross_attention_norm(hidden + self.dropout(attended))
        return self.mlp_norm(hidden + self.dropout(self.mlp(hidden)))


class TextAttention(CrossAttention):
    """Multi-head attention of frames to text tokens and the diffusion step.

    Keys and values are linear, so the part of the text, which does not change over the steps, and the part of the step are
    projected apart and added: the text is projected once for a whole sampling loop.
    """

    def forward(
        self,
        hidden: Tensor,
        keys: Tensor,
        values: Tensor,
        time: Tensor,
        merge: str,
        mask: Tensor | None,
        implementation: AttentionImplementation,
    ) -> Tensor:
        """(batch, frames, hidden_size) in and out; `time` is (batch, 1, hidden_size)."""
        if merge == "add":
            # The layer's linear part, through the layer itself, so that adapters and offloading see it.
            time_key, time_value = (self.kv(time) - self.kv(torch.zeros_like(time[:1]))).chunk(2, dim=-1)
            keys, values = keys + time_key, values + time_value
        else:
            time_key, time_value = self.keys_values(time)
            keys, values = torch.cat((time_key, keys), dim=1), torch.cat((time_value, values), dim=1)
        if keys.shape[1] == 1:
            # A softmax over one key is one, whatever the query: every frame receives the value.
            return self.out(values).expand_as(hidden)
        return self.attend_to(hidden, keys, values, mask, implementation)


def _repeat(copies: int, tensor: Tensor | None) -> Tensor | None:
    return tensor if tensor is None or copies == 1 else tensor.repeat(copies, *[1] * (tensor.ndim - 1))


def _check_options(
    arch: str, text_conditioning: str, time_token: bool, condition_merge: str, hidden_size: int, num_attention_heads: int
) -> None:
    for name, value, allowed in (
        ("arch", arch, ("trans_enc", "trans_dec")),
        ("text_conditioning", text_conditioning, ("pooled", "tokens")),
        ("condition_merge", condition_merge, ("add", "concat")),
    ):
        if value not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}.")
    if arch == "trans_enc" and (text_conditioning == "tokens" or time_token or condition_merge == "concat"):
        raise ValueError(
            "arch='trans_enc' takes one pooled text vector: text_conditioning='tokens', time_token=True and condition_merge='concat' "
            "need arch='trans_dec'."
        )
    if text_conditioning == "pooled" and condition_merge == "concat":
        raise ValueError("condition_merge='concat' needs text_conditioning='tokens'.")
    if hidden_size % num_attention_heads or hidden_size % 2:
        raise ValueError(f"hidden_size={hidden_size} must be even and divisible by num_attention_heads={num_attention_heads}.")
