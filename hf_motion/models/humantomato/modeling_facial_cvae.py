"""The facial cVAE of HumanTOMATO: expressions of a text, as long as wanted.

Lu et al., *HumanTOMATO* (2023), section 2.3 and appendix B.4, after TEMOS (Petrovich et al., ECCV 2022). No weights have been published.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoTokenizer, PreTrainedTokenizerBase
from transformers import initialization as init
from transformers.models.auto.modeling_auto import AutoModel
from transformers.utils import ModelOutput

from ...face import Face
from ...hub.loading import load_part
from ...nn.contrastive import symmetric_info_nce
from ...nn.embeddings import sinusoidal_table
from ...nn.generators import spawn_generators
from ...nn.padding import pad_and_mask
from ...nn.temos import Gaussian, GaussianEncoder, LatentDecoder, divergence, frame_loss, init_temos_weights
from ...text_encoders import token_limit
from ...utils.asked import asked_generator
from ...utils.faults import writing
from ...utils.text import check_prompts
from ..checked_model import CheckedModel
from ..motion_decoding import token_counts
from .configuration_facial_cvae import FacialCVAEConfig

_HUB_OPTIONS = ("cache_dir", "force_download", "local_files_only", "revision", "token", "subfolder")


@dataclass
class FacialCVAEOutput(ModelOutput):
    """Output of `FacialCVAE`.

    Args:
        loss (`torch.Tensor`): Weighted sum of the terms.
        reconstruction_loss (`torch.Tensor`): Smooth L1 of the faces decoded from both latents; without its weight, as all.
        kl_loss (`torch.Tensor`): Sum of the four divergences.
        latent_loss (`torch.Tensor`): Smooth L1 between the latents.
        contrastive_loss (`torch.Tensor`, *optional*): InfoNCE, where it has a weight.
    """

    loss: Tensor | None = None
    reconstruction_loss: Tensor | None = None
    kl_loss: Tensor | None = None
    latent_loss: Tensor | None = None
    contrastive_loss: Tensor | None = None


class FacialCVAE(CheckedModel):
    """Makes a face of a text about it, of any length up to `config.max_frames`.

    An encoder of faces and one of texts, a text model below it, give a Gaussian each; a decoder makes coefficients over time of a latent.
    Generation draws a latent from the text's Gaussian. A checkpoint is complete: kind, frame rate and statistics of the coefficients are
    in its configuration, the text model's tokenizer beside it becomes `tokenizer` of the loaded model.

    Args:
        config (`FacialCVAEConfig`): Configuration.

    Example:
        >>> import torch
        >>> from hf_motion import FacialCVAE, FacialCVAEConfig
        >>> text = {"model_type": "bert", "vocab_size": 20, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
        >>> model = FacialCVAE(FacialCVAEConfig(hidden_size=16, num_layers=1, intermediate_size=16, text_config=text)).eval()
        >>> model.decode(torch.zeros(1, 16), torch.ones(1, 9)).shape
        torch.Size([1, 9, 50])
    """

    config_class = FacialCVAEConfig
    main_input_name = "face_features"
    _no_split_modules = ["LatentBlock"]

    def __init__(self, config: FacialCVAEConfig) -> None:
        super().__init__(config)
        self.text_model = AutoModel.from_config(config.text_config)
        if getattr(self.text_model, "pooler", None) is not None:
            self.text_model.pooler = None
        self.text_model.requires_grad_(not config.freeze_text_model)
        self.text_encoder = GaussianEncoder(config, config.text_config.hidden_size)
        self.face_encoder = GaussianEncoder(config, config.num_features)
        self.face_decoder = LatentDecoder(config)
        self.register_buffer("positions", sinusoidal_table(self._most, config.hidden_size), persistent=False)
        self.tokenizer: PreTrainedTokenizerBase | None = None
        self.post_init()

    @classmethod
    def from_text_model(cls, text_model: str | os.PathLike, **options: Any) -> FacialCVAE:
        """An untrained model over a pretrained text model; its tokenizer is not loaded.

        Args:
            text_model (`str` or `os.PathLike`): An encoder, such as `"distilbert/distilbert-base-uncased"`.
            **options: Of `FacialCVAEConfig` but for `text_config`.

        Raises:
            OSError: If there is no such model, or it has no safetensors.
        """
        pretrained = load_part(AutoModel, text_model, "model")
        text_config = pretrained.config
        text_config.name_or_path = "" if os.path.isdir(text_model) else text_config.name_or_path
        model = cls(FacialCVAEConfig(text_config=text_config, **options)).eval()
        model.text_model.load_state_dict(pretrained.state_dict(), strict=False)  # without the pooler
        return model

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike, *args: Any, **kwargs: Any) -> Any:
        """Load a complete checkpoint; see `transformers.PreTrainedModel.from_pretrained` for the arguments.

        Raises:
            OSError: If there is no such checkpoint, or it has no tokenizer.
            ValueError: If a file is damaged.
        """
        options = {name: kwargs[name] for name in _HUB_OPTIONS if kwargs.get(name) is not None}
        loaded = super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)
        model = loaded[0] if isinstance(loaded, tuple) else loaded
        model.tokenizer = load_part(AutoTokenizer, pretrained_model_name_or_path, "tokenizer", **options)
        return loaded

    def save_pretrained(self, save_directory: str | os.PathLike, *args: Any, **kwargs: Any) -> None:
        """Save weights, tokenizer and a card; see `transformers.PreTrainedModel.save_pretrained` for the arguments."""
        from ...hub.card import write_face_card

        super().save_pretrained(save_directory, *args, **kwargs)
        with writing(save_directory):
            if self.tokenizer is not None:
                self.tokenizer.save_pretrained(save_directory)
            write_face_card(Path(save_directory), self)

    def train(self, mode: bool = True) -> FacialCVAE:
        """Training mode, but not for a frozen text model, whose dropout stays off."""
        super().train(mode)
        if self.config.freeze_text_model:
            self.text_model.requires_grad_(False).eval()
        return self

    def forward(
        self,
        face_features: Tensor,
        attention_mask: Tensor,
        input_ids: Tensor,
        text_mask: Tensor,
        similar: Tensor | None = None,
        seeds: Tensor | None = None,
        return_dict: bool = True,
    ) -> FacialCVAEOutput | tuple[Tensor, ...]:
        """The published loss of pairs of faces and texts.

        Args:
            face_features (`torch.Tensor`): (batch, frames, coefficients), normalised, see `features_of`.
            attention_mask (`torch.Tensor`): (batch, frames), 1 on real frames, which come first.
            input_ids (`torch.Tensor`): (batch, tokens).
            text_mask (`torch.Tensor`): (batch, tokens), 1 on real tokens.
            similar (`torch.Tensor`, *optional*): (batch, batch) bool, true where two texts say the same.
            seeds (`torch.Tensor`, *optional*): (batch,) int64; the noise of an example comes from its own seed. Without seeds it comes from
                torch's generator while training, and in evaluation mode there is none.
            return_dict (`bool`, defaults to `True`): Return a `FacialCVAEOutput` rather than a tuple.

        Raises:
            ValueError: If the coefficients are of another set, or a face is too long.
        """
        face, text = self._encode_face(face_features, attention_mask), self._encode_text(input_ids, text_mask)
        noise = self._noise(face.mean, seeds)
        face_latents, text_latents = face.sample(noise[0]), text.sample(noise[1])
        normal = Gaussian(torch.zeros_like(face.mean), torch.zeros_like(face.mean))
        made = self.decode(torch.cat((face_latents, text_latents)), attention_mask.repeat(2, 1)).float().chunk(2)
        target = face_features.float()
        # The face decoded from its own latent and, as in TEMOS, from the text's: the latter is what generation starts from.
        reconstruction = sum(frame_loss(part, target, attention_mask) for part in made)
        # Each from the standard normal distribution, and each from the other.
        kl = divergence(face, normal) + divergence(text, normal) + divergence(face, text) + divergence(text, face)
        latent = F.smooth_l1_loss(face_latents, text_latents)
        loss = reconstruction + self.config.kl_weight * kl + self.config.latent_weight * latent
        contrastive = None
        if self.config.contrastive_weight:
            cosines = F.normalize(text_latents, dim=-1) @ F.normalize(face_latents, dim=-1).T
            contrastive = symmetric_info_nce(cosines / self.config.contrastive_temperature, similar)
            loss = loss + self.config.contrastive_weight * contrastive
        output = FacialCVAEOutput(loss, reconstruction, kl, latent, contrastive)
        return output if return_dict else output.to_tuple()

    @torch.no_grad()
    def generate_face(
        self,
        texts: str | Sequence[str],
        num_frames: int | Sequence[int],
        *,
        generator: torch.Generator | list[torch.Generator] | None = None,
        seed: int | None = None,
        noise_scale: float = 1.0,
    ) -> list[Face]:
        """Make one face per text.

        Args:
            texts (`str` or `list[str]`): What the faces show, such as "happily".
            num_frames (`int` or `list[int]`): Lengths.
            generator (`torch.Generator` or list, *optional*): For reproducible results. A face depends on its text, its length and its
                generator, not on the others.
            seed (`int`, *optional*): In place of `generator`.
            noise_scale (`float`, defaults to 1.0): Standard deviations of noise in the latents; 0 takes the likeliest face.

        Returns:
            `list[Face]`: In the order of the texts, at `config.fps`.

        Raises:
            ValueError: If a length is out of range, or the model has no tokenizer.
        """
        prompts = check_prompts(texts)
        lengths = token_counts(num_frames, len(prompts), 1, self.config.max_frames)
        if not noise_scale >= 0:
            raise ValueError(f"noise_scale must be 0 or more, got {noise_scale}.")
        generators = spawn_generators(asked_generator(generator, seed), len(prompts), self.device)
        latents = self._encode_text(**self.tokens_of(prompts))
        noise = [torch.randn(latents.mean.shape[1], generator=one, device=one.device).to(self.device) for one in generators]
        drawn = latents.sample(noise_scale * torch.stack(noise))
        frames = torch.arange(max(lengths), device=self.device)
        mask = (frames < torch.tensor(lengths, device=self.device)[:, None]).long()
        made = self.decode(drawn, mask).float().cpu()
        return [Face(self._units(clip[:length]), self.config.face_kind) for clip, length in zip(made, lengths, strict=True)]

    def features_of(self, faces: Sequence[Face]) -> list[Tensor]:
        """Normalised coefficients (frames, coefficients) of faces at the model's frame rate.

        Raises:
            ValueError: If a face lacks coefficients of the model's kind.
        """
        values = []
        for number, face in enumerate(faces):
            try:
                values.append(torch.from_numpy(face.select(self.config.face_kind).coefficients))
            except ValueError as error:
                raise ValueError(f"Face {number} has {face}, this model reads {self.config.face_kind}: {error}") from error
        mean, std = self._statistics()
        return [(value - mean) / std for value in values]

    @torch.no_grad()
    def get_face_features(self, faces: Sequence[Face]) -> Tensor:
        """Embeddings of faces, (faces, hidden_size): the means of their Gaussians."""
        padded, mask = pad_and_mask([clip[: self.config.max_frames] for clip in self.features_of(faces)])
        return self._encode_face(padded.to(self.device), mask.to(self.device)).mean

    @torch.no_grad()
    def get_text_features(self, texts: Sequence[str]) -> Tensor:
        """Embeddings of texts, (texts, hidden_size)."""
        return self._encode_text(**self.tokens_of(texts)).mean

    def decode(self, latents: Tensor, attention_mask: Tensor) -> Tensor:
        """Normalised coefficients (batch, frames, coefficients), zero on padding, of latents (batch, hidden_size)."""
        return self.face_decoder(latents.to(self.dtype), attention_mask, self.positions[: attention_mask.shape[1]].to(self.dtype))

    @property
    def _most(self) -> int:
        """The longest sequence: a face, or a text, with the two tokens of the Gaussian."""
        texts = getattr(self.config.text_config, "max_position_embeddings", None) or 512
        return max(self.config.max_frames, texts) + 2

    def tokens_of(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """`input_ids` and `text_mask` of texts, padded; what the text model does not read of them is cut.

        Raises:
            ValueError: If the model has no tokenizer.
        """
        if self.tokenizer is None:
            raise ValueError("This model has no tokenizer. Load it with from_pretrained, or set model.tokenizer to its text model's.")
        limit = token_limit(self.text_model)
        tokens = self.tokenizer(list(texts), padding=True, truncation=limit is not None, max_length=limit, return_tensors="pt")
        return {"input_ids": tokens["input_ids"].to(self.device), "text_mask": tokens["attention_mask"].to(self.device)}

    def _encode_text(self, input_ids: Tensor, text_mask: Tensor) -> Gaussian:
        states = self.text_model(input_ids=input_ids, attention_mask=text_mask).last_hidden_state.to(self.dtype)
        return _float(self.text_encoder(states, text_mask, self.positions[: states.shape[1] + 2].to(self.dtype)))

    def _encode_face(self, features: Tensor, mask: Tensor) -> Gaussian:
        width = self.config.num_features
        if features.ndim != 3 or features.shape[-1] != width:
            raise ValueError(
                f"face_features must be (batch, frames, {width}), the coefficients of {self.config.face_kind}, got {tuple(features.shape)}."
            )
        if features.shape[1] > self.config.max_frames:
            raise ValueError(f"This model reads up to {self.config.max_frames} frames, got {features.shape[1]}; cut the face.")
        return _float(self.face_encoder(features.to(self.dtype), mask, self.positions[: features.shape[1] + 2].to(self.dtype)))

    def _statistics(self) -> tuple[Tensor, Tensor]:
        count = self.config.num_features
        mean = torch.zeros(count) if self.config.mean is None else torch.tensor(self.config.mean)
        return mean, torch.ones(count) if self.config.std is None else torch.tensor(self.config.std)

    def _units(self, features: Tensor) -> Tensor:
        mean, std = self._statistics()
        return features * std + mean

    def _noise(self, like: Tensor, seeds: Tensor | None) -> Tensor:
        """(2, batch, hidden_size): for the faces, and for the texts."""
        shape = (2, *like.shape)
        if seeds is None:
            return torch.randn(shape, device=like.device) if self.training else like.new_zeros(shape)
        rows = [torch.randn(2, like.shape[1], generator=torch.Generator().manual_seed(seed)) for seed in seeds.tolist()]
        return torch.stack(rows, dim=1).to(like.device)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if module is self:
            init.copy_(module.positions, sinusoidal_table(*module.positions.shape))
        init_temos_weights(module, whole=module is self)


def _float(gaussian: Gaussian) -> Gaussian:
    """In float32: exponentials and small weights do not bear bf16."""
    return Gaussian(gaussian.mean.float(), gaussian.log_variance.float())
