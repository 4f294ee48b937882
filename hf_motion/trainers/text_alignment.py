"""Text-motion alignment as a training signal: the motion that a generator of tokens predicts, seen by a frozen TMR.

Lu et al., *HumanTOMATO* (2023), section 2.4: L_CE + eta L_align, the contrastive loss between texts and generated motions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist
from torch.nn import functional as F

from ..evaluation.generations import speaks_same
from ..models.text_motion_model import TextMotionModel
from ..nn.contrastive import symmetric_info_nce
from ..nn.sampling import gumbel_noise
from ..retrieval.embedder import MotionTextEmbedder

CODE_ESTIMATORS = ("straight-through", "gumbel", "soft")
"""How gradients pass the choice of a code, see `TextMotionAlignment`."""

_MODELS = ("humantomato-gpt", "t2m-gpt")


class TextMotionAlignment:
    """The contrastive loss of a frozen TMR between captions and the motions that a generator predicts under teacher forcing.

    Codes are chosen, and a choice has no gradient; the paper does not say how it gets one through. Of each place's logits one of these
    becomes what the motion tokenizer decodes:

    | `codes` | forward | backward |
    |---|---|---|
    | `"straight-through"` | the likeliest code | that of the expected code, softmax(logits) times the book |
    | `"gumbel"` | a code drawn with the probabilities of the logits | that of the noisy expected code (Jang et al., ICLR 2017) |
    | `"soft"` | the expected code, which is in no book | its own |

    The default decodes what greedy generation would, and is deterministic. Soft codes have the truest gradient of the wrong motion: the
    decoder never learned from means of codes. On several processes all texts are compared with all motions, as on one.

    Args:
        model (`TextMotionModel`): `HumanTomatoGPT` or `T2MGPT`, with its feature extractor.
        tmr (`MotionTextEmbedder`): The TMR, of the same features as the model.
        codes (`str`, defaults to `"straight-through"`): See above.

    Raises:
        ValueError: If the TMR reads other features than the model makes, the model has no such codes, or `codes` is unknown.
    """

    def __init__(self, model: TextMotionModel, tmr: MotionTextEmbedder, codes: str = "straight-through") -> None:
        if codes not in CODE_ESTIMATORS:
            raise ValueError(f"codes must be one of {', '.join(map(repr, CODE_ESTIMATORS))}, got {codes!r}.")
        if model.config.model_type not in _MODELS:
            raise ValueError(
                f"Alignment is for {', '.join(map(repr, _MODELS))}, which predict one code after another, got a {type(model).__name__}."
            )
        own, other = model.feature_extractor, tmr.feature_extractor
        if not speaks_same(own, other):
            raise ValueError(
                f"The model makes {own.representation} features of {own.skeleton} at {own.fps:g} fps, {tmr.name} reads "
                f"{other.representation} features of {other.skeleton} at {other.fps:g} fps. "
                "Train a TMR on the model's features (train_retrieval.py)."
            )
        if tmr.model.config.model_type != "tmr":
            raise ValueError(f"{tmr.name} is a {type(tmr.model).__name__}; alignment is by the cosines of a TMR.")
        self.model, self.tmr, self.codes = model, tmr, codes
        tmr.model.requires_grad_(False).eval().to(model.device)

    def embed_texts(self, captions: Sequence[str]) -> Tensor:
        """(captions, width of the TMR) float32."""
        return torch.from_numpy(self.tmr.embed_texts(captions)).float()

    def __call__(self, logits: Tensor, labels: Tensor, text_embeds: Tensor, captions: Tensor, seeds: Sequence[int] | None = None) -> Tensor:
        """The loss.

        Args:
            logits (`torch.Tensor`): (batch, places, vocabulary) of the model.
            labels (`torch.Tensor`): (batch, places), the tokens that follow; they say which places are codes of which stream.
            text_embeds (`torch.Tensor`): (batch, width), of `embed_texts`.
            captions (`torch.Tensor`): (batch,) int64, a number for each caption: motions of the same are no negatives of one another.
            seeds (`list[int]`, *optional*): For `"gumbel"`, one per row.

        Returns:
            `torch.Tensor`: A scalar.
        """
        features, lengths = self.predicted_motion(logits, labels, seeds)
        own, other = self.model.feature_extractor, self.tmr.feature_extractor
        mask = torch.arange(features.shape[1], device=features.device) < lengths[:, None]
        features = other.normalize(own.denormalize(features.float())) * mask[..., None]
        limit = other.max_frames
        motions = self.tmr.model.get_motion_features(features[:, :limit], mask[:, :limit].long())
        motions, texts, captions = _everybodys(motions.float()), _everybodys(text_embeds), _everybodys(captions)
        cosines = F.normalize(texts, dim=-1) @ F.normalize(motions, dim=-1).T
        similar = captions[:, None] == captions[None]
        return symmetric_info_nce(cosines / self.tmr.model.config.contrastive_temperature, similar)

    def predicted_motion(self, logits: Tensor, labels: Tensor, seeds: Sequence[int] | None = None) -> tuple[Tensor, Tensor]:
        """What the motion tokenizer decodes of the predicted codes, differentiable.

        Args:
            logits (`torch.Tensor`): As for a call.
            labels (`torch.Tensor`): As for a call.
            seeds (`list[int]`, *optional*): As for a call.

        Returns:
            `tuple[torch.Tensor, torch.Tensor]`: (batch, frames, num_features), normalised as the model's, zero on padding; and (batch,)
            frames.
        """
        vq_model = self.model.vq_model
        size, quantizer = vq_model.config.codebook_size, vq_model.quantizer
        two = vq_model.config.hand_features is not None
        books = [quantizer.body.book(0), quantizer.hands.book(0)] if two else [quantizer.book(0)]
        latents = []
        for number, book in enumerate(books):
            first = number * (size + 1)
            chosen = (labels >= first) & (labels < first + size)
            counts = chosen.sum(1)
            # The places of a stream's codes come in the order of time in every layout.
            places = chosen.int().argsort(dim=1, descending=True, stable=True)[:, : int(counts.max())]
            picked = logits[..., first : first + size].gather(1, places[..., None].expand(-1, -1, size)).float()
            real = torch.arange(picked.shape[1], device=picked.device) < counts[:, None]
            latents.append(self._latents(picked, book.codebook.float(), seeds, number) * real[..., None])
        lengths = counts * vq_model.config.frames_per_token
        joined = quantizer.join(*latents) if two else latents[0]
        return vq_model.decoder(joined.to(vq_model.dtype), lengths), lengths

    def _latents(self, logits: Tensor, book: Tensor, seeds: Sequence[int] | None, stream: int) -> Tensor:
        if self.codes == "gumbel":
            rows = range(len(logits)) if seeds is None else seeds
            generators = [torch.Generator().manual_seed(2 * int(seed) + stream) for seed in rows]
            logits = logits + gumbel_noise(logits.shape[1:], generators, logits.device)
        expected = logits.softmax(-1) @ book
        if self.codes == "soft":
            return expected
        return expected + (book[logits.argmax(-1)] - expected).detach()


def _everybodys(rows: Tensor) -> Tensor:
    """The rows of all processes, with gradients to whom they come from."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return rows
    from torch.distributed.nn.functional import all_gather

    if not rows.is_floating_point():
        parts: list[Any] = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, rows)
        return torch.cat(parts)
    return torch.cat(all_gather(rows.contiguous()))
