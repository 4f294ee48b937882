"""`hf-motion evaluate`: from names of repositories to a result."""

from __future__ import annotations

import inspect
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate import PartialState
from transformers import AutoFeatureExtractor, AutoModel, PreTrainedModel
from transformers.utils import logging

from ..checkpoints import EMBEDDED, EMBEDDED_EVALUATOR, EMBEDDED_TMR
from ..data.motion_text import load_motion_rows
from ..hub.loading import load_part
from ..representation import MotionFeatureExtractor
from ..retrieval.embedder import MotionTextEmbedder, checkpoint_folder, fingerprint
from ..utils.device import choose_device
from ..utils.files import output_folder
from ..utils.text import say_once
from ..utils.version import __version__
from .clips import EvaluationClips
from .generation import GenerationScorer
from .generations import frames_to_ask, judges_bodies, load_system, speaks_same, system_generator
from .protocol import Protocol, get_protocol
from .result import REAL, EvaluationResult

if TYPE_CHECKING:
    from .faces import FaceClips

_DTYPES = ("float32", "bfloat16", "float16")
_PACKAGES = ("torch", "transformers", "diffusers", "numpy")


@dataclass
class EvaluationRequest:
    """What to evaluate, and how.

    Args:
        dataset (`str`): Parquet file, folder of them, or data set on the Hub.
        split (`str`, defaults to `"test"`): Its split.
        model (`str`, *optional*): Folder or repository of the model; the checkpoint inside the package by default.
        evaluator (`str`, *optional*): Folder or repository of a `T2MEvaluator`; the small one inside the package by default. For
            reconstruction also `"none"`, for no FID.
        alignment (`str`, *optional*): Folder or repository of a `TMR`; the small one inside the package by default, `"none"` for none.
        mode (`str`, defaults to `"generation"`): `"generation"`, `"captioning"`, `"reconstruction"`, `"retrieval"` or `"faces"`.
        protocol (`str`, defaults to `"strict"`): `"strict"` or `"guo"`.
        changes (`dict`): Settings of the protocol to change, see `Protocol`.
        options (`dict`): Passed to the model, such as `guidance_scale`, `num_inference_steps` or MoMask's `num_quantizers`.
        max_clips (`int`, *optional*): Use the first clips only.
        strict_rows (`bool`, defaults to `True`): Stop at an unreadable row rather than leave it out and count it.
        drop_non_finite (`bool`, defaults to `False`): Score what is left when some motions are not finite.
        multimodality_texts (`int`, defaults to 0): Texts for multimodality; 0 leaves it out.
        multimodality_samples (`int`, defaults to 30): Motions per text.
        sentence_encoder (`str`, *optional*): For retrieval: a sentence model that finds texts that say the same, for protocol B.
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
    sentence_encoder: str | None = None
    output: str = "evaluation"
    device: str | None = None
    dtype: str = "float32"
    batch_size: int = 64
    show_progress: bool = True


@say_once()
def evaluate(request: EvaluationRequest) -> EvaluationResult:
    """Evaluate.

    On several processes (`accelerate launch -m hf_motion.cli evaluate ...`) each makes a part of the motions; all return the same numbers.

    Args:
        request (`EvaluationRequest`): What, and how.

    Returns:
        `EvaluationResult`: Not yet written.

    Raises:
        ValueError: If something does not fit together; nothing has been computed then, and no empty folder is left.
        OSError: If a checkpoint or file is not there.
    """
    runs = {
        "generation": _generation,
        "captioning": _captioning,
        "reconstruction": _reconstruction,
        "retrieval": _retrieval,
        "faces": _faces,
    }
    if request.mode not in runs:
        raise ValueError(f"mode must be one of {', '.join(map(repr, runs))}, got {request.mode!r}.")
    if request.dtype not in _DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(map(repr, _DTYPES))}, got {request.dtype!r}.")
    protocol = get_protocol(request.protocol, **request.changes)
    with output_folder(request.output):
        return _evaluate(request, protocol, runs[request.mode])


def _evaluate(request: EvaluationRequest, protocol: Protocol, run: Callable[..., _Outcome]) -> EvaluationResult:
    start = time.perf_counter()
    logging.disable_progress_bar()
    # Asking for the state first gives each process its own device.
    state, device = PartialState(), choose_device(request.device)
    if request.device is None and device != "cpu":
        device = str(state.device)
    outcome = run(request, protocol, device)
    settings = {
        **outcome.settings,
        "dataset": Path(request.dataset).name if Path(request.dataset).exists() else request.dataset,
        "split": request.split,
        "clips": len(outcome.clips),
        "clips sha256": outcome.clips.digest[:16],
        "left out": dict(outcome.clips.skipped) or "none",
        **{("protocol" if key == "name" else key): value for key, value in outcome.protocol.to_dict().items()},
        "max_clips": request.max_clips,
        "strict_rows": request.strict_rows,
        "device": device,
        "packages": {"hf_motion": __version__, "python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
        "seconds": round(time.perf_counter() - start, 1),
    }
    return EvaluationResult(request.mode, outcome.rows, settings, outcome.notes)


@dataclass
class _Outcome:
    clips: EvaluationClips | FaceClips
    rows: dict[str, dict[str, list[float]]]
    settings: dict[str, Any]
    notes: list[str]
    protocol: Protocol


def _generation(request: EvaluationRequest, protocol: Protocol, device: str) -> _Outcome:
    evaluator = _embedder(request.evaluator, EMBEDDED_EVALUATOR, device, request)
    alignment = _embedder(request.alignment, EMBEDDED_TMR, device, request) if request.alignment != "none" else None
    folder = checkpoint_folder(request.model or EMBEDDED)
    name, digest = Path(request.model).name if request.model else EMBEDDED.name, fingerprint(folder)
    system = load_system(folder, request.dtype, device)
    _check_options(system, request.options)
    generate = system_generator(system, evaluator.feature_extractor, request.options, protocol.one_body)
    clips = _clips(request, protocol, evaluator.feature_extractor)
    fitted = protocol.fitted(clips, [name for name, value in request.changes.items() if value is not None])
    pools = _pool_notes(protocol, fitted, alignment is not None)
    protocol = fitted
    if judges_bodies(system.feature_extractor, evaluator.feature_extractor):
        pools.append(f"{evaluator.name} reads {evaluator.feature_extractor.skeleton}: bodies are scored, fingers are not.")
    scorer = GenerationScorer(clips, protocol, evaluator, alignment, request.drop_non_finite, request.show_progress)
    _check_lengths(system.feature_extractor, evaluator.feature_extractor, clips, protocol, name)
    reads = {key: getattr(evaluator.feature_extractor, key) for key in ("representation", "skeleton", "fps", "uniform_skeleton", "dim")}
    made_with = {"options": {**_defaults(system), **request.options}, "dtype": request.dtype}
    depends = {"model": digest, "hf_motion": __version__, "lengths": protocol.lengths, "reads": reads, **made_with}
    folder = Path(request.output) / "motions"
    rows = scorer.score({name: generate}, folder, {name: depends}, request.multimodality_texts, request.multimodality_samples)
    settings = {
        "model": f"{name} ({digest[:16]})",
        **made_with,
        "statistics": "the model's to units, then the evaluator's, each once",
        "evaluator": _described(evaluator),
        "alignment": _described(alignment) if alignment is not None else None,
        "drop_non_finite": request.drop_non_finite,
        "multimodality": [request.multimodality_texts, request.multimodality_samples] if request.multimodality_texts else None,
    }
    return _Outcome(clips, rows, settings, [*pools, *_caption_notes(clips, protocol), *_generation_notes(protocol)], protocol)


def _defaults(system: PreTrainedModel) -> dict[str, Any]:
    """What a model does unless it is told otherwise; a pipeline's number of steps may come from its checkpoint."""
    if not hasattr(system, "pipeline"):
        return {name: default for name, default in _options_of(system).items() if default is not None}
    return {"guidance_scale": system.pipeline.default_guidance, "num_inference_steps": system.pipeline.default_steps}


def _options_of(system: PreTrainedModel) -> dict[str, Any]:
    """What `generate_motion` can be told besides texts, lengths and chance, and its defaults."""
    parameters = inspect.signature(system.generate_motion).parameters.values()
    own = (parameter for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY)
    return {parameter.name: parameter.default for parameter in own if parameter.name not in ("generator", "output_type")}


def _check_options(system: PreTrainedModel, options: dict[str, Any]) -> None:
    """Say it before hours of work when a model has no such option; a pipeline says it itself."""
    if hasattr(system, "pipeline"):
        return
    known = _options_of(system)
    if unknown := sorted(set(options) - set(known)):
        raise ValueError(f"{type(system).__name__} has no option {unknown[0]!r}; it has {', '.join(map(repr, sorted(known))) or 'none'}.")


def _check_lengths(
    own: MotionFeatureExtractor, evaluator: MotionFeatureExtractor, clips: EvaluationClips, protocol: Protocol, name: str
) -> None:
    """Say it before hours of work when a model cannot make motion of the length of the clips."""
    longest = min(max(map(len, clips.features)), protocol.max_frames) // protocol.unit_length * protocol.unit_length
    if protocol.lengths == "given" and frames_to_ask(own, evaluator, longest) > own.max_frames:
        possible = next(length for length in range(longest, -1, -1) if frames_to_ask(own, evaluator, length) <= own.max_frames)
        raise ValueError(
            f"{name} makes up to {own.max_frames} frames, a clip of {longest} frames needs {frames_to_ask(own, evaluator, longest)}. "
            f"Pass --max-frames {possible}, or an evaluation of shorter clips."
        )


def _reconstruction(request: EvaluationRequest, protocol: Protocol, device: str) -> _Outcome:
    from .reconstruction import score_reconstruction

    if request.model is None:
        raise ValueError("Name the model to reconstruct with: --model REPO.")
    own = load_part(AutoFeatureExtractor, checkpoint_folder(request.model), "feature_extractor")
    notes = ["Each cut of each clip is encoded and decoded once; errors are means over clips, the FID is between real clips and these."]
    evaluator = None if request.evaluator == "none" else _embedder(request.evaluator, EMBEDDED_EVALUATOR, device, request)
    if request.evaluator is None and evaluator is not None and not speaks_same(own, evaluator.feature_extractor):
        evaluator = None
        notes.append(f"There is no FID: the evaluator inside the package reads no {own.representation} features of {own.skeleton}.")
    clips = _clips(request, protocol, own)
    rows, settings = score_reconstruction(request.model, clips, protocol, evaluator, device, request.show_progress)
    return _Outcome(clips, rows, {**settings, "evaluator": None if evaluator is None else _described(evaluator)}, notes, protocol)


def _faces(request: EvaluationRequest, protocol: Protocol, device: str) -> _Outcome:
    from ..models.humantomato.modeling_facial_cvae import FacialCVAE
    from .faces import FaceClips, score_faces

    if request.model is None or request.evaluator is None:
        raise ValueError(
            "Name the model that makes faces and one that judges them: --model REPO --evaluator REPO (train_face.py makes both)."
        )
    models = []
    for name in (request.model, request.evaluator):
        model = load_part(AutoModel, checkpoint_folder(name), "model", dtype=torch.float32)
        model = getattr(model, "face_model", model)
        if not isinstance(model, FacialCVAE):
            raise ValueError(f"{name!r} holds no FacialCVAE. Train one with train_face.py.")
        models.append(model.to(device).eval())
    clips = FaceClips.from_rows(load_motion_rows(request.dataset, request.split), models[1], request.max_clips)
    if "pool_size" not in request.changes or request.changes["pool_size"] is None:
        protocol = replace(protocol, pool_size=min(protocol.pool_size, max(len(clips), 2, protocol.top_k)))
    name = checkpoint_folder(request.model).name
    rows = score_faces(*models, clips, protocol, name, request.multimodality_texts, request.multimodality_samples)
    digests = [
        f"{checkpoint_folder(part).name} ({fingerprint(checkpoint_folder(part))[:16]})" for part in (request.model, request.evaluator)
    ]
    notes = ["Faces are as long as the real ones (HumanTOMATO, table 9). Equal texts are right answers; distances are of cosines."]
    return _Outcome(clips, rows, dict(zip(("model", "evaluator"), digests, strict=True)), notes, protocol)


def _captioning(request: EvaluationRequest, protocol: Protocol, device: str) -> _Outcome:
    from .captioning import score_captioning

    if request.model is None:
        raise ValueError("Name the model that describes motion: --model REPO.")
    evaluator = _embedder(request.evaluator, EMBEDDED_EVALUATOR, device, request)
    alignment = _embedder(request.alignment, EMBEDDED_TMR, device, request) if request.alignment != "none" else None
    folder, name = checkpoint_folder(request.model), Path(request.model).name
    clips = _clips(request, protocol, evaluator.feature_extractor)
    fitted = protocol.fitted(clips, [name for name, value in request.changes.items() if value is not None])
    parts = (clips, fitted, evaluator, alignment, Path(request.output), request.options, device, request.show_progress)
    rows, settings = score_captioning(folder, name, *parts)
    judges = {"evaluator": _described(evaluator), "alignment": _described(alignment) if alignment is not None else None}
    notes = [
        *_pool_notes(protocol, fitted, alignment is not None),
        "Each clip is described once; sentences are compared with all captions of the clip. R-precision is of motion to text: the clip "
        "looks for its own sentence. Evaluators read the words of their own vocabulary only.",
    ]
    return _Outcome(clips, rows, {"model": f"{name} ({fingerprint(folder)[:16]})", **settings, **judges}, notes, fitted)


def _retrieval(request: EvaluationRequest, protocol: Protocol, device: str) -> _Outcome:
    from ..retrieval.text_similarity import SentenceEncoder
    from .retrieval import score_retrieval

    embedder = _embedder(request.model, EMBEDDED_TMR, device, request)
    clips = _clips(request, protocol, embedder.feature_extractor)
    sentences = SentenceEncoder(request.sentence_encoder, device=device) if request.sentence_encoder is not None else None
    rows = score_retrieval(clips, protocol, embedder, sentences)
    notes = ["A ranks all, C pools of alignment_pool_size, D pools of pool_size (HumanTOMATO, appendix D)."]
    if sentences is None:
        notes.append("B, where similar texts are right answers, needs a sentence encoder and is left out.")
    for letter, name in (("C", "alignment_pool_size"), ("D", "pool_size")):
        if not any(row.startswith(letter) for row in rows):
            notes.append(f"{letter} is left out: the set is smaller than its pools of {getattr(protocol, name)}.")
    settings = {"model": _described(embedder), "sentence_encoder": request.sentence_encoder}
    return _Outcome(clips, rows, settings, [*_caption_notes(clips, protocol), *notes], protocol)


def _embedder(name: str | None, default: Path, device: str, request: EvaluationRequest) -> MotionTextEmbedder:
    return MotionTextEmbedder.from_pretrained(name or default, device, request.batch_size)


def _described(embedder: MotionTextEmbedder) -> str:
    return f"{embedder.name} ({(embedder.digest or '?')[:16]})"


def _clips(request: EvaluationRequest, protocol: Protocol, extractor: MotionFeatureExtractor) -> EvaluationClips:
    with PartialState().main_process_first():
        rows = load_motion_rows(request.dataset, request.split)
    return EvaluationClips.from_rows(
        rows, extractor, protocol.min_frames, protocol.leave_out_from, request.max_clips, request.strict_rows,
        request.show_progress and PartialState().is_main_process, protocol.one_body,
    )  # fmt: skip


def _pool_notes(wanted: Protocol, fitted: Protocol, aligned: bool) -> list[str]:
    """What a reader has to know of pools that were made smaller."""
    names = ["pool_size", *(["alignment_pool_size"] if aligned else [])]
    smaller = [f"{name} {getattr(fitted, name)} rather than {getattr(wanted, name)}" for name in names]
    smaller = [text for text, name in zip(smaller, names, strict=True) if getattr(fitted, name) != getattr(wanted, name)]
    if not smaller:
        return []
    return [f"**The set is small: {', '.join(smaller)}.** A text has fewer motions to be told from, so R-precision is higher than usual."]


def _caption_notes(clips: EvaluationClips, protocol: Protocol) -> list[str]:
    used = [caption for captions in clips.captions for caption in captions[: 1 if protocol.captions == "first" else None]]
    policy = "counts as a hit" if protocol.equal_captions_hit else "counts as a miss, as published"
    return [f"{len(set(used))} of the {len(used)} captions in use are distinct; another motion of the very same caption {policy}."]


def _generation_notes(protocol: Protocol) -> list[str]:
    given = "Models are told the length of the real clip."
    chosen = "Models make the length that they choose, or their default where they have no way to choose."
    alike = "" if protocol.generations > 1 else ", which differ in pools and pairs only"
    return [
        given if protocol.lengths == "given" else chosen,
        "R-precision and MM-Dist: a text finds its motion.",
        f"{protocol.generations} generation(s), {protocol.replications} replications: ± is 1.96 standard deviations over the root of the "
        f"replications{alike}.",
        *([f"{REAL}: its FID is between two random cuts of the same clips."] if protocol.jitter else []),
    ]
