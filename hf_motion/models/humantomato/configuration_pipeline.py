"""Configuration of `HumanTOMATOPipeline`."""

from __future__ import annotations

from typing import Any

from ..checked import CheckedConfig


class HumanTOMATOPipelineConfig(CheckedConfig):
    """The root `config.json` of a whole HumanTOMATO; each part has a configuration of its own in its folder.

    Args:
        has_face (`bool`, defaults to `False`): Whether there is a folder `face` beside `motion`.
    """

    model_type = "humantomato"

    def __init__(self, has_face: bool = False, **kwargs: Any) -> None:
        self.has_face = has_face
        super().__init__(**kwargs)
