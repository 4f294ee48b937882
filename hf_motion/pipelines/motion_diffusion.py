"""What all diffusion pipelines share: how they are saved and found on the Hub, texts, noise and lengths."""

from __future__ import annotations

import copy
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from numbers import Integral
from pathlib import Path
from typing import Any

import torch
from diffusers.utils import BaseOutput
from diffusers.utils.torch_utils import randn_tensor
from huggingface_hub import create_repo, snapshot_download, upload_folder
from torch import Tensor, nn

from .. import components
from ..checkpoints import EMBEDDED, say_licence
from ..hub.loading import blame_part, building, check_sizes
from ..hub.remote import forget_origin, write_remote_door
from ..hub.trust import PIPELINES, check_model_index
from ..motion import Motion
from ..text_encoders import ADAPTER_CONFIG, LORA_FOLDER, has_lora, is_fused, save_text_lora, without_lora
from ..utils.faults import reading, reason, writing
from ..utils.light import light_diffusers
from ..utils.training_folder import checkpoint_in
from .lora import TextEncoderLoraMixin

with light_diffusers():
    from diffusers import DiffusionPipeline

_PUSH_OPTIONS = ("private", "token", "commit_message", "create_pr")
_SNAPSHOT_OPTIONS = ("cache_dir", "force_download", "local_files_only", "proxies", "revision", "token")


@dataclass
class MotionPipelineOutput(BaseOutput):
    """Output of the motion pipelines.

    Args:
        motions (`list[Motion]`): One per prompt and repetition, prompts outermost. With `output_type="features"`
            tensors (frames, dim), denormalised; with `"latent"` one tensor (batch, frames, dim), normalised.
    """

    motions: list[Motion]  # what type checkers are told; tensors come only to those who ask for another output_type


class MotionDiffusionPipeline(TextEncoderLoraMixin, DiffusionPipeline):
    """Base of the diffusion pipelines.

    A saved pipeline is one repository with one copy of the weights and three doors: the pipeline class's `from_pretrained`,
    `transformers.pipeline("text-to-motion", model=...)` after `import hf_motion`, and the same with `trust_remote_code=True` and no
    import.
    """

    _source: Path | None = None
    _noise_axes = "max_frames, features"

    @classmethod
    def load(cls, name: str | os.PathLike, **kwargs: Any) -> MotionDiffusionPipeline:
        """Load a pipeline whose class its `model_index.json` names.

        Args:
            name (`str` or `os.PathLike`): Folder, also that of a training, or repository.
            **kwargs: As for `from_pretrained`.

        Raises:
            OSError: If there is no such checkpoint.
            ValueError: If it is of a pipeline class that this version does not know.
        """
        name = checkpoint_in(name)
        folder = Path(name) if Path(name).is_dir() else Path(cls.download(str(name), **kwargs))
        index = folder / "model_index.json"
        if not index.is_file():
            raise OSError(f"{str(name)!r} holds no model_index.json, so it is no pipeline. Give a folder that save_pretrained made.")
        check_model_index(folder, cls.__name__)
        with reading(index, "the index of a pipeline"):
            found = pipeline_class(cls.load_config(folder)["_class_name"])
        return found.from_pretrained(folder, **{key: kwargs[key] for key in kwargs if key not in _SNAPSHOT_OPTIONS})

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike, **kwargs: Any) -> MotionDiffusionPipeline:
        """Load a complete checkpoint; see `diffusers.DiffusionPipeline.from_pretrained` for the arguments.

        Weights are loaded from safetensors only, as float32 unless `dtype` says otherwise.

        A checkpoint's parts come from transformers, diffusers and hf_motion alone, see `hf_motion.hub.trust`.

        Raises:
            OSError: If there is no such checkpoint, or it has no safetensors.
            ValueError: If it lacks its feature extractor: its numbers have no meaning without. If it names code of another library. Also if
                a file is damaged, or says sizes beyond all bounds; the message names it.
        """
        folder = Path(checkpoint_in(pretrained_model_name_or_path))
        if not folder.is_dir():
            folder = Path(cls.download(str(pretrained_model_name_or_path), **kwargs))
            kwargs = {key: value for key, value in kwargs.items() if key not in _SNAPSHOT_OPTIONS}
        check_model_index(folder, cls.__name__)
        if "feature_extractor" not in kwargs and not (folder / "feature_extractor" / "preprocessor_config.json").is_file():
            raise ValueError(
                f"{str(pretrained_model_name_or_path)!r} has no feature_extractor/preprocessor_config.json, which holds the mean and "
                "std that its numbers are measured with. Save it again with save_pretrained, or pass "
                "feature_extractor=MotionFeatureExtractor(...)."
            )
        if kwargs.pop("use_safetensors", True) is False:
            raise ValueError("Weights load from safetensors only, got use_safetensors=False. hf_motion.conversion converts pickled files.")
        if kwargs.get("dtype") is None and kwargs.get("torch_dtype") is None:
            kwargs["dtype"] = torch.float32
        pipeline = cls._load(folder, **kwargs)
        extractor = pipeline.feature_extractor
        if "feature_extractor" not in kwargs and (extractor.mean is None or extractor.std is None):
            raise ValueError(
                f"{str(folder / 'feature_extractor' / 'preprocessor_config.json')!r} has no mean and std: its numbers cannot be turned "
                "into joints. Pass feature_extractor=MotionFeatureExtractor(mean=..., std=...) with those that it was trained with."
            )
        if "text_encoder" not in kwargs and (folder / LORA_FOLDER / ADAPTER_CONFIG).is_file():
            pipeline.load_lora_weights(folder, subfolder=LORA_FOLDER)
        pipeline._source = folder
        if folder.resolve() == EMBEDDED.resolve():
            say_licence()
        return pipeline

    @classmethod
    def _load(cls, folder: Path, **kwargs: Any) -> MotionDiffusionPipeline:
        """Diffusers' loader, one thread at a time, with errors that name the file."""
        load = super().from_pretrained
        plain = set(kwargs) <= {"dtype"}
        with building():
            for part in (folder, *(path for path in sorted(folder.iterdir()) if path.is_dir() and path.name not in kwargs)):
                check_sizes(part)
            try:
                return cls._from_folder(folder, kwargs["dtype"]) if plain else load(folder, use_safetensors=True, **kwargs)
            except ImportError:
                raise
            except Exception as error:
                if isinstance(error, OSError) and str(folder) in str(error) and "load weights" not in str(error):
                    raise  # a file that is not there, or is no JSON, is named already; of weights diffusers does not say what is wrong
                index_file = folder / "model_index.json"
                with reading(index_file, "the index of a pipeline"):
                    index = cls.load_config(folder)
                left_out = [name for name in cls._optional_components if not any(index.get(name) or ())]
                parts = [name for name in cls._get_signature_keys(cls)[0] if name not in (*kwargs, *left_out)]
                for part in parts:
                    value = index.get(part)
                    if not (isinstance(value, (list, tuple)) and len(value) == 2 and all(isinstance(word, str) for word in value)):
                        raise ValueError(f"{str(index_file)!r} must give library and class of {part!r}, it gives {value!r}.") from error
                for part in parts:
                    try:  # apart from the others: diffusers does not say which one it was
                        load(folder, use_safetensors=True, **{name: None for name in parts if name != part}, **kwargs)
                    except Exception as found:
                        raise blame_part(folder, part, found) from error
                raise ValueError(f"{str(index_file)!r} does not fit the parts beside it: {reason(error)}") from error

    @classmethod
    def _from_folder(cls, folder: Path, dtype: torch.dtype) -> MotionDiffusionPipeline:
        """As diffusers' loader without options, which first imports everything that any pipeline could hold."""
        index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
        values: dict[str, Any] = {}
        for name, value in index.items():
            if name.startswith("_"):
                continue
            if not isinstance(value, list):
                values[name] = value
            elif value[0] is None:
                values[name] = None
            else:
                part = getattr(import_module(value[0]), value[1])
                options = {"dtype": dtype, "use_safetensors": True} if issubclass(part, nn.Module) else {}
                values[name] = part.from_pretrained(folder / name, **options)
        pipeline = cls(**values)
        pipeline.register_to_config(_name_or_path=str(folder))
        return pipeline

    @classmethod
    def download(cls, pretrained_model_name: str, **kwargs: Any) -> str:
        """Download a repository and return its folder.

        diffusers' own `download` accepts only classes that it ships, or code in the repository; this one takes the repository as it is.
        """
        options = {name: kwargs[name] for name in _SNAPSHOT_OPTIONS if kwargs.get(name) is not None}
        options.pop("proxies", None)
        return snapshot_download(pretrained_model_name, ignore_patterns=["*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl"], **options)

    @property
    def _execution_device(self) -> torch.device:
        """As in diffusers, which imports all of its hooks, and PEFT, to ask whether there is one."""
        networks = [part for part in self.components.values() if isinstance(part, nn.Module)]
        hooked = any(hasattr(layer, "_hf_hook") or hasattr(layer, "_diffusers_hook") for part in networks for layer in part.modules())
        if hooked:
            return super()._execution_device
        return next(weight.device for part in networks for weight in part.parameters())

    def register_modules(self, **kwargs: Any) -> None:
        """Register components; ours are recorded under `hf_motion.components`."""
        super().register_modules(**kwargs)
        self._record(**kwargs)

    def _record(self, **kwargs: Any) -> None:
        stable = {
            name: ("hf_motion.components", type(module).__name__)
            for name, module in kwargs.items()
            if module is not None and hasattr(components, type(module).__name__) and type(module).__module__.startswith("hf_motion.")
        }
        self.register_to_config(**stable)

    def save_pretrained(self, save_directory: str | os.PathLike, *args: Any, **kwargs: Any) -> None:
        """Save every component, the root `config.json` that transformers needs, the one-line remote door and a model card.

        The card of the checkpoint that was loaded is kept, its licence with it; otherwise one is generated.

        Args:
            save_directory (`str` or `os.PathLike`): Folder.
            *args: As for `diffusers.DiffusionPipeline.save_pretrained`.
            **kwargs: The same; with `push_to_hub=True` those of `push_to_hub`.
        """
        push = kwargs.pop("push_to_hub", False)
        hub = {name: kwargs.pop(name) for name in ("repo_id", *_PUSH_OPTIONS) if name in kwargs}
        self._save(Path(save_directory), None, *args, **kwargs)
        if push:
            self.push_to_hub(hub.pop("repo_id", Path(save_directory).name), **hub)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool | None = None,
        token: str | None = None,
        commit_message: str | None = None,
        create_pr: bool = False,
        **kwargs: Any,
    ) -> str:
        """Upload the pipeline as a complete repository.

        diffusers' own method would replace the card by one of its own.

        Args:
            repo_id (`str`): `"name"` or `"organization/name"`; made if it is not there.
            private (`bool`, *optional*): Whether a new repository is private.
            token (`str`, *optional*): Access token.
            commit_message (`str`, *optional*): Message, `"Upload <class>"` by default.
            create_pr (`bool`, defaults to `False`): Open a pull request rather than commit.
            **kwargs: As for `save_pretrained`.

        Returns:
            `str`: Address of the commit.
        """
        repo_id = create_repo(repo_id, private=private, token=token, exist_ok=True).repo_id
        with tempfile.TemporaryDirectory() as folder:
            self._save(Path(folder), repo_id, **kwargs)
            return upload_folder(
                repo_id=repo_id,
                folder_path=folder,
                token=token,
                commit_message=commit_message or f"Upload {type(self).__name__}",
                create_pr=create_pr,
                delete_patterns=f"{LORA_FOLDER}/*",  # of an earlier push: loading would add it once more
            )

    def _save(self, folder: Path, repo_id: str | None, *args: Any, **kwargs: Any) -> None:
        with writing(folder):
            self._save_parts(folder, repo_id, *args, **kwargs)

    def _save_parts(self, folder: Path, repo_id: str | None, *args: Any, **kwargs: Any) -> None:
        from ..hub.card import write_model_card

        with self._adapter_apart(folder):
            self._record(**self.components)  # diffusers records a part anew, under its module, whenever one is set
            super().save_pretrained(folder, *args, **kwargs)
        for path in folder.rglob("*.json"):
            forget_origin(path)
        write_remote_door(folder, pipeline_class=type(self).__name__)
        card = self._source / "README.md" if self._source is not None else None
        if card is not None and card.is_file() and not (folder / "README.md").exists():
            shutil.copy(card, folder / "README.md")
        write_model_card(folder, repo_id)

    @contextmanager
    def _adapter_apart(self, folder: Path) -> Iterator[None]:
        """Saves the text encoder's adapter beside it: transformers would save the adapter alone. A fused one is a part of the encoder."""
        encoder = self.text_encoder
        if has_lora(encoder) and not is_fused(encoder):
            save_text_lora(encoder, folder / LORA_FOLDER)
        elif (folder / LORA_FOLDER / ADAPTER_CONFIG).is_file():
            shutil.rmtree(folder / LORA_FOLDER)  # of an earlier save: loading would add it once more
        self.text_encoder = without_lora(encoder)
        try:
            yield
        finally:
            self.text_encoder = encoder

    def _lengths(self, num_frames: int | Sequence[int] | None, prompts: int) -> list[int]:
        limit = self.feature_extractor.max_frames
        if num_frames is None:
            num_frames = min(int(6 * self.feature_extractor.fps), limit)
        if isinstance(num_frames, (list, tuple)) and len(num_frames) != prompts:
            raise ValueError(f"num_frames has {len(num_frames)} entries for {prompts} prompts; pass one number, or one per prompt.")
        lengths = list(num_frames) if isinstance(num_frames, (list, tuple)) else [num_frames] * prompts
        for index, length in enumerate(lengths):
            whole = isinstance(length, Integral) and not isinstance(length, bool)
            if not whole or not 1 <= length <= limit:
                raise ValueError(
                    f"num_frames must be whole numbers from 1 to {limit}, got {length!r}. At {self.feature_extractor.fps:g} frames per "
                    f"second this model makes up to {limit / self.feature_extractor.fps:.1f} s; longer motions have several sentences: "
                    'timeline=[("a person walks", 5.0), ("a person runs", 8.0)].'
                )
            lengths[index] = int(length)
        return lengths

    def _for_one_call(self) -> MotionDiffusionPipeline:
        """The same pipeline with a scheduler of its own: one keeps the steps of a call, and calls may run side by side."""
        call = copy.copy(self)
        call.scheduler = copy.deepcopy(self.scheduler)
        return call

    def _noise_shape(self, frames: int) -> tuple[int, ...]:
        """Of what is denoised, without the batch."""
        return frames, self.feature_extractor.dim

    def prepare_latents(self, generators: list[torch.Generator], latents: Tensor | None = None, frames: int | None = None) -> Tensor:
        """Initial noise, (batch, frames, dim) float32; of latents one per window, (batch, *the autoencoder's latent).

        It always has the longest length that the model makes, whatever is asked for: then neither the noise nor the scheduler's
        draws from a generator depend on the lengths of other clips in the batch. Timelines, which may be longer, are made one by one.
        """
        shape = (len(generators), *self._noise_shape(frames or self.feature_extractor.max_frames))
        if latents is None:
            latents = randn_tensor(shape, generator=generators, device=self._execution_device, dtype=torch.float32)
        elif tuple(latents.shape) != shape:
            raise ValueError(f"latents must have shape {shape} (samples, {self._noise_axes}), got {tuple(latents.shape)}.")
        return latents.to(self._execution_device, torch.float32) * self.scheduler.init_noise_sigma


def pipeline_class(name: str) -> type[MotionDiffusionPipeline]:
    """The pipeline class of that name.

    Raises:
        ValueError: If this version does not know it.
    """
    if name not in PIPELINES:
        raise ValueError(f"There is no pipeline class {name!r}; this version of hf_motion knows {list(PIPELINES)}. Is a newer one out?")
    return getattr(import_module(PIPELINES[name]), name)
