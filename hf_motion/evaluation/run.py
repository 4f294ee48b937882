"""`hf-motion evaluate`: from names of repositories to a result."""

from __future__ import annotations

import platform
import time
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from transformers import AutoModel
from transformers.utils import logging

from .. import __version__
from ..checkpoints import EMBEDDED, EMBEDDED_EVALUATOR, EMBEDDED_TMR
from ..data.motion_text import load_motion_rows
from ..retrieval.embedder import MotionTextEmbedder, checkpoint_folder, fingerprint
from ..utils.files import check_writable
from .clips import EvaluationClips
from .generation import GenerationScorer
from .generations import GenerateFeatures, system_generator
from .protocol import Protocol, get_protocol
from .result import REAL, EvaluationResult

MODES = ("generation", "reconstruction", "retrieval")
_PACKAGES = ("torch", "transformers", "diffusers", "numpy")


@dataclass
class EvaluationRequest:
    """What to evaluate, and how.

    Args:
        dataset (`str`): Parquet file, folder of them, or data set on the Hub.
        split (`str`, defaults to `"test"`): Its split.
        model (`str`, *optional*): Folder or repository of the model; the checkpoint inside the package by default.
        evaluator (`str`, *optional*): Folder or repository of a `T2MEvaluator`; the small one inside the package by default.
        alignment (`str`, *optional*): Folder or repository of a `TMR`; the small one inside the package by default, `"none"` for none.
        mode (`str`, defaults to `"generation"`): `"generation"`, `"reconstruction"` or `"retrieval"`.
        protocol (`str`, defaults to `"strict"`): `"strict"` or `"guo"`.
        changes (`dict`): Settings of the protocol to change, see `Protocol`.
        options (`dict`): Passed to the model: `guidance_scale`, `num_inference_steps`.
        max_clips (`int`, *optional*): Use the first clips only.
        strict_rows (`bool`, defaults to `True`): Stop at an unreadable row rather than leave it out and count it.
        drop_non_finite (`bool`, defaults to `False`): Score what is left when some motions are not finite.
        multimodality_texts (`int`, defaults to 0): Texts for multimodality; 0 leaves it out.
        multimodality_samples (`int`, defaults to 30): Motions per text.
        output (`str`, defaults to `"evaluation"`): Folder for the results and the motions that were made.
        device (`str`, *optional*): The fastest there is by default.
        dtype (`str`, defaults to `"float32"`): Precision of the model; evaluators always run in float32.
        batch_size (`int`, defaults to 64): Clips embedded at once.
        show_progress (`bool`, defaults to `True`): Show progress bars.
    """

    dataset: str
    split: str = "test"
    model: str | None = None
    evaluator: str | None = None
    alignment: str | None = None
    mode: str = "generation"
    protocol: str = "strict"
    changes: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    max_clips: int | None = None
    strict_rows: bool = True
    drop_non_finite: bool = False
    multimodality_texts: int = 0
    multimodality_samples: int = 30
    output: str = "evaluation"
    device: str | None = None
    dtype: str = "float32"
    batch_size: int = 64
    show_progress: bool = True


def evaluate(request: EvaluationRequest) -> EvaluationResult:
    """Evaluate.

    On several processes (`accelerate launch -m hf_motion.cli evaluate ...`) each makes a part of the motions; all return the same numbers.

    Args:
        request (`EvaluationRequest`): What, and how.

    Returns:
        `EvaluationResult`: Not yet written.

    Raises:
        ValueError: If something does not fit together; nothing has been computed then.
        OSError: If a checkpoint or file is not there.
    """
    if request.mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(map(repr, MODES))}, got {request.mode!r}.")
    protocol = get_protocol(request.protocol, **request.changes)
    check_writable(request.output)
    start = time.perf_counter()
    logging.disable_progress_bar()
    device = request.device or str(torch.accelerator.current_accelerator() or "cpu")
    if request.mode == "retrieval":
        embedder = _embedder(request.model, EMBEDDED_TMR, device, request)
        clips = _clips(request, protocol, embedder)
        rows, notes = _retrieval(clips, protocol, embedder), []
        own = {"model": _described(embedder)}
    else:
        evaluator = _embedder(request.evaluator, EMBEDDED_EVALUATOR, device, request)
        alignment = _embedder(request.alignment, EMBEDDED_TMR, device, request) if request.alignment != "none" else None
        model = _Model(request, evaluator, device) if request.mode == "generation" else None
        clips = _clips(request, protocol, evaluator)
        scorer = GenerationScorer(clips, protocol, evaluator, alignment, request.drop_non_finite, request.show_progress)
        rows, notes, own = model.score(scorer) if model is not None else _reconstruction(request, scorer, device)
        own |= {"evaluator": _described(evaluator), "alignment": _described(alignment) if alignment is not None else None}
    settings = {
        **own,
        "dataset": Path(request.dataset).name if Path(request.dataset).exists() else request.dataset,
        "split": request.split,
        "clips": len(clips),
        "clips sha256": clips.digest[:16],
        "left out": dict(clips.skipped) or "none",
        **{("protocol" if key == "name" else key): value for key, value in protocol.to_dict().items()},
        "packages": {"hf_motion": __version__, "python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
        "seconds": round(time.perf_counter() - start, 1),
    }
    return EvaluationResult(request.mode, rows, settings, notes + _notes(protocol, clips))


class _Model:
    """The generator that is judged; made before the clips are read, so that what does not fit is said at once."""

    def __init__(self, request: EvaluationRequest, evaluator: MotionTextEmbedder, device: str) -> None:
        folder = checkpoint_folder(request.model or EMBEDDED)
        self.request = request
        self.name = Path(request.model).name if request.model else EMBEDDED.name
        self.digest = fingerprint(folder)
        system = AutoModel.from_pretrained(folder, dtype=getattr(torch, request.dtype))
        if not hasattr(system, "generate_motion"):
            raise ValueError(f"{str(folder)!r} holds a {type(system).__name__}, which makes no motion from text. Is the mode right?")
        system.to(device)
        if hasattr(system, "pipeline"):
            system.pipeline.set_progress_bar_config(disable=True)
        generate = system_generator(system, evaluator.feature_extractor, request.options)
        self.generate = _limited(generate, system.feature_extractor.max_frames, self.name)

    def score(self, scorer: GenerationScorer) -> tuple[dict, list[str], dict[str, Any]]:
        """Rows, notes and settings."""
        request = self.request
        depends = {"model": self.digest, "options": request.options, "dtype": request.dtype, "lengths": scorer.protocol.lengths}
        rows = scorer.score(
            {self.name: self.generate}, Path(request.output) / "motions", {self.name: depends},
            request.multimodality_texts, request.multimodality_samples,
        )  # fmt: skip
        settings = {
            "model": f"{self.name} ({self.digest[:16]})",
            "options": request.options,
            "dtype": request.dtype,
            "statistics": "the model's to units, then the evaluator's, each once",
        }
        return rows, [], settings


def _limited(generate: GenerateFeatures, limit: int, name: str) -> GenerateFeatures:
    """Say it before hours of work when a model cannot make motion of the length of the clips."""

    def checked(texts: list[str], lengths: list[int] | None, seeds: list[int]) -> list[torch.Tensor]:
        if lengths is not None and max(lengths) > limit:
            raise ValueError(f"{name} makes up to {limit} frames, a clip has {max(lengths)}. Lower --max-frames.")
        return generate(texts, lengths, seeds)

    return checked


def _reconstruction(request: EvaluationRequest, scorer: GenerationScorer, device: str) -> tuple[dict, list[str], dict[str, Any]]:
    from .reconstruction import score_reconstruction

    if request.model is None:
        raise ValueError("Name the model to reconstruct with: --model REPO.")
    return score_reconstruction(request.model, scorer, device)


def _retrieval(clips: EvaluationClips, protocol: Protocol, embedder: MotionTextEmbedder) -> dict[str, dict[str, list[float]]]:
    from .retrieval import score_retrieval

    return score_retrieval(clips, protocol, embedder)


def _embedder(name: str | None, default: Path, device: str, request: EvaluationRequest) -> MotionTextEmbedder:
    return MotionTextEmbedder.from_pretrained(name or default, device, request.batch_size)


def _described(embedder: MotionTextEmbedder) -> str:
    return f"{embedder.name} ({(embedder.digest or '?')[:16]})"


def _clips(request: EvaluationRequest, protocol: Protocol, embedder: MotionTextEmbedder) -> EvaluationClips:
    with PartialState().main_process_first():
        rows = load_motion_rows(request.dataset, request.split)
    return EvaluationClips.from_rows(
        rows, embedder.feature_extractor, protocol.min_frames, protocol.leave_out_from, request.max_clips, request.strict_rows,
        request.show_progress and PartialState().is_main_process,
    )  # fmt: skip


def _notes(protocol: Protocol, clips: EvaluationClips) -> list[str]:
    used = [caption for captions in clips.captions for caption in captions[: 1 if protocol.captions == "first" else None]]
    policy = "counts as a hit" if protocol.equal_captions_hit else "counts as a miss, as published"
    lengths = "Models are told the length of the real clip." if protocol.lengths == "given" else "Models choose the length themselves."
    return [
        f"{len(set(used))} of the {len(used)} captions in use are distinct; another motion of the very same caption {policy}.",
        lengths,
        "R-precision and MM-Dist: a text finds its motion.",
        f"{protocol.generations} generation(s), {protocol.replications} replications: ± is 1.96 standard deviations over the root of the "
        f"replications{'' if protocol.generations > 1 else ', which differ in pools and pairs only'}.",
        *([f"{REAL}: its FID is between two random cuts of the same clips."] if protocol.jitter else []),
    ]
