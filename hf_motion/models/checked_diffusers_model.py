"""What our diffusers models have in common when they are loaded."""

from __future__ import annotations

import os
from typing import Any

from diffusers.configuration_utils import ConfigMixin
from diffusers.models.modeling_utils import ModelMixin

from ..hub.loading import check_loaded, loading


class CheckedDiffusersModel(ModelMixin, ConfigMixin):
    """Base of our diffusers models: weights load whole or not at all, and by one thread at a time."""

    _supports_gradient_checkpointing = False

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike, **kwargs: Any) -> Any:
        """Load a model; see `diffusers.ModelMixin.from_pretrained` for the arguments.

        Raises:
            OSError: If there is no such checkpoint.
            ValueError: If a file is damaged (the message names it), or the weights are not those of its configuration.
        """
        wants_info = kwargs.pop("output_loading_info", False)
        with loading(pretrained_model_name_or_path, subfolder=kwargs.get("subfolder") or ""):
            model, info = super().from_pretrained(pretrained_model_name_or_path, output_loading_info=True, **kwargs)
            check_loaded(pretrained_model_name_or_path, info)
        return (model, info) if wants_info else model
