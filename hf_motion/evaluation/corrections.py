"""Scores of corrections: CigTime's Table 1, and for exact changes whether sentences name the right part, side and direction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from ..checkpoints import EMBEDDED_EVALUATOR, EMBEDDED_TMR
from ..corrections import Triplet, apply_instruction, read_instruction
from ..metrics import bleu, frechet_distance, meteor, mpjpe, rouge
from ..motion import Motion
from ..retrieval.embedder import MotionTextEmbedder
from ..retrieval.text_similarity import SentenceEncoder
from ..utils.text import say_once
from .result import markdown_table

_COLUMNS = {
    "bleu": "BLEU-4", "rouge2": "ROUGE-2", "meteor": "METEOR", "text_cosine": "text cosine", "mpjpe": "MPJPE (m)", "fid": "FID",
    "part": "part", "side": "side", "direction": "direction",
}  # fmt: skip
_WHOLE_BODY = ("upper_body", "lower_body")
_EXACT = "kinematic"


def score_corrections(
    answers: Mapping[str, Sequence[str]],
    triplets: Sequence[Triplet],
    *,
    editor: Any = None,
    text_encoder: str | None = None,
    evaluator: str | None = None,
    seed: int = 0,
    show_progress: bool = False,
) -> dict[str, dict[str, Any]]:
    """Score sentences of several methods against triplets.

    Args:
        answers (`Mapping[str, Sequence[str]]`): By method, a sentence for each triplet.
        triplets (`Sequence[Triplet]`): With the true sentences; other wordings of one count as its references too.
        editor (`MDMPipeline` or another editor, *optional*): Does what each sentence says to the source: for `mpjpe` and `fid` to the
            target. By itself an editor lands elsewhere than the target too, unless it made that one with the same seed: score the true
            sentences beside.
        text_encoder (`str`, *optional*): Sentence model, or a CLIP, whose cosine stands for the paper's CLIPScore (it does not say which
            CLIP); the text side of the TMR inside the package by default. The result names it.
        evaluator (`str`, *optional*): Folder or repository of a `T2MEvaluator`, for FID; the one inside the package by default.
        seed (`int`, defaults to 0): The editor's.
        show_progress (`bool`, defaults to `False`): Show progress bars.

    Returns:
        `dict[str, dict]`: By method: `bleu`, `rouge2`, `meteor`, `text_cosine`, their settings, and `text_encoder`; with an editor `mpjpe`
        (metres, nothing aligned, over the common length), `fid`, `unnamed`: how many sentences name no part, and were done with the whole
        body, and `undone`: how many the editor could not do, so that the source counts; of kinematic triplets the
        shares `part`, `side` and `direction`, and how many there are, `exact`.

    Raises:
        ValueError: If there are no triplets, or a method has not as many sentences.
    """
    if not len(triplets):
        raise ValueError("There are no triplets to score.")
    for name, said in answers.items():
        if len(said) != len(triplets):
            raise ValueError(f"{name} has {len(said)} sentences for {len(triplets)} triplets.")
    items = list(triplets)
    cosine = _cosine(text_encoder)
    embedder = None if editor is None else MotionTextEmbedder.from_pretrained(evaluator or EMBEDDED_EVALUATOR)
    wanted = None if embedder is None else embedder.embed_motions(embedder.encode([one.target for one in items]))
    rows = {}
    with say_once():
        for name, said in answers.items():
            row = _in_words(list(said), items) | cosine(list(said), [one.instruction for one in items])
            if embedder is not None:
                row |= _in_motion(list(said), items, editor, embedder, wanted, seed, show_progress)
            rows[name] = row | _named(list(said), items)
    return rows


def corrections_table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Scores as a table in markdown, and below it what they depend on."""
    names = [name for name in _COLUMNS if any(name in row for row in rows.values())]
    body = [[method, *(f"{row[name]:.3f}" if name in row else "" for name in names)] for method, row in rows.items()]
    first = next(iter(rows.values()))
    keys = ("bleu_signature", "rouge_settings", "meteor_matching", "text_encoder", "triplets", "exact")
    notes = [f"{key}: {first[key]}" for key in keys if key in first]
    notes += [f"{key} of {name}: {row[key]}" for name, row in rows.items() for key in ("unnamed", "undone") if row.get(key)]
    return "\n".join([markdown_table(["method", *(_COLUMNS[name] for name in names)], body), "", "; ".join(notes)])


def _in_words(said: list[str], items: list[Triplet]) -> dict[str, Any]:
    references = [list(dict.fromkeys((one.instruction, *one.wordings))) for one in items]
    scores = bleu(said, references, lowercase=True) | rouge(said, references) | meteor(said, references)
    return {key: value for key, value in scores.items() if key not in ("rouge1", "rougeL")} | {"triplets": len(items)}


def _cosine(name: str | None) -> Any:
    if name is None:
        embedder = MotionTextEmbedder.from_pretrained(EMBEDDED_TMR)
        embed, called = embedder.embed_texts, f"{embedder.name} (text side of a TMR)"
    else:
        from transformers import AutoConfig

        if AutoConfig.from_pretrained(name).model_type.startswith("clip"):
            from ..metrics import clip_score

            return lambda said, true: {"text_cosine": clip_score(said, true, model=name)["clip_score"], "text_encoder": name}
        encoder = SentenceEncoder(name)
        embed, called = (lambda texts: encoder(texts).numpy()), name

    def score(said: list[str], true: list[str]) -> dict[str, Any]:
        spoken = [text or "." for text in said]
        one, two = (np.asarray(embed(texts), dtype=np.float64) for texts in (spoken, true))
        one, two = (side / np.linalg.norm(side, axis=-1, keepdims=True) for side in (one, two))
        return {"text_cosine": float((one * two).sum(-1).mean()), "text_encoder": called}

    return score


def _in_motion(
    said: list[str], items: list[Triplet], editor: Any, embedder: MotionTextEmbedder, wanted: Any, seed: int, show_progress: bool
) -> dict[str, Any]:
    made: list[Motion] = []
    unnamed = undone = 0
    for text, one in zip(tqdm(said, desc="Doing what was said", disable=not show_progress), items, strict=True):
        named = bool(read_instruction(text).parts)
        unnamed += not named
        try:
            made.append(apply_instruction(one.source, text or "stand", editor, seed, mask=None if named else _WHOLE_BODY))
        except ValueError:  # an editor of exact changes does not know what to do
            made.append(one.source)
            undone += 1
    errors = []
    for motion, one in zip(made, items, strict=True):
        motion = motion.resample(one.target.fps)
        frames = min(len(motion), len(one.target))
        errors.append(mpjpe(motion.joints[:frames], one.target.joints[:frames]))
    embeddings = embedder.embed_motions(embedder.encode(made))
    result = {"mpjpe": float(np.mean(errors)), "unnamed": unnamed, "undone": undone}
    return result | ({"fid": float(frechet_distance(wanted, embeddings))} if len(items) > 1 else {})


def _named(said: list[str], items: list[Triplet]) -> dict[str, Any]:
    exact = [(text, one.change) for text, one in zip(said, items, strict=True) if one.editor == _EXACT]
    if not exact:
        return {}
    hits = [read_instruction(text).names(change) for text, change in exact]
    return {name: float(np.mean([hit[name] for hit in hits])) for name in ("part", "side", "direction")} | {"exact": len(exact)}
