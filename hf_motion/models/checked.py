"""What our transformers configurations have in common: damaged ones are refused by name, before anything is built of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from transformers.configuration_utils import PreTrainedConfig

from ..hub.loading import check_config
from ..utils.faults import reading


class CheckedConfig(PreTrainedConfig):
    """Base of our configurations.

    Args:
        **kwargs: Options of every configuration.
    """

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> CheckedConfig:
        """A configuration from the content of a `config.json`.

        Args:
            config_dict (`dict`): The content.
            **kwargs: As for `transformers.PreTrainedConfig.from_dict`.

        Raises:
            ValueError: If a size is beyond `hf_motion.utils.limits`, or the content is damaged otherwise; the message names the file.
        """
        name = kwargs.get("name_or_path") or config_dict.get("_name_or_path") or cls.model_type
        file = Path(os.fspath(name)) / "config.json"
        with reading(file, f"a configuration of {cls.model_type}"):
            check_config(config_dict, repr(str(file)))
            return super().from_dict(config_dict, **kwargs)
