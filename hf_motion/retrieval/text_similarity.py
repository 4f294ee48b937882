"""Which captions say the same: pairs that are no negatives when a retrieval model learns, and hits when it is tested.

Two conventions for the threshold are in print, and they are not the same number:

* TMR (Petrovich et al., ICCV 2023) maps the cosine to [0, 1] as (cosine + 1) / 2; its 0.8, with `all-mpnet-base-v2`, is a cosine of 0.6.
* HumanTOMATO (Lu et al., ICML 2024, appendix D) compares the cosine itself; its 0.85 is for `all-MiniLM-L6-v2`.

Functions here take cosines; `cosine_threshold` turns TMR's numbers into them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from ..utils.text import clean_text, warn_of_unread


class SentenceEncoder:
    """Captions to vectors of unit length: mean of a transformers encoder's tokens, as `sentence-transformers` computes it.

    Every distinct caption is encoded once and then remembered.

    Args:
        model (`str`, `os.PathLike` or `PreTrainedModel`): An encoder made for sentences whose tokens are averaged, such as
            `"sentence-transformers/all-MiniLM-L6-v2"` or `"sentence-transformers/all-mpnet-base-v2"`, on the Hub or in a folder; or one
            that is already loaded.
        tokenizer (`PreTrainedTokenizerBase`, *optional*): Needed with a loaded model only.
        device (`str` or `torch.device`, *optional*): Where to compute, the CPU by default.
        batch_size (`int`, defaults to 256): Captions at once.

    Raises:
        OSError: If there is no such model, or it has no safetensors.
        ValueError: If a loaded model comes without a tokenizer, or `batch_size` is not positive.

    Example:
        >>> encoder = SentenceEncoder("sentence-transformers/all-MiniLM-L6-v2")  # doctest: +SKIP
        >>> embeddings = encoder(["a person walks", "someone is walking", "a man jumps"])  # doctest: +SKIP
        >>> similar_pairs(embeddings, threshold=0.85)  # doctest: +SKIP
    """

    def __init__(
        self,
        model: str | os.PathLike | PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase | None = None,
        device: str | torch.device = "cpu",
        batch_size: int = 256,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}.")
        if isinstance(model, PreTrainedModel):
            if tokenizer is None:
                raise ValueError(f"Pass the tokenizer of this {type(model).__name__} too, or its name in place of the model.")
        else:
            tokenizer = AutoTokenizer.from_pretrained(model) if tokenizer is None else tokenizer
            model = AutoModel.from_pretrained(model, use_safetensors=True)
        self.model = model.eval().to(device)
        self.tokenizer = tokenizer
        self.batch_size = batch_size
        self._known: dict[str, Tensor] = {}

    def __call__(self, captions: Sequence[str]) -> Tensor:
        """Embed captions.

        Args:
            captions (`Sequence[str]`): Texts; those longer than the model reads are cut, and a warning says where.

        Returns:
            `torch.Tensor`: (captions, width) float32 on the CPU, rows of unit length.

        Raises:
            ValueError: If there is no caption, or one string comes in place of a list.
        """
        _check_captions(captions)
        captions = [clean_text(caption) for caption in captions]
        new = list(dict.fromkeys(caption for caption in captions if caption not in self._known))
        warn_of_unread(new, self.tokenizer, self._limit)
        for start in range(0, len(new), self.batch_size):
            batch = new[start : start + self.batch_size]
            self._known.update(zip(batch, self._encode(batch), strict=True))
        return torch.stack([self._known[caption] for caption in captions])

    @property
    def _limit(self) -> int:
        own = self.tokenizer.model_max_length
        return min(own, getattr(self.model.config, "max_position_embeddings", own))

    @torch.no_grad()
    def _encode(self, captions: list[str]) -> Tensor:
        tokens = self.tokenizer(captions, padding=True, truncation=True, max_length=self._limit, return_tensors="pt").to(self.model.device)
        states = self.model(**tokens).last_hidden_state.float()
        real = tokens["attention_mask"][..., None].to(states)
        return F.normalize((states * real).sum(1) / real.sum(1).clamp(min=1), dim=-1).cpu()


def cosine_threshold(score: float) -> float:
    """The cosine that TMR's score, (cosine + 1) / 2, stands for.

    Args:
        score (`float`): In [0, 1].

    Returns:
        `float`: 2 * score - 1.

    Raises:
        ValueError: If the score is not in [0, 1].

    Example:
        >>> from hf_motion.retrieval.text_similarity import cosine_threshold
        >>> round(cosine_threshold(0.8), 6)
        0.6
    """
    if not 0 <= score <= 1:
        raise ValueError(f"TMR's scores are in [0, 1], got {score}.")
    return 2 * score - 1


def similar_pairs(captions_embeddings: Tensor, threshold: float) -> Tensor:
    """Pairs of captions that are closer than a threshold.

    TMR's published filter is this with `cosine_threshold(0.8)`. HumanTOMATO's is this with 0.85, but for a quirk of its code: pairs whose
    cosine is exactly 1, which equal captions have, stay negatives there; here they are similar.

    Args:
        captions_embeddings (`torch.Tensor`): (captions, width), of any length.
        threshold (`float`): Cosine in [-1, 1] that similar captions exceed.

    Returns:
        `torch.Tensor`: (captions, captions) bool, symmetric, true on the diagonal.

    Raises:
        ValueError: If the shape is wrong, an embedding is not finite, or the threshold is not in [-1, 1].

    Example:
        >>> import torch
        >>> from hf_motion.retrieval.text_similarity import similar_pairs
        >>> similar_pairs(torch.tensor([[1.0, 0.0], [2.0, 0.1], [0.0, 1.0]]), threshold=0.85).int().tolist()
        [[1, 1, 0], [1, 1, 0], [0, 0, 1]]
    """
    if not -1 <= threshold <= 1:
        raise ValueError(f"threshold is a cosine in [-1, 1], got {threshold}.")
    if captions_embeddings.ndim != 2 or not captions_embeddings.isfinite().all():
        raise ValueError(f"captions_embeddings must be (captions, width) and finite, got shape {tuple(captions_embeddings.shape)}.")
    unit = F.normalize(captions_embeddings.float(), dim=-1)
    similar = unit @ unit.T > threshold
    similar = similar | similar.T  # A product of matrices may round the two halves differently.
    return similar.fill_diagonal_(True)


def equal_captions(captions: Sequence[str]) -> Tensor:
    """Pairs of captions that are the same text, for when no sentence model is at hand.

    Case, spaces at the ends or repeated, and a full stop at the end do not count.

    Args:
        captions (`Sequence[str]`): Texts.

    Returns:
        `torch.Tensor`: (captions, captions) bool, symmetric, true on the diagonal.

    Raises:
        ValueError: If there is no caption, or one string comes in place of a list.

    Example:
        >>> from hf_motion.retrieval.text_similarity import equal_captions
        >>> equal_captions(["A man walks.", "a man walks", "a man runs"]).int().tolist()
        [[1, 1, 0], [1, 1, 0], [0, 0, 1]]
    """
    _check_captions(captions)
    _, ids = np.unique([" ".join(caption.lower().split()).rstrip(". ") for caption in captions], return_inverse=True)
    ids = torch.from_numpy(ids)
    return ids == ids[:, None]


def similar_captions(captions: Sequence[str], encoder: SentenceEncoder | None = None, threshold: float = 0.85) -> Tensor:
    """Pairs of captions that say the same, by a sentence model, or as `equal_captions` where there is none.

    Args:
        captions (`Sequence[str]`): Texts.
        encoder (`SentenceEncoder`, *optional*): Sentence model.
        threshold (`float`, defaults to 0.85): Cosine that similar captions exceed, HumanTOMATO's by default; only read with an encoder.

    Returns:
        `torch.Tensor`: (captions, captions) bool, symmetric, true on the diagonal: what retrieval models take as `similar`.

    Raises:
        ValueError: As `similar_pairs` and `equal_captions`.

    Example:
        >>> from hf_motion.retrieval.text_similarity import similar_captions
        >>> similar_captions(["a man walks", "a man runs"]).tolist()
        [[True, False], [False, True]]
    """
    return equal_captions(captions) if encoder is None else similar_pairs(encoder(captions), threshold)


def _check_captions(captions: Sequence[str]) -> None:
    if isinstance(captions, str) or len(captions) == 0:
        raise ValueError(f"captions must be a list of at least one text, got {captions!r}.")
