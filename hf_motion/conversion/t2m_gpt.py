"""Published T2M-GPT checkpoints to `T2MGPT`.

Zhang et al., *T2M-GPT: Generating Human Motion from Textual Descriptions with Discrete Representations*, CVPR 2023. From a shell:

    python -m hf_motion.conversion.t2m_gpt net_best_fid.pth --vq net_last.pth --mean mean.npy --std std.npy --output t2m-gpt

The checkpoint is `VQTransformer_*/net_best_fid.pth`, `--vq` the motion tokenizer that it was trained with, `VQVAE/net_last.pth`. For mean
and std see `hf_motion.conversion.motion_vq`. The text encoder was never part of the files; it becomes part of the converted checkpoint.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..models.t2m_gpt.modeling_t2m_gpt import T2MGPT
from ..nn.embeddings import sinusoidal_table
from ..utils.files import check_writable
from .motion_vq import convert_motion_vq_checkpoint
from .published import check_names, count_layers, load_weights
from .token_models import TEXT_ENCODER, TextEncoder, build_token_model

_NUM_HEADS = 16
_STACKS = ("trans_base", "trans_head")
_POSITIONS = "trans_base.pos_embed.embed"
_UNUSED = "trans_base.pos_embedding.weight"
# Sines of machines differ by some 1e-6; learned positions by far more.
_POSITION_TOLERANCE = 1e-4

# Official names, without `.weight` or `.bias`, and ours.
_BLOCK_NAMES = {"ln1": "attention_norm", "attn.proj": "out", "ln2": "mlp_norm", "mlp.0": "mlp.0", "mlp.2": "mlp.2"}
_QKV = ("attn.query", "attn.key", "attn.value")


def convert_t2m_gpt_state_dict(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename published weights.

    The two stacks of blocks become one. Positions and causal masks are computed, and a second table of positions was never used.

    Args:
        state_dict (`Mapping[str, torch.Tensor]`): Weights under their published names.

    Returns:
        `dict[str, torch.Tensor]`: Weights of `T2MGPT`, all but those of its text encoder and motion tokenizer.

    Raises:
        ValueError: If names are unknown or missing, or the positions are others than sines and cosines.
    """
    weights = {name: value for name, value in state_dict.items() if name != _UNUSED and not name.endswith(".attn.mask")}
    names, fused = _rename_map(weights)
    check_names(weights, {**names, _POSITIONS: "", **{official: "" for parts in fused.values() for official in parts}}, "a T2M-GPT")
    positions = weights[_POSITIONS].flatten(1)
    error = float((positions - sinusoidal_table(*positions.shape)).abs().max())
    if not error <= _POSITION_TOLERANCE:
        raise ValueError(
            f"{_POSITIONS} is up to {error:.2g} from the sines and cosines that published models have and that T2MGPT computes; learned "
            "positions are not supported."
        )
    converted = {ours: weights[official] for official, ours in names.items()}
    return converted | {ours: torch.cat([weights[official] for official in parts]) for ours, parts in fused.items()}


def t2m_gpt_config_from_official(state_dict: Mapping[str, Tensor], num_attention_heads: int = _NUM_HEADS) -> dict[str, Any]:
    """The options of `T2MGPTConfig` for published weights, but for its text encoder and motion tokenizer.

    Args:
        state_dict (`Mapping[str, torch.Tensor]`): Weights under their published names.
        num_attention_heads (`int`, defaults to 16): Heads, which weights do not show.

    Returns:
        `dict`: Options of `T2MGPTConfig`.

    Raises:
        ValueError: If a weight that shows a size is missing.
    """
    try:
        return {
            "hidden_size": state_dict["trans_base.tok_emb.weight"].shape[1],
            "num_hidden_layers": sum(_stack_sizes(state_dict)),
            "num_attention_heads": num_attention_heads,
            "intermediate_size": len(state_dict["trans_base.blocks.0.mlp.0.weight"]),
            "max_tokens": len(state_dict[_POSITIONS]) - 1,
        }
    except KeyError as error:
        raise ValueError(f"The weights have no {error}. Pass the checkpoint as it was published.") from error


def convert_t2m_gpt_checkpoint(
    path: str | os.PathLike,
    *,
    vq_path: str | os.PathLike,
    mean: str | os.PathLike | np.ndarray | Sequence[float],
    std: str | os.PathLike | np.ndarray | Sequence[float],
    text_encoder: TextEncoder = TEXT_ENCODER,
    num_attention_heads: int = _NUM_HEADS,
) -> T2MGPT:
    """Build a complete model from published files.

    Args:
        path (`str` or `os.PathLike`): The transformer's `.pth` file. Files are read as data; one that holds code is refused.
        vq_path (`str` or `os.PathLike`): That of the motion tokenizer that it was trained with.
        mean (`str`, `os.PathLike` or array): Mean of the training features, numbers or an `.npy` file.
        std (`str`, `os.PathLike` or array): Their standard deviation.
        text_encoder (`str`, `os.PathLike` or a pair, defaults to `"openai/clip-vit-base-patch32"`): The text encoder, on the Hub or in a
            folder, or as a model and its tokenizer.
        num_attention_heads (`int`, defaults to 16): Heads, which weights do not show.

    Returns:
        `T2MGPT`: In evaluation mode, ready for `save_pretrained`.

    Raises:
        FileNotFoundError: If a file does not exist.
        ValueError: If a file is not a checkpoint, its model is not supported, or the parts do not fit each other.

    Example:
        >>> from hf_motion.conversion import convert_t2m_gpt_checkpoint
        >>> files = {"vq_path": "net_last.pth", "mean": "mean.npy", "std": "std.npy"}
        >>> model = convert_t2m_gpt_checkpoint("net_best_fid.pth", **files)  # doctest: +SKIP
        >>> model.save_pretrained("t2m-gpt")  # doctest: +SKIP
    """
    state_dict = load_weights(path, ["trans"], "weights of a T2M-GPT")
    weights = convert_t2m_gpt_state_dict(state_dict)
    options = t2m_gpt_config_from_official(state_dict, num_attention_heads)
    vq_model, _, feature_extractor = convert_motion_vq_checkpoint(vq_path, mean=mean, std=std)
    codes = len(state_dict["trans_base.tok_emb.weight"]) - 2
    if (codes, 1) != (vq_model.config.codebook_size, vq_model.config.num_quantizers):
        raise ValueError(
            f"{str(path)!r} is for one book of {codes} codes, {str(vq_path)!r} has {vq_model.config.num_quantizers} of "
            f"{vq_model.config.codebook_size}. Pass the motion tokenizer that it was trained with."
        )
    text_dim = state_dict["trans_base.cond_emb.weight"].shape[1]
    return build_token_model(T2MGPT, weights, options, text_dim, text_encoder, vq_model, feature_extractor)


def _stack_sizes(state_dict: Mapping[str, Tensor]) -> list[int]:
    return [count_layers(state_dict, f"{stack}.blocks.") for stack in _STACKS]


def _rename_map(state_dict: Mapping[str, Tensor]) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Published names and ours; and our names of fused weights, with the published names of their parts in order."""
    pairs = {"trans_base.cond_emb": "text_projection", "trans_head.ln_f": "norm"}
    names = {"trans_base.tok_emb.weight": "token_embedding.weight", "trans_head.head.weight": "head.weight"}
    blocks = [f"{stack}.blocks.{block}" for stack, size in zip(_STACKS, _stack_sizes(state_dict), strict=True) for block in range(size)]
    fused = {}
    for layer, block in enumerate(blocks):
        pairs |= {f"{block}.{a}": f"blocks.{layer}.{b}" for a, b in _BLOCK_NAMES.items()}
        fused |= {f"blocks.{layer}.qkv.{kind}": [f"{block}.{part}.{kind}" for part in _QKV] for kind in ("weight", "bias")}
    return names | {f"{a}.{kind}": f"{b}.{kind}" for a, b in pairs.items() for kind in ("weight", "bias")}, fused


def main(arguments: Sequence[str] | None = None) -> None:
    """Convert a checkpoint from the command line and save the complete model.

    Args:
        arguments (`Sequence[str]`, *optional*): Command line, the process's own by default.
    """
    parser = argparse.ArgumentParser(prog="python -m hf_motion.conversion.t2m_gpt", description="Convert a published T2M-GPT.")
    parser.add_argument("checkpoint", help="the transformer's .pth file")
    parser.add_argument("--vq", required=True, help="the motion tokenizer's .pth file")
    parser.add_argument("--mean", required=True, help="mean.npy that both were trained with")
    parser.add_argument("--std", required=True, help="std.npy that both were trained with")
    parser.add_argument("--output", required=True, help="folder to save the model to")
    parser.add_argument("--text-encoder", default=TEXT_ENCODER, help="name or folder of the text encoder, %(default)s by default")
    parser.add_argument("--heads", type=int, default=_NUM_HEADS, help="attention heads, %(default)s by default")
    options = parser.parse_args(arguments)
    check_writable(options.output)
    convert_t2m_gpt_checkpoint(
        options.checkpoint,
        vq_path=options.vq,
        mean=options.mean,
        std=options.std,
        text_encoder=options.text_encoder,
        num_attention_heads=options.heads,
    ).save_pretrained(options.output)


if __name__ == "__main__":
    main()
