"""What our transformers models have in common when they are loaded."""

from __future__ import annotations

import os
from typing import Any

from transformers.modeling_utils import PreTrainedModel

from ..hub.loading import check_loaded, loading
from ..utils.faults import writing


class CheckedModel(PreTrainedModel):
    """Base of our models: weights load from safetensors only, whole or not at all, and by one thread at a time."""

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike, *args: Any, **kwargs: Any) -> Any:
        """Load a checkpoint; see `transformers.PreTrainedModel.from_pretrained` for the arguments.

        Raises:
            OSError: If there is no such checkpoint, or it has no safetensors.
            ValueError: If a file is damaged (the message names it), or the weights are not those of its configuration.
        """
        if kwargs.setdefault("use_safetensors", True) is False:
            raise ValueError("Weights load from safetensors only, got use_safetensors=False. hf_motion.conversion converts pickled files.")
        wants_info = kwargs.pop("output_loading_info", False)
        with loading(pretrained_model_name_or_path, subfolder=kwargs.get("subfolder") or ""):
            model, info = super().from_pretrained(pretrained_model_name_or_path, *args, output_loading_info=True, **kwargs)
            check_loaded(pretrained_model_name_or_path, info)
        return (model, info) if wants_info else model

    def save_pretrained(self, save_directory: str | os.PathLike, *args: Any, **kwargs: Any) -> None:
        """Save the model; see `transformers.PreTrainedModel.save_pretrained` for the arguments.

        Raises:
            OSError: If the folder cannot be written, a full disk included; the message names it.
        """
        with writing(save_directory):
            super().save_pretrained(save_directory, *args, **kwargs)
