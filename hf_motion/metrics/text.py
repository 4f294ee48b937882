"""Scores of sentences against reference sentences: BLEU, ROUGE, METEOR and CLIPScore, through the libraries that the field uses.

CigTime (its section 4.1) reports BLEU-4, ROUGE-2, METEOR and CLIPScore of its corrections. Each result says, beside the numbers, with which
settings it was made.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from ..utils.extras import require

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

References = Sequence[str] | Sequence[Sequence[str]]


class _NoSynonyms:
    """Stands for WordNet when there is none: no word has a synonym."""

    @staticmethod
    def synsets(word: str) -> list[Any]:
        return []


def bleu(predictions: Sequence[str], references: References, *, max_order: int = 4, lowercase: bool = False) -> dict[str, Any]:
    """BLEU of a corpus (Papineni et al. 2002), by sacreBLEU: BP · exp(1/N Σ log pₙ) over n-grams up to `max_order`.

    It is computed once over all sentences, not averaged over them. sacreBLEU's own tokenisation (13a) and smoothing (exp) are used, and its
    signature is part of the result, since BLEU of other tokenisations is not comparable. 0 ... 1 (sacreBLEU prints per cent).

    Args:
        predictions (`Sequence[str]`): Sentences to score.
        references (`Sequence[str]` or `Sequence[Sequence[str]]`): One reference, or several, for each.
        max_order (`int`, defaults to 4): Longest n-grams.
        lowercase (`bool`, defaults to `False`): Ignore case.

    Returns:
        `dict`: `bleu` and `bleu_signature`.

    Raises:
        ImportError: If sacreBLEU is not installed.
        ValueError: If there are no sentences, or not as many references.
    """
    sacrebleu = require("sacrebleu.metrics", "BLEU")
    predictions, several = _checked(predictions, references)
    width = max(map(len, several))
    streams = [[group[place] if place < len(group) else None for group in several] for place in range(width)]
    metric = sacrebleu.BLEU(max_ngram_order=max_order, lowercase=lowercase)
    score = metric.corpus_score(predictions, streams).score / 100
    return {"bleu": score, "bleu_signature": str(metric.get_signature())}


def rouge(predictions: Sequence[str], references: References, *, stem: bool = False) -> dict[str, Any]:
    """ROUGE-1, ROUGE-2 and ROUGE-L (Lin 2004), by rouge-score: F1 of shared words, pairs of words, and the longest common subsequence.

    The mean over sentences, each with the best of its references. 0 ... 1. An empty sentence scores 0.

    Args:
        predictions (`Sequence[str]`): Sentences to score.
        references (`Sequence[str]` or `Sequence[Sequence[str]]`): One reference, or several, for each.
        stem (`bool`, defaults to `False`): Compare Porter stems instead of words.

    Returns:
        `dict`: `rouge1`, `rouge2`, `rougeL`, and `rouge_settings`.

    Raises:
        ImportError: If rouge-score is not installed.
        ValueError: If there are no sentences, or not as many references.
    """
    rouge_scorer = require("rouge_score.rouge_scorer", "ROUGE")
    predictions, several = _checked(predictions, references)
    kinds = ("rouge1", "rouge2", "rougeL")
    scorer = rouge_scorer.RougeScorer(kinds, use_stemmer=stem)
    scores = [scorer.score_multi(group, prediction) for group, prediction in zip(several, predictions, strict=True)]
    settings = f"rouge-score {version('rouge-score')}, {'stems' if stem else 'words'}, F1"
    return {**{kind: float(np.mean([score[kind].fmeasure for score in scores])) for kind in kinds}, "rouge_settings": settings}


def meteor(
    predictions: Sequence[str], references: References, *, synonyms: bool | None = None, alpha: float = 0.9, beta: float = 3.0,
    gamma: float = 0.5,
) -> dict[str, Any]:  # fmt: skip
    """METEOR (Banerjee & Lavie 2005), by NLTK: F · (1 - gamma · (chunks / matches)^beta), where F is
    P·R / (alpha·P + (1 - alpha)·R) of the matched words' precision P and recall R.

    Words match if they are the same, then if their Porter stems are, then if WordNet knows them as synonyms. WordNet is data that NLTK
    does not bring along (`python -m nltk.downloader wordnet`). Without it the third step finds nothing and scores are lower, so the result
    says under `meteor_matching` which steps there were; numbers of different steps are not comparable. A sentence that equals its
    reference scores 1 - gamma / words^beta, not 1. NLTK pairs repeated words from the end, not so that the chunks are fewest. Sentences are
    lowered and split at spaces and punctuation. The mean over sentences, each with the best of its references; 0 ... 1. An empty sentence
    scores 0.

    Args:
        predictions (`Sequence[str]`): Sentences to score.
        references (`Sequence[str]` or `Sequence[Sequence[str]]`): One reference, or several, for each.
        synonyms (`bool`, *optional*): True insists on WordNet, False leaves it out; by default it is used if its data is installed.
        alpha (`float`, defaults to 0.9): Weight of precision.
        beta (`float`, defaults to 3.0): Shape of the penalty for scattered matches.
        gamma (`float`, defaults to 0.5): Its weight.

    Returns:
        `dict`: `meteor`, and `meteor_matching`: `"exact, stem"` or `"exact, stem, wordnet <version>"`.

    Raises:
        ImportError: If NLTK is not installed.
        LookupError: If `synonyms=True` and WordNet's data is not installed.
        ValueError: If there are no sentences, or not as many references.
    """
    wordnet = require("nltk.corpus", "METEOR").wordnet
    wordpunct_tokenize = require("nltk.tokenize", "METEOR").wordpunct_tokenize
    meteor_score = require("nltk.translate.meteor_score", "METEOR").meteor_score
    predictions, several = _checked(predictions, references)
    if synonyms is None or synonyms:
        try:
            wordnet.ensure_loaded()
            synonyms = True
        except LookupError as error:
            if synonyms:
                raise LookupError(
                    "METEOR with synonyms needs the data of WordNet: run `python -m nltk.downloader wordnet`, or pass `synonyms=False`."
                ) from error
            synonyms = False
    options = {"alpha": alpha, "beta": beta, "gamma": gamma, "wordnet": wordnet if synonyms else _NoSynonyms}
    scores = [
        meteor_score([wordpunct_tokenize(reference) for reference in group], wordpunct_tokenize(prediction), **options)
        for group, prediction in zip(several, predictions, strict=True)
    ]
    matching = f"exact, stem, wordnet {wordnet.get_version()}" if synonyms else "exact, stem"
    return {"meteor": float(np.mean(scores)), "meteor_matching": matching}


def clip_score(
    predictions: Sequence[str],
    references: References,
    *,
    model: str | PreTrainedModel = "openai/clip-vit-base-patch32",
    tokenizer: PreTrainedTokenizerBase | None = None,
    batch_size: int = 64,
) -> dict[str, Any]:
    """CigTime's CLIPScore: cosine of the CLIP text embeddings of a sentence and of its reference.

    cos(E(p), E(r)), the best of the references, averaged over sentences; -1 ... 1, higher is better. Other authors call the cosine of an
    image and a text by this name (Hessel et al. 2021, scaled by 2.5 and cut at 0); no image is involved here. The paper does not say which
    CLIP it took.

    Args:
        predictions (`Sequence[str]`): Sentences to score.
        references (`Sequence[str]` or `Sequence[Sequence[str]]`): One reference, or several, for each.
        model (`str` or `PreTrainedModel`, defaults to `"openai/clip-vit-base-patch32"`): Name or folder of a CLIP, or a `CLIPModel` or
            `CLIPTextModelWithProjection`, which stays on its device.
        tokenizer (`PreTrainedTokenizerBase`, *optional*): The model's tokenizer; loaded with a model given by name.
        batch_size (`int`, defaults to 64): Sentences embedded at once; the result does not depend on it.

    Returns:
        `dict`: `clip_score`, `clip_model`, and `clip_truncated`: how many different sentences were longer than the model reads.

    Raises:
        ValueError: If there are no sentences, not as many references, the named model is no CLIP, or a model object comes without its
            tokenizer.
    """
    predictions, several = _checked(predictions, references)
    if isinstance(model, str):
        from transformers import AutoTokenizer

        tokenizer = tokenizer or AutoTokenizer.from_pretrained(model)
        model = _load_clip(model)
    if tokenizer is None:
        raise ValueError(f"A {type(model).__name__} was given without its tokenizer; pass `tokenizer=`, or the model's name.")
    distinct = sorted({*predictions, *(reference for group in several for reference in group)}, key=lambda text: (len(text), text))
    embeddings, truncated = _clip_embeddings(distinct, model.eval(), tokenizer, batch_size)
    places = {text: place for place, text in enumerate(distinct)}
    owners = np.repeat(np.arange(len(several)), [len(group) for group in several])
    one = embeddings[[places[predictions[owner]] for owner in owners]]
    two = embeddings[[places[reference] for group in several for reference in group]]
    best = np.full(len(several), -np.inf)
    np.maximum.at(best, owners, (one * two).sum(1))
    name = model.config.name_or_path or type(model).__name__
    return {"clip_score": float(best.mean()), "clip_model": name, "clip_truncated": truncated}


def _load_clip(name: str) -> PreTrainedModel:
    from transformers import AutoConfig, CLIPModel, CLIPTextModelWithProjection

    classes = {"clip": CLIPModel, "clip_text_model": CLIPTextModelWithProjection}
    kind = AutoConfig.from_pretrained(name).model_type
    if kind not in classes:
        raise ValueError(f"{name!r} holds a model of type {kind!r}; CLIPScore needs one of: {', '.join(classes)}.")
    model, info = classes[kind].from_pretrained(name, use_safetensors=True, output_loading_info=True)
    absent = sorted(map(str, {*info["missing_keys"], *info["mismatched_keys"]}))
    if absent:
        raise ValueError(f"{name!r} lacks weights of a {type(model).__name__}, which would be random: {', '.join(absent)}.")
    return model


def _clip_embeddings(
    texts: list[str], model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, batch_size: int
) -> tuple[np.ndarray, int]:
    import torch

    limit = getattr(model.config, "text_config", model.config).max_position_embeddings
    rows: list[Tensor] = []
    truncated = 0
    for start in range(0, len(texts), batch_size):
        batch = texts[start : start + batch_size]
        truncated += sum(len(ids) > limit for ids in tokenizer(batch)["input_ids"])
        inputs = tokenizer(batch, padding=True, truncation=True, max_length=limit, return_tensors="pt").to(model.device)
        with torch.inference_mode():
            whole = hasattr(model, "get_text_features")
            output = model.get_text_features(**inputs).pooler_output if whole else model(**inputs).text_embeds
        rows.append(torch.nn.functional.normalize(output.double(), dim=-1).cpu())
    return torch.cat(rows).numpy(), truncated


def _checked(predictions: Sequence[str], references: References) -> tuple[list[str], list[list[str]]]:
    if isinstance(predictions, str) or isinstance(references, str):
        raise ValueError("predictions and references are lists of sentences, got a single string; wrap it in a list.")
    several = [[group] if isinstance(group, str) else list(group) for group in references]
    if not len(predictions) or len(predictions) != len(several) or not all(several):
        raise ValueError(
            f"Every prediction needs at least one reference: got {len(predictions)} predictions, {len(several)} references, "
            f"{sum(not group for group in several)} of them empty."
        )
    return list(predictions), several
