"""Two motions and what to change, as a page for whoever moved: both side by side, where they differ, and one sentence."""

from __future__ import annotations

import html
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..alignment import Alignment, body_poses, headings, turned
from ..deviation import PARTS, Deviation, joints_of
from ..motion import Motion
from ..utils.files import atomic_path
from .page import filled_page
from .player import HEAT, player_html

_ROWS = ("head", "torso", "left arm", "right arm", "hips", "left leg", "right leg")
_SCALE = 0.2  # metres of the full colour, unless something is farther apart


def save_correction_report(
    deviation: Deviation, result: Mapping[str, Any], path: str | os.PathLike, *, names: Sequence[str] = ("", ""), speaker: str | None = None
) -> Path:  # fmt: skip
    """Write one self-contained HTML page, which any browser opens without a network.

    Both motions play side by side in sync, the second on the time line of the first, joints coloured by how far they are apart; the second
    can be laid over the first. Below, a strip shows how far each part of the body, or each joint, is apart over time, with the moment that
    the sentence speaks of, and a button goes there. Of several candidates, all are listed with how near the target they land.

    Args:
        deviation (`Deviation`): The two motions.
        result (`Mapping`): What is said of them: see `hf_motion.correction.correction`.
        path (`str` or `os.PathLike`): File to write; missing folders are made. It appears whole or not at all.
        names (`Sequence[str]`, *optional*): What the two motions are called, such as the names of their files.
        speaker (`str`, *optional*): The model that spoke.

    Returns:
        `pathlib.Path`: The written file.

    Raises:
        OSError: If the file cannot be written.
    """
    document = correction_report_html(deviation, result, names=names, speaker=speaker)
    with atomic_path(path) as temporary:
        temporary.write_text(document, encoding="utf-8")
    return Path(path)


def correction_report_html(
    deviation: Deviation, result: Mapping[str, Any], *, names: Sequence[str] = ("", ""), speaker: str | None = None
) -> str:  # fmt: skip
    """The page of `save_correction_report`.

    Args:
        deviation (`Deviation`): The two motions.
        result (`Mapping`): What is said of them.
        names (`Sequence[str]`, *optional*): What they are called.
        speaker (`str`, *optional*): The model that spoke.
    """
    alignment = deviation.alignment
    scale = max(_SCALE, math.ceil(deviation.distance * 10) / 10)
    heat = np.clip(deviation.joints / scale, 0, 1)
    captions = [f"{title}{f' ({name})' if name else ''}" for title, name in zip(("What you did", "What was meant"), names, strict=True)]
    motions = [replace(motion, text=text) for motion, text in zip((alignment.source, alignment.warped), captions, strict=True)]
    data = _strip(deviation, result) | {"scale": round(100 * scale)}
    values = {
        "title": html.escape(result["generated_text"]), "sentence": html.escape(_sentence(_advice(result)[0])),
        "because": html.escape(_sentence(_advice(result)[1])), "speaker": _speaker(result, speaker),
        "facts": "" if result["same"] else _facts(result), "candidates": _candidates(result),
        "player": player_html(motions, height=430, heat=[heat, heat], ghosts=[laid_over(alignment), None]),
        "how": html.escape(_how(deviation, result)), "scale": str(data["scale"]), "gradient": ",".join(f"rgb{colour}" for colour in HEAT),
        "data": json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"),
    }  # fmt: skip
    return filled_page("correction_report.html", values)


def _strip(deviation: Deviation, result: Mapping[str, Any]) -> dict[str, Any]:
    """How far parts and joints are apart, over time, and the moment that the sentence speaks of."""
    source = deviation.alignment.source
    parts = [part for part in _ROWS if part in deviation.parts]
    return {
        "rows": [{"name": part, "part": part, "cm": _cm(deviation.of(part))} for part in parts],
        "joints": [
            {"name": name.replace("_", " "), "part": part, "cm": _cm(deviation.joints[:, source.skeleton.joint(name)])}
            for part in parts for name in joints_of(part)
        ],
        "marked": [name for name in PARTS.get(result["part"], ()) if len(PARTS[result["part"]]) < len(_ROWS)],
        "fps": source.fps, "frames": len(source), "ramp": HEAT, "span": list(result["seconds"]), "peak": result["peak"],
        "silent": bool(result["same"]),
    }  # fmt: skip


def laid_over(alignment: Alignment) -> Motion:
    """The target on the time line of the source, in its place and facing where it faces, moment by moment: what can be drawn over it.

    Args:
        alignment (`Alignment`): The two motions.
    """
    source, target = alignment.source.joints.astype(np.float64), alignment.warped.joints.astype(np.float64)
    joints = turned(body_poses(alignment.warped), -headings(source, alignment.source.skeleton))
    joints += source[:, :1] * [1, 0, 1]
    joints[..., 1] += target[:, :1, 1] - target[..., 1].min() + source[..., 1].min()
    return replace(alignment.source, joints=joints, text=None)


def _cm(series: np.ndarray) -> list[int]:
    return [round(100 * float(value)) for value in series]


def _advice(result: Mapping[str, Any]) -> tuple[str, str]:
    """What to do, and what was seen; sentences of measurements hold both."""
    said, measured = result["generated_text"], result["measured"]
    if result["said_by"] == "model":
        return said, ""
    one, _, two = measured.rpartition(": ")
    return (one, two) if result["same"] else (two, one)


def _candidates(result: Mapping[str, Any]) -> str:
    """All sentences that were drawn, the nearest to the target first where they were ranked."""
    sentences = list(dict.fromkeys(result.get("candidates", ())))
    if len(sentences) < 2:
        return ""
    far = dict(zip(result["candidates"], result.get("distances", ()), strict=False))
    lands = {name: "cannot be done" if math.isinf(cost) else f"lands {100 * cost:.1f} cm from it" for name, cost in far.items()}
    rows = []
    for text in sorted(sentences, key=lambda text: far.get(text, 0.0)):
        kind = " class=chosen" if text == result["generated_text"] else ""
        rows.append(f"<li{kind}>{html.escape(_sentence(text))} <span>{lands.get(text, '')}</span></li>")
    title = "Sentences that were tried on the motion, nearest to what was meant first" if far else "Sentences that were drawn"
    return f"<section><h2>{title}</h2><ol>{''.join(rows)}</ol></section>"


def _sentence(text: str) -> str:
    text = text[:1].upper() + text[1:]
    return text if not text or text.endswith((".", "!", "?")) else f"{text}."


def _speaker(result: Mapping[str, Any], speaker: str | None) -> str:
    if result["said_by"] == "measurement":
        return "Measured from the two motions. No model spoke."
    return f"Said by {html.escape(speaker or 'a model')}. Measured besides: {html.escape(result['measured'])}"


def _facts(result: Mapping[str, Any]) -> str:
    start, end = result["seconds"]
    part = result["part"] if result["names_part"] or result["said_by"] == "measurement" else f"{result['part']} (the sentence names none)"
    facts = (
        ("Part of the body", part), ("Farthest apart", f"{100 * result['deviation']:.0f} cm, at {result['peak']:.1f} s"),
        ("The moment", f"{start:.1f} s to {end:.1f} s"),
    )  # fmt: skip
    return "".join(f"<div><dt>{name}</dt><dd>{html.escape(value)}</dd></div>" for name, value in facts)


def _how(deviation: Deviation, result: Mapping[str, Any]) -> str:
    alignment = deviation.alignment
    tempo = alignment.tempo
    pace = "as long as" if abs(math.log(tempo)) < 0.03 else f"{tempo:.2f} times as long as"
    mirrored = " It looks like the mirror image of the first." if result["mirrored"] else ""
    return (
        "The second motion was matched to the first moment by moment, so that both play in step; by itself it takes "
        f"{pace} the first ({alignment.source.duration:.1f} s). Both were turned to face the same way and brought to one body size. Left "
        "and right are those of the person who moves. Arms are measured from the shoulder, legs from the hip, the hips in height above the "
        f"floor.{mirrored}"
    )
