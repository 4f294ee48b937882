"""What `hf-motion correct` does: two files to one sentence, and a page that shows it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .alignment import align_motions
from .corrections import read_instruction
from .deviation import THRESHOLD, Deviation, describe, is_same, measure_deviation
from .formats.take import take_motion


@dataclass
class CorrectionRequest:
    """Two motions, and who says what to change.

    Args:
        source (`str` or `os.PathLike`): File of what was done.
        target (`str` or `os.PathLike`): File of what was meant.
        model (`str`, *optional*): Folder or repository of a model that corrects motions; without one, what was measured is said.
        output (`str` or `os.PathLike`, *optional*): Page to write, `.html`.
        num_candidates (`int`, defaults to 1): Sentences to draw.
        editor (`str`, *optional*): What ranks them by doing: folder or repository of an `MDMPipeline`, `"embedded"` for the one inside the
            package, `"kinematic"` for exact changes.
        threshold (`float`, *optional*): Metres below which nothing is corrected; the model's own by default.
        temperature (`float`, *optional*): Of drawing.
        mirror (`bool`, defaults to `False`): Compare with the mirror image of the second motion.
        seed (`int`, defaults to 0): All chance comes from it.
        device (`str`, *optional*): The fastest there is by default.
    """

    source: str | os.PathLike
    target: str | os.PathLike
    model: str | None = None
    output: str | os.PathLike | None = None
    num_candidates: int = 1
    editor: str | None = None
    threshold: float | None = None
    temperature: float | None = None
    mirror: bool = False
    seed: int = 0
    device: str | None = None


def run(request: CorrectionRequest) -> dict[str, Any]:
    """Compare the two motions and say what to change.

    Args:
        request (`CorrectionRequest`): What to do.

    Returns:
        `dict`: See `hf_motion.corrections.pipeline.MotionCorrectionPipeline.__call__`.

    Raises:
        OSError: If a file or the model is not there, or the page cannot be written.
        ValueError: If a motion cannot be mapped or compared, an option does not fit, or the model does not correct motions.
    """
    _check(request)
    motions = [take_motion(path) for path in (request.source, request.target)]
    deviation = measure_deviation(align_motions(*motions, mirror=request.mirror))
    result = _of_measurement(request, deviation) if request.model is None else _of_model(request, deviation)
    if request.output is not None:
        from .rendering.correction_report import save_correction_report

        names = [Path(path).name for path in (request.source, request.target)]
        speaker = None if request.model is None else Path(request.model).name
        save_correction_report(deviation, result, request.output, names=names, speaker=speaker)
    return result


def correction(deviation: Deviation, sentence: str | None = None, threshold: float = THRESHOLD) -> dict[str, Any]:
    """What is said of two motions, with the measurements of the part that it names.

    Args:
        deviation (`Deviation`): The two motions.
        sentence (`str`, *optional*): What a model says; without one, what was measured is said.
        threshold (`float`, defaults to `hf_motion.deviation.THRESHOLD`): Metres below which nothing is corrected.

    Returns:
        `dict`: See `MotionCorrectionPipeline.__call__`.
    """
    measured, fps = describe(deviation, threshold), deviation.alignment.source.fps
    text = measured if sentence is None else sentence
    named = () if sentence is None else read_instruction(sentence).parts
    part = named[0] if named else deviation.largest
    span = deviation.span(part)
    return {
        "generated_text": text, "said_by": "measurement" if sentence is None else "model", "measured": measured,
        "part": part, "names_part": bool(named), "deviation": float(deviation.of(part).max()),
        "seconds": (span.start / fps, span.end / fps), "peak": span.peak / fps,
        "same": is_same(deviation, threshold), "mirrored": deviation.alignment.mirrored,
    }  # fmt: skip


def _check(request: CorrectionRequest) -> None:
    if request.output is not None and Path(request.output).suffix.lower() != ".html":
        raise ValueError(f"Cannot write a report as {Path(request.output).suffix or str(request.output)!r}. Use .html.")
    asked = {
        "num_candidates": request.num_candidates != 1,
        "editor": request.editor is not None,
        "temperature": request.temperature is not None,
    }
    if request.model is None and any(asked.values()):
        raise ValueError(f"{', '.join(name for name, given in asked.items() if given)} need --model: without one, no sentences are drawn.")
    if request.editor is not None and request.num_candidates < 2:
        raise ValueError("--editor ranks several sentences; ask for them with --num-candidates, such as 5.")


def _of_measurement(request: CorrectionRequest, deviation: Deviation) -> dict[str, Any]:
    return correction(deviation, None, THRESHOLD if request.threshold is None else request.threshold)


def _of_model(request: CorrectionRequest, deviation: Deviation) -> dict[str, Any]:
    from transformers import pipeline

    from .utils.device import choose_device

    device = choose_device(request.device)
    correct = pipeline("motion-correction", model=str(request.model), device=device)
    alignment = deviation.alignment
    options = {} if request.temperature is None else {"temperature": request.temperature}
    return correct(
        alignment.source, alignment.target, num_candidates=request.num_candidates, rerank=load_editor(request.editor, device),
        threshold=request.threshold, seed=request.seed, **options,
    )  # fmt: skip


def load_editor(name: str | None, device: str = "cpu") -> Any:
    """An editor by its name, see `CorrectionRequest`; None for none.

    Args:
        name (`str`, *optional*): `"embedded"`, `"kinematic"`, or folder or repository of an `MDMPipeline`.
        device (`str`, defaults to `"cpu"`): Where to run.

    Raises:
        OSError: If there is no such checkpoint.
    """
    if name is None:
        return None
    if name == "kinematic":
        from .corrections import KinematicEditor

        return KinematicEditor()
    from .checkpoints import EMBEDDED
    from .pipelines.mdm import MDMPipeline
    from .utils.training_folder import checkpoint_in

    editor = MDMPipeline.from_pretrained(EMBEDDED if name == "embedded" else checkpoint_in(name)).to(device)
    editor.set_progress_bar_config(disable=True)
    return editor
