"""What `hf-motion generate` does: prompts in, files out."""

from __future__ import annotations

import math
import os
import re
import string
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from tqdm.auto import tqdm

from .pipelines.motion_diffusion import spawn_generators
from .utils.files import check_writable

if TYPE_CHECKING:
    from .pipelines.text_to_motion import TextToMotionPipeline

_SUFFIXES = (".bvh", ".npz", ".mp4", ".gif", ".png", ".html")
_FIELDS = ("index", "prompt", "seed")


@dataclass
class GenerationRequest:
    """Options of `hf-motion generate`.

    Args:
        prompts (`list[str]`): Sentences.
        prompt_file (`pathlib.Path`, *optional*): Text file with one sentence per line; empty lines do not count.
        model (`str`, *optional*): Folder or repository, the embedded checkpoint by default.
        output (`str`): File, folder, or pattern.
        formats (`list[str]`): Formats for a folder, `["bvh"]` by default.
        seconds (`float`, *optional*): Length.
        num_frames (`int`, *optional*): Length; not together with `seconds`.
        seed (`int`, *optional*): Seed; drawn if not given, and shown where a pattern has `{seed}`.
        guidance_scale (`float`): Guidance.
        num_inference_steps (`int`, *optional*): Steps.
        num_samples (`int`): Motions per prompt.
        batch_size (`int`): Motions at once.
        device (`str`, *optional*): Device.
        dtype (`str`): `"float32"`, `"bfloat16"` or `"float16"`.
    """

    prompts: list[str] = field(default_factory=list)
    prompt_file: Path | None = None
    model: str | None = None
    output: str = "outputs"
    formats: list[str] = field(default_factory=list)
    seconds: float | None = None
    num_frames: int | None = None
    seed: int | None = None
    guidance_scale: float = 2.5
    num_inference_steps: int | None = None
    num_samples: int = 1
    batch_size: int = 16
    device: str | None = None
    dtype: str = "float32"


def run(request: GenerationRequest) -> list[Path]:
    """Generate and write.

    Args:
        request (`GenerationRequest`): What to make.

    Returns:
        `list[pathlib.Path]`: Written files.

    Raises:
        ValueError: If an option does not fit; nothing has been written then.
        OSError: If a file cannot be read or written, or the model is not there.
    """
    prompts = [prompt for prompt in _prompts(request) for _ in range(request.num_samples)]
    seed = request.seed if request.seed is not None else torch.seed() % 2**31
    targets = _targets(request, prompts, seed)
    if request.seconds is not None and request.num_frames is not None:
        raise ValueError("Give the length as seconds or as num_frames, not both.")
    if request.seconds is not None and not (math.isfinite(request.seconds) and request.seconds > 0):
        raise ValueError(f"seconds must be a positive number, got {request.seconds}.")
    for folder in {path.parent for paths in targets for path in paths}:
        check_writable(folder)

    pipe = _load(request, many=len(prompts) > 1)
    frames = request.num_frames
    if request.seconds is not None:
        frames = max(1, round(request.seconds * pipe.model.pipeline.feature_extractor.fps))
    generators = spawn_generators(torch.Generator().manual_seed(seed), len(prompts), pipe.model.device)
    written = []
    for start in tqdm(range(0, len(prompts), request.batch_size), desc="Generating", disable=len(prompts) == 1):
        part = slice(start, start + request.batch_size)
        motions = pipe(
            prompts[part], frames, generator=generators[part], batch_size=request.batch_size,
            guidance_scale=request.guidance_scale, num_inference_steps=request.num_inference_steps,
        )  # fmt: skip
        written += [motion.save(path) for motion, paths in zip(motions, targets[part], strict=True) for path in paths]
    return written


def _prompts(request: GenerationRequest) -> list[str]:
    prompts = list(request.prompts)
    if request.prompt_file is not None:
        try:
            lines = request.prompt_file.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError as error:
            raise ValueError(f"{str(request.prompt_file)!r} is not a UTF-8 text file: {error}.") from error
        prompts += [line.strip() for line in lines if line.strip()]
    if not prompts:
        raise ValueError("No prompt: give a sentence, or --prompt-file with one sentence per line.")
    return prompts


def _targets(request: GenerationRequest, prompts: list[str], seed: int) -> list[list[Path]]:
    """Files of each motion."""
    folder = request.output.endswith(("/", os.sep)) or Path(request.output).is_dir()
    suffix = "" if folder else Path(request.output).suffix.lower()
    fields = [name for _, name, _, _ in string.Formatter().parse(request.output) if name is not None]
    unknown = sorted(set(fields) - set(_FIELDS))
    if unknown:
        raise ValueError(f"Output pattern {request.output!r} has unknown fields {unknown}; there are {{index}}, {{prompt}} and {{seed}}.")
    if suffix and suffix not in _SUFFIXES:
        raise ValueError(f"Cannot write {suffix!r} files. Use one of {', '.join(_SUFFIXES)}, or a folder with --format.")
    if suffix and request.formats:
        raise ValueError(f"Output {request.output!r} names a format already; leave out --format, or give a folder.")
    if not suffix:
        pattern = str(Path(request.output) / "{index:03d}-{prompt}")
        endings = [f".{name}" for name in request.formats or ["bvh"]]
    else:
        pattern, endings = request.output, [""]
    if suffix and not fields and len(prompts) > 1:
        raise ValueError(
            f"{len(prompts)} motions cannot all be {request.output!r}; give a folder, or a pattern such as 'wave-{{index}}.bvh'."
        )
    names = [pattern.format(index=index, prompt=_slug(prompt), seed=seed) for index, prompt in enumerate(prompts)]
    if len(set(names)) < len(names):
        raise ValueError(f"Output pattern {request.output!r} gives several motions the same name; add {{index}} to it.")
    return [[Path(name + ending) for ending in endings] for name in names]


def _slug(prompt: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", prompt.lower()).strip("-")[:60] or "motion"


def _load(request: GenerationRequest, many: bool) -> TextToMotionPipeline:
    from transformers import pipeline
    from transformers.utils import logging

    from .checkpoints import EMBEDDED

    logging.disable_progress_bar()
    device = request.device or str(torch.accelerator.current_accelerator() or "cpu")
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"Device {device!r} is not usable here: {error}") from error
    pipe = pipeline("text-to-motion", model=request.model or str(EMBEDDED), device=device, dtype=getattr(torch, request.dtype))
    pipe.model.pipeline.set_progress_bar_config(disable=many)
    return pipe
