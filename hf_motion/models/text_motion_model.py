"""What generators of motion tokens share: a text encoder, a motion tokenizer and the processors around them, in one checkpoint."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoFeatureExtractor, AutoTokenizer, PreTrainedTokenizerBase
from transformers import initialization as init
from transformers.modeling_utils import PreTrainedModel

from ..hub.loading import load_part
from ..motion import Motion
from ..representation import MotionFeatureExtractor
from ..text_encoders import pooled_text, text_encoder_from_config, token_limit
from ..utils.faults import writing
from ..utils.text import check_prompts, warn_of_unread
from ..utils.training_folder import checkpoint_in
from .checked_model import CheckedModel
from .motion_decoding import decode_codes, token_counts
from .motion_vq.configuration_motion_vq import MotionVQConfig
from .motion_vq.modeling_motion_vq import MotionVQModel
from .text_motion_config import TextMotionConfig

_HUB_OPTIONS = ("cache_dir", "force_download", "local_files_only", "revision", "token", "subfolder")


class TextMotionModel(CheckedModel):
    """Base of models that make motion tokens from text.

    A checkpoint is complete: beside the weights of all parts it has the text encoder's tokenizer and the feature extractor, which become
    `tokenizer` and `feature_extractor` of the loaded model.

    Args:
        config (`TextMotionConfig`): Configuration.
        text_encoder (`PreTrainedModel`, *optional*): Frozen text encoder; an untrained one of `config.text_config` by default.
        vq_model (`MotionVQModel`, *optional*): Frozen motion tokenizer; the same of `config.vq_config`.
    """

    main_input_name = "input_ids"

    def __init__(
        self, config: TextMotionConfig, text_encoder: PreTrainedModel | None = None, vq_model: MotionVQModel | None = None
    ) -> None:
        super().__init__(config)
        self.text_encoder = (text_encoder or text_encoder_from_config(config.text_config)).requires_grad_(False).eval()
        self.vq_model = (vq_model or MotionVQModel(config.vq_config)).requires_grad_(False).eval()
        if vq_model is not None:
            _check_books(vq_model.config, config.vq_config)
        self.tokenizer: PreTrainedTokenizerBase | None = None
        self.feature_extractor: MotionFeatureExtractor | None = None

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike, *args: Any, **kwargs: Any) -> TextMotionModel:
        """Load a complete checkpoint; see `transformers.PreTrainedModel.from_pretrained` for the arguments.

        Raises:
            OSError: If there is no such checkpoint.
            ValueError: If it lacks its feature extractor or its statistics: its numbers have no meaning without.
        """
        pretrained_model_name_or_path = checkpoint_in(pretrained_model_name_or_path)
        options = {name: kwargs[name] for name in _HUB_OPTIONS if kwargs.get(name) is not None}
        loaded = super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)
        model = loaded[0] if isinstance(loaded, tuple) else loaded
        try:
            model.feature_extractor = load_part(AutoFeatureExtractor, pretrained_model_name_or_path, "feature_extractor", **options)
        except OSError as error:
            raise ValueError(
                f"{str(pretrained_model_name_or_path)!r} has no preprocessor_config.json, which holds the mean and std that its numbers "
                "are measured with. Save it again with its feature_extractor."
            ) from error
        if model.feature_extractor.mean is None or model.feature_extractor.std is None:
            raise ValueError(f"The feature extractor of {str(pretrained_model_name_or_path)!r} has no mean and std.")
        model.tokenizer = load_part(AutoTokenizer, pretrained_model_name_or_path, "tokenizer", **options)
        return loaded

    def save_pretrained(self, save_directory: str | os.PathLike, *args: Any, **kwargs: Any) -> None:
        """Save weights, processors, a card and the door for `trust_remote_code`; see `transformers.PreTrainedModel.save_pretrained`."""
        from ..hub.card import write_generator_card
        from ..hub.remote import forget_origin, write_model_door

        push = kwargs.pop("push_to_hub", False)
        super().save_pretrained(save_directory, *args, **kwargs)
        folder = Path(save_directory)
        with writing(folder):
            for part in (self.tokenizer, self.feature_extractor):
                if part is not None:
                    part.save_pretrained(folder)
        for path in folder.glob("*.json"):
            forget_origin(path)
        write_model_door(folder, type(self).__name__)
        if self.feature_extractor is not None:
            write_generator_card(folder, self)
        if push:
            self.push_to_hub(kwargs.get("repo_id", folder.name))

    def train(self, mode: bool = True) -> TextMotionModel:
        """As usual; text encoder and motion tokenizer stay in evaluation mode: they are frozen, and the latter's books must not move."""
        super().train(mode)
        self.text_encoder.eval()
        self.vq_model.eval()
        return self

    def read_prompts(self, texts: str | Sequence[str]) -> list[str]:
        """Sentences as `check_prompts` gives them; a warning says what of them the model does not read."""
        prompts = check_prompts(texts)
        if self.tokenizer is not None:
            warn_of_unread(prompts, self.tokenizer, token_limit(self.text_encoder, self.config.max_text_tokens))
        return prompts

    @torch.no_grad()
    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """One vector per text, each distinct one computed once.

        Args:
            texts (`list[str]`): Sentences.

        Returns:
            `torch.Tensor`: (texts, text_dim).

        Raises:
            ValueError: If the model has no tokenizer.
        """
        if self.tokenizer is None:
            raise ValueError("This model has no tokenizer. Load it with from_pretrained, or set model.tokenizer to its text encoder's.")
        distinct = list(dict.fromkeys(texts))
        limit = token_limit(self.text_encoder, self.config.max_text_tokens)
        tokens = self.tokenizer(distinct, padding=True, truncation=limit is not None, max_length=limit, return_tensors="pt").to(self.device)
        inputs = {name: tokens[name] for name in ("input_ids", "attention_mask")}
        vectors = pooled_text(self.text_encoder, self.text_encoder(**inputs), inputs["attention_mask"])
        return vectors[torch.tensor([distinct.index(text) for text in texts], device=vectors.device)]

    def _init_weights(self, module: nn.Module) -> None:
        """As both published models: N(0, 0.02) for layers and tables."""
        if isinstance(module, (nn.Linear, nn.Embedding)):
            init.normal_(module.weight, std=0.02)
            if getattr(module, "bias", None) is not None:
                init.zeros_(module.bias)
        elif isinstance(module, nn.LayerNorm):
            init.ones_(module.weight)
            init.zeros_(module.bias)

    def token_counts(self, num_frames: int | Sequence[int] | None, texts: int) -> list[int] | None:
        """How many tokens hold the wanted frames; None if no length is wanted.

        Raises:
            ValueError: If a length is not a whole number in range, or there are not as many as texts.
        """
        return token_counts(num_frames, texts, self.config.vq_config.frames_per_token, self.max_frames)

    @property
    def max_frames(self) -> int:
        """The longest motion that the model makes."""
        return self.config.max_tokens * self.config.vq_config.frames_per_token

    def motions_of(
        self, codes: Sequence[Tensor], texts: Sequence[str], lengths: Sequence[int] | None, output_type: str = "motion"
    ) -> list[Motion] | list[Tensor]:
        """Decode codes, all at once.

        Args:
            codes (`list[torch.Tensor]`): (quantizers, tokens) each.
            texts (`list[str]`): What they show.
            lengths (`list[int]`, *optional*): Frames to keep of each; all that the tokens make by default.
            output_type (`str`, defaults to `"motion"`): `"motion"`, `"features"` (with units, (frames, dim) each) or `"codes"`.

        Raises:
            ValueError: If the output type is unknown, or the model has no feature extractor.
        """
        return decode_codes(self.vq_model, self.feature_extractor, codes, texts, lengths, output_type)


def _check_books(found: MotionVQConfig, wanted: MotionVQConfig) -> None:
    for name in ("codebook_size", "num_quantizers", "frames_per_token", "step_books"):
        if getattr(found, name) != getattr(wanted, name):
            raise ValueError(
                f"The motion tokenizer has {name} {getattr(found, name)}, the generator was made for {getattr(wanted, name)}. Use the "
                "tokenizer that it was trained on."
            )
