"""The text and motion extractors of AdaQF, whose verdict on generated motion its generator is trained with.

*AdaQF*, section 3.2: GRUs after Guo et al. (CVPR 2022), trained with InfoNCE and a cosine loss.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import initialization as init

from ...nn.contrastive import symmetric_info_nce
from ...nn.recurrent import RecurrentEncoder, init_recurrent_weights, real_lengths
from ...nn.temporal_conv import MovementEncoder, zero_behind
from ..checked_model import CheckedModel
from ..motion_text_output import MotionTextOutput
from .configuration_adaqf_extractors import AdaQFExtractorsConfig

_MIN_TEMPERATURE = 0.01


class AdaQFExtractors(CheckedModel):
    """Embeds motions and texts so that pairs point the same way. Differentiable with respect to the motion.

    Args:
        config (`AdaQFExtractorsConfig`): Sizes and loss.

    Example:
        >>> import torch
        >>> from hf_motion.models.adaqf_extractors.configuration_adaqf_extractors import AdaQFExtractorsConfig
        >>> from hf_motion.models.adaqf_extractors.modeling_adaqf_extractors import AdaQFExtractors
        >>> model = AdaQFExtractors(AdaQFExtractorsConfig(hidden_size=16, vocab_size=20)).eval()
        >>> motion = torch.zeros(1, 30, 263, requires_grad=True)
        >>> text = model.get_text_features(torch.tensor([[3, 4, 5]]))
        >>> (1 - torch.cosine_similarity(model.get_motion_features(motion), text)).sum().backward()
        >>> motion.grad.shape
        torch.Size([1, 30, 263])
    """

    config_class = AdaQFExtractorsConfig
    _input_embed_layer = "word_embeddings"
    main_input_name = "motion_features"

    def __init__(self, config: AdaQFExtractorsConfig) -> None:
        super().__init__(config)
        width = config.hidden_size
        self.movement_encoder = MovementEncoder(config.num_features, width, width, config.dropout) if config.downsample else None
        self.motion_encoder = RecurrentEncoder(width if config.downsample else config.num_features, width, config.bidirectional)
        self.word_embeddings = nn.Embedding(config.vocab_size, config.word_dim)
        self.pos_projection = nn.Linear(config.num_pos_classes, config.word_dim) if config.num_pos_classes else None
        self.dropout = nn.Dropout(config.dropout)
        self.text_encoder = RecurrentEncoder(config.word_dim, width, config.bidirectional)
        self.log_temperature = nn.Parameter(torch.tensor(math.log(config.temperature_init))) if config.learn_temperature else None
        self.post_init()

    @property
    def temperature(self) -> Tensor | float:
        """The temperature tau of eq. 2."""
        if self.log_temperature is None:
            return self.config.temperature_init
        return self.log_temperature.float().exp().clamp_min(_MIN_TEMPERATURE)

    def get_motion_features(self, motion_features: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Embed motions.

        Args:
            motion_features (`torch.Tensor`): (batch, frames, num_features), normalised with this model's own mean and std.
            attention_mask (`torch.Tensor`, *optional*): (batch, frames), 1 on real frames, which come first. Padding gets no gradient.

        Returns:
            `torch.Tensor`: (batch, embed_dim), last states of the GRU, not normalised.

        Raises:
            ValueError: If a shape is wrong or a clip has no frame.
        """
        width = self.config.num_features
        if motion_features.ndim != 3 or motion_features.shape[-1] != width:
            raise ValueError(f"motion_features must be (batch, frames, {width}), got shape {tuple(motion_features.shape)}.")
        lengths = real_lengths(attention_mask, motion_features)
        features = motion_features.to(self.dtype)
        if self.movement_encoder is None:
            return self.motion_encoder(zero_behind(features, lengths, features.shape[1]), lengths)
        # Zeros for one more step, always: what the last real one sees must not depend on the batch.
        unit = MovementEncoder.unit
        steps = (lengths + unit - 1) // unit
        features = zero_behind(features, lengths, (int(steps.max()) + 1) * unit)
        return self.motion_encoder(self.movement_encoder(features), steps)

    def get_text_features(self, input_ids: Tensor, attention_mask: Tensor | None = None, pos_ids: Tensor | None = None) -> Tensor:
        """Embed texts.

        Args:
            input_ids (`torch.Tensor`): (batch, tokens), of any tokenizer with `vocab_size` tokens.
            attention_mask (`torch.Tensor`, *optional*): (batch, tokens), 1 on real tokens, which come first.
            pos_ids (`torch.Tensor`, *optional*): (batch, tokens) parts of speech; needed if `num_pos_classes` is set, else ignored.

        Returns:
            `torch.Tensor`: (batch, embed_dim), last states of the GRU, not normalised.

        Raises:
            ValueError: If a shape is wrong, a text has no token or `pos_ids` are missing.
        """
        words = self.word_embeddings(input_ids)
        if self.pos_projection is not None:
            if pos_ids is None or pos_ids.shape != input_ids.shape:
                found = "none" if pos_ids is None else f"shape {tuple(pos_ids.shape)}"
                raise ValueError(f"pos_ids must be {tuple(input_ids.shape)} like input_ids, got {found}. Pass those of WordPosTokenizer.")
            words = words + self.pos_projection(F.one_hot(pos_ids, self.config.num_pos_classes).to(self.dtype))
        return self.text_encoder(self.dropout(words), real_lengths(attention_mask, input_ids))

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

        Eq. 2 of the paper with the sign that its text describes: InfoNCE both ways plus the mean of 1 - cos over pairs. As printed, minus
        the InfoNCE plus the mean cosine, it would push pairs apart.

        Args:
            motion_features (`torch.Tensor`): See `get_motion_features`.
            attention_mask (`torch.Tensor`, *optional*): (batch, frames).
            input_ids (`torch.Tensor`): See `get_text_features`; row i describes motion i.
            text_mask (`torch.Tensor`, *optional*): (batch, tokens), what `get_text_features` calls `attention_mask`.
            pos_ids (`torch.Tensor`, *optional*): (batch, tokens).
            similar (`torch.Tensor`, *optional*): (batch, batch) bool, True where two captions say the same: never negatives.
            seeds (`torch.Tensor`, *optional*): Not used: nothing is drawn.
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
        cosine = F.normalize(text.float(), dim=-1) @ F.normalize(motion.float(), dim=-1).T
        loss = symmetric_info_nce(cosine / self.temperature, similar) + self.config.cosine_weight * (1 - cosine.diagonal()).mean()
        output = MotionTextOutput(loss=loss, motion_embeds=motion, text_embeds=text)
        return output if return_dict is None or return_dict else output.to_tuple()

    def _init_weights(self, module: nn.Module) -> None:
        init_recurrent_weights(module)
        if module is self and self.log_temperature is not None:
            init.constant_(self.log_temperature, math.log(self.config.temperature_init))
