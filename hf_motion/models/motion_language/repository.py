"""Where the parts of a motion language model lie: a whole repository, or adapters whose base is one."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, PreTrainedConfig, PreTrainedModel
from transformers.utils import cached_file

from ...hub.loading import LOADING, load_part
from ...utils.faults import reading
from .new_tokens import keep_own_head

ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
MOTION_FOLDER = "motion_tokenizer"
"""Folder with the motion tokenizer: model, `MotionTokenizer` and feature extractor."""


def has_file(name: str | os.PathLike, file: str, **options: Any) -> str | None:
    """Path of a file of a folder or repository, or None if it has none."""
    subfolder, _, last = file.rpartition("/")
    return cached_file(
        name,
        last,
        subfolder=subfolder,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_gated_repo=True,
        _raise_exceptions_for_connection_errors=False,
        **options,
    )


def adapter_base(name: str | os.PathLike, **options: Any) -> str | None:
    """The base that a folder or repository of adapters is for, or None if it holds no adapters.

    Raises:
        ValueError: If `adapter_config.json` is damaged, or names no base.
    """
    path = has_file(name, ADAPTER_CONFIG, **options)
    if path is None:
        return None
    with reading(path, "a configuration of adapters"):
        base = json.loads(Path(path).read_text(encoding="utf-8"))["base_model_name_or_path"]
    if not isinstance(base, str) or not base:
        raise ValueError(f"{path!r} names no base_model_name_or_path. Write there where the model is that the adapters were trained on.")
    return base


def load_language_model(
    name: str | os.PathLike, base: str | None, config: PreTrainedConfig | None = None, **options: Any
) -> PreTrainedModel:
    """The language model, with its adapters if there are some.

    Args:
        name (`str` or `os.PathLike`): Folder or repository.
        base (`str`, *optional*): See `adapter_base`.
        config (`PreTrainedConfig`, *optional*): Its configuration, if it was loaded already.
        **options: As for `from_pretrained`.

    Raises:
        OSError: If there is none.
        ValueError: If a file is damaged, or adapters are a pickle.
    """
    hub = {key: value for key, value in options.items() if key not in ("dtype", "device_map", "attn_implementation", "quantization_config")}
    home = name if base is None else base
    config = config or load_part(AutoConfig, home, "config", **({} if base else hub))
    auto = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    weights = {key: value for key, value in options.items() if base is None or key not in ("revision", "subfolder")}
    model = load_part(auto, home, "model", config=config, **weights)
    keep_own_head(model)
    if base is None:
        return model
    if has_file(name, ADAPTER_WEIGHTS, **hub) is None:
        raise ValueError(f"{str(name)!r} has {ADAPTER_CONFIG}, but no {ADAPTER_WEIGHTS}. Save the adapters again as safetensors.")
    from peft import PeftModel

    with LOADING:
        return PeftModel.from_pretrained(model, os.fspath(name), **hub)
