"""A language model that reads and writes motion.

Any causal language model or T5 of transformers, whose vocabulary has motion tokens, with the motion tokenizer beside it: the family of
MotionGPT (Jiang et al., NeurIPS 2023), on which AToM (Han et al., 2024) stands.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import create_repo, upload_folder
from transformers import AutoFeatureExtractor, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from ...hub.loading import load_part
from ...representation import MotionFeatureExtractor
from ...tokenization.motion_formats import FORMATS
from ...tokenization.motion_tokenizer import MotionTokenizer
from ...utils.training_folder import checkpoint_in
from ..checked_model import CheckedModel
from ..motion_latents.modeling_motion_latents import MotionLatentsForCausalLM
from ..motion_vq.modeling_motion_vq import MotionVQModel
from ..vimorag.processing_vimorag import VimoRAGProcessor
from .answers import MotionAnswers
from .instructions import Instructions
from .new_tokens import add_token_rows, keep_own_head
from .prompts import PromptWriter
from .repository import MOTION_FOLDER, adapter_base, has_file, load_language_model
from .vocabulary import CONTINUOUS, TOKEN_FORMATS, MotionVocabulary, add_latent_tokens

_HUB_OPTIONS = ("cache_dir", "force_download", "local_files_only", "revision", "token", "subfolder")
_MODEL_OPTIONS = (*_HUB_OPTIONS, "dtype", "device_map", "attn_implementation", "quantization_config")
_NO_LIMIT = 10**9
_MOST_TOKENS = 49  # 196 frames at four a token: HumanML3D's longest clip


class MotionLanguageModel(MotionAnswers, CheckedModel):
    """A language model with motion tokens: makes motions of texts, texts of motions, and goes on with motions or fills gaps of them.

    It is made on loading and saved as its parts: a plain repository of the language model, which every tool reads that reads its
    architecture, with a folder `motion_tokenizer/` beside its files. The key `motion` of its `config.json` holds what a motion looks like:
    `format`, `codebook_size`, `num_quantizers`, `first_token_id`, `max_tokens`, `chat`, and the wordings of `instructions`.

    Args:
        language_model (`PreTrainedModel`): A causal language model or an encoder-decoder, with `config.motion`; perhaps with adapters.
        tokenizer (`PreTrainedTokenizerBase`): Its tokenizer, with the motion tokens.
        vq_model (`MotionVQModel`): Motion tokenizer.
        motion_tokenizer (`MotionTokenizer`): Writes its codes as text.
        feature_extractor (`MotionFeatureExtractor`): Its features.

    Raises:
        ValueError: If motion tokens are missing from the tokenizer or have moved, or the parts do not fit each other.
    """

    main_input_name = "input_ids"
    _supports_sdpa = _supports_flash_attn = _supports_flex_attn = _supports_attention_backend = True

    def __init__(
        self,
        language_model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        vq_model: MotionVQModel,
        motion_tokenizer: MotionTokenizer,
        feature_extractor: MotionFeatureExtractor,
    ) -> None:
        settings = getattr(language_model.config, "motion", None)
        if not isinstance(settings, dict) or not {"format", "max_tokens", "chat", "instructions"} <= settings.keys():
            raise ValueError(
                "The configuration of this language model has no key 'motion', which says how it writes motions. Make one of a base with "
                "MotionLanguageModel.from_base, and save it with save_pretrained."
            )
        super().__init__(language_model.config)
        self.language_model, self.tokenizer = language_model, tokenizer
        self.vq_model = vq_model.requires_grad_(False).eval()
        self.motion_tokenizer, self.feature_extractor = motion_tokenizer, feature_extractor
        self.instructions = Instructions(settings["instructions"])
        _check_streams(vq_model)
        _check_books(vq_model, motion_tokenizer, settings)
        self.vocabulary: MotionVocabulary | None = None
        if settings["format"] in (*TOKEN_FORMATS, CONTINUOUS):
            first = settings.get("first_token_id")
            self.vocabulary = MotionVocabulary.find(tokenizer, motion_tokenizer, settings["format"], first)
        self.video_processor = VimoRAGProcessor(self.config) if self.config.model_type == "vimorag" else None
        self.prompts = PromptWriter(tokenizer, settings["chat"], self.config.is_encoder_decoder, _context(self.config, tokenizer))

    @classmethod
    def from_base(
        cls,
        language_model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        vq_model: MotionVQModel,
        motion_tokenizer: MotionTokenizer | None = None,
        feature_extractor: MotionFeatureExtractor | None = None,
        *,
        format: str = "motion",
        chat: bool | None = None,
        instructions: Instructions | None = None,
        max_tokens: int = _MOST_TOKENS,
        generator: torch.Generator | None = None,
    ) -> MotionLanguageModel:
        """Teach a language model the words for motion; it has to learn what they mean (`training/train_sft.py`).

        The tokenizer gets the motion tokens, the embedding and the head rows for them: the mean of the others and noise.

        Args:
            language_model (`PreTrainedModel`): The base; it is changed.
            tokenizer (`PreTrainedTokenizerBase`): Its tokenizer; it is changed.
            vq_model (`MotionVQModel`): Motion tokenizer.
            motion_tokenizer (`MotionTokenizer`, *optional*): Writes its codes; made to fit by default.
            feature_extractor (`MotionFeatureExtractor`, *optional*): Its features; one without statistics by default.
            format (`str`, defaults to `"motion"`): How motions are written, see `MotionTokenizer`; or `"continuous"`: latents that are not
                quantised stand in the place of tokens, so that the model reads motions and makes none (`MotionLatentsForCausalLM`).
            chat (`bool`, *optional*): Put questions into the chat template; by default if the tokenizer has one.
            instructions (`Instructions`, *optional*): Wordings of the tasks; those of this package by default.
            max_tokens (`int`, defaults to 49): Longest motion, in time steps of the motion tokenizer.
            generator (`torch.Generator`, *optional*): Of the new rows.

        Raises:
            ValueError: If the format is unknown or does not fit the motion tokenizer or the base, or `chat` is asked for without a
                template.
        """
        config = vq_model.config
        _check_streams(vq_model)
        motion_tokenizer = motion_tokenizer or MotionTokenizer(config.codebook_size, config.num_quantizers)
        if format not in (*FORMATS, CONTINUOUS):
            raise ValueError(f"format must be one of {', '.join(map(repr, (*FORMATS, CONTINUOUS)))}, got {format!r}.")
        first = None
        if format in TOKEN_FORMATS:
            ids = motion_tokenizer.extend(tokenizer, format)
            first = min(ids.values())
            keep_own_head(language_model)
            add_token_rows(language_model, first, len(ids), generator)
        if format == CONTINUOUS:
            first = add_latent_tokens(tokenizer)
            add_token_rows(language_model, first, len(tokenizer) - first, generator)
            language_model = MotionLatentsForCausalLM.from_language_model(language_model, config.code_dim, first, generator)
        chat = tokenizer.chat_template is not None if chat is None else chat
        language_model.config.motion = {
            "format": format,
            "codebook_size": config.codebook_size,
            "num_quantizers": config.num_quantizers,
            "first_token_id": first,
            "max_tokens": max_tokens,
            "chat": chat,
            "instructions": (instructions or Instructions.from_file()).templates,
            "codes": vq_model.fingerprint,
        }
        return cls(language_model, tokenizer, vq_model, motion_tokenizer, feature_extractor or MotionFeatureExtractor()).eval()

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike, *args: Any, **kwargs: Any) -> MotionLanguageModel:
        """Load a repository: a whole one, or adapters, whose base is a whole one.

        Args:
            pretrained_model_name_or_path (`str` or `os.PathLike`): Folder, also that of a training, or repository.
            *args: Not used.
            **kwargs: `dtype`, `device_map`, `attn_implementation`, `revision`, `token` and the like, as for
                `transformers.PreTrainedModel.from_pretrained`. The motion tokenizer stays in float32.

        Raises:
            OSError: If there is no such repository.
            ValueError: If a part is missing or damaged, or does not fit the others.
        """
        name = checkpoint_in(pretrained_model_name_or_path)
        hub = {key: kwargs[key] for key in _HUB_OPTIONS if kwargs.get(key) is not None}
        options = {key: kwargs[key] for key in _MODEL_OPTIONS if kwargs.get(key) is not None}
        base = adapter_base(name, **hub)
        home, home_options = (name, hub) if base is None else (base, {k: v for k, v in hub.items() if k not in ("revision", "subfolder")})
        own = has_file(name, f"{MOTION_FOLDER}/config.json", **hub) is not None
        place, place_options = (name, hub) if own else (home, home_options)
        if not own and has_file(home, f"{MOTION_FOLDER}/config.json", **home_options) is None:
            raise ValueError(
                f"{str(name)!r} has no folder {MOTION_FOLDER}/, so nothing says what its motion tokens look like. A repository of a motion "
                "language model has one, or is one of adapters whose base has one; save_pretrained of MotionLanguageModel writes it."
            )
        parts = {**place_options, "subfolder": MOTION_FOLDER}
        model = cls(
            load_language_model(name, base, kwargs.get("config"), **options),
            load_part(AutoTokenizer, home, "tokenizer", **home_options),
            MotionVQModel.from_pretrained(place, **parts),
            MotionTokenizer.from_pretrained(place, **parts),
            load_part(AutoFeatureExtractor, place, "feature_extractor", **parts),
        )
        if model.video_processor is not None:
            model.video_processor = VimoRAGProcessor.from_pretrained(home, model.config)
        return model.eval()

    def save_pretrained(self, save_directory: str | os.PathLike, *args: Any, **kwargs: Any) -> None:
        """Save all parts into one folder; a model with adapters saves these alone, which need their base when they are loaded.

        Args:
            save_directory (`str` or `os.PathLike`): Where to.
            *args: As for `transformers.PreTrainedModel.save_pretrained`.
            **kwargs: The same; `push_to_hub=True` pushes too, to `repo_id` or a repository of the folder's name.

        Raises:
            OSError: If the folder cannot be written, a full disk included; the message names it.
        """
        from .saving import save_motion_language_model

        push, repo_id = kwargs.pop("push_to_hub", False), kwargs.pop("repo_id", None)
        save_motion_language_model(self, Path(save_directory), repo_id, **kwargs)
        if push:
            self.push_to_hub(repo_id or Path(save_directory).name)

    def push_to_hub(self, repo_id: str, **kwargs: Any) -> str:
        """Push all parts to the Hub.

        Args:
            repo_id (`str`): Repository; it is made if it is not there.
            **kwargs: `private`, `token`, `commit_message`, `create_pr`.

        Returns:
            `str`: The commit's address.
        """
        import tempfile

        from .saving import save_motion_language_model

        token, private = kwargs.pop("token", None), kwargs.pop("private", None)
        repo_id = create_repo(repo_id, token=token, private=private, exist_ok=True).repo_id
        with tempfile.TemporaryDirectory() as folder:
            save_motion_language_model(self, Path(folder), repo_id)
            kwargs.setdefault("commit_message", f"Upload {type(self).__name__}")
            return upload_folder(repo_id=repo_id, folder_path=folder, token=token, **kwargs)

    def merge_adapters(self) -> MotionLanguageModel:
        """The same model with its adapters added to the weights: it saves as a whole repository then.

        Raises:
            ValueError: If it has no adapters.
        """
        if not self.has_adapters:
            raise ValueError("This model has no adapters to merge; it is whole already.")
        self.language_model = self.language_model.merge_and_unload()
        self.config = self.language_model.config
        return self

    @property
    def has_adapters(self) -> bool:
        """Whether the language model carries adapters of peft."""
        return hasattr(self.language_model, "peft_config") and hasattr(self.language_model, "merge_and_unload")


def _context(config: Any, tokenizer: PreTrainedTokenizerBase) -> int | None:
    """Tokens that the model reads, or its encoder, as far as it says so; an encoder of relative positions leaves that to its tokenizer."""
    positions = getattr(config.get_text_config(), "max_position_embeddings", None)
    limit = tokenizer.model_max_length if positions is None else positions
    return int(limit) if 0 < limit < _NO_LIMIT else None


def _check_streams(vq_model: MotionVQModel) -> None:
    if vq_model.config.hand_features is not None:
        raise ValueError(
            "This motion tokenizer has two streams of codes, of body and hands; a language model writes those of one stream. Take one that "
            "was trained without hand_features, or HumanTOMATO."
        )


def _check_books(vq_model: MotionVQModel, motion_tokenizer: MotionTokenizer, settings: dict[str, Any]) -> None:
    for name in ("codebook_size", "num_quantizers"):
        found = [getattr(vq_model.config, name), getattr(motion_tokenizer, name), settings.get(name)]
        if len(set(found)) > 1:
            raise ValueError(
                f"{name} is {found[0]} in the motion tokenizer's model, {found[1]} in its MotionTokenizer and {found[2]} in the "
                "language model's configuration. Use the motion tokenizer that the language model was trained on."
            )
    if settings.get("codes", vq_model.fingerprint) != vq_model.fingerprint:
        raise ValueError(
            "This motion tokenizer has the size of the one that the language model learned to read, and other codes, so that all it reads "
            "would mean something else. Use the motion tokenizer that the language model was trained on."
        )
