"""What all diffusion pipelines share: how they are saved and found on the Hub, texts, noise and lengths."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline
from diffusers.utils import BaseOutput
from diffusers.utils.torch_utils import randn_tensor
from huggingface_hub import snapshot_download
from torch import Tensor

from .. import components
from ..checkpoints import EMBEDDED, say_licence
from ..hub.remote import write_remote_door
from ..motion import Motion
from ..registration import PIPELINES

_SNAPSHOT_OPTIONS = ("cache_dir", "force_download", "local_files_only", "proxies", "revision", "token")


@dataclass
class MotionPipelineOutput(BaseOutput):
    """Output of the motion pipelines.

    Args:
        motions (`list[Motion]` or `list[torch.Tensor]`): One per prompt and repetition, prompts outermost. With `output_type="features"`
            tensors (frames, dim), denormalised; with `"latent"` one tensor (batch, frames, dim), normalised.
    """

    motions: list[Motion] | list[Tensor] | Tensor


class MotionDiffusionPipeline(DiffusionPipeline):
    """Base of the diffusion pipelines.

    A saved pipeline is one repository with one copy of the weights and three doors: the pipeline class's `from_pretrained`,
    `transformers.pipeline("text-to-motion", model=...)` after `import hf_motion`, and the same with `trust_remote_code=True` and no
    import.
    """

    @classmethod
    def load(cls, name: str | os.PathLike, **kwargs: Any) -> MotionDiffusionPipeline:
        """Load a pipeline whose class its `model_index.json` names.

        Args:
            name (`str` or `os.PathLike`): Folder or repository.
            **kwargs: As for `from_pretrained`.

        Raises:
            OSError: If there is no such checkpoint.
            ValueError: If it is of a pipeline class that this version does not know.
        """
        folder = Path(name) if Path(name).is_dir() else Path(cls.download(str(name), **kwargs))
        class_name = cls.load_config(folder)["_class_name"]
        if class_name not in PIPELINES:
            raise ValueError(
                f"{str(name)!r} holds a {class_name!r}; this version of hf_motion knows {list(PIPELINES)}. Is a newer one out?"
            )
        pipeline_class = getattr(import_module(PIPELINES[class_name]), class_name)
        return pipeline_class.from_pretrained(folder, **{key: kwargs[key] for key in kwargs if key not in _SNAPSHOT_OPTIONS})

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike, **kwargs: Any) -> MotionDiffusionPipeline:
        """Load a complete checkpoint; see `diffusers.DiffusionPipeline.from_pretrained` for the arguments.

        Weights are loaded from safetensors only, as float32 unless `dtype` says otherwise.

        Raises:
            OSError: If there is no such checkpoint, or it has no safetensors.
            ValueError: If it lacks its feature extractor: its numbers have no meaning without.
        """
        folder = Path(pretrained_model_name_or_path)
        if not folder.is_dir():
            folder = Path(cls.download(str(pretrained_model_name_or_path), **kwargs))
            kwargs = {key: value for key, value in kwargs.items() if key not in _SNAPSHOT_OPTIONS}
        if "feature_extractor" not in kwargs and not (folder / "feature_extractor" / "preprocessor_config.json").is_file():
            raise ValueError(
                f"{str(pretrained_model_name_or_path)!r} has no feature_extractor/preprocessor_config.json, which holds the mean and "
                "std that its numbers are measured with. Save it again with save_pretrained, or pass "
                "feature_extractor=MotionFeatureExtractor(...)."
            )
        pipeline = super().from_pretrained(folder, use_safetensors=True, **kwargs)
        if folder.resolve() == EMBEDDED.resolve():
            say_licence()
        return pipeline

    @classmethod
    def download(cls, pretrained_model_name: str, **kwargs: Any) -> str:
        """Download a repository and return its folder.

        diffusers' own `download` accepts only classes that it ships, or code in the repository; this one takes the repository as it is.
        """
        options = {name: kwargs[name] for name in _SNAPSHOT_OPTIONS if kwargs.get(name) is not None}
        options.pop("proxies", None)
        return snapshot_download(pretrained_model_name, ignore_patterns=["*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl"], **options)

    def register_modules(self, **kwargs: Any) -> None:
        """Register components; ours are recorded under `hf_motion.components`."""
        super().register_modules(**kwargs)
        stable = {
            name: ("hf_motion.components", type(module).__name__)
            for name, module in kwargs.items()
            if module is not None and hasattr(components, type(module).__name__) and type(module).__module__.startswith("hf_motion.")
        }
        self.register_to_config(**stable)

    def save_pretrained(self, save_directory: str | os.PathLike, *args: Any, **kwargs: Any) -> None:
        """Save every component, the root `config.json` that transformers needs, the one-line remote door and a model card."""
        from ..hub.card import write_model_card

        push_to_hub = kwargs.pop("push_to_hub", False)
        hub = {name: kwargs.pop(name) for name in ("repo_id", "private", "token", "commit_message", "create_pr") if name in kwargs}
        super().save_pretrained(save_directory, *args, **kwargs)
        folder = Path(save_directory)
        write_remote_door(folder, pipeline_class=type(self).__name__)
        write_model_card(folder)
        if push_to_hub:
            self.push_to_hub(hub.pop("repo_id", folder.name), **hub)

    def _lengths(self, num_frames: int | Sequence[int] | None, prompts: int) -> list[int]:
        limit = self.feature_extractor.max_frames
        if num_frames is None:
            num_frames = min(int(6 * self.feature_extractor.fps), limit)
        if isinstance(num_frames, (list, tuple)) and len(num_frames) != prompts:
            raise ValueError(f"num_frames has {len(num_frames)} entries for {prompts} prompts; pass one number, or one per prompt.")
        lengths = list(num_frames) if isinstance(num_frames, (list, tuple)) else [num_frames] * prompts
        for length in lengths:
            if isinstance(length, bool) or not isinstance(length, int) or not 1 <= length <= limit:
                raise ValueError(
                    f"num_frames must be whole numbers from 1 to {limit}, got {length!r}. At {self.feature_extractor.fps:g} frames per "
                    f"second this model makes up to {limit / self.feature_extractor.fps:.1f} s."
                )
        return lengths

    def _generators(self, generator: torch.Generator | list[torch.Generator] | None, count: int) -> list[torch.Generator]:
        """One generator per sample, so that a sample does not depend on what else is in the batch."""
        if isinstance(generator, (list, tuple)):
            if len(generator) != count:
                raise ValueError(f"Got {len(generator)} generators for {count} samples; pass one, or one for each sample.")
            return list(generator)
        device = generator.device if generator is not None else self._execution_device
        seeds = torch.randint(2**62, (count,), generator=generator, device=device).tolist()
        return [torch.Generator(device).manual_seed(seed) for seed in seeds]

    def prepare_latents(self, generators: list[torch.Generator], latents: Tensor | None = None) -> Tensor:
        """Initial noise, (batch, max_frames, dim) float32.

        It always has the longest length that the model makes, whatever is asked for: then neither the noise nor the scheduler's
        draws from a generator depend on the lengths of other clips in the batch.
        """
        shape = (len(generators), self.feature_extractor.max_frames, self.feature_extractor.dim)
        if latents is None:
            latents = randn_tensor(shape, generator=generators, device=self._execution_device, dtype=torch.float32)
        elif tuple(latents.shape) != shape:
            raise ValueError(f"latents must have shape {shape} (samples, max_frames, features), got {tuple(latents.shape)}.")
        return latents.to(self._execution_device, torch.float32) * self.scheduler.init_noise_sigma


def check_prompts(prompt: str | Sequence[str]) -> list[str]:
    """A list of at least one string.

    Raises:
        ValueError: If the list is empty or holds something else.
    """
    prompts = [prompt] if isinstance(prompt, str) else prompt
    if not isinstance(prompts, (list, tuple)) or not prompts:
        raise ValueError(f"prompt must be a sentence or a list of at least one, got {prompt!r}.")
    for index, text in enumerate(prompts):
        if not isinstance(text, str):
            raise ValueError(f"prompt[{index}] must be a string, got {text!r} of type {type(text).__name__}.")
    return list(prompts)
