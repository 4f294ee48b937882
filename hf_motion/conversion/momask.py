r"""Published MoMask checkpoints to `MoMask`.

Guo et al., *MoMask: Generative Masked Modeling of 3D Human Motions*, CVPR 2024. From a shell:

    python -m hf_motion.conversion.momask t2m_*/model/latest.tar --residual tres_*/model/net_best_fid.tar \
        --length length_estimator/model/finest.tar --vq rvq_*/model/net_best_fid.tar \
        --mean rvq_*/meta/mean.npy --std rvq_*/meta/std.npy --output momask

The four files become one checkpoint, with the text encoder, which was never part of them. Mean and std are those published beside the
motion tokenizer; see `hf_motion.conversion.motion_vq`. KIT-ML's model was evaluated with `guidance_scale=2`.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..models.momask.modeling_momask import MoMask
from ..utils.files import check_writable
from .motion_vq import convert_motion_vq_checkpoint
from .published import check_names, count_layers, load_weights
from .token_models import TEXT_ENCODER, TextEncoder, build_token_model

_NUM_HEADS = 6
_PARTS = ("t2m_transformer", "res_transformer", "estimator")
_STACK = "seqTransEncoder.layers."

# Official names, without `.weight` or `.bias`, and ours.
_TRUNK_NAMES = {
    "input_process.poseEmbedding": "trunk.input_projection",
    "cond_emb": "text_projection",
    "output_process.dense": "head.dense",
    "output_process.LayerNorm": "head.norm",
    "output_process.poseFinal": "head.out",
}
_BLOCK_NAMES = {
    "self_attn.out_proj": "self_attention.out",
    "linear1": "mlp.0",
    "linear2": "mlp.3",
    "norm1": "self_attention_norm",
    "norm2": "mlp_norm",
}
_ESTIMATOR_LAYERS = (0, 1, 4, 5, 8, 9, 11)
_SHARED_TABLES = {
    "token_embed_weight_": "first_table",
    "embed_proj_shared_weight": "inner_tables",
    "output_proj_weight_": "last_table",
}
_OWN_TABLES = ("token_embed_weight", "output_proj_weight", "output_proj_bias")

Parts = Mapping[str, Mapping[str, Tensor]]


def convert_momask_state_dict(parts: Parts) -> dict[str, Tensor]:
    """Rename published weights.

    Positions, which are computed, and the text encoder, which is loaded from its own checkpoint, are left out.

    Args:
        parts (`Mapping[str, Mapping[str, torch.Tensor]]`): Weights under their published names, of `"t2m_transformer"`,
            `"res_transformer"` and `"estimator"`.

    Returns:
        `dict[str, torch.Tensor]`: Weights of `MoMask`, all but those of its text encoder and motion tokenizer.

    Raises:
        ValueError: If a part is missing, or names are unknown or missing.
    """
    _check_parts(parts)
    masked, residual, estimator = (_own_weights(parts[part]) for part in _PARTS)
    masked_names = _transformer_names(masked) | {"token_emb.weight": "token_embedding.weight"}
    residual_names = _transformer_names(residual) | {f"quant_emb.{kind}": f"layer_embedding.{kind}" for kind in ("weight", "bias")}
    shared = _shares_weights(residual)
    residual_names |= _SHARED_TABLES if shared else {}
    length_names = {f"output.{layer}.{kind}": f"layers.{layer}.{kind}" for layer in _ESTIMATOR_LAYERS for kind in ("weight", "bias")}
    check_names(masked, masked_names, "MoMask's t2m_transformer")
    check_names(residual, {**residual_names, **({} if shared else dict.fromkeys(_OWN_TABLES))}, "MoMask's res_transformer")
    check_names(estimator, length_names, "MoMask's length estimator")
    converted = {}
    for prefix, weights, names in (
        ("masked_transformer", masked, masked_names),
        ("residual_transformer", residual, residual_names),
        ("length_estimator", estimator, length_names),
    ):
        converted |= {f"{prefix}.{ours}": weights[official] for official, ours in names.items()}
    if not shared:
        inputs, outputs, bias = (residual[name] for name in _OWN_TABLES)
        converted |= {
            "residual_transformer.first_table": inputs[:1].clone(),
            "residual_transformer.inner_tables": torch.cat((inputs[1:], outputs[:-1])),
            "residual_transformer.last_table": outputs[-1:].clone(),
            # One row per book was made, but the first book is never predicted, and rows are counted from the second.
            "residual_transformer.output_bias": bias[: len(outputs)].clone(),
        }
    return converted


def momask_config_from_official(parts: Parts, num_attention_heads: int = _NUM_HEADS) -> dict[str, Any]:
    """The options of `MoMaskConfig` for published weights, but for its text encoder and motion tokenizer.

    Args:
        parts (`Mapping[str, Mapping[str, torch.Tensor]]`): Weights under their published names.
        num_attention_heads (`int`, defaults to 6): Heads, which weights do not show.

    Returns:
        `dict`: Options of `MoMaskConfig`.

    Raises:
        ValueError: If a part or a weight that shows a size is missing, or the parts do not fit each other.
    """
    _check_parts(parts)
    residual, estimator = parts["res_transformer"], parts["estimator"]
    try:
        masked_sizes, residual_sizes = _transformer_sizes(parts["t2m_transformer"]), _transformer_sizes(residual)
        classes, length_dim = len(estimator["output.11.bias"]), estimator["output.0.weight"].shape[1]
    except KeyError as error:
        raise ValueError(f"The weights have no {error}. Pass the checkpoints as they were published.") from error
    if masked_sizes != residual_sizes or masked_sizes["text vectors"] != length_dim:
        raise ValueError(
            f"Both transformers must have equal sizes and the length estimator equal text vectors, got "
            f"{masked_sizes}, {residual_sizes} and {length_dim}. Are they of one model?"
        )
    shared = _shares_weights(residual)
    return {
        "hidden_size": masked_sizes["width"],
        "num_hidden_layers": masked_sizes["layers"],
        "num_attention_heads": num_attention_heads,
        "intermediate_size": masked_sizes["feed-forward width"],
        "token_dim": masked_sizes["token width"],
        "max_tokens": classes - 1,
        "share_weights": shared,
        "double_logits": not shared,
    }


def convert_momask_checkpoint(
    path: str | os.PathLike,
    *,
    residual_path: str | os.PathLike,
    length_path: str | os.PathLike,
    vq_path: str | os.PathLike,
    mean: str | os.PathLike | np.ndarray | Sequence[float],
    std: str | os.PathLike | np.ndarray | Sequence[float],
    text_encoder: TextEncoder = TEXT_ENCODER,
    num_attention_heads: int = _NUM_HEADS,
) -> MoMask:
    """Build a complete model from published files.

    Args:
        path (`str` or `os.PathLike`): The masked transformer's file. Files are read as data; one that holds code is refused.
        residual_path (`str` or `os.PathLike`): The residual transformer's.
        length_path (`str` or `os.PathLike`): The length estimator's.
        vq_path (`str` or `os.PathLike`): That of the motion tokenizer that they were trained with.
        mean (`str`, `os.PathLike` or array): Mean of the training features, numbers or an `.npy` file.
        std (`str`, `os.PathLike` or array): Their standard deviation.
        text_encoder (`str`, `os.PathLike` or a pair, defaults to `"openai/clip-vit-base-patch32"`): The text encoder, on the Hub or in a
            folder, or as a model and its tokenizer.
        num_attention_heads (`int`, defaults to 6): Heads, which weights do not show.

    Returns:
        `MoMask`: In evaluation mode, ready for `save_pretrained`.

    Raises:
        FileNotFoundError: If a file does not exist.
        ValueError: If a file is not a checkpoint, its model is not supported, or the parts do not fit each other.

    Example:
        >>> from hf_motion.conversion import convert_momask_checkpoint
        >>> files = {"residual_path": "tres.tar", "length_path": "finest.tar", "vq_path": "rvq.tar"}
        >>> model = convert_momask_checkpoint("latest.tar", **files, mean="mean.npy", std="std.npy")  # doctest: +SKIP
        >>> model.save_pretrained("momask")  # doctest: +SKIP
    """
    parts = {
        "t2m_transformer": load_weights(path, ["t2m_transformer", "trans"], "weights of MoMask's masked transformer"),
        "res_transformer": load_weights(residual_path, ["res_transformer"], "weights of MoMask's residual transformer"),
        "estimator": load_weights(length_path, ["estimator"], "weights of MoMask's length estimator"),
    }
    weights = convert_momask_state_dict(parts)
    options = momask_config_from_official(parts, num_attention_heads)
    vq_model, _, feature_extractor = convert_motion_vq_checkpoint(vq_path, mean=mean, std=std)
    masked, residual = parts["t2m_transformer"], parts["res_transformer"]
    codes, books = len(masked["token_emb.weight"]) - 2, residual["quant_emb.weight"].shape[1]
    if (codes, books) != (vq_model.config.codebook_size, vq_model.config.num_quantizers):
        raise ValueError(
            f"The transformers are for {books} books of {codes} codes, {str(vq_path)!r} has {vq_model.config.num_quantizers} of "
            f"{vq_model.config.codebook_size}. Pass the motion tokenizer that they were trained with."
        )
    text_dim = masked["cond_emb.weight"].shape[1]
    return build_token_model(MoMask, weights, options, text_dim, text_encoder, vq_model, feature_extractor)


def _check_parts(parts: Parts) -> None:
    if set(parts) != set(_PARTS):
        raise ValueError(f"Expected the weights of {', '.join(_PARTS)}, got those of {', '.join(sorted(parts)) or 'none'}.")


def _own_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in weights.items() if not name.startswith("clip_model.") and name != "position_enc.pe"}


def _shares_weights(residual: Mapping[str, Tensor]) -> bool:
    return not any(name in residual for name in _OWN_TABLES)


def _transformer_sizes(weights: Mapping[str, Tensor]) -> dict[str, int]:
    width, token_dim = weights["input_process.poseEmbedding.weight"].shape
    return {
        "width": width,
        "layers": count_layers(weights, _STACK),
        "feed-forward width": len(weights[f"{_STACK}0.linear1.bias"]),
        "token width": token_dim,
        "text vectors": weights["cond_emb.weight"].shape[1],
    }


def _transformer_names(weights: Mapping[str, Tensor]) -> dict[str, str]:
    """Published names that both transformers have, and ours."""
    pairs, names = dict(_TRUNK_NAMES), {}
    for layer in range(count_layers(weights, _STACK)):
        official, ours = f"{_STACK}{layer}", f"trunk.blocks.{layer}"
        pairs |= {f"{official}.{a}": f"{ours}.{b}" for a, b in _BLOCK_NAMES.items()}
        names |= {f"{official}.self_attn.in_proj_{kind}": f"{ours}.self_attention.qkv.{kind}" for kind in ("weight", "bias")}
    return names | {f"{a}.{kind}": f"{b}.{kind}" for a, b in pairs.items() for kind in ("weight", "bias")}


def main(arguments: Sequence[str] | None = None) -> None:
    """Convert checkpoints from the command line and save the complete model.

    Args:
        arguments (`Sequence[str]`, *optional*): Command line, the process's own by default.
    """
    parser = argparse.ArgumentParser(prog="python -m hf_motion.conversion.momask", description="Convert a published MoMask.")
    parser.add_argument("checkpoint", help="the masked transformer's .tar file")
    parser.add_argument("--residual", required=True, help="the residual transformer's .tar file")
    parser.add_argument("--length", required=True, help="the length estimator's .tar file")
    parser.add_argument("--vq", required=True, help="the motion tokenizer's .tar file")
    parser.add_argument("--mean", required=True, help="mean.npy that all were trained with")
    parser.add_argument("--std", required=True, help="std.npy that all were trained with")
    parser.add_argument("--output", required=True, help="folder to save the model to")
    parser.add_argument("--text-encoder", default=TEXT_ENCODER, help="name or folder of the text encoder, %(default)s by default")
    parser.add_argument("--heads", type=int, default=_NUM_HEADS, help="attention heads, %(default)s by default")
    options = parser.parse_args(arguments)
    check_writable(options.output)
    convert_momask_checkpoint(
        options.checkpoint,
        residual_path=options.residual,
        length_path=options.length,
        vq_path=options.vq,
        mean=options.mean,
        std=options.std,
        text_encoder=options.text_encoder,
        num_attention_heads=options.heads,
    ).save_pretrained(options.output)


if __name__ == "__main__":
    main()
