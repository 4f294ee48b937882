"""Published motion tokenizers of T2M-GPT and MoMask to `MotionVQModel`.

Zhang et al., *T2M-GPT*, CVPR 2023; Guo et al., *MoMask*, CVPR 2024. From a shell:

    python -m hf_motion.conversion.motion_vq net_last.pth --mean mean.npy --std std.npy --output motion-vq

The checkpoint is T2M-GPT's `VQVAE/net_last.pth`, or MoMask's `rvq_*/model/net_best_fid.tar`. Mean and std are those that it was trained
with, which differ though their shapes do not: MoMask's lie in the `meta` folder beside its `model` folder; T2M-GPT's are the evaluator's,
in `VQVAEV3_CB1024_CMT_H1024_NRES3/meta`. Neither are `Mean.npy` and `Std.npy` of the data set.

Published files keep no count of what each code stood for. Each gets the mean of the published training, so that training goes on where it
ended; the published code draws new codes from the first batch instead.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..hub.card import write_tokenizer_card
from ..hub.checkpoint import save_checkpoint
from ..models.motion_vq.configuration_motion_vq import MotionVQConfig
from ..models.motion_vq.modeling_motion_vq import MotionVQModel
from ..representation import MotionFeatureExtractor
from ..tokenization.motion_tokenizer import MotionTokenizer
from ..utils.files import check_writable
from .published import check_names, count_layers, load_statistics, load_weights

_DATASETS = {263: ("humanml3d-22", [4, 67]), 251: ("kit-21", [4, 64])}
_KEYS = ("net", "vq_model")
_PREFIX = "vqvae."
_STRIDE_KERNEL = 4
# 256 windows of 64 frames, 4 of them a token, over 512 codes.
_CODE_COUNT = 8.0
# MoMask's; with one quantizer, T2M-GPT's, which are the configuration's own.
_RESIDUAL_OPTIONS = {"dropout": 0.2, "quantize_dropout": 0.2, "sample_temperature": 0.5}


def convert_motion_vq_state_dict(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename published weights, and make up the statistics of the codebooks.

    Args:
        state_dict (`Mapping[str, torch.Tensor]`): Weights under their published names.

    Returns:
        `dict[str, torch.Tensor]`: Weights of `MotionVQModel`.

    Raises:
        ValueError: If names are unknown or missing.
    """
    state_dict = _without_prefix(state_dict)
    names, books = _rename_map(state_dict), _books(state_dict)
    check_names(state_dict, {**names, **dict.fromkeys(books)}, "a published motion tokenizer")
    converted = {ours: state_dict[official] for official, ours in names.items()}
    for index, book in enumerate(books[:1] if _shares_codebook(state_dict) else books):
        codebook = state_dict[book]
        converted |= {
            f"quantizer.books.{index}.codebook": codebook,
            f"quantizer.books.{index}.code_sum": codebook * _CODE_COUNT,
            f"quantizer.books.{index}.code_count": torch.full((len(codebook),), _CODE_COUNT),
            f"quantizer.books.{index}.initialized": torch.tensor(True),
        }
    return converted


def motion_vq_config_from_official(state_dict: Mapping[str, Tensor], dilation_growth: int = 3) -> dict[str, Any]:
    """The options of `MotionVQConfig` for published weights.

    Args:
        state_dict (`Mapping[str, torch.Tensor]`): Weights under their published names.
        dilation_growth (`int`, defaults to 3): The one size that weights do not show; published are 3 only.

    Returns:
        `dict`: Options of `MotionVQConfig`.

    Raises:
        ValueError: If the model is not supported.
    """
    state_dict = _without_prefix(state_dict)
    books = _books(state_dict)
    try:
        hidden_size, num_features = state_dict["encoder.model.0.weight"].shape[:2]
        kernels = [state_dict[f"encoder.model.{2 + stage}.0.weight"].shape[-1] for stage in range(_num_stages(state_dict))]
        codebook_size, code_dim = state_dict[books[0]].shape
    except KeyError as error:
        raise ValueError(f"The weights have no {error}. Pass the checkpoint as it was published.") from error
    if set(kernels) != {_STRIDE_KERNEL}:
        raise ValueError(
            f"Supported are encoders that halve time with convolutions {_STRIDE_KERNEL} wide (stride 2), as published; these have widths "
            f"{kernels}."
        )
    if num_features not in _DATASETS:
        known = ", ".join(f"{width} ({skeleton})" for width, (skeleton, _) in _DATASETS.items())
        raise ValueError(f"The weights are for features {num_features} wide; known widths are {known}.")
    return {
        "num_features": num_features,
        "hidden_size": hidden_size,
        "code_dim": code_dim,
        "codebook_size": codebook_size,
        "num_quantizers": len(books),
        "shared_codebook": _shares_codebook(state_dict),
        "strides": [2] * len(kernels),
        "residual_depth": count_layers(state_dict, "encoder.model.2.1.model."),
        "dilation_growth": dilation_growth,
        "position_slice": _DATASETS[num_features][1],
        **(_RESIDUAL_OPTIONS if len(books) > 1 else {}),
    }


def convert_motion_vq_checkpoint(
    path: str | os.PathLike,
    *,
    mean: str | os.PathLike | np.ndarray | Sequence[float],
    std: str | os.PathLike | np.ndarray | Sequence[float],
    dilation_growth: int = 3,
) -> tuple[MotionVQModel, MotionTokenizer, MotionFeatureExtractor]:
    """Load a published motion tokenizer. The three results, saved into one folder, are a complete checkpoint.

    Args:
        path (`str` or `os.PathLike`): The checkpoint. It is read as data; a file that holds code is refused.
        mean (`str`, `os.PathLike` or array): Mean of the training features, numbers or an `.npy` file.
        std (`str`, `os.PathLike` or array): Their standard deviation.
        dilation_growth (`int`, defaults to 3): The one size that weights do not show; published are 3 only.

    Returns:
        `tuple[MotionVQModel, MotionTokenizer, MotionFeatureExtractor]`: The model in evaluation mode, the tokenizer that writes its codes
        as text, and the feature extractor.

    Raises:
        FileNotFoundError: If a file does not exist.
        ValueError: If the file is not a checkpoint, the model is not supported, or the statistics do not fit it.

    Example:
        >>> from hf_motion.conversion.motion_vq import convert_motion_vq_checkpoint
        >>> model, tokenizer, extractor = convert_motion_vq_checkpoint("net_last.pth", mean="mean.npy", std="std.npy")  # doctest: +SKIP
    """
    state_dict = load_weights(path, _KEYS, "weights of a motion tokenizer")
    return motion_vq_from_state_dict(state_dict, mean, std, dilation_growth, repr(str(path)))


def motion_vq_from_state_dict(
    state_dict: Mapping[str, Tensor],
    mean: str | os.PathLike | np.ndarray | Sequence[float],
    std: str | os.PathLike | np.ndarray | Sequence[float],
    dilation_growth: int = 3,
    where: str = "the checkpoint",
) -> tuple[MotionVQModel, MotionTokenizer, MotionFeatureExtractor]:
    """The same of weights that were read already.

    Args:
        state_dict (`Mapping[str, torch.Tensor]`): Weights under their published names.
        mean (`str`, `os.PathLike` or array): Mean of the training features, numbers or an `.npy` file.
        std (`str`, `os.PathLike` or array): Their standard deviation.
        dilation_growth (`int`, defaults to 3): The one size that weights do not show.
        where (`str`, defaults to `"the checkpoint"`): What errors call their file.

    Raises:
        FileNotFoundError: If a file does not exist.
        ValueError: If the model is not supported, or the statistics do not fit it.
    """
    weights = convert_motion_vq_state_dict(state_dict)
    model = MotionVQModel(MotionVQConfig(**motion_vq_config_from_official(state_dict, dilation_growth)))
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"The weights in {where} do not fit each other: {error}") from error
    config = model.config
    skeleton, _ = _DATASETS[config.num_features]
    extractor = MotionFeatureExtractor(skeleton=skeleton, mean=load_statistics("mean", mean), std=load_statistics("std", std))
    return model.eval(), MotionTokenizer(config.codebook_size, config.num_quantizers), extractor


def _without_prefix(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(_PREFIX): value for name, value in state_dict.items()}


def _books(state_dict: Mapping[str, Tensor]) -> list[str]:
    residual = [f"quantizer.layers.{index}.codebook" for index in range(count_layers(state_dict, "quantizer.layers."))]
    books = residual or ["quantizer.codebook"]
    if missing := [book for book in books if book not in state_dict]:
        raise ValueError(f"The weights have no {missing[0]!r}. Pass the checkpoint as it was published.")
    return books


def _shares_codebook(state_dict: Mapping[str, Tensor]) -> bool:
    """A shared book is saved once per quantizer."""
    first, *others = (state_dict[book] for book in _books(state_dict))
    return bool(others) and all(torch.equal(first, other) for other in others)


def _num_stages(state_dict: Mapping[str, Tensor]) -> int:
    """A convolution and an activation come first, then the stages, then a convolution."""
    return count_layers(state_dict, "encoder.model.") - 3


def _rename_map(state_dict: Mapping[str, Tensor]) -> dict[str, str]:
    """Every published name but the codebooks', and the name it gets here."""
    stages, depth = _num_stages(state_dict), count_layers(state_dict, "encoder.model.2.1.model.")
    last = 2 + stages
    pairs = {
        "encoder.model.0": "encoder.input",
        f"encoder.model.{last}": "encoder.output",
        "decoder.model.0": "decoder.input",
        f"decoder.model.{last}": "decoder.hidden",
        f"decoder.model.{last + 2}": "decoder.output",
    }
    for stage in range(stages):
        pairs[f"encoder.model.{2 + stage}.0"] = f"encoder.shorten.{stage}"
        pairs[f"decoder.model.{2 + stage}.2"] = f"decoder.lengthen.{stage}"
        for part, place in (("encoder", 1), ("decoder", 0)):
            for block in range(depth):
                official, ours = f"{part}.model.{2 + stage}.{place}.model.{block}", f"{part}.blocks.{stage}.{block}"
                pairs |= {f"{official}.conv1": f"{ours}.dilated", f"{official}.conv2": f"{ours}.pointwise"}
    return {f"{a}.{kind}": f"{b}.{kind}" for a, b in pairs.items() for kind in ("weight", "bias")}


def main(arguments: Sequence[str] | None = None) -> None:
    """Convert a checkpoint from the command line and save the complete checkpoint.

    Args:
        arguments (`Sequence[str]`, *optional*): Command line, the process's own by default.
    """
    parser = argparse.ArgumentParser(prog="python -m hf_motion.conversion.motion_vq", description="Convert a published motion tokenizer.")
    parser.add_argument("checkpoint", help="the published .pth or .tar file")
    parser.add_argument("--mean", required=True, help="mean.npy that it was trained with")
    parser.add_argument("--std", required=True, help="std.npy that it was trained with")
    parser.add_argument("--output", required=True, help="folder to save the checkpoint to")
    parser.add_argument("--dilation-growth", type=int, default=3, help="growth of dilations, %(default)s by default")
    options = parser.parse_args(arguments)
    check_writable(options.output)
    model, tokenizer, extractor = convert_motion_vq_checkpoint(
        options.checkpoint, mean=options.mean, std=options.std, dilation_growth=options.dilation_growth
    )
    save_checkpoint(Path(options.output), [model, tokenizer, extractor], lambda folder, _: write_tokenizer_card(folder, model, extractor))


if __name__ == "__main__":
    main()
