"""MoMask: all tokens of a motion at once, filled in over a few steps, then refined book by book.

Guo et al., *MoMask: Generative Masked Modeling of 3D Human Motions*, CVPR 2024. Weights published by its authors load through
`hf_motion.conversion.momask`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.utils import ModelOutput

from ...motion import Motion
from ...nn.embeddings import sinusoidal_table
from ...nn.generators import spawn_generators
from ...nn.guidance import guided
from ...nn.sampling import gumbel_noise
from ...utils.asked import asked_frames, asked_generator
from ..motion_vq.modeling_motion_vq import MotionVQModel
from ..text_motion_model import TextMotionModel
from .configuration_momask import MoMaskConfig
from .networks import LengthEstimator, MaskedTransformer, ResidualTransformer, TokenTrunk

_RANDOM_SHARE, _MASKED_SHARE = 0.1, 0.88
_KEPT = 1e5


@dataclass
class MoMaskOutput(ModelOutput):
    """Output of `MoMask`.

    Args:
        loss (`torch.Tensor`): Sum of the three losses; their parts share no weights, so each learns as if alone.
        masked_loss (`torch.Tensor`): Cross entropy of masked tokens of the first book.
        residual_loss (`torch.Tensor`): Cross entropy of the tokens of one other book per example.
        length_loss (`torch.Tensor`): Cross entropy of the number of tokens.
    """

    loss: Tensor | None = None
    masked_loss: Tensor | None = None
    residual_loss: Tensor | None = None
    length_loss: Tensor | None = None


class MoMask(TextMotionModel):
    """A masked transformer for the first book's tokens, a residual one for the others, and an estimator of the length.

    Args:
        config (`MoMaskConfig`): Sizes.
        text_encoder (`PreTrainedModel`, *optional*): Frozen text encoder.
        vq_model (`MotionVQModel`, *optional*): Frozen motion tokenizer with several quantizers.
    """

    config_class = MoMaskConfig
    _no_split_modules = ["PostNormBlock"]

    def __init__(self, config: MoMaskConfig, text_encoder: PreTrainedModel | None = None, vq_model: MotionVQModel | None = None) -> None:
        super().__init__(config, text_encoder, vq_model)
        self.masked_transformer = MaskedTransformer(config)
        self.residual_transformer = ResidualTransformer(config)
        self.length_estimator = LengthEstimator(config.text_dim, config.max_tokens + 1)
        self.post_init()

    def forward(
        self,
        text_embeds: Tensor,
        codes: Tensor,
        masked_ids: Tensor,
        masked_labels: Tensor,
        layers: Tensor,
        keep_text: Tensor,
        return_dict: bool | None = None,
    ) -> MoMaskOutput | tuple[Tensor, ...]:
        """The training losses, of what `prepare_batch` gives.

        Args:
            text_embeds (`torch.Tensor`): (batch, text_dim).
            codes (`torch.Tensor`): (batch, quantizers, tokens) int64, -1 on padding.
            masked_ids (`torch.Tensor`): (batch, tokens), the first book's codes with some masked or replaced, and padding.
            masked_labels (`torch.Tensor`): (batch, tokens), the true codes where they are to be found, -100 elsewhere.
            layers (`torch.Tensor`): (batch,), the book to predict from those before it, from 1.
            keep_text (`torch.Tensor`): (batch, 2) bool, whether the masked and the residual transformer get the text.
            return_dict (`bool`, *optional*, defaults to `True`): Return a `MoMaskOutput` rather than a tuple.
        """
        real = codes[:, 0] >= 0
        masked = self.masked_transformer(masked_ids, text_embeds * keep_text[:, :1], real)
        masked_loss = F.cross_entropy(masked.transpose(1, 2).float(), masked_labels, ignore_index=-100)
        below = self.residual_transformer.sum_below(codes, layers)
        residual = self.residual_transformer(below, layers, text_embeds * keep_text[:, 1:], real)
        wanted = codes[torch.arange(len(codes)), layers].masked_fill(~real, -100)
        residual_loss = F.cross_entropy(residual.transpose(1, 2).float(), wanted, ignore_index=-100)
        length_loss = F.cross_entropy(self.length_estimator(text_embeds).float(), real.sum(1).clamp_max(self.config.max_tokens))
        output = MoMaskOutput(masked_loss + residual_loss + length_loss, masked_loss, residual_loss, length_loss)
        return output if return_dict is None or return_dict else output.to_tuple()

    def prepare_batch(self, codes: Sequence[Tensor], text_embeds: Tensor, seeds: Sequence[int]) -> dict[str, Tensor]:
        """Training examples of codes, masked as published.

        A share cos(pi u / 2) of `max_tokens` places is masked, u even in (0, 1); places behind a motion's end count but mean nothing. Of
        those a tenth shows a random code, 88 % of the rest the mask, the others the truth. The book to refine is drawn with a bias to the
        first.

        Args:
            codes (`list[torch.Tensor]`): (quantizers, tokens) each.
            text_embeds (`torch.Tensor`): (batch, text_dim).
            seeds (`list[int]`): All chance of an example comes from its own.

        Returns:
            `dict[str, torch.Tensor]`: Arguments of `forward`.
        """
        size, limit, books = self.config.vq_config.codebook_size, self.config.max_tokens, self.config.vq_config.num_quantizers
        longest = min(limit, max(clip.shape[1] for clip in codes))
        padded = torch.full((len(codes), books, longest), -1)
        ids = torch.full((len(codes), longest), size + 1)
        labels = torch.full((len(codes), longest), -100)
        layers, keep = torch.empty(len(codes), dtype=torch.long), torch.empty(len(codes), 2, dtype=torch.bool)
        for row, (clip, seed) in enumerate(zip(codes, seeds, strict=True)):
            generator = torch.Generator().manual_seed(seed)
            count = min(clip.shape[1], limit)
            padded[row, :, :count] = clip[:, :count]
            share, book, *chances = torch.rand(4, generator=generator).tolist()
            wanted = max(1, round(limit * math.cos(math.pi * share / 2)))
            chosen = torch.randperm(limit, generator=generator)[:count] < wanted
            kind = torch.rand(2, count, generator=generator)
            shown = torch.where(chosen & (kind[0] < _RANDOM_SHARE), torch.randint(size, (count,), generator=generator), clip[0, :count])
            shown = torch.where(chosen & (kind[0] >= _RANDOM_SHARE) & (kind[1] < _MASKED_SHARE), size, shown)
            ids[row, :count] = shown
            labels[row, :count] = clip[0, :count].masked_fill(~chosen, -100)
            layers[row] = 1 + round((1 - math.cos(math.pi * book / 2)) * (books - 2))
            keep[row, 0] = chances[0] >= self.config.condition_dropout
            keep[row, 1] = chances[1] >= self.config.residual_condition_dropout
        return {
            "text_embeds": text_embeds,
            "codes": padded,
            "masked_ids": ids,
            "masked_labels": labels,
            "layers": layers,
            "keep_text": keep,
        }

    @torch.no_grad()
    def generate_motion(
        self,
        texts: str | Sequence[str],
        num_frames: int | Sequence[int] | None = None,
        *,
        generator: torch.Generator | list[torch.Generator] | None = None,
        num_inference_steps: int = 10,
        guidance_scale: float = 4.0,
        residual_guidance_scale: float = 5.0,
        num_quantizers: int | None = None,
        temperature: float = 1.0,
        keep_share: float = 0.9,
        motion: Motion | Sequence[Motion] | None = None,
        edit_frames: tuple[int, int] | Sequence[tuple[int, int]] | None = None,
        output_type: str = "motion",
        seconds: float | Sequence[float] | None = None,
        seed: int | None = None,
    ) -> list[Motion] | list[Tensor]:
        """Make one motion per text, or change a span of one.

        Args:
            texts (`str` or `list[str]`): Sentences.
            num_frames (`int` or `list[int]`, *optional*): Lengths; estimated from the texts by default, as published.
            generator (`torch.Generator` or list, *optional*): For reproducible results. A motion depends on its text, its length and its
                generator, not on the others.
            num_inference_steps (`int`, defaults to 10): Steps of filling in the first book; as published for evaluation.
            guidance_scale (`float`, defaults to 4.0): How strongly to follow the text there; 1 turns guidance off.
            residual_guidance_scale (`float`, defaults to 5.0): The same for the other books.
            num_quantizers (`int`, *optional*): Use the first books only; all by default.
            temperature (`float`, defaults to 1.0): Of drawing tokens.
            keep_share (`float`, defaults to 0.9): How many of the unlikeliest codes are ruled out at each place, as a share.
            motion (`Motion` or list, *optional*): A clip to edit; `num_frames` is then its length.
            edit_frames (`tuple[int, int]` or list of them, *optional*): From and to which frame it is made anew; tokens that touch the span
                are.
            output_type (`str`, defaults to `"motion"`): `"motion"`, `"features"` or `"codes"`.
            seconds (`float` or `list[float]`, *optional*): In place of `num_frames`.
            seed (`int`, *optional*): In place of `generator`: `seed=0` is `generator=torch.Generator().manual_seed(0)`.

        Returns:
            `list[Motion]`: In the order of the texts.

        Raises:
            ValueError: If an argument is of the wrong kind or out of range.
        """
        prompts = self.read_prompts(texts)
        num_frames = asked_frames(num_frames, seconds, self.feature_extractor.fps) if seconds is not None else num_frames
        generator = asked_generator(generator, seed)
        books = self.config.vq_config.num_quantizers if num_quantizers is None else num_quantizers
        self._check_options(num_inference_steps, guidance_scale, residual_guidance_scale, books, temperature, keep_share)
        generators = spawn_generators(generator, len(prompts), self.device)
        text = self.encode_texts(prompts)
        known, frames = self._known(motion, edit_frames, num_frames, len(prompts))
        counts = self.token_counts(frames, len(prompts)) if frames is not None else self._draw_lengths(text, generators)
        options = temperature, keep_share, generators
        first = self._fill(text, torch.tensor(counts, device=self.device), known, num_inference_steps, guidance_scale, *options)
        codes = self._refine(first, text, books, residual_guidance_scale, *options)
        clips = [clip[:, :count] for clip, count in zip(codes, counts, strict=True)]
        return self.motions_of(clips, prompts, [frames] * len(prompts) if isinstance(frames, int) else frames, output_type)

    def _fill(
        self,
        text: Tensor,
        counts: Tensor,
        known: Tensor | None,
        steps: int,
        guidance: float,
        temperature: float,
        keep_share: float,
        generators: list[torch.Generator],
    ) -> Tensor:
        """First book's codes, (batch, tokens), -1 on padding: the least certain are masked again, fewer from step to step."""
        size = self.config.vq_config.codebook_size
        real = torch.arange(int(counts.max()), device=self.device) < counts[:, None]
        ids = torch.where(real, size, size + 1)
        open_places = real
        if known is not None:
            known = F.pad(known, (0, ids.shape[1] - known.shape[1]), value=-1)
            open_places = real & (known < 0)
            ids = torch.where(open_places | ~real, ids, known)
        to_fill = open_places.sum(1)
        scores = torch.where(open_places, 0.0, _KEPT)
        for share in torch.linspace(0, 1, steps).tolist():
            wanted = (math.cos(math.pi * share / 2) * to_fill).round().clamp_min(1)
            # The sort is stable: which of equal scores comes first must not depend on the number of places.
            ranks = scores.argsort(dim=1, stable=True).argsort(dim=1)
            masked = (ranks < wanted[:, None]) & open_places
            ids = torch.where(masked, size, ids)
            logits = self._guided(self.masked_transformer, guidance, text, real, ids)
            drawn = _draw(logits, temperature, keep_share, generators, self.config.max_tokens)
            ids = torch.where(masked, drawn, ids)
            certainty = logits.softmax(-1).gather(2, drawn[..., None])[..., 0]
            scores = torch.where(masked, certainty, _KEPT)
        return torch.where(real, ids, -1)

    def _refine(
        self, first: Tensor, text: Tensor, books: int, guidance: float, temperature: float, keep_share: float,
        generators: list[torch.Generator],
    ) -> Tensor:  # fmt: skip
        """Codes of all books, (batch, books, tokens), each predicted from those before it."""
        real, codes = first >= 0, [first]
        below = torch.zeros((), device=self.device)
        for layer in range(1, books):
            below = below + self.residual_transformer.embed(codes[-1], layer - 1)
            logits = self._guided(self.residual_transformer, guidance, text, real, below, layer)
            drawn = _draw(logits, temperature, keep_share, generators, self.config.max_tokens)
            pad = self.config.vq_config.codebook_size  # the padding's row can be drawn too; published code then leaves the book out there
            codes.append(torch.where(real & (drawn < pad), drawn, -1))
        return torch.stack(codes, dim=1)

    def _guided(self, network: nn.Module, guidance: float, text: Tensor, real: Tensor, sequence: Tensor, *layer: int) -> Tensor:
        """Logits with guidance: both halves are one batch."""
        if guidance == 1:
            return network(sequence, *layer, text, real).float()
        doubled = torch.cat((sequence, sequence)), *layer, torch.cat((torch.zeros_like(text), text)), torch.cat((real, real))
        return guided(*network(*doubled).float().chunk(2), guidance)

    def _draw_lengths(self, text: Tensor, generators: list[torch.Generator]) -> list[int]:
        logits = self.length_estimator(text).float()
        logits[:, 0] = -torch.inf  # a motion has at least one token
        return (logits + gumbel_noise(logits.shape[1:], generators, self.device)).argmax(1).tolist()

    def _known(
        self,
        motion: Motion | Sequence[Motion] | None,
        edit_frames: tuple[int, int] | Sequence[tuple[int, int]] | None,
        num_frames: int | Sequence[int] | None,
        count: int,
    ) -> tuple[Tensor | None, int | Sequence[int] | None]:
        """First book's codes of the clips that are edited, -1 in the spans to make anew, and the lengths."""
        if motion is None:
            if edit_frames is not None:
                raise ValueError("edit_frames says what to make anew of a motion; pass motion=... too.")
            return None, num_frames
        if num_frames is not None or edit_frames is None:
            raise ValueError("An edited motion keeps its length: pass edit_frames=(first, last) and not num_frames.")
        motions = [motion] * count if isinstance(motion, Motion) else list(motion)
        spans = [edit_frames] * count if isinstance(edit_frames[0], int) else list(edit_frames)
        if len(motions) != count or len(spans) != count:
            raise ValueError(f"Got {len(motions)} motions and {len(spans)} spans for {count} prompts; pass one for all, or one per prompt.")
        batch = self.feature_extractor(motions)
        codes = self.vq_model.encode(batch["motion_features"].to(self.device), batch["attention_mask"].to(self.device))[:, 0]
        lengths, unit = batch["attention_mask"].sum(1).tolist(), self.config.vq_config.frames_per_token
        for row, ((start, stop), length) in enumerate(zip(spans, lengths, strict=True)):
            if not 0 <= start < stop <= length:
                raise ValueError(f"edit_frames must lie within the clip's {length} frames, got {(start, stop)}.")
            codes[row, start // unit : -(-stop // unit)] = -1
        return codes, lengths

    def _check_options(
        self, steps: int, guidance: float, residual_guidance: float, books: int, temperature: float, keep_share: float
    ) -> None:
        available = self.config.vq_config.num_quantizers
        if isinstance(books, bool) or not isinstance(books, int) or not 1 <= books <= available:
            raise ValueError(f"num_quantizers must be from 1 to {available}, got {books!r}.")
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
            raise ValueError(f"num_inference_steps must be a whole number of at least 1, got {steps!r}.")
        for name, value in (("guidance_scale", guidance), ("residual_guidance_scale", residual_guidance), ("temperature", temperature)):
            if not value >= 0:
                raise ValueError(f"{name} must be 0 or more, got {value!r}.")
        if not 0 <= keep_share < 1:
            raise ValueError(f"keep_share must be in [0, 1), got {keep_share!r}.")

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, ResidualTransformer):
            for table in (module.inner_tables, module.first_table, module.last_table):
                init.normal_(table, std=0.02)
        elif isinstance(module, TokenTrunk):
            init.copy_(module.positions, sinusoidal_table(*module.positions.shape))


def _draw(logits: Tensor, temperature: float, keep_share: float, generators: Sequence[torch.Generator], places: int) -> Tensor:
    """A code per place, (batch, tokens), from the likeliest ones.

    Noise is drawn for `places` of them, whatever is asked for, so that a motion's does not depend on the lengths of others.
    """
    count = math.ceil((1 - keep_share) * logits.shape[-1])
    kept = logits.topk(count, dim=-1)
    values = kept.values if temperature else kept.values[..., :1]
    if temperature:
        noise = gumbel_noise((places, count), generators, logits.device)[:, : logits.shape[1]]
        values = values / temperature + noise
    return kept.indices.gather(2, values.argmax(-1, keepdim=True))[..., 0]
