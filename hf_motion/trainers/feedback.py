"""AdaQF's motion quality feedback: what frozen extractors make of the motion that a generator predicts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..data.motion_text import MotionTextDataset
from ..evaluation.generations import speaks_same
from ..representation import MotionFeatureExtractor
from ..retrieval.embedder import MotionTextEmbedder


class QualityFeedback(nn.Module):
    """The consistency constraints of AdaQF (eq. 3 and 4), differentiable with respect to the predicted motion.

    Args:
        embedder (`MotionTextEmbedder`): The extractors: `AdaQFExtractors`, or another retrieval model, as in the paper's table 7. They are
            frozen and stay in evaluation mode.
        feature_extractor (`MotionFeatureExtractor`): The generator's: its features are brought to the extractors' statistics.
        motion_weight (`float`, defaults to 10.0): lambda_M; 0 leaves the motion consistency out.
        text_weight (`float`, defaults to 2.0): lambda_T; 0 leaves the text consistency out.

    Raises:
        ValueError: If a weight is negative, or the extractors read other features than the generator makes, or shorter clips.
    """

    def __init__(
        self,
        embedder: MotionTextEmbedder,
        feature_extractor: MotionFeatureExtractor,
        motion_weight: float = 10.0,
        text_weight: float = 2.0,
    ) -> None:
        super().__init__()
        if min(motion_weight, text_weight) < 0:
            raise ValueError(f"Weights of the feedback must not be negative, got motion {motion_weight} and text {text_weight}.")
        theirs = embedder.feature_extractor
        if not speaks_same(theirs, feature_extractor):
            raise ValueError(
                f"{embedder.name} reads {theirs.representation} of {theirs.skeleton} at {theirs.fps:g} fps, the generator makes "
                f"{feature_extractor.representation} of {feature_extractor.skeleton} at {feature_extractor.fps:g} fps. Train extractors on "
                "the same features."
            )
        if feature_extractor.max_frames > theirs.max_frames:
            raise ValueError(
                f"{embedder.name} reads up to {theirs.max_frames} frames, the generator makes up to {feature_extractor.max_frames}. Lower "
                "the generator's max_frames, or train extractors on longer clips."
            )
        self.embedder = embedder
        self.extractors = embedder.model.requires_grad_(False).eval()
        self.motion_weight, self.text_weight = motion_weight, text_weight
        mean, std = torch.tensor(feature_extractor.mean), torch.tensor(feature_extractor.std)
        self.register_buffer("scale", std / torch.tensor(theirs.std), persistent=False)
        self.register_buffer("shift", (mean - torch.tensor(theirs.mean)) / torch.tensor(theirs.std), persistent=False)

    def embed_captions(self, captions: Sequence[str], tags: dict[str, str] | None = None) -> dict[str, Tensor]:
        """E_T of each caption, (embed_dim,) float32: constant, so computed once for a whole training.

        Args:
            captions (`list[str]`): Distinct captions.
            tags (`dict[str, str]`, *optional*): The `word/POS` form of captions, for extractors that read it.
        """
        embeddings = torch.from_numpy(self.embedder.embed_texts(captions, tags)).float()
        return dict(zip(captions, embeddings, strict=True))

    def embed_clips(self, dataset: MotionTextDataset) -> list[Tensor | None]:
        """E_M of each clip that training takes whole, (embed_dim,) float32, also computed once; None for one that is cut at random.

        Args:
            dataset (`MotionTextDataset`): Clips, normalised by the generator's statistics.
        """
        own, limit = dataset.feature_extractor, dataset.feature_extractor.max_frames
        whole = [index for index, clip in enumerate(dataset.features) if len(clip) <= limit]
        embeddings: list[Tensor | None] = [None] * len(dataset.features)
        if whole:
            rows = torch.from_numpy(self.embedder.embed_motions([own.denormalize(dataset.features[index]) for index in whole])).float()
            for index, row in zip(whole, rows, strict=True):
                embeddings[index] = row
        return embeddings

    def train(self, mode: bool = True) -> QualityFeedback:
        """Stays in evaluation mode: judges do not learn, and have no dropout."""
        return super().train(False)

    def forward(
        self,
        predicted: Tensor,
        target: Tensor,
        attention_mask: Tensor,
        text_embeds: Tensor,
        keep: Tensor,
        real_embeds: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Both consistency losses.

        Args:
            predicted (`torch.Tensor`): Predicted clean features x0, (batch, frames, dim), normalised by the generator's statistics.
            target (`torch.Tensor`): The real ones.
            attention_mask (`torch.Tensor`): (batch, frames), 1 on real frames: padding does not count.
            text_embeds (`torch.Tensor`): E_T of the captions, (batch, embed_dim), see `embed_captions`.
            keep (`torch.Tensor`): (batch,) bool, False where the generator did not get to see the caption (guidance dropout): such a
                motion cannot be asked to match it. The paper does not say.
            real_embeds (`torch.Tensor`, *optional*): E_M of the real motions, (batch, embed_dim), see `embed_clips`; computed here if not
                given.

        Returns:
            `dict[str, torch.Tensor]`: `motion_consistency`, the mean of 1 - cos(E_M(x0_hat), E_M(x0)), and `text_consistency`, the mean of
            1 - cos(E_M(x0_hat), E_T(c)) in which examples without their caption count as 0; only those whose weight is not 0.
        """
        losses = {}
        # Recurrent states gather rounding errors over the frames, and a GRU gains little from half precision.
        with torch.autocast(predicted.device.type, enabled=False):
            judged = self._embed(predicted, attention_mask)
            if self.motion_weight:
                with torch.no_grad():
                    real = self._embed(target, attention_mask) if real_embeds is None else real_embeds.to(judged)
                losses["motion_consistency"] = (1 - F.cosine_similarity(judged, real, dim=-1)).mean()
            if self.text_weight:
                distance = 1 - F.cosine_similarity(judged, text_embeds.to(judged), dim=-1)
                losses["text_consistency"] = (distance * keep).mean()
        return losses

    def weighted(self, losses: dict[str, Tensor]) -> Tensor:
        """lambda_M L_M + lambda_T L_T (eq. 5)."""
        weights = {"motion_consistency": self.motion_weight, "text_consistency": self.text_weight}
        return sum(weights[name] * value for name, value in losses.items())

    def _embed(self, features: Tensor, attention_mask: Tensor) -> Tensor:
        return self.extractors.get_motion_features(features.float() * self.scale + self.shift, attention_mask).float()
