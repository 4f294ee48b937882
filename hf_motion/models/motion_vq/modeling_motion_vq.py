"""The tokenizers of T2M-GPT, MoMask and HumanTOMATO: a convolutional autoencoder around a quantizer.

Zhang et al., *T2M-GPT*, CVPR 2023; Guo et al., *MoMask*, CVPR 2024; Lu et al., *HumanTOMATO*, ICML 2024. Weights published by the authors
of the first two load through `hf_motion.conversion.motion_vq`; of the third there are none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import initialization as init
from transformers.utils import ModelOutput

from ...nn.padding import pad_and_mask
from ...nn.quantizers import HierarchicalQuantizer, ResidualQuantizer
from ...nn.recurrent import real_lengths
from ..checked_model import CheckedModel
from .configuration_motion_vq import RECONSTRUCTION_LOSSES, MotionVQConfig
from .networks import ConvDecoder, ConvEncoder, TwoStreamEncoder


@dataclass
class MotionVQOutput(ModelOutput):
    """Output of `MotionVQModel`.

    Args:
        loss (`torch.Tensor`): Weighted sum of the three losses.
        reconstruction_loss (`torch.Tensor`): Error of the features.
        position_loss (`torch.Tensor`, *optional*): Error of the joint positions alone.
        commitment_loss (`torch.Tensor`): Mean squared distance of latents to their codes; of two streams, the sum.
        perplexity (`torch.Tensor`): Codes in effective use in this batch.
        dead_codes (`torch.Tensor`): Share of codes that are hardly used.
        reconstruction (`torch.Tensor`): (batch, frames, num_features).
        codes (`torch.Tensor`): (batch, num_quantizers, tokens), see `MotionVQModel.encode`; -1 on padding and in dropped books.
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

    With `config.hand_features` it is HumanTOMATO's H2VQ: hands and body are two streams of codes with a book each, and the body's are
    chosen knowing the hands'. Codes are kept step by step: a step of `frames_per_token` frames has the body's codes, two as published,
    and then the hands' one. `split_streams` and `join_streams` go to the two streams and back.

    Args:
        config (`MotionVQConfig`): Sizes and losses.
        quantizer (`torch.nn.Module`, *optional*): Takes the place of the quantizer that the configuration describes; with the same
            `forward(latents, mask, num_quantizers)` and `lookup(codes)`.

    Example:
        >>> import torch
        >>> from hf_motion import MotionVQConfig, MotionVQModel
        >>> model = MotionVQModel(MotionVQConfig(hidden_size=16, code_dim=8, codebook_size=32, num_quantizers=2)).eval()
        >>> codes = model.encode(torch.zeros(1, 30, 263))
        >>> codes.shape, model.decode(codes).shape
        (torch.Size([1, 2, 8]), torch.Size([1, 32, 263]))
        >>> model = MotionVQModel(MotionVQConfig(hidden_size=16, code_dim=8, codebook_size=32, hand_features=range(52, 67))).eval()
        >>> body, hands = model.split_streams(model.encode(torch.zeros(1, 30, 263)))
        >>> body.shape, hands.shape, model.decode(model.join_streams(body, hands)).shape
        (torch.Size([1, 16]), torch.Size([1, 8]), torch.Size([1, 32, 263]))
    """

    config_class = MotionVQConfig
    main_input_name = "motion_features"

    def __init__(self, config: MotionVQConfig, quantizer: nn.Module | None = None) -> None:
        super().__init__(config)
        if config.hand_features is None:
            self.encoder: nn.Module = ConvEncoder(config, config.num_features, config.strides)
            self.quantizer = quantizer or ResidualQuantizer(
                config.num_quantizers, config.codebook_size, config.code_dim, config.shared_codebook, config.quantize_dropout,
                config.sample_temperature, config.ema_decay, config.reset_threshold,
            )  # fmt: skip
            self.decoder = ConvDecoder(config, config.code_dim, config.strides)
        else:
            self.encoder = TwoStreamEncoder(config)
            self.quantizer = quantizer or HierarchicalQuantizer(
                config.codebook_size, config.code_dim, config.body_codes, config.sample_temperature, config.ema_decay,
                config.reset_threshold,
            )  # fmt: skip
            self.decoder = ConvDecoder(config, 2 * config.code_dim, config.body_strides)
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
            num_quantizers (`int`, *optional*): Use the first books only; not with two streams.

        Returns:
            `torch.Tensor`: (batch, num_quantizers, tokens) int64, -1 on padding and in books that are left out; a clip of n frames has
            ceil(n / frames_per_token) tokens. Of two streams (batch, body_codes + 1, tokens), see `split_streams`.

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
            ValueError: If a shape is wrong, a clip has no frame, or hands have a stream of their own.
        """
        if self.config.hand_features is not None:
            raise ValueError(
                "Hands and body are two streams here, whose latents have no common pace. Use a tokenizer without hand_features."
            )
        features, lengths = self._whole_tokens(motion_features, attention_mask)
        counts = (lengths // self.config.frames_per_token).tolist()
        return [clip[:count].T for clip, count in zip(self.encoder(features, lengths), counts, strict=True)]

    def decode(self, codes: Tensor) -> Tensor:
        """Motions of codes.

        Args:
            codes (`torch.Tensor`): (batch, num_quantizers or fewer, tokens) int64. -1 in the first book, behind a clip's end, is padding;
                -1 in another is a book left out. Of two streams, all rows as `encode` gives them.

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
        tables = [table for name, table in self.quantizer.named_buffers() if name.endswith("codebook")]
        books = torch.cat([table.detach().float().flatten().cpu() for table in tables])
        return hashlib.sha256(books.to(torch.bfloat16).float().numpy().tobytes()).hexdigest()[:16]

    @property
    def lookahead(self) -> int:
        """Tokens on either side that a token's frames depend on."""
        return -(-self.decoder.reach // self.config.body_codes)

    def split_streams(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """The two streams of codes.

        Args:
            codes (`torch.Tensor`): (..., body_codes + 1, tokens), as from `encode`.

        Returns:
            `tuple[torch.Tensor, torch.Tensor]`: The body's, (..., body_codes * tokens), and the hands', (..., tokens).

        Raises:
            ValueError: If this tokenizer has one stream, or the codes have another number of rows.
        """
        count = self._streams()
        if codes.shape[-2:-1] != (count + 1,):
            raise ValueError(f"codes must be (..., {count + 1}, tokens), the body's {count} rows and the hands', got {tuple(codes.shape)}.")
        return codes[..., :count, :].transpose(-1, -2).flatten(-2), codes[..., count, :]

    def join_streams(self, body: Tensor, hands: Tensor) -> Tensor:
        """The reverse of `split_streams`.

        Args:
            body (`torch.Tensor`): (..., body_codes * tokens).
            hands (`torch.Tensor`): (..., tokens).

        Returns:
            `torch.Tensor`: (..., body_codes + 1, tokens), as `decode` takes it.

        Raises:
            ValueError: If this tokenizer has one stream, or the streams do not last as long as each other.
        """
        count = self._streams()
        if body.shape[:-1] != hands.shape[:-1] or body.shape[-1] != count * hands.shape[-1]:
            raise ValueError(
                f"For each code of the hands there are {count} of the body, got {body.shape[-1]} of the body and {hands.shape[-1]} of the "
                "hands. Cut both streams to the same time."
            )
        return torch.cat((body.unflatten(-1, (-1, count)).transpose(-1, -2), hands[..., None, :]), dim=-2)

    def _streams(self) -> int:
        """How many codes of the body a step has."""
        if self.config.hand_features is None:
            raise ValueError("This tokenizer has one stream of codes. Two come with hand_features in its configuration.")
        return self.config.body_codes

    @torch.no_grad()
    def reconstruct(self, motion_features: Tensor, attention_mask: Tensor | None = None, num_quantizers: int | None = None) -> Tensor:
        """Encode and decode.

        Args:
            motion_features (`torch.Tensor`): (batch, frames, num_features), normalised.
            attention_mask (`torch.Tensor`, *optional*): (batch, frames), 1 on real frames, which come first.
            num_quantizers (`int`, *optional*): Use the first books only; not with two streams.

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
        books, size = len(self.config.step_books), self.config.codebook_size
        two = self.config.hand_features is not None
        if codes.ndim != 3 or not (books if two else 1) <= codes.shape[1] <= books or codes.shape[2] == 0:
            rows = f"{books - 1} rows of the body and one of the hands" if two else f"1 to {books} quantizers"
            raise ValueError(f"codes must be (batch, {rows}, tokens), got shape {tuple(codes.shape)}.")
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
        if two and ((codes >= 0) != real[:, None]).any():
            clip = int(((codes >= 0) != real[:, None]).any(-1).any(-1).nonzero()[0])
            raise ValueError(f"In clip {clip} the streams of body and hands end at different steps. Cut both to the same time.")
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
