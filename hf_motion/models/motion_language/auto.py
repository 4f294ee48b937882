"""Any model that makes motion of text, by the name of its repository."""

from __future__ import annotations

import os
from typing import Any

from transformers import AutoConfig, AutoModel, PreTrainedModel

from ...hub.loading import load_part
from ...utils.training_folder import checkpoint_in
from .repository import adapter_base

_HUB_OPTIONS = ("cache_dir", "force_download", "local_files_only", "revision", "token", "subfolder", "trust_remote_code")


class AutoMotionModel:
    """Loads `T2MGPT`, `MoMask`, a diffusion pipeline as a `MotionSystem`, or a `MotionLanguageModel`, whichever a repository holds.

    Example:
        >>> from hf_motion import AutoMotionModel
        >>> from hf_motion.checkpoints import EMBEDDED
        >>> type(AutoMotionModel.from_pretrained(EMBEDDED)).__name__
        'MotionSystem'
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise OSError("AutoMotionModel is made with AutoMotionModel.from_pretrained(folder or repository) only.")

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike, *args: Any, **kwargs: Any) -> PreTrainedModel:
        """Load a model that answers `generate_motion`.

        Args:
            pretrained_model_name_or_path (`str` or `os.PathLike`): Folder, also that of a training, or repository.
            *args: As for `transformers.AutoModel.from_pretrained`.
            **kwargs: The same.

        Raises:
            OSError: If there is no such repository.
            ValueError: If it holds something else, or a part is damaged or does not fit.
        """
        name = checkpoint_in(pretrained_model_name_or_path)
        options = {key: kwargs[key] for key in _HUB_OPTIONS if kwargs.get(key) is not None}
        own_options = {key: value for key, value in options.items() if key != "trust_remote_code"}
        if adapter_base(name, **own_options) is None:
            config = kwargs.get("config") or load_part(AutoConfig, name, "config", **options)
            if not _is_language_model(config):
                return AutoModel.from_pretrained(name, *args, **kwargs)
        from .modeling_motion_language import MotionLanguageModel

        return MotionLanguageModel.from_pretrained(name, **kwargs)


def _is_language_model(config: Any) -> bool:
    """Whether a configuration is of a language model: one of transformers' own, or of one that says how it writes motions."""
    return hasattr(config, "motion") or not type(config).__module__.startswith(("hf_motion", "transformers_modules"))
