"""The evaluator that text-to-motion papers measure with: movement, motion and text encoders.

Guo et al., *Generating Diverse and Natural 3D Human Motions from Text*, CVPR 2022. Published weights load through
`hf_motion.conversion.t2m_evaluator`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...nn.contrastive import other_similar, symmetric_info_nce
from ...nn.recurrent import RecurrentEncoder, init_recurrent_weights, real_lengths
from ...nn.temporal_conv import MovementEncoder, zero_behind
from ..checked_model import CheckedModel
from ..motion_text_output import MotionTextOutput
from .configuration_t2m_evaluator import T2MEvaluatorConfig


class T2MEvaluator(CheckedModel):
    """Embeds motions and texts so that a text is near, in Euclidean distance, the motions that it describes.

    Args:
        config (`T2MEvaluatorConfig`): Sizes and loss.

    Example:
        >>> import torch
        >>> from hf_motion.models.t2m_evaluator.configuration_t2m_evaluator import T2MEvaluatorConfig
        >>> from hf_motion.models.t2m_evaluator.modeling_t2m_evaluator import T2MEvaluator
        >>> sizes = {"motion_hidden_size": 16, "text_hidden_size": 16, "embed_dim": 8, "vocab_size": 20}
        >>> model = T2MEvaluator(T2MEvaluatorConfig(**sizes)).eval()
        >>> model.get_motion_features(torch.zeros(2, 60, 263)).shape
        torch.Size([2, 8])
        >>> ids = torch.tensor([[0, 5, 6, 1]])
        >>> model.get_text_features(ids, pos_ids=torch.tensor([[14, 2, 1, 14]])).shape
        torch.Size([1, 8])
    """

    config_class = T2MEvaluatorConfig
    _input_embed_layer = "word_embeddings"
    main_input_name = "motion_features"

    def __init__(self, config: T2MEvaluatorConfig) -> None:
        super().__init__(config)
        self.movement_encoder = MovementEncoder(
            config.num_features - config.num_contacts, config.movement_hidden_size, config.movement_size, config.dropout
        )
        self.motion_encoder = RecurrentEncoder(config.movement_size, config.motion_hidden_size)
        self.motion_head = _head(config.motion_hidden_size, config.embed_dim)
        self.word_embeddings = nn.Embedding(config.vocab_size, config.word_dim)
        self.pos_projection = nn.Linear(config.num_pos_classes, config.word_dim)
        self.text_encoder = RecurrentEncoder(config.word_dim, config.text_hidden_size)
        self.text_head = _head(config.text_hidden_size, config.embed_dim)
        self.post_init()
        self.train()

    def train(self, mode: bool = True) -> T2MEvaluator:
        """Set training mode; what the configuration freezes stays frozen, a frozen movement encoder in evaluation mode."""
        super().train(mode)
        # Here rather than in the constructor: loading weights makes every one of them trainable again, and ends with `eval()`.
        self.word_embeddings.requires_grad_(not self.config.freeze_word_embeddings)
        self.movement_encoder.requires_grad_(not self.config.freeze_movement_encoder)
        self.movement_encoder.train(mode and not self.config.freeze_movement_encoder)
        return self

    def get_motion_features(self, motion_features: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Embed motions.

        As published, a clip is cut to a multiple of four frames and followed by zeros up to `max_frames`, of which the last movement sees
        a few. So an embedding depends on nothing but its clip.

        Args:
            motion_features (`torch.Tensor`): (batch, frames, num_features), normalised with this model's own mean and std.
            attention_mask (`torch.Tensor`, *optional*): (batch, frames), 1 on real frames, which come first.

        Returns:
            `torch.Tensor`: (batch, embed_dim), in the caller's order. The published code sorts by length.

        Raises:
            ValueError: If a shape is wrong, or a clip has fewer than four frames or is longer than `max_frames`.
        """
        config, unit = self.config, MovementEncoder.unit
        if motion_features.ndim != 3 or motion_features.shape[-1] != config.num_features:
            raise ValueError(f"motion_features must be (batch, frames, {config.num_features}), got shape {tuple(motion_features.shape)}.")
        steps = real_lengths(attention_mask, motion_features) // unit
        shortest, longest = int(steps.min()), int(steps.max())
        if shortest < 1:
            raise ValueError(f"Clip {int(steps.argmin())} has fewer than {unit} frames, which is less than one movement.")
        if longest * unit > config.max_frames:
            raise ValueError(f"Clip {int(steps.argmax())} is longer than max_frames={config.max_frames}. Cut it.")
        # Of the zeros, the last movement sees less than one more movement's worth; at max_frames there are none left to see.
        frames = min((longest + 1) * unit, config.max_frames)
        features = motion_features[..., : config.num_features - config.num_contacts].to(self.dtype)
        movements = self.movement_encoder(zero_behind(features, steps * unit, frames))
        return self.motion_head(self.motion_encoder(movements, steps))

    def get_text_features(self, input_ids: Tensor, attention_mask: Tensor | None = None, pos_ids: Tensor | None = None) -> Tensor:
        """Embed texts.

        Args:
            input_ids (`torch.Tensor`): (batch, tokens) words, as `WordPosTokenizer` gives them, `sos` and `eos` included.
            attention_mask (`torch.Tensor`, *optional*): (batch, tokens), 1 on real tokens, which come first.
            pos_ids (`torch.Tensor`): (batch, tokens) parts of speech.

        Returns:
            `torch.Tensor`: (batch, embed_dim).

        Raises:
            ValueError: If `pos_ids` are missing, a shape is wrong or a text has no token.
        """
        if pos_ids is None or pos_ids.shape != input_ids.shape:
            found = "none" if pos_ids is None else f"shape {tuple(pos_ids.shape)}"
            raise ValueError(f"pos_ids must be {tuple(input_ids.shape)} like input_ids, got {found}. Pass those of WordPosTokenizer.")
        lengths = real_lengths(attention_mask, input_ids)
        tags = F.one_hot(pos_ids, self.config.num_pos_classes).to(self.dtype)
        words = self.word_embeddings(input_ids) + self.pos_projection(tags)
        return self.text_head(self.text_encoder(words, lengths))

    def forward(
        self,
        motion_features: Tensor,
        attention_mask: Tensor | None = None,
        input_ids: Tensor | None = None,
        text_mask: Tensor | None = None,
        pos_ids: Tensor | None = None,
        similar: Tensor | None = None,
        seeds: Tensor | None = None,
        return_dict: bool | None = None,
    ) -> MotionTextOutput | tuple[Tensor, ...]:
        """Embed pairs and measure the training loss.

        Args:
            motion_features (`torch.Tensor`): See `get_motion_features`.
            attention_mask (`torch.Tensor`, *optional*): (batch, frames).
            input_ids (`torch.Tensor`): See `get_text_features`; row i describes motion i.
            text_mask (`torch.Tensor`, *optional*): (batch, tokens), what `get_text_features` calls `attention_mask`.
            pos_ids (`torch.Tensor`): (batch, tokens).
            similar (`torch.Tensor`, *optional*): (batch, batch) bool, True where two captions say the same: never negatives.
            seeds (`torch.Tensor`, *optional*): (batch,) int64, from which the negatives of the margin loss follow. Without them training
                draws from PyTorch's global generator and evaluation takes seed 0.
            return_dict (`bool`, *optional*, defaults to `True`): Return a `MotionTextOutput` rather than a tuple.

        Returns:
            `MotionTextOutput`: Loss and embeddings.

        Raises:
            ValueError: If there are not as many texts as motions, or as above.
        """
        if input_ids is None or len(input_ids) != len(motion_features):
            found = 0 if input_ids is None else len(input_ids)
            raise ValueError(f"Pass as many texts (input_ids) as motions, got {found} for {len(motion_features)}.")
        motion = self.get_motion_features(motion_features, attention_mask)
        text = self.get_text_features(input_ids, text_mask, pos_ids)
        if self.config.loss == "margin":
            loss = self._margin_loss(text.float(), motion.float(), similar, seeds)
        else:
            distances = torch.cdist(text.float(), motion.float(), compute_mode="donot_use_mm_for_euclid_dist")
            loss = symmetric_info_nce(-distances.square() / self.config.distance_temperature, similar)
        output = MotionTextOutput(loss=loss, motion_embeds=motion, text_embeds=text)
        return output if return_dict is None or return_dict else output.to_tuple()

    def _margin_loss(self, text: Tensor, motion: Tensor, similar: Tensor | None, seeds: Tensor | None) -> Tensor:
        """Squared distance of pairs, plus (margin - distance)^2 of nearer non-pairs (Hadsell et al. 2006)."""
        rows = torch.arange(len(text), device=text.device)
        wrong = (rows + self._shift(len(text), seeds)) % len(text)
        pull = F.pairwise_distance(text, motion).square().mean()
        push = (self.config.negative_margin - F.pairwise_distance(text, motion[wrong])).clamp_min(0).square()
        counted = torch.full_like(push, float(len(text) > 1))
        if similar is not None:
            counted = counted * ~other_similar(similar, len(text))[rows, wrong]
        return pull + (push * counted).sum() / counted.sum().clamp_min(1)

    def _shift(self, batch: int, seeds: Tensor | None) -> int:
        """By how much the batch is rolled to make negatives."""
        if batch < 2:
            return 0
        generator = None
        if seeds is not None or not self.training:
            generator = torch.Generator().manual_seed(0 if seeds is None else int(seeds.sum()))
        drawn = int(torch.randint(batch - 1, (), generator=generator))
        return drawn if self.config.published_negatives else drawn + 1

    def _init_weights(self, module: nn.Module) -> None:
        init_recurrent_weights(module)


def _head(hidden_size: int, embed_dim: int) -> nn.Sequential:
    """From the two last states of a GRU to an embedding."""
    return nn.Sequential(
        nn.Linear(2 * hidden_size, hidden_size), nn.LayerNorm(hidden_size), nn.LeakyReLU(0.2), nn.Linear(hidden_size, embed_dim)
    )
