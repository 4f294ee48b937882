"""TMR: a motion and a text in one space.

Petrovich, Black, Varol, *TMR: Text-to-Motion Retrieval Using Contrastive 3D Human Motion Synthesis*, ICCV 2023. Weights published by its
authors load through `hf_motion.conversion.tmr`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutput
from transformers.modeling_utils import PreTrainedModel
from transformers.models.auto.configuration_auto import AutoConfig
from transformers.models.auto.modeling_auto import AutoModel

from ...nn.contrastive import symmetric_info_nce
from ...nn.embeddings import sinusoidal_table
from ...nn.temos import Gaussian, GaussianEncoder, LatentDecoder, divergence, frame_loss, init_temos_weights
from ..checked_model import CheckedModel
from ..motion_text_output import MotionTextOutput
from .configuration_tmr import TMRConfig

_MAX_POSITIONS = 5000


@dataclass
class TMROutput(MotionTextOutput):
    """Output of `TMR`: `loss`, `motion_embeds` and `text_embeds` as of every retrieval model, and the terms of the loss.

    Args:
        reconstruction_loss (`torch.Tensor`, *optional*): Smooth L1 of the motions decoded from both latents; without its weight, as all.
        kl_loss (`torch.Tensor`, *optional*): Sum of the four divergences.
        latent_loss (`torch.Tensor`, *optional*): Smooth L1 between the latents.
        contrastive_loss (`torch.Tensor`, *optional*): InfoNCE, mean of both directions.
    """

    reconstruction_loss: Tensor | None = None
    kl_loss: Tensor | None = None
    latent_loss: Tensor | None = None
    contrastive_loss: Tensor | None = None


class TMRPreTrainedModel(CheckedModel):
    """What `TMR` and its text half have in common: a text model, and an encoder above it."""

    config_class = TMRConfig
    _no_split_modules = ["LatentBlock"]
    _supports_sdpa = True

    def __init__(self, config: TMRConfig) -> None:
        super().__init__(config)
        self.text_model = _text_model(AutoModel.from_config(config.text_config))
        self.text_encoder = GaussianEncoder(config, config.text_config.hidden_size)
        self.register_buffer("positions", sinusoidal_table(_MAX_POSITIONS, config.hidden_size), persistent=False)
        self.text_model.requires_grad_(not config.freeze_text_model)

    def get_text_features(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Embed texts.

        Args:
            input_ids (`torch.Tensor`): (batch, tokens) of the model's own tokenizer.
            attention_mask (`torch.Tensor`, *optional*): (batch, tokens), 1 on real tokens.

        Returns:
            `torch.Tensor`: (batch, hidden_size), not of unit length. An embedding depends on its own real tokens only.

        Raises:
            ValueError: If there are more tokens than the text model has positions.
        """
        return self._encode_text(self.get_text_states(input_ids, attention_mask), attention_mask).mean

    def get_text_states(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """What the text model says of each token: for a frozen one, to be computed once and passed to `forward` as `text_states`.

        Args:
            input_ids (`torch.Tensor`): (batch, tokens).
            attention_mask (`torch.Tensor`, *optional*): (batch, tokens), 1 on real tokens.

        Returns:
            `torch.Tensor`: (batch, tokens, width of the text model).

        Raises:
            ValueError: If there are more tokens than the text model has positions.
        """
        limit = getattr(self.config.text_config, "max_position_embeddings", None)
        if limit is not None and input_ids.shape[1] > limit:
            raise ValueError(f"The text model reads {limit} tokens, got {input_ids.shape[1]}. Tokenize with truncation=True.")
        return self.text_model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state

    def _encode_text(self, text_states: Tensor, text_mask: Tensor | None) -> Gaussian:
        width = self.config.text_config.hidden_size
        if text_states.ndim != 3 or text_states.shape[-1] != width:
            raise ValueError(f"text_states must be (batch, tokens, {width}), got {tuple(text_states.shape)}.")
        return self._encode(self.text_encoder, text_states, text_mask, "the text's attention mask")

    def _encode(self, encoder: GaussianEncoder, states: Tensor, mask: Tensor | None, mask_name: str) -> Gaussian:
        if mask is not None and mask.shape != states.shape[:2]:
            raise ValueError(f"{mask_name} must be {tuple(states.shape[:2])}, as its input, got {tuple(mask.shape)}.")
        return encoder(states.to(self.dtype), mask, self._positions(states.shape[1] + 2))

    def _positions(self, count: int) -> Tensor:
        if count > _MAX_POSITIONS:
            raise ValueError(f"A sequence of {count} is longer than the {_MAX_POSITIONS} positions of this model; cut it.")
        return self.positions[:count].to(self.dtype)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """PyTorch's own initial values, as published, rather than those of most models of transformers."""
        if isinstance(module, TMRPreTrainedModel):
            init.copy_(module.positions, sinusoidal_table(_MAX_POSITIONS, self.config.hidden_size))
        init_temos_weights(module, whole=isinstance(module, TMRPreTrainedModel))


@dataclass
class TMRTextEncoderOutput(BaseModelOutput):
    """Output of `TMRTextEncoder`.

    Args:
        text_embeds (`torch.Tensor`): (batch, hidden_size), the embedding that TMR compares with motions.
        last_hidden_state (`torch.Tensor`): (batch, tokens, hidden_size), what the encoder says of each token.
    """

    text_embeds: Tensor | None = None


class TMRTextEncoder(TMRPreTrainedModel):
    """The text half of a `TMR`, to condition generators on: its vectors were learned together with motion.

    Checkpoints are those of `TMR`; of one of these the other half is left out.

    Args:
        config (`TMRConfig`): Configuration.

    Example:
        >>> import torch
        >>> from hf_motion import TMRConfig, TMRTextEncoder
        >>> text = {"model_type": "bert", "vocab_size": 20, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
        >>> encoder = TMRTextEncoder(TMRConfig(hidden_size=16, num_layers=1, text_config=text)).eval()
        >>> encoder(torch.tensor([[3, 4, 5]])).text_embeds.shape
        torch.Size([1, 16])
    """

    main_input_name = "input_ids"
    _keys_to_ignore_on_load_unexpected = [r"motion_(en|de)coder\..*"]

    def __init__(self, config: TMRConfig) -> None:
        super().__init__(config)
        self.post_init()

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, return_dict: bool | None = None, **kwargs: Any
    ) -> TMRTextEncoderOutput | tuple[Tensor, ...]:
        """Embed texts.

        Args:
            input_ids (`torch.Tensor`): (batch, tokens) of the model's own tokenizer.
            attention_mask (`torch.Tensor`, *optional*): (batch, tokens), 1 on real tokens.
            return_dict (`bool`, *optional*, defaults to `True`): Return a `TMRTextEncoderOutput` rather than a tuple.
            **kwargs: What else a tokenizer gives; not used.

        Raises:
            ValueError: If there are more tokens than the text model has positions.
        """
        states = self.get_text_states(input_ids, attention_mask)
        hidden = self.text_encoder.states(states.to(self.dtype), attention_mask, self._positions(states.shape[1] + 2))
        output = TMRTextEncoderOutput(last_hidden_state=hidden[:, 2:], text_embeds=hidden[:, 0])
        return output if return_dict is None or return_dict else output.to_tuple()


class TMR(TMRPreTrainedModel):
    """Embeds motions and texts where those that belong together are close.

    Two transformers read the motion's frames and the text model's tokens, each preceded by two learned tokens that become the mean and the
    log-variance of a Gaussian. The mean is the embedding; embeddings compare by their cosine. A decoder makes a motion of a latent, which
    keeps the space faithful to what moves.

    Args:
        config (`TMRConfig`): Configuration.
    """

    main_input_name = "motion_features"

    def __init__(self, config: TMRConfig) -> None:
        super().__init__(config)
        self.motion_encoder = GaussianEncoder(config, config.num_features)
        self.motion_decoder = LatentDecoder(config)
        self.post_init()

    @classmethod
    def from_text_model(cls, text_model: str | os.PathLike, **options: Any) -> TMR:
        """An untrained TMR over a pretrained text model.

        Args:
            text_model (`str` or `os.PathLike`): An encoder on the Hub or in a folder, such as `"distilbert/distilbert-base-uncased"`. Of a
                CLIP checkpoint the text half is taken.
            **options: Options of `TMRConfig` but for `text_config`.

        Returns:
            `TMR`: In evaluation mode, random but for the text model.

        Raises:
            OSError: If there is no such model, or it has no safetensors.
            ValueError: As `TMRConfig`.
        """
        text_config = AutoConfig.from_pretrained(text_model)
        text_config = getattr(text_config, "text_config", text_config)
        pretrained = _text_model(AutoModel.from_pretrained(text_model, config=text_config, use_safetensors=True))
        if os.path.isdir(text_model):
            text_config.name_or_path = ""  # A path of somebody's machine is nothing for a checkpoint's config.json.
        model = cls(TMRConfig(text_config=text_config, **options)).eval()
        model.text_model.load_state_dict(pretrained.state_dict())
        return model

    def train(self, mode: bool = True) -> TMR:
        """Training mode, but not for a frozen text model, whose dropout stays off."""
        super().train(mode)
        if self.config.freeze_text_model:
            # Here too, since loading makes parameters anew and ends in evaluation mode.
            self.text_model.requires_grad_(False).eval()
        return self

    def get_motion_features(self, motion_features: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Embed motions.

        Args:
            motion_features (`torch.Tensor`): (batch, frames, num_features), normalised by the model's own feature extractor.
            attention_mask (`torch.Tensor`, *optional*): (batch, frames), 1 on real frames.

        Returns:
            `torch.Tensor`: (batch, hidden_size), not of unit length. An embedding depends on its own real frames only.

        Raises:
            ValueError: If a shape is wrong or the motion has more than 4,998 frames.
        """
        return self._encode_motion(motion_features, attention_mask).mean

    def reconstruct(self, motion_features: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Embed motions and decode the embeddings: what the model keeps of them.

        Args:
            motion_features (`torch.Tensor`): (batch, frames, num_features), normalised.
            attention_mask (`torch.Tensor`, *optional*): (batch, frames), 1 on real frames.

        Returns:
            `torch.Tensor`: Normalised features, (batch, frames, num_features), zero on padded frames.

        Raises:
            ValueError: If a shape is wrong or the motion has more than 4,998 frames.
        """
        if attention_mask is None:
            attention_mask = motion_features.new_ones(motion_features.shape[:2])
        return self.decode(self.get_motion_features(motion_features, attention_mask), attention_mask)

    def decode(self, latents: Tensor, attention_mask: Tensor) -> Tensor:
        """Decode motions of given lengths.

        Args:
            latents (`torch.Tensor`): (batch, hidden_size), such as embeddings of motions or of texts.
            attention_mask (`torch.Tensor`): (batch, frames), 1 on the frames to make.

        Returns:
            `torch.Tensor`: Normalised features, (batch, frames, num_features), zero on padded frames.

        Raises:
            ValueError: If a shape is wrong or there are more than 5,000 frames.
        """
        if latents.ndim != 2 or latents.shape[1] != self.config.hidden_size or len(latents) != len(attention_mask):
            raise ValueError(
                f"latents must be (batch, {self.config.hidden_size}) with one row per row of attention_mask, got {tuple(latents.shape)} "
                f"for {len(attention_mask)} rows."
            )
        return self.motion_decoder(latents.to(self.dtype), attention_mask, self._positions(attention_mask.shape[1]))

    def forward(
        self,
        motion_features: Tensor,
        attention_mask: Tensor | None = None,
        input_ids: Tensor | None = None,
        text_mask: Tensor | None = None,
        pos_ids: Tensor | None = None,
        similar: Tensor | None = None,
        seeds: Tensor | None = None,
        text_states: Tensor | None = None,
        return_dict: bool = True,
    ) -> TMROutput | tuple[Tensor, ...]:
        """Embed pairs of motion and text, and compute the published loss.

        Args:
            motion_features (`torch.Tensor`): (batch, frames, num_features), normalised.
            attention_mask (`torch.Tensor`, *optional*): (batch, frames), 1 on real frames.
            input_ids (`torch.Tensor`, *optional*): (batch, tokens). Not needed with `text_states`.
            text_mask (`torch.Tensor`, *optional*): (batch, tokens), 1 on real tokens.
            pos_ids (`torch.Tensor`, *optional*): Parts of speech, which other retrieval models read and this one does not.
            similar (`torch.Tensor`, *optional*): (batch, batch) bool, true where two texts say the same: such pairs are no negatives. The
                diagonal is ignored.
            seeds (`torch.Tensor`, *optional*): (batch,) int64; the noise of an example comes from its own seed alone. Without seeds noise
                comes from torch's generator while training, and in evaluation mode there is none: latents are the means.
            text_states (`torch.Tensor`, *optional*): (batch, tokens, width), what `get_text_states` gave before.
            return_dict (`bool`, defaults to `True`): Return a `TMROutput` rather than a tuple.

        Returns:
            `TMROutput`: Loss, its terms and embeddings.

        Raises:
            ValueError: If there is no text, or a shape is wrong.
        """
        if text_states is None:
            if input_ids is None:
                raise ValueError("Pass input_ids, or text_states made by `get_text_states`.")
            text_states = self.get_text_states(input_ids, text_mask)
        if attention_mask is None:
            attention_mask = motion_features.new_ones(motion_features.shape[:2])
        motion, text = self._encode_motion(motion_features, attention_mask), self._encode_text(text_states, text_mask)
        if len(motion.mean) != len(text.mean):
            raise ValueError(f"Pass as many texts as motions, got {len(text.mean)} and {len(motion.mean)}.")
        # The loss is computed in float32: exponentials and small weights do not bear bf16.
        terms = self._losses(
            Gaussian(*(x.float() for x in motion)), Gaussian(*(x.float() for x in text)), motion_features, attention_mask, similar, seeds
        )
        loss = sum(getattr(self.config, f"{name}_weight") * term for name, term in terms.items())
        output = TMROutput(
            loss=loss, motion_embeds=motion.mean, text_embeds=text.mean, **{f"{name}_loss": term for name, term in terms.items()}
        )
        return output if return_dict else output.to_tuple()

    def _losses(
        self, motion: Gaussian, text: Gaussian, features: Tensor, mask: Tensor, similar: Tensor | None, seeds: Tensor | None
    ) -> dict[str, Tensor]:
        """The terms of the loss, without their weights."""
        motion_noise, text_noise = self.config.noise_scale * self._noise(motion.mean, seeds)
        motion_latents, text_latents = motion.sample(motion_noise), text.sample(text_noise)
        normal = Gaussian(torch.zeros_like(motion.mean), torch.zeros_like(motion.mean))
        cosines = F.normalize(text_latents, dim=-1) @ F.normalize(motion_latents, dim=-1).T
        from_motion, from_text = self.decode(torch.cat((motion_latents, text_latents)), mask.repeat(2, 1)).float().chunk(2)
        return {
            # The motion, decoded from its own latent and from the text's.
            "reconstruction": frame_loss(from_motion, features.float(), mask) + frame_loss(from_text, features.float(), mask),
            # Each distribution from the other, and each from the standard normal one.
            "kl": divergence(text, motion) + divergence(motion, text) + divergence(motion, normal) + divergence(text, normal),
            # The two latents of a pair are the same.
            "latent": F.smooth_l1_loss(text_latents, motion_latents),
            # Each text finds its motion among those of the batch, and each motion its text.
            "contrastive": symmetric_info_nce(cosines / self.config.contrastive_temperature, similar),
        }

    def _encode_motion(self, motion_features: Tensor, attention_mask: Tensor | None) -> Gaussian:
        width = self.config.num_features
        if motion_features.ndim != 3 or motion_features.shape[-1] != width:
            raise ValueError(f"motion_features must be (batch, frames, {width}), got {tuple(motion_features.shape)}.")
        return self._encode(self.motion_encoder, motion_features, attention_mask, "attention_mask")

    def _noise(self, like: Tensor, seeds: Tensor | None) -> Tensor:
        """(2, batch, hidden_size): for the motions, and for the texts."""
        shape = (2, *like.shape)
        if seeds is None:
            return torch.randn(shape, device=like.device) if self.training else like.new_zeros(shape)
        if len(seeds) != len(like):
            raise ValueError(f"Got {len(seeds)} seeds for {len(like)} examples; pass one for each.")
        noise = [
            torch.randn(2, like.shape[1], generator=torch.Generator(like.device).manual_seed(seed), device=like.device)
            for seed in seeds.tolist()
        ]
        return torch.stack(noise, dim=1)


def _text_model(model: PreTrainedModel) -> PreTrainedModel:
    """The part of a model that reads tokens."""
    if hasattr(model, "decoder"):
        model = model.get_encoder()
    if getattr(model, "pooler", None) is not None:
        model.pooler = None  # Tokens are read, not the pooled vector, and weights without a gradient stop distributed training.
    return model
