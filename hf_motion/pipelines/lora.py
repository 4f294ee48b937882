"""Adapters of a pipeline's text encoder, as diffusers' users load, fuse and save them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from diffusers.loaders.lora_base import LoraBaseMixin

from ..hub.card import write_adapter_card
from ..text_encoders import ADAPTER_CONFIG, load_text_lora, save_text_lora


class TextEncoderLoraMixin(LoraBaseMixin):
    """Gives a pipeline `load_lora_weights`, `save_lora_weights`, `fuse_lora`, `unfuse_lora`, `set_adapters`, `delete_adapters`, ...

    All work on the text encoder, the one part of a motion pipeline that is shared between systems. Adapters are in PEFT's format, which
    transformers loads by itself too.
    """

    _lora_loadable_modules = ["text_encoder"]

    def load_lora_weights(self, pretrained_model_name_or_path: str | os.PathLike, adapter_name: str | None = None, **kwargs: Any) -> None:
        """Load an adapter, such as an AdaCLIP, into the text encoder.

        Args:
            pretrained_model_name_or_path (`str` or `os.PathLike`): Folder or repository with `adapter_config.json` and
                `adapter_model.safetensors`.
            adapter_name (`str`, *optional*): What to call it, `"default"` by default.
            **kwargs: `subfolder`, `revision`, `token`, `cache_dir`, `local_files_only`.

        Raises:
            OSError: If there is no such adapter.
            ValueError: If it does not fit the text encoder, or the name is taken.
        """
        load_text_lora(self.text_encoder, pretrained_model_name_or_path, adapter_name, **kwargs)

    def save_lora_weights(self, save_directory: str | os.PathLike, adapter_name: str | None = None) -> None:
        """Save the text encoder's adapter with its tokenizer and a card: a repository of its own, ready for `upload_folder`.

        `load_lora_weights` reads it, and so does any system whose `text_encoder` names it.

        Args:
            save_directory (`str` or `os.PathLike`): Folder.
            adapter_name (`str`, *optional*): Which adapter; the active one by default.

        Raises:
            ValueError: If there is no such adapter.
        """
        save_text_lora(self.text_encoder, save_directory, adapter_name)
        self.tokenizer.save_pretrained(save_directory)
        write_adapter_card(Path(save_directory), ADAPTER_CONFIG)

    def fuse_lora(self, components: list[str] | None = None, lora_scale: float = 1.0, **kwargs: Any) -> None:
        """Add the active adapters to the weights of the text encoder; see `diffusers.loaders.lora_base.LoraBaseMixin.fuse_lora`."""
        super().fuse_lora(components or list(self._lora_loadable_modules), lora_scale, **kwargs)

    def unfuse_lora(self, components: list[str] | None = None, **kwargs: Any) -> None:
        """Undo `fuse_lora`, to rounding."""
        super().unfuse_lora(components or list(self._lora_loadable_modules), **kwargs)
