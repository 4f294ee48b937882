"""`MotionSystem`: what transformers' `AutoModel` and `pipeline` make of a diffusion checkpoint."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from transformers.modeling_utils import PreTrainedModel

from ...motion import Motion
from ...representation import MotionFeatureExtractor
from ..motion_diffusion import MotionDiffusionPipeline
from .configuration_motion_system import MotionSystemConfig

_HUB_OPTIONS = ("cache_dir", "force_download", "local_files_only", "revision", "token", "device_map", "variant")


class MotionSystem(PreTrainedModel):
    """A diffusion pipeline as one model: `AutoModel.from_pretrained(repo).generate_motion(["a person waves"])`.

    The pipeline's networks are its submodules, so `to`, `half`, `parameters` and `eval` reach them; the weights stay where the pipeline
    saved them.

    Args:
        config (`MotionSystemConfig`): Configuration.
        pipeline (`MotionDiffusionPipeline`): The pipeline.

    Raises:
        ValueError: If there is no pipeline: the configuration alone does not describe one.
    """

    config_class = MotionSystemConfig
    main_input_name = "texts"

    def __init__(self, config: MotionSystemConfig, pipeline: MotionDiffusionPipeline | None = None) -> None:
        super().__init__(config)
        if pipeline is None:
            raise ValueError("A MotionSystem is loaded with from_pretrained, or made of a pipeline: MotionSystem.from_pipeline(pipe).")
        self.pipeline = pipeline
        for name, component in pipeline.components.items():
            if isinstance(component, nn.Module):
                self.add_module(name, component)
        self.eval()

    @classmethod
    def from_pipeline(cls, pipeline: MotionDiffusionPipeline) -> MotionSystem:
        """Wrap a pipeline that is already there."""
        return cls(MotionSystemConfig(pipeline_class=type(pipeline).__name__), pipeline)

    @property
    def feature_extractor(self) -> MotionFeatureExtractor:
        """The pipeline's: statistics, skeleton and frame rate of what it makes."""
        return self.pipeline.feature_extractor

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike, *args: Any, **kwargs: Any) -> MotionSystem:
        """Load a diffusion checkpoint.

        Args:
            pretrained_model_name_or_path (`str` or `os.PathLike`): Folder or repository.
            *args: Ignored.
            **kwargs: `dtype` (float32 by default), `revision`, `token`, `cache_dir`, `local_files_only`, `variant`, `device_map`.

        Returns:
            `MotionSystem`: In evaluation mode.

        Raises:
            OSError: If there is no such checkpoint.
            ValueError: If it is not complete.
        """
        dtype = kwargs.pop("dtype", None) or kwargs.pop("torch_dtype", None)
        options = {name: kwargs[name] for name in _HUB_OPTIONS if kwargs.get(name) is not None}
        if isinstance(dtype, str) and dtype != "auto":
            dtype = getattr(torch, dtype)
        if isinstance(dtype, torch.dtype):
            options["dtype"] = dtype
        return cls.from_pipeline(MotionDiffusionPipeline.load(pretrained_model_name_or_path, **options))

    def save_pretrained(self, save_directory: str | os.PathLike, *args: Any, **kwargs: Any) -> None:
        """Save the pipeline, see `MotionDiffusionPipeline.save_pretrained`."""
        for name in ("state_dict", "is_main_process", "save_function", "save_peft_format"):
            kwargs.pop(name, None)  # transformers' own, which its pipelines pass
        self.pipeline.save_pretrained(save_directory, **kwargs)

    def push_to_hub(self, repo_id: str, **kwargs: Any) -> str:
        """Push the pipeline to the Hub; returns the commit's address."""
        return self.pipeline.push_to_hub(repo_id, **kwargs)

    def generate_motion(
        self,
        texts: str | Sequence[str] | None = None,
        num_frames: int | Sequence[int] | None = None,
        *,
        generator: torch.Generator | list[torch.Generator] | None = None,
        **options: Any,
    ) -> list[Motion]:
        """Make one motion per text.

        Args:
            texts (`str` or `list[str]`, *optional*): Sentences.
            num_frames (`int` or `list[int]`, *optional*): Lengths.
            generator (`torch.Generator` or list, *optional*): For reproducible results.
            **options: The pipeline's own, such as `seconds`, `seed` or `guidance_scale`; unknown ones are an error.

        Returns:
            `list[Motion]`: In the order of the texts.
        """
        try:
            return self.pipeline(texts, num_frames=num_frames, generator=generator, **options).motions
        except TypeError as error:
            if "unexpected keyword argument" in str(error):
                raise ValueError(f"{type(self.pipeline).__name__}: {error}. See help({type(self.pipeline).__name__}.__call__).") from error
            raise

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The pipeline's call."""
        return self.pipeline(*args, **kwargs)
