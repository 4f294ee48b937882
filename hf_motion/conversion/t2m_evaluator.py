"""Published evaluators of Guo et al. to `T2MEvaluator`.

Guo et al., *Generating Diverse and Natural 3D Human Motions from Text*, CVPR 2022. From a shell:

    python -m hf_motion.conversion.t2m_evaluator finest.tar --glove glove --mean mean.npy --std std.npy --output t2m-evaluator

The checkpoint is `text_mot_match/model/finest.tar` as it was published.
`--glove` is the published vocabulary (`our_vab_data.npy`, `our_vab_words.pkl`, `our_vab_idx.pkl`), whose vectors become part of the
checkpoint. Mean and std are the evaluator's own, published in the `meta` folder of `Comp_v6_KLD01` (HumanML3D) or `Comp_v6_KLD005`
(KIT-ML). They are not `Mean.npy` and `Std.npy` of the data sets, which have the same shape and give other scores.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from ..models.t2m_evaluator.configuration_t2m_evaluator import T2MEvaluatorConfig
from ..models.t2m_evaluator.modeling_t2m_evaluator import T2MEvaluator
from ..representation import MotionFeatureExtractor
from ..tokenization.glove import load_glove_folder
from ..tokenization.word_pos import WordPosTokenizer
from ..utils.files import check_writable
from .published import load_statistics, load_tensors

_DATASETS = {263: "humanml3d-22", 251: "kit-21"}
_NUM_CONTACTS = 4
_PARTS = ("movement_encoder", "motion_encoder", "text_encoder")

# Official names, without `.weight` or `.bias`, and ours.
_NAMES = {
    "movement_encoder.main.0": "movement_encoder.layers.0",
    "movement_encoder.main.3": "movement_encoder.layers.3",
    "movement_encoder.out_net": "movement_encoder.output_projection",
    "text_encoder.pos_emb": "pos_projection",
    **{f"{part}_encoder.input_emb": f"{part}_encoder.input_projection" for part in ("motion", "text")},
    **{f"{part}_encoder.output_net.{layer}": f"{part}_head.{layer}" for part in ("motion", "text") for layer in (0, 1, 3)},
}
_GRU_WEIGHTS = [f"{kind}_{gate}_l0{way}" for kind in ("weight", "bias") for gate in ("ih", "hh") for way in ("", "_reverse")]

Parts = Mapping[str, Mapping[str, Tensor]]


def convert_t2m_evaluator_state_dict(parts: Parts) -> dict[str, Tensor]:
    """Rename published weights. Word vectors, which are published apart, are not among them.

    Args:
        parts (`Mapping[str, Mapping[str, torch.Tensor]]`): Weights under their published names, of `"movement_encoder"`,
            `"motion_encoder"` and `"text_encoder"`.

    Returns:
        `dict[str, torch.Tensor]`: Weights of `T2MEvaluator` without its word vectors.

    Raises:
        ValueError: If names are unknown or missing.
    """
    official = {f"{part}.{name}": value for part in _PARTS for name, value in parts.get(part, {}).items()}
    names = _rename_map()
    missing, unexpected = sorted(names.keys() - official.keys()), sorted(official.keys() - names.keys())
    if missing or unexpected:
        found = "; ".join(f"{kind}: {_shorten(keys)}" for kind, keys in (("missing", missing), ("unexpected", unexpected)) if keys)
        raise ValueError(f"These are not the weights of the published evaluator: {found}. Pass text_mot_match/model/finest.tar unchanged.")
    return {ours: official[name] for name, ours in names.items()}


def t2m_evaluator_config_from_official(parts: Parts, word_vectors: np.ndarray) -> T2MEvaluatorConfig:
    """The configuration of `T2MEvaluator` for published weights. All sizes come from the weights.

    Args:
        parts (`Mapping[str, Mapping[str, torch.Tensor]]`): As for `convert_t2m_evaluator_state_dict`.
        word_vectors (`np.ndarray`): (words, width).

    Returns:
        `T2MEvaluatorConfig`: With the movement encoder frozen and the published negatives, as it was trained.

    Raises:
        ValueError: If the word vectors do not fit the text encoder, or names are missing.
    """
    weights = convert_t2m_evaluator_state_dict(parts)
    word_dim, num_pos_classes = _shape(weights, "pos_projection.weight", 2)
    if word_vectors.shape[1] != word_dim:
        raise ValueError(
            f"The text encoder reads word vectors {word_dim} wide, those of --glove are {word_vectors.shape[1]} wide. Pass the vocabulary "
            "that was published with it."
        )
    movement_hidden_size, looked_at, _ = _shape(weights, "movement_encoder.layers.0.weight", 3)
    return T2MEvaluatorConfig(
        num_features=looked_at + _NUM_CONTACTS,
        num_contacts=_NUM_CONTACTS,
        movement_hidden_size=movement_hidden_size,
        movement_size=_shape(weights, "movement_encoder.output_projection.bias", 1)[0],
        motion_hidden_size=_shape(weights, "motion_encoder.input_projection.bias", 1)[0],
        text_hidden_size=_shape(weights, "text_encoder.input_projection.bias", 1)[0],
        embed_dim=_shape(weights, "motion_head.3.bias", 1)[0],
        vocab_size=len(word_vectors),
        word_dim=word_dim,
        num_pos_classes=num_pos_classes,
        freeze_movement_encoder=True,
        published_negatives=True,
    )


def convert_t2m_evaluator_checkpoint(
    path: str | os.PathLike,
    *,
    glove: str | os.PathLike,
    mean: str | os.PathLike | np.ndarray | Sequence[float],
    std: str | os.PathLike | np.ndarray | Sequence[float],
    **tokenizer_options: Any,
) -> tuple[T2MEvaluator, PreTrainedTokenizerBase, MotionFeatureExtractor]:
    """Load a published evaluator. The three results, each saved with `save_pretrained` into one folder, are a complete checkpoint.

    Args:
        path (`str` or `os.PathLike`): `finest.tar`. It is read as data; a file that holds code is refused.
        glove (`str` or `os.PathLike`): Folder with the published vocabulary, see `WordPosTokenizer.from_glove_folder`.
        mean (`str`, `os.PathLike` or array): The evaluator's mean, numbers or an `.npy` file.
        std (`str`, `os.PathLike` or array): Its standard deviation.
        **tokenizer_options: For `WordPosTokenizer.from_glove_folder`, such as `tags` for a lexicon.

    Returns:
        `tuple[T2MEvaluator, PreTrainedTokenizerBase, MotionFeatureExtractor]`: The model in evaluation mode, its tokenizer, its feature
        extractor.

    Raises:
        FileNotFoundError: If a file does not exist.
        ValueError: If a file is not what it should be, or statistics or vocabulary do not fit the weights.

    Example:
        >>> from hf_motion.conversion.t2m_evaluator import convert_t2m_evaluator_checkpoint
        >>> statistics = {"mean": "mean.npy", "std": "std.npy"}
        >>> parts = convert_t2m_evaluator_checkpoint("finest.tar", glove="glove", **statistics)  # doctest: +SKIP
        >>> for part in parts:  # doctest: +SKIP
        ...     part.save_pretrained("t2m-evaluator")
    """
    parts = _load_parts(path)
    _, vectors = load_glove_folder(glove)
    config = t2m_evaluator_config_from_official(parts, vectors)
    if config.num_features not in _DATASETS:
        known = ", ".join(f"{width} for {skeleton}" for width, skeleton in _DATASETS.items())
        raise ValueError(f"The weights are for features {config.num_features} wide; known widths are {known}.")
    feature_extractor = MotionFeatureExtractor(
        skeleton=_DATASETS[config.num_features],
        mean=load_statistics("mean", mean),
        std=load_statistics("std", std),
        max_frames=config.max_frames,
    )
    model = T2MEvaluator(config)
    weights = convert_t2m_evaluator_state_dict(parts) | {"word_embeddings.weight": torch.from_numpy(vectors)}
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"The weights in {str(path)!r} do not fit each other: {error}") from error
    tokenizer = WordPosTokenizer.from_glove_folder(glove, max_text_len=20, **tokenizer_options)
    return model.eval(), tokenizer, feature_extractor


def _rename_map() -> dict[str, str]:
    """Every published name and the name it gets here."""
    names = {f"{official}.{kind}": f"{ours}.{kind}" for official, ours in _NAMES.items() for kind in ("weight", "bias")}
    for part in ("motion_encoder", "text_encoder"):
        names[f"{part}.hidden"] = f"{part}.initial_state"
        names |= {f"{part}.gru.{weight}": f"{part}.gru.{weight}" for weight in _GRU_WEIGHTS}
    return names


def _shape(weights: Mapping[str, Tensor], name: str, ndim: int) -> tuple[int, ...]:
    if weights[name].ndim != ndim:
        raise ValueError(f"{name} must have {ndim} dimensions, got shape {tuple(weights[name].shape)}. Pass the checkpoint unchanged.")
    return tuple(weights[name].shape)


def _load_parts(path: str | os.PathLike) -> dict[str, dict[str, Tensor]]:
    content = load_tensors(path)
    parts = {part: content.get(part) for part in _PARTS} if isinstance(content, dict) else {}
    missing = [part for part in _PARTS if not _is_weights(parts.get(part))]
    if missing:
        found = ", ".join(map(repr, list(content)[:5])) if isinstance(content, dict) else type(content).__name__
        raise ValueError(
            f"{str(path)!r} is no published evaluator: it lacks {', '.join(missing)}, and holds {found or None}. "
            "Pass text_mot_match/model/finest.tar; the generators' files have other parts."
        )
    return parts


def _is_weights(part: Any) -> bool:
    return isinstance(part, dict) and all(isinstance(value, Tensor) for value in part.values())


def _shorten(keys: Sequence[str]) -> str:
    return ", ".join(keys[:5]) + (f" and {len(keys) - 5} more" if len(keys) > 5 else "")


def main(arguments: Sequence[str] | None = None) -> None:
    """Convert an evaluator from the command line and save the complete checkpoint.

    Args:
        arguments (`Sequence[str]`, *optional*): Command line, the process's own by default.
    """
    parser = argparse.ArgumentParser(prog="python -m hf_motion.conversion.t2m_evaluator", description="Convert a published evaluator.")
    parser.add_argument("checkpoint", help="text_mot_match/model/finest.tar")
    parser.add_argument("--glove", required=True, help="folder with our_vab_data.npy, our_vab_words.pkl and our_vab_idx.pkl")
    parser.add_argument("--mean", required=True, help="mean.npy of the evaluator, not of the data set")
    parser.add_argument("--std", required=True, help="std.npy of the evaluator, not of the data set")
    parser.add_argument("--output", required=True, help="folder to save the checkpoint to")
    options = parser.parse_args(arguments)
    check_writable(options.output)
    for part in convert_t2m_evaluator_checkpoint(options.checkpoint, glove=options.glove, mean=options.mean, std=options.std):
        part.save_pretrained(options.output)


if __name__ == "__main__":
    main()
