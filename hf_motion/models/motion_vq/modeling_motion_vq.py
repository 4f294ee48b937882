"""The tokenizers of T2M-GPT and MoMask: a convolutional autoencoder around a quantizer.

Zhang et al., *T2M-GPT*, CVPR 2023; Guo et al., *MoMask*, CVPR 2024. Weights published by their authors load through
`hf_motion.conversion.motion_vq`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import initialization as init
from transformers.utils import ModelOutput

from ...nn.padding import pad_and_mask
from ...nn.quantizers import ResidualQuantizer
from ...nn.recurrent import real_lengths
from ..checked_model import CheckedModel
from .configuration_motion_vq import RECONSTRUCTION_LOSSES, MotionVQConfig


@dataclass
class MotionVQOutput(ModelOutput):
    """Output of `MotionVQModel`.

    Args:
        loss (`torch.Tensor`): Weighted sum of the three losses.
        reconstruction_loss (`torch.Tensor`): Error of the features.
        position_loss (`torch.Tensor`, *optional*): Error of the joint positions alone.
        commitment_loss (`torch.Tensor`): Mean squared distance of latents to their codes.
        perplexity (`torch.Tensor`): Codes in effective use in this batch.
        dead_codes (`torch.Tensor`): Share of codes that are hardly used.
        reconstruction (`torch.Tensor`): (batch, frames, num_features).
        codes (`torch.Tensor`): (batch, num_quantizers, tokens); -1 on padding and in dropped books.
    """

    loss: Tensor | None = None
    reconstruction_loss: Tensor | None = None
    position_loss: Tensor | None = None
    commitment_loss: Tensor | None = None
    perplexity: Tensor | None = None
    dead_codes: Tensor | None = None
    reconstruction: Tensor | None = None
    codes: Tensor | None = None


class MotionVQModel(CheckedModel):
    """Motion features to discrete codes, and back.

    A clip's codes depend on its own frames alone, not on padding or on what else is in the batch. Clips whose length is no multiple of
    `config.frames_per_token` are continued by their last frame to the next one.

    Args:
        config (`MotionVQConfig`): Sizes and losses.
        quantizer (`torch.nn.Module`, *optional*): Takes the place of the `ResidualQuantizer` that the configuration describes; with the
            same `forward(latents, mask, num_quantizers)` and `lookup(codes)`.

    Example:
        >>> import torch
        >>> from hf_motion import MotionVQConfig, MotionVQModel
        >>> model = MotionVQModel(MotionVQConfig(hidden_size=16, code_dim=8, codebook_size=32, num_quantizers=2)).eval()
        >>> codes = model.encode(torch.zeros(1, 30, 263))
        >>> codes.shape, model.decode(codes).shape
        (torch.Size([1, 2, 8]), torch.Size([1, 32, 263]))
    """

    config_class = MotionVQConfig
    main_input_name = "motion_features"

    def __init__(self, config: MotionVQConfig, quantizer: nn.Module | None = None) -> None:
        super().__init__(config)
        self.encoder = ConvEncoder(config)
        self.quantizer = quantizer or ResidualQuantizer(
            config.num_quantizers, config.codebook_size, config.code_dim, config.shared_codebook, config.quantize_dropout,
            config.sample_temperature, config.ema_decay, config.reset_threshold,
        )  # fmt: skip
        self.decoder = ConvDecoder(config)
        self.post_init()

    def forward(
        self, motion_features: Tensor, attention_mask: Tensor | None = None, return_dict: bool | None = None, **kwargs: Tensor
    ) -> MotionVQOutput | tuple[Tensor, ...]:
        """Encode, quantise and decode, and measure the training losses.

        Args:
            motion_features (`torch.Tensor`): (batch, frames, num_features), normalised.
            attention_mask (`torch.Tensor`, *optional*): (batch, frames), 1 on real frames, which come first.
            return_dict (`bool`, *optional*, defaults to `True`): Return a `MotionVQOutput` rather than a tuple.
            **kwargs: What else a batch holds, such as `seeds`; not used.

        Raises:
            ValueError: If a shape is wrong or a clip has no frame.
        """
        features, lengths = self._whole_tokens(motion_features, attention_mask)
        quantized = self.quantizer(self.encoder(features, lengths), self._token_mask(features, lengths))
        made = self.decoder(quantized.latents, lengths)[:, : motion_features.shape[1]].float()
        mask = torch.ones_like(motion_features[..., 0]) if attention_mask is None else attention_mask.to(made.dtype)
        measure = getattr(F, RECONSTRUCTION_LOSSES[self.config.reconstruction_loss])
        error = measure(made, motion_features.float(), reduction="none") * mask[..., None]
        frames = mask.sum()
        reconstruction = error.sum() / (frames * error.shape[-1])
        loss = reconstruction + self.config.commitment_weight * quantized.commitment
        position = None
        if self.config.position_weight:
            part = slice(*self.config.position_slice)
            position = error[..., part].sum() / (frames * (part.stop - part.start))
            loss = loss + self.config.position_weight * position
        output = MotionVQOutput(
            loss, reconstruction, position, quantized.commitment, quantized.perplexity, quantized.dead_codes, made, quantized.codes
        )
        return output if return_dict is None or return_dict else output.to_tuple()

    @torch.no_grad()
    def encode(self, motion_features: Tensor, attention_mask: Tensor | None = None, num_quantizers: int | None = None) -> Tensor:
        """Codes of motions; the nearest ones, also in training mode.

        Args:
            motion_features (`torch.Tensor`): (batch, frames, num_features), normalised.
            attention_mask (`torch.Tensor`, *optional*): (batch, frames), 1 on real frames, which come first.
            num_quantizers (`int`, *optional*): Use the first books only.

        Returns:
            `torch.Tensor`: (batch, num_quantizers, tokens) int64, -1 on padding and in books that are left out; a clip of n frames has
            ceil(n / frames_per_token) tokens.

        Raises:
            ValueError: If a shape is wrong or a clip has no frame.
        """
        training = self.training
        self.eval()
        features, lengths = self._whole_tokens(motion_features, attention_mask)
        output = self.quantizer(self.encoder(features, lengths), self._token_mask(features, lengths), num_quantizers)
        self.train(training)
        return output.codes

    @torch.no_grad()
    def encode_latents(self, motion_features: Tensor, attention_mask: Tensor | None = None) -> list[Tensor]:
        """What motions are before they are quantised.

        Args:
            motion_features (`torch.Tensor`): (batch, frames, num_features), normalised.
            attention_mask (`torch.Tensor`, *optional*): (batch, frames), 1 on real frames, which come first.

        Returns:
            `list[torch.Tensor]`: (code_dim, tokens) for each clip.

        Raises:
            ValueError: If a shape is wrong or a clip has no frame.
        """
        features, lengths = self._whole_tokens(motion_features, attention_mask)
        counts = (lengths // self.config.frames_per_token).tolist()
        return [clip[:count].T for clip, count in zip(self.encoder(features, lengths), counts, strict=True)]

    def decode(self, codes: Tensor) -> Tensor:
        """Motions of codes.

        Args:
            codes (`torch.Tensor`): (batch, num_quantizers or fewer, tokens) int64. -1 in the first book, behind a clip's end, is padding;
                -1 in another is a book left out.

        Returns:
            `torch.Tensor`: (batch, tokens * frames_per_token, num_features), normalised; zero on padding.

        Raises:
            ValueError: If there are too many quantizers, a code is out of range, or padding comes before a code.
        """
        lengths = self._check_codes(codes) * self.config.frames_per_token
        return self.decoder(self.quantizer.lookup(codes).to(self.dtype), lengths)

    @torch.no_grad()
    def stream(self, codes: Iterator[Tensor]) -> Iterator[Tensor]:
        """Decode codes while they arrive; what comes out is what `decode` gives of all of them, to rounding.

        A frame waits for the tokens that it depends on, `lookahead` of them behind its own.

        Args:
            codes (`Iterator[torch.Tensor]`): (batch, num_quantizers or fewer, tokens) each, any number of tokens; no padding.

        Yields:
            `torch.Tensor`: (batch, frames, num_features), as soon as they are certain.

        Raises:
            ValueError: If a piece does not fit, see `decode`.
        """
        reach, unit = self.lookahead, self.config.frames_per_token
        held: Tensor | None = None
        behind = 0  # held tokens whose frames are out already: context
        for piece in codes:
            if (piece < 0).any():
                raise ValueError("A stream has no padding, got a code of -1.")
            held = piece if held is None else torch.cat((held, piece), dim=-1)
            certain = held.shape[-1] - reach
            if certain > behind:
                yield self.decode(held)[:, behind * unit : certain * unit]
                # A dropped token must be out of reach: its place would be taken by the border's zeros.
                drop = max(0, certain - reach)
                held, behind = held[..., drop:], certain - drop
        if held is not None and held.shape[-1] > behind:
            yield self.decode(held)[:, behind * unit :]

    @property
    def fingerprint(self) -> str:
        """Stands for what the codes mean: 16 hexadecimal digits of the books, the same on every machine and in every type of number."""
        books = torch.cat([book.codebook.detach().float().flatten().cpu() for book in self.quantizer.books])
        return hashlib.sha256(books.to(torch.bfloat16).float().numpy().tobytes()).hexdigest()[:16]

    @property
    def lookahead(self) -> int:
        """Tokens on either side that a token's frames depend on."""
        return self.decoder.reach

    @torch.no_grad()
    def reconstruct(self, motion_features: Tensor, attention_mask: Tensor | None = None, num_quantizers: int | None = None) -> Tensor:
        """Encode and decode.

        Args:
            motion_features (`torch.Tensor`): (batch, frames, num_features), normalised.
            attention_mask (`torch.Tensor`, *optional*): (batch, frames), 1 on real frames, which come first.
            num_quantizers (`int`, *optional*): Use the first books only.

        Returns:
            `torch.Tensor`: (batch, frames, num_features).
        """
        return self.decode(self.encode(motion_features, attention_mask, num_quantizers))[:, : motion_features.shape[1]]

    def _whole_tokens(self, features: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Features continued by each clip's last frame to whole tokens, and the lengths that they then have."""
        width, unit = self.config.num_features, self.config.frames_per_token
        if features.ndim != 3 or features.shape[-1] != width:
            raise ValueError(f"motion_features must be (batch, frames, {width}), got shape {tuple(features.shape)}.")
        real = real_lengths(mask, features)
        if features.shape[1] == 0 or (real < 1).any():
            raise ValueError("A clip without frames has no tokens; every clip needs at least one frame.")
        lengths = -(-real // unit) * unit
        frames = torch.arange(int(lengths.max()), device=features.device)
        features = features.gather(1, frames.minimum(real[:, None] - 1)[..., None].expand(-1, -1, width))
        return features.to(self.dtype), lengths

    def _token_mask(self, features: Tensor, lengths: Tensor) -> Tensor:
        unit = self.config.frames_per_token
        return torch.arange(features.shape[1] // unit, device=features.device) < (lengths // unit)[:, None]

    def _check_codes(self, codes: Tensor) -> Tensor:
        """Tokens per clip."""
        books, size = self.config.num_quantizers, self.config.codebook_size
        if codes.ndim != 3 or not 1 <= codes.shape[1] <= books or codes.shape[2] == 0:
            raise ValueError(f"codes must be (batch, 1 to {books} quantizers, tokens), got shape {tuple(codes.shape)}.")
        bad = (codes < -1) | (codes >= size)
        if bad.any():
            clip, book, place = bad.nonzero()[0].tolist()
            raise ValueError(
                f"codes[{clip}, {book}, {place}] is {int(codes[clip, book, place])}; codes are 0 to {size - 1}, -1 for padding. Does this "
                "tokenizer belong to the model that made them?"
            )
        real = codes[:, 0] >= 0
        if (real[:, 1:] & ~real[:, :-1]).any() or not real[:, 0].all():
            raise ValueError("Padding (-1 in the first book) must come behind a clip's codes, and every clip needs at least one.")
        return real.sum(1)

    def _init_weights(self, module: nn.Module) -> None:
        """Convolutions keep PyTorch's own initial weights, as published."""
        if isinstance(module, nn.Conv1d):
            bound = (module.in_channels * module.kernel_size[0]) ** -0.5
            init.uniform_(module.weight, -bound, bound)
            init.uniform_(module.bias, -bound, bound)


def pad_codes(codes: Sequence[Tensor]) -> Tensor:
    """Codes of several motions, (quantizers, tokens) each, as one batch for `MotionVQModel.decode`: -1 behind each end."""
    padded, mask = pad_and_mask([clip.T for clip in codes])
    return padded.masked_fill(~mask.bool()[..., None].to(padded.device), -1).transpose(1, 2)


class ConvEncoder(nn.Module):
    """Frames to latents, one for every few frames."""

    def __init__(self, config: MotionVQConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.strides = config.strides
        self.input = nn.Conv1d(config.num_features, width, 3, padding=1)
        # A kernel of 4 halves an even length exactly.
        self.shorten = nn.ModuleList(nn.Conv1d(width, width, 4 if s == 2 else 3, stride=s, padding=1) for s in config.strides)
        self.blocks = nn.ModuleList(_residual_blocks(config) for _ in config.strides)
        self.output = nn.Conv1d(width, config.code_dim, 3, padding=1)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """(batch, frames, num_features) and (batch,) frames per clip to (batch, tokens, code_dim)."""
        hidden, mask = features.transpose(1, 2), _mask(features.shape[1], lengths)
        hidden = self.input(hidden * mask).relu() * mask
        for stride, shorten, blocks in zip(self.strides, self.shorten, self.blocks, strict=True):
            lengths = lengths // stride
            hidden = shorten(hidden)
            mask = _mask(hidden.shape[-1], lengths)
            hidden = hidden * mask
            for block in blocks:
                hidden = block(hidden, mask)
        return (self.output(hidden) * mask).transpose(1, 2)


class ConvDecoder(nn.Module):
    """Latents to frames."""

    def __init__(self, config: MotionVQConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.strides = config.strides[::-1]
        self.input = nn.Conv1d(config.code_dim, width, 3, padding=1)
        self.blocks = nn.ModuleList(_residual_blocks(config) for _ in config.strides)
        self.lengthen = nn.ModuleList(nn.Conv1d(width, width, 3, padding=1) for _ in config.strides)
        self.hidden = nn.Conv1d(width, width, 3, padding=1)
        self.output = nn.Conv1d(width, config.num_features, 3, padding=1)

    def forward(self, latents: Tensor, lengths: Tensor) -> Tensor:
        """(batch, tokens, code_dim) and (batch,) frames per clip to (batch, frames, num_features); zero behind each clip's end."""
        unit = 1
        for stride in self.strides:
            unit *= stride
        lengths = lengths // unit
        mask = _mask(latents.shape[1], lengths)
        hidden = self.input(latents.transpose(1, 2) * mask).relu() * mask
        for stride, blocks, lengthen in zip(self.strides, self.blocks, self.lengthen, strict=True):
            for block in blocks:
                hidden = block(hidden, mask)
            lengths = lengths * stride
            hidden = hidden.repeat_interleave(stride, dim=-1) if stride > 1 else hidden
            mask = _mask(hidden.shape[-1], lengths)
            hidden = lengthen(hidden) * mask
        hidden = self.hidden(hidden).relu() * mask
        return (self.output(hidden) * mask).transpose(1, 2)

    @property
    def reach(self) -> int:
        """Tokens on either side that a token's frames depend on."""
        frames, rate = 1.0, 1  # in tokens: the first convolution; then finer and finer steps
        for stride, blocks in zip(self.strides, self.blocks, strict=True):
            frames += sum(block.dilated.dilation[0] for block in blocks) / rate
            rate *= stride
            frames += 1 / rate
        return math.ceil(frames + 2 / rate)


class ResidualBlock(nn.Module):
    """A dilated and a pointwise convolution beside a shortcut."""

    def __init__(self, width: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.dilated = nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation)
        self.pointwise = nn.Conv1d(width, width, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """(batch, width, steps) in and out; `mask` is (batch, 1, steps), 0 behind each clip's end."""
        return hidden + self.dropout(self.pointwise(self.dilated(hidden.relu()).relu())) * mask


def _residual_blocks(config: MotionVQConfig) -> nn.ModuleList:
    """The largest dilation comes first, in the encoder too: the published code reverses its list by default."""
    dilations = [config.dilation_growth**depth for depth in reversed(range(config.residual_depth))]
    return nn.ModuleList(ResidualBlock(config.hidden_size, dilation, config.dropout) for dilation in dilations)


def _mask(steps: int, lengths: Tensor) -> Tensor:
    """(batch, 1, steps), 1 on real steps: with zeros behind its end a clip sees what it would see alone."""
    return (torch.arange(steps, device=lengths.device) < lengths[:, None])[:, None]
