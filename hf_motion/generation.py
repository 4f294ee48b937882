"""What `hf-motion generate` and `hf-motion edit` do: prompts and clips in, files out."""

from __future__ import annotations

import json
import math
import os
import re
import secrets
import string
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .checkpoints import EMBEDDED
from .finishing import Finish
from .formats.table import WRITTEN, writing_step
from .pipelines.timeline import as_timeline
from .utils.faults import reading
from .utils.files import output_folder
from .utils.text import check_prompts, read_lines, say_once, tidy_text
from .utils.training_folder import checkpoint_in

# torch, transformers and diffusers take seconds to import: what is wrong with a request is said before.
if TYPE_CHECKING:
    from .motion import Motion
    from .pipelines.text_to_motion import TextToMotionPipeline


@dataclass
class GenerationRequest:
    """Options of `hf-motion generate`.

    Args:
        prompts (`list[str]`): Sentences.
        prompt_file (`pathlib.Path`, *optional*): Text file with one sentence per line; empty lines do not count.
        model (`str`, *optional*): Folder or repository, the embedded checkpoint by default.
        outputs (`list[str]`): Files, folders, or patterns; each motion is written to every one.
        formats (`list[str]`): Formats for a folder, `["bvh"]` by default.
        seconds (`float`, *optional*): Length.
        num_frames (`int`, *optional*): Length; not together with `seconds`.
        seed (`int`, *optional*): Seed; drawn if not given, and shown where a pattern has `{seed}`.
        guidance_scale (`float`, *optional*): Guidance, the model's own by default.
        num_inference_steps (`int`, *optional*): Steps, the model's own by default.
        num_samples (`int`): Motions per prompt.
        batch_size (`int`): Motions at once.
        device (`str`, *optional*): Device.
        dtype (`str`): `"float32"`, `"bfloat16"` or `"float16"`.
        own_cleanup (`bool`): Whether the model may settle motions and hold their feet, as some checkpoints do.
        timeline (`str`, *optional*): Several sentences with their seconds in place of prompts: `"walks: 3; waves: 2"`.
        split (`bool`): Read each prompt as a timeline, cut at "then" and the like.
        loop (`bool`): Make the last pose the first one.
        control (`pathlib.Path`, *optional*): JSON file with what to hit, see `hf_motion.pipelines.control.MotionControl`.
        retriever (`Callable`, *optional*): Makes what finds videos for a model that sees them, when it is needed.
        finish (`Finish`): What is done to motions before they are written.
    """

    prompts: list[str] = field(default_factory=list)
    prompt_file: Path | None = None
    model: str | None = None
    outputs: list[str] = field(default_factory=lambda: ["outputs"])
    formats: list[str] = field(default_factory=list)
    seconds: float | None = None
    num_frames: int | None = None
    seed: int | None = None
    guidance_scale: float | None = None
    num_inference_steps: int | None = None
    num_samples: int = 1
    batch_size: int = 16
    device: str | None = None
    dtype: str = "float32"
    own_cleanup: bool = True
    timeline: str | None = None
    split: bool = False
    loop: bool = False
    control: Path | None = None
    retriever: Callable[[], Any] | None = None
    finish: Finish = field(default_factory=Finish)


@dataclass
class EditRequest(GenerationRequest):
    """Options of `hf-motion edit`, over those of `hf-motion generate`.

    Args:
        clips (`list[pathlib.Path]`): Motion files.
        keep_start (`float`, *optional*): Seconds kept at the start.
        keep_end (`float`, *optional*): Seconds kept at the end.
        body_parts (`list[str]`): Parts that are made anew.
        join (`list[pathlib.Path]`): Motion files that follow the clip, which then is only one.
        transition_seconds (`float`): Length of the transitions of a join.
    """

    clips: list[Path] = field(default_factory=list)
    keep_start: float | None = None
    keep_end: float | None = None
    body_parts: list[str] = field(default_factory=list)
    join: list[Path] = field(default_factory=list)
    transition_seconds: float = 1.0


@say_once()
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
    seed = request.seed if request.seed is not None else secrets.randbelow(2**31)
    made = [{"index": index, "prompt": _slug(prompt), "seed": seed} for index, prompt in enumerate(prompts)]
    targets = _checked_targets(request, made)
    with _folders(targets):
        return _generate(request, prompts, targets, seed)


def _generate(request: GenerationRequest, prompts: list[str], targets: list[list[Path]], seed: int) -> list[Path]:
    import torch
    from tqdm.auto import tqdm

    from .nn.generators import spawn_generators

    pipe = _load(request, many=len(prompts) > 1)
    frames, options = _frames(request, pipe), _sampling(request)
    if not request.own_cleanup and "contact_cleanup" in getattr(getattr(pipe.model, "pipeline", None), "config", ()):
        options["contact_cleanup"] = False
    options.update(_shaping(request))
    if request.retriever is not None:
        options["retriever"] = request.retriever()
    generators = spawn_generators(torch.Generator().manual_seed(seed), len(prompts), pipe.model.device)
    written = []
    if request.timeline is not None or request.split or not any(prompts):
        # Motions of several sentences differ in length, and are made one by one.
        texts = [prompt if request.split else None for prompt in prompts]
        options |= {"timeline": request.timeline} if request.timeline is not None else {}
        length = {"seconds": request.seconds, "num_frames": request.num_frames}
        options |= {name: value for name, value in length.items() if value is not None}
        for text, paths, own in zip(tqdm(texts, desc="Generating", disable=len(texts) == 1), targets, generators, strict=True):
            made = pipe(text, generator=[own], **options)
            written += _write(made[0] if isinstance(made, list) else made, paths, request.finish)
        return written
    for start in tqdm(range(0, len(prompts), request.batch_size), desc="Generating", disable=len(prompts) == 1):
        part = slice(start, start + request.batch_size)
        motions = pipe(prompts[part], frames, generator=generators[part], batch_size=request.batch_size, **options)
        for motion, paths in zip(motions, targets[part], strict=True):
            written += _write(motion, paths, request.finish)
    _say_unit(written, request.finish)
    return written


@say_once()
def edit(request: EditRequest) -> list[Path]:
    """Change clips and write them.

    Args:
        request (`EditRequest`): What to do.

    Returns:
        `list[pathlib.Path]`: Written files.

    Raises:
        ValueError: If an option does not fit; nothing has been written then.
        OSError: If a file cannot be read or written, or the model is not there.
    """
    wanted = _edit_prompts(request)
    seed = request.seed if request.seed is not None else secrets.randbelow(2**31)
    made = [
        {"index": index, "name": clip.stem, "prompt": _slug(prompt), "seed": seed}
        for index, (clip, prompt) in enumerate(zip(request.clips, wanted, strict=False))
    ]
    targets = _checked_targets(request, made)
    with _folders(targets):
        return _edit(request, wanted, targets, seed)


@contextmanager
def _folders(targets: list[list[Path]]) -> Iterator[None]:
    """The folders of files to write; when the block fails, none that is new and empty is left."""
    with ExitStack() as stack:
        for folder in dict.fromkeys(path.parent for paths in targets for path in paths):
            stack.enter_context(output_folder(folder))
        yield


def _edit(request: EditRequest, wanted: list[str], targets: list[list[Path]], seed: int) -> list[Path]:
    import torch

    from .formats.read import read_motion

    pipe = _load(request, many=len(targets) > 1)
    frames, extractor = _frames(request, pipe), pipe.model.feature_extractor
    clips = [read_motion(path, fps=extractor.fps, skeleton=extractor.skeleton) for path in (*request.clips, *request.join)]
    if request.body_parts and frames is not None and (other := next((clip for clip in clips if len(clip) != frames), None)):
        raise ValueError(f"With --body-part the result is as long as the clip, {other.duration:.2f} s; leave out --seconds.")
    generator = torch.Generator().manual_seed(seed)
    options = _sampling(request)
    if request.join and request.control is not None:
        raise ValueError("A join keeps clips whole, wherever the transitions lead; leave out --control or --join.")
    if request.join:
        motions = [_join(request, pipe, clips, wanted, generator=generator, **options)]
    else:
        motions = pipe(
            wanted, frames, generator=generator, batch_size=request.batch_size, motion=clips, keep_start=request.keep_start,
            keep_end=request.keep_end, body_part=request.body_parts or None, **options, **_shaping(request),
        )  # fmt: skip
    written = [path for motion, paths in zip(motions, targets, strict=True) for path in _write(motion, paths, request.finish)]
    _say_unit(written, request.finish)
    return written


def _write(motion: Motion, paths: list[Path], finish: Finish) -> list[Path]:
    finished, told = finish.apply(motion)
    if told:
        print(f"{paths[0]}: {told}", file=sys.stderr)
    return [finished.save(path, **finish.options(path)) for path in paths]


def _say_unit(written: list[Path], finish: Finish) -> None:
    if note := finish.unit_note(written):
        print(note, file=sys.stderr)


def _join(request: EditRequest, pipe: TextToMotionPipeline, clips: list[Motion], prompts: list[str], **options: Any) -> Motion:
    from .pipelines.editing import join_motions

    return join_motions(pipe.model.pipeline, clips, prompts, request.transition_seconds, batch_size=request.batch_size, **options)


def _edit_prompts(request: EditRequest) -> list[str]:
    """One prompt per clip, or per transition of a join."""
    if request.join and len(request.clips) > 1:
        raise ValueError(f"--join follows one clip, got {len(request.clips)} before it; name the others after --join, in their order.")
    others = [f"--{name.replace('_', '-')}" for name in ("keep_start", "keep_end", "seconds") if getattr(request, name) is not None]
    others += ["--body-part"] if request.body_parts else []
    if request.join and others:
        raise ValueError(f"--join keeps the clips whole and takes --transition; leave out {', '.join(others)}.")
    prompts, count = _prompts(request), len(request.join) or len(request.clips)
    if len(prompts) not in (1, count):
        kind = "transitions" if request.join else "clips"
        raise ValueError(f"Got {len(prompts)} prompts for {count} {kind}; give one for all, or one for each.")
    return prompts * (count if len(prompts) == 1 else 1)


def _checked_targets(request: GenerationRequest, made: list[dict[str, Any]]) -> list[list[Path]]:
    """Files of each motion, over all outputs, once everything has been checked that can be without the model."""
    groups = [_targets(request, output, made) for output in request.outputs]
    targets = [[path for paths in of_one for path in paths] for of_one in zip(*groups, strict=True)]
    every = [path for paths in targets for path in paths]
    if len(set(every)) < len(every):
        raise ValueError(f"--output names a file twice: {', '.join(map(repr, request.outputs))}.")
    request.finish.check(sorted({path.suffix.lower() for path in every}))
    _check_length(request)
    return targets


def _check_length(request: GenerationRequest) -> None:
    if request.seconds is not None and request.num_frames is not None:
        raise ValueError("Give the length with --seconds or with --num-frames, not both.")
    if request.seconds is not None and not (math.isfinite(request.seconds) and request.seconds > 0):
        raise ValueError(f"--seconds must be a positive number, got {request.seconds}.")
    limit, fps = _made_at_once(Path(checkpoint_in(request.model or EMBEDDED)))
    if not limit or not fps:
        return
    most = limit / fps
    if request.seconds is not None and round(request.seconds * fps) > limit and not request.split:
        raise ValueError(
            f"--seconds {request.seconds:g} is more than the {most:g} s ({limit} frames at {fps:g} per second) that this model makes at "
            f"once. Give --seconds {most:g} or less; or several sentences with their seconds, as long as you like: "
            f'--timeline "a person walks: {most / 2:g}; a person runs: {most / 2:g}; a person walks: {most / 2:g}".'
        )
    if request.num_frames is not None and not 1 <= request.num_frames <= limit:
        raise ValueError(
            f"--num-frames must be whole numbers from 1 to {limit}, got {request.num_frames}; at {fps:g} per second, {most:g} s at most."
        )


def list_actions(model: str | None) -> list[tuple[str, str]]:
    """Short names of the actions that a checkpoint knows, each with a sentence.

    Args:
        model (`str`, *optional*): Folder or repository; the checkpoint inside the package by default.

    Raises:
        OSError: If there is no such checkpoint.
        ValueError: If it does not say what it knows.
    """
    folder = Path(checkpoint_in(model or EMBEDDED))
    if not folder.is_dir():
        from huggingface_hub import snapshot_download

        folder = Path(snapshot_download(str(folder), allow_patterns="known_actions/config.json"))
    path = folder / "known_actions" / "config.json"
    if not path.is_file():
        raise ValueError(f"{str(model or EMBEDDED)!r} does not say what it knows; its card may. Trainings with --known_actions true do.")
    with reading(path, "a list of actions"):
        actions = json.loads(path.read_text(encoding="utf-8"))
        return list(zip(actions["names"], actions["examples"], strict=True))


def _made_at_once(folder: Path) -> tuple[int, float]:
    """Most frames and frame rate of a checkpoint; zeros where its files are not at hand or do not say."""
    for file in (folder / part / "preprocessor_config.json" for part in ("feature_extractor", "")):
        if file.is_file():
            with reading(file, "a JSON object"):
                settings = dict(json.loads(file.read_text(encoding="utf-8")))
            limit, fps = settings.get("max_frames"), settings.get("fps")
            return (limit, fps) if isinstance(limit, int) and isinstance(fps, (int, float)) else (0, 0.0)
    return 0, 0.0


def _frames(request: GenerationRequest, pipe: TextToMotionPipeline) -> int | Sequence[int] | None:
    from .utils.asked import asked_frames

    return asked_frames(request.num_frames, request.seconds, pipe.model.feature_extractor.fps)


def _sampling(request: GenerationRequest) -> dict[str, Any]:
    """Options of sampling that were asked for: not every model has each."""
    options = {"guidance_scale": request.guidance_scale, "num_inference_steps": request.num_inference_steps}
    return {name: value for name, value in options.items() if value is not None}


def _shaping(request: GenerationRequest) -> dict[str, Any]:
    """Options of shape that were asked for: not every model has each."""
    from .pipelines.control import MotionControl

    control = MotionControl.load(request.control) if request.control is not None else None
    options = {"loop": request.loop or None, "split": request.split or None, "control": control}
    return {name: value for name, value in options.items() if value is not None}


def _prompts(request: GenerationRequest) -> list[str]:
    prompts = list(request.prompts)
    if request.timeline is not None:
        others = {"prompts": prompts or request.prompt_file, "--seconds": request.seconds, "--num-frames": request.num_frames}
        given = [name for name, value in {**others, "--split": request.split}.items() if value]
        if given:
            raise ValueError(f"--timeline says what is done and how long; leave out {', '.join(given)}.")
        return [", then ".join(segment.text for segment in as_timeline(request.timeline))]
    if request.control is not None and not prompts and request.prompt_file is None:
        return [""]
    if request.prompt_file is not None:
        prompts += [line for _, line in read_lines(request.prompt_file) if tidy_text(line)]
    if not prompts:
        raise ValueError("No prompt: give a sentence (edit: --prompt TEXT; generate: also --prompt-file, one sentence per line).")
    return check_prompts(prompts)


def _targets(request: GenerationRequest, output: str, made: list[dict[str, Any]]) -> list[list[Path]]:
    """Files of each motion; `made` tells what each is called."""
    known = list(made[0])
    folder = output.endswith(("/", os.sep)) or Path(output).is_dir()
    suffix = "" if folder else Path(output).suffix.lower()
    fields = _fields(output, known)
    if suffix and suffix not in WRITTEN:
        raise ValueError(
            f"Cannot write {suffix!r} files. Use one of {', '.join(WRITTEN)}, or a folder with --format.{writing_step(suffix)}"
        )
    if suffix and request.formats:
        raise ValueError(f"Output {output!r} names a format already; leave out --format, or give a folder.")
    if not suffix:
        name = "{index:03d}-{name}-{prompt}" if "name" in known else "{index:03d}-{prompt}"
        pattern = str(Path(output) / name)
        endings = [f".{name}" for name in request.formats or ["bvh"]]
    else:
        pattern, endings = output, [""]
    if suffix and not fields and len(made) > 1:
        raise ValueError(f"{len(made)} motions cannot all be {output!r}; give a folder, or a pattern such as 'wave-{{index}}.bvh'.")
    names = [pattern.format(**fields) for fields in made]
    if len(set(names)) < len(names):
        raise ValueError(f"Output pattern {output!r} gives several motions the same name; add {{index}} to it.")
    return [[Path(name + ending) for ending in endings] for name in names]


def _fields(pattern: str, known: list[str]) -> list[str]:
    """Fields of an output pattern: plain names alone, since any other can ask for megabytes of padding or for what Python keeps inside."""
    there = ", ".join(f"{{{name}}}" for name in known)
    try:
        parsed = [part for part in string.Formatter().parse(pattern) if part[1] is not None]
    except ValueError as error:
        raise ValueError(
            f"Output pattern {pattern!r} is not readable: {error}. Write {there}, and a brace itself as {{{{ or }}}}."
        ) from error
    unknown = sorted({name for _, name, _, _ in parsed} - set(known))
    if unknown:
        raise ValueError(f"Output pattern {pattern!r} has unknown fields {unknown}; there are {there}.")
    for _, name, form, conversion in parsed:
        number = name in ("index", "seed") and re.fullmatch(r"0?[1-9]?d?", form) is not None
        if conversion or (form and not number):
            written = f"{{{name}{f'!{conversion}' if conversion else ''}{f':{form}' if form else ''}}}"
            raise ValueError(
                f"Output pattern {pattern!r} has {written}; write {{{name}}} alone. Digits of {{index}} and {{seed}} can be given, as in "
                "{index:03d}."
            )
    return [name for _, name, _, _ in parsed]


def _slug(prompt: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", prompt.lower()).strip("-")[:60] or "motion"


def _load(request: GenerationRequest, many: bool) -> TextToMotionPipeline:
    import torch
    from transformers import pipeline
    from transformers.utils import logging

    from .utils.device import choose_device

    logging.disable_progress_bar()
    device = choose_device(request.device)
    model = str(checkpoint_in(request.model or EMBEDDED))
    pipe = pipeline("text-to-motion", model=model, device=device, dtype=getattr(torch, request.dtype))
    if hasattr(pipe.model, "pipeline"):
        pipe.model.pipeline.set_progress_bar_config(disable=many)
    return pipe
