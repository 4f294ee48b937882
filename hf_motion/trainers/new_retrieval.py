"""An untrained retrieval model from plain settings, as a YAML file holds them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from transformers import AutoFeatureExtractor, AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from ..hub.loading import load_part
from ..representation import MotionFeatureExtractor
from ..retrieval.embedder import checkpoint_folder
from ..utils.options import check_options
from .new_pipeline import train_clip_tokenizer

MODEL_TYPES = ("t2m-evaluator", "tmr", "adaqf-extractors", "gemini-mvr")


def load_retrieval_model(name: str | os.PathLike) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, MotionFeatureExtractor]:
    """A retrieval checkpoint's model, tokenizer and feature extractor, to train on; one that finds videos gets a plain extractor."""
    folder = checkpoint_folder(name)
    model, tokenizer = load_part(AutoModel, folder, "model", dtype=torch.float32), load_part(AutoTokenizer, folder, "tokenizer")
    if model.config.model_type == "gemini-mvr":
        return model, tokenizer, MotionFeatureExtractor()
    return model, tokenizer, load_part(AutoFeatureExtractor, folder, "feature_extractor")


def new_retrieval_model(
    model_type: str,
    captions: Iterable[str],
    tags: Mapping[str, str],
    feature_extractor: MotionFeatureExtractor,
    options: dict[str, Any] | None = None,
    text_model: str | dict[str, Any] | None = None,
    glove: str | None = None,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Build a retrieval model to train, and its tokenizer.

    Args:
        model_type (`str`): `"t2m-evaluator"`, `"tmr"`, `"adaqf-extractors"` or `"gemini-mvr"`, its action level.
        captions (`Iterable[str]`): Training captions; a new tokenizer learns its vocabulary from them.
        tags (`Mapping[str, str]`): The `word/POS` form of captions that have one.
        feature_extractor (`MotionFeatureExtractor`): With the training set's statistics.
        options (`dict`, *optional*): Of the model's configuration; widths that follow from the data are filled in.
        text_model (`str` or `dict`, *optional*): For `"tmr"`: a pretrained text encoder (folder or repository), which stays frozen unless
            the options say otherwise, or the options of a small BERT to train from scratch (`vocab_size` included). For `"gemini-mvr"`:
            the latter.
        glove (`str`, *optional*): For the others: folder with the published word vectors, see `WordPosTokenizer.from_glove_folder`. Without
            it words are learned from the captions.

    Returns:
        The model with random weights where nothing pretrained is named, and the tokenizer.

    Raises:
        ValueError: If the model type is unknown or does not take what it is given.
    """
    if model_type not in MODEL_TYPES:
        raise ValueError(f"model_type must be one of {', '.join(map(repr, MODEL_TYPES))}, got {model_type!r}.")
    if model_type == "gemini-mvr":
        return _new_gemini_mvr(captions, options or {}, text_model)
    options = {"num_features": feature_extractor.dim, **(options or {})}
    if model_type == "tmr":
        if glove is not None:
            raise ValueError("glove is for models that read words; a TMR reads what its text_model reads.")
        return _new_tmr(captions, options, text_model)
    if text_model is not None:
        raise ValueError(f"text_model is for 'tmr'; {model_type!r} reads words, see glove.")
    return _new_word_model(model_type, captions, tags, options, glove, feature_extractor.max_frames)


def _new_tmr(
    captions: Iterable[str], options: dict[str, Any], text_model: str | dict[str, Any] | None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    from ..models.tmr.modeling_tmr import TMR, TMRConfig

    check_options(options, TMRConfig, "model_options")
    if isinstance(text_model, str):
        return TMR.from_text_model(text_model, **options), AutoTokenizer.from_pretrained(text_model)
    text_config, tokenizer = small_bert(captions, text_model)
    return TMR(TMRConfig(text_config=text_config, **{"freeze_text_model": False, **options})), tokenizer


def _new_gemini_mvr(
    captions: Iterable[str], options: dict[str, Any], text_model: str | dict[str, Any] | None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    from ..models.gemini_mvr.modeling_gemini_mvr import GeminiMVR, GeminiMVRConfig

    check_options(options, GeminiMVRConfig, "model_options")
    if isinstance(text_model, str):
        raise ValueError(f"A new 'gemini-mvr' learns its text tower from the captions, got text_model={text_model!r}. Give its options.")
    text_config, tokenizer = small_bert(captions, text_model)
    return GeminiMVR(GeminiMVRConfig(text_config=text_config, **options)), tokenizer


def small_bert(captions: Iterable[str], text_model: dict[str, Any] | None) -> tuple[dict[str, Any], PreTrainedTokenizerBase]:
    """Configuration of a small text model that is trained from scratch, and a tokenizer of the captions.

    Args:
        captions (`Iterable[str]`): Texts that the tokenizer learns its vocabulary from.
        text_model (`dict`, *optional*): Options of the BERT, `vocab_size` included.
    """
    settings = {"model_type": "bert", "hidden_size": 128, "num_hidden_layers": 1, "num_attention_heads": 4, **(text_model or {})}
    tokenizer = train_clip_tokenizer(captions, settings.pop("vocab_size", 900))
    settings = {"intermediate_size": 4 * settings["hidden_size"], "max_position_embeddings": 77, **settings}
    return {**settings, "vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}, tokenizer


def _new_word_model(
    model_type: str, captions: Iterable[str], tags: Mapping[str, str], options: dict[str, Any], glove: str | None, max_frames: int
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    from ..models.adaqf_extractors.modeling_adaqf_extractors import AdaQFExtractors, AdaQFExtractorsConfig
    from ..models.t2m_evaluator.modeling_t2m_evaluator import T2MEvaluator, T2MEvaluatorConfig
    from ..tokenization.glove import load_glove_folder
    from ..tokenization.word_pos import WordPosTokenizer

    config_class = T2MEvaluatorConfig if model_type == "t2m-evaluator" else AdaQFExtractorsConfig
    check_options(options, config_class, "model_options")
    vectors = None
    if glove is None:
        tokenizer = WordPosTokenizer.from_captions(captions, tags=tags)
        options = {"freeze_word_embeddings": False, **options} if model_type == "t2m-evaluator" else options
    else:
        tokenizer = WordPosTokenizer.from_glove_folder(glove, tags=tags)
        vectors = torch.from_numpy(load_glove_folder(glove)[1])
        options = {"word_dim": vectors.shape[1], **options}
    options = {"vocab_size": tokenizer.vocab_size, **options}
    if model_type == "t2m-evaluator":
        options = {"max_frames": -(-max_frames // 4) * 4, **options}
        model = T2MEvaluator(T2MEvaluatorConfig(**options))
    else:
        model = AdaQFExtractors(AdaQFExtractorsConfig(**{"num_pos_classes": 15, **options}))
    if vectors is not None:
        with torch.no_grad():
            model.get_input_embeddings().weight.copy_(vectors)
    return model, tokenizer
