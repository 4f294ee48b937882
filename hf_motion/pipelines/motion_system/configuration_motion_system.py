"""Configuration of `MotionSystem`."""

from __future__ import annotations

from typing import Any

from ...models.checked import CheckedConfig


class MotionSystemConfig(CheckedConfig):
    """The root `config.json` of a diffusion checkpoint; each component has a configuration of its own in its folder.

    Args:
        pipeline_class (`str`, *optional*): Name of the pipeline class, such as `"MDMPipeline"`.
    """

    model_type = "motion-diffusion"

    def __init__(self, pipeline_class: str | None = None, **kwargs: Any) -> None:
        self.pipeline_class = pipeline_class
        super().__init__(**kwargs)
