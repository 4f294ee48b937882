"""Published MDM checkpoints to `MDMPipeline`.

Tevet et al., *Human Motion Diffusion Model*, ICLR 2023. From a shell:

    python -m hf_motion.conversion.mdm model000200000.pt --mean Mean.npy --std Std.npy --output mdm-humanml3d

`args.json` must lie beside the checkpoint as it was published, since weights do not tell every option. Mean and std are those of the
training features, `Mean.npy` and `Std.npy` of the HumanML3D or KIT-ML data set; the statistics of its evaluator have the same shape but
are other numbers.

Published weights of 1000 steps sample as published with `num_inference_steps=1000`; the pipeline takes 50 of them by default.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..models.mdm import MDMDenoiser
from ..pipelines.mdm import MDMPipeline
from ..representation import MotionFeatureExtractor
from .published import existing_file, load_statistics, load_weights, text_encoder_pair

logger = logging.getLogger(__name__)

_TEXT_ENCODERS = {"clip": "openai/clip-vit-base-patch32", "bert": "distilbert/distilbert-base-uncased"}
_MAX_TEXT_TOKENS = {"clip": 22, "bert": None}
_BERT_WIDTH = 768
_DATASETS = {"humanml": ("humanml3d-22", 263), "kit": ("kit-21", 251)}
_STACKS = {"seqTransEncoder": "trans_enc", "seqTransDecoder": "trans_dec"}
_NUM_HEADS, _DROPOUT = 4, 0.1
_SUPPORTED = "Supported are the text-conditioned transformers (trans_enc, and trans_dec with CLIP or DistilBERT) for humanml and kit."

# Official names, without `.weight` or `.bias`, and ours.
_NAMES = {
    "input_process.poseEmbedding": "input_projection",
    "embed_timestep.time_embed.0": "time_projection.0",
    "embed_timestep.time_embed.2": "time_projection.2",
    "embed_text": "text_projection",
    "output_process.poseFinal": "output_projection",
}
_BLOCK_NAMES = {"self_attn.out_proj": "self_attention.out", "linear1": "mlp.0", "linear2": "mlp.3", "norm1": "self_attention_norm"}
_ARCH_BLOCK_NAMES = {
    "trans_enc": {"norm2": "mlp_norm"},
    "trans_dec": {"multihead_attn.out_proj": "cross_attention.out", "norm2": "cross_attention_norm", "norm3": "mlp_norm"},
}
# Weights of systems that share this checkpoint format but are another model.
_UNSUPPORTED_WEIGHTS = {
    "embed_target_cond.": "conditioning on target joints",
    "embed_action.": "conditioning on actions",
    "gru.": "arch 'gru'",
    "input_process.velEmbedding.": "data_rep 'rot_vel'",
}


def convert_mdm_state_dict(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename published weights.

    Positions, which are computed, and the text encoder, which is loaded from its own checkpoint, are left out.

    Args:
        state_dict (`Mapping[str, torch.Tensor]`): Weights under their published names.

    Returns:
        `dict[str, torch.Tensor]`: Weights of `MDMDenoiser`.

    Raises:
        ValueError: If the weights are of a model that is not supported, or names are unknown or missing.
    """
    state_dict = _denoiser_weights(state_dict)
    arch = _arch(state_dict)
    names = _rename_map(arch, _num_layers(state_dict))
    missing, unexpected = sorted(names.keys() - state_dict.keys()), sorted(state_dict.keys() - names.keys())
    if missing or unexpected:
        found = "; ".join(f"{kind}: {', '.join(keys)}" for kind, keys in (("missing", missing), ("unexpected", unexpected)) if keys)
        raise ValueError(f"These are not the weights of a published MDM of arch {arch!r}: {found}. Pass the checkpoint unchanged.")
    converted = {}
    for official, ours in names.items():
        if "cross_attention.in_proj" in ours:
            # One matrix holds query, key and value; here the query has its own layer.
            query, keys_values = (ours.replace("in_proj", name) for name in ("q", "kv"))
            width = len(state_dict[official]) // 3
            converted[query], converted[keys_values] = (part.clone() for part in state_dict[official].split((width, 2 * width)))
        else:
            converted[ours] = state_dict[official]
    return converted


def mdm_config_from_official(state_dict: Mapping[str, Tensor], args: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The options of `MDMDenoiser` for published weights.

    Widths and depth come from the weights, the rest from `args`, where options that are absent have the values they had before they
    became options.

    Args:
        state_dict (`Mapping[str, torch.Tensor]`): Weights under their published names.
        args (`Mapping`, *optional*): Content of the `args.json` published beside them.

    Returns:
        `dict`: Options of `MDMDenoiser`.

    Raises:
        ValueError: If the model is not supported, or weights and `args` contradict each other.
    """
    args = args or {}
    _check_args(args)
    state_dict = _denoiser_weights(state_dict)
    arch = _arch(state_dict)
    if args.get("arch", arch) != arch:
        raise ValueError(f"The weights are of arch {arch!r}, args.json says {args['arch']!r}. Pass the args.json of this checkpoint.")
    try:
        hidden_size, num_features = state_dict["input_process.poseEmbedding.weight"].shape
        intermediate_size = len(_first(state_dict, "layers.0.linear1.bias"))
        text_dim = state_dict["embed_text.weight"].shape[1]
    except KeyError as error:
        raise ValueError(f"The checkpoint has no {error}. Pass the checkpoint as it was published.") from error
    tokens = _text_encoder_type(arch, text_dim, args) == "bert"
    merge = args.get("emb_policy", "add")
    if merge not in ("add", "concat") or (merge == "concat" and not tokens):
        raise ValueError(f"emb_policy must be 'add', or 'concat' with text_encoder_type='bert', got {merge!r}.")
    return {
        "num_features": num_features,
        "hidden_size": hidden_size,
        "num_layers": _num_layers(state_dict),
        "num_attention_heads": _NUM_HEADS,
        "intermediate_size": intermediate_size,
        "dropout": _DROPOUT,
        "attention_dropout": _DROPOUT,
        "arch": arch,
        "text_dim": text_dim,
        "text_conditioning": "tokens" if tokens else "pooled",
        "time_token": arch == "trans_dec" and bool(args.get("emb_trans_dec", False)),
        "condition_merge": merge,
        "mask_frames": bool(args.get("mask_frames", False)),
    }


def convert_mdm_checkpoint(
    path: str | os.PathLike,
    *,
    mean: str | os.PathLike | np.ndarray | Sequence[float],
    std: str | os.PathLike | np.ndarray | Sequence[float],
    text_encoder: str | os.PathLike | tuple[PreTrainedModel, PreTrainedTokenizerBase] | None = None,
    args_path: str | os.PathLike | None = None,
    use_ema: bool = True,
) -> MDMPipeline:
    """Build a pipeline from a published checkpoint.

    Args:
        path (`str` or `os.PathLike`): The `.pt` file. It is read as data; a file that holds code is refused.
        mean (`str`, `os.PathLike` or array): Mean of the training features, numbers or an `.npy` file.
        std (`str`, `os.PathLike` or array): Their standard deviation.
        text_encoder (`str`, `os.PathLike` or a pair, *optional*): The text encoder that the weights were trained with, on the Hub or in a
            folder, or as a model and its tokenizer. By default `"openai/clip-vit-base-patch32"` or
            `"distilbert/distilbert-base-uncased"`, whichever the checkpoint asks for.
        args_path (`str` or `os.PathLike`, *optional*): The checkpoint's `args.json`; by default the one beside it. Without one, options
            that weights do not show are taken as of the first published models, with a warning.
        use_ema (`bool`, defaults to `True`): Prefer averaged weights (`model_avg`) where the file has them.

    Returns:
        `MDMPipeline`: In evaluation mode, ready for `save_pretrained`.

    Raises:
        FileNotFoundError: If a file does not exist.
        ValueError: If the file is not a checkpoint, its model is not supported, or the statistics or the text encoder do not fit it.

    Example:
        >>> from hf_motion.conversion import convert_mdm_checkpoint
        >>> pipe = convert_mdm_checkpoint("model000200000.pt", mean="Mean.npy", std="Std.npy")  # doctest: +SKIP
        >>> pipe.save_pretrained("mdm-humanml3d")  # doctest: +SKIP
    """
    keys = ["model_avg", "model"] if use_ema else ["model"]
    state_dict = load_weights(existing_file(path), keys, "MDM weights")
    args = _load_args(Path(path), args_path)
    config = mdm_config_from_official(state_dict, args)
    denoiser = MDMDenoiser(**config)
    try:
        denoiser.load_state_dict(convert_mdm_state_dict(state_dict))
    except RuntimeError as error:
        raise ValueError(f"The weights in {str(path)!r} do not fit each other: {error}") from error
    kind = "bert" if config["text_conditioning"] == "tokens" else "clip"
    feature_extractor = _feature_extractor(config["num_features"], args.get("dataset"), mean, std)
    encoder, tokenizer = text_encoder_pair(text_encoder or _TEXT_ENCODERS[kind], config["text_dim"], _TEXT_ENCODERS.values())
    if args.get("cond_mask_prob") == 0:
        logger.warning("%s was trained without text dropout (cond_mask_prob=0), so guidance means nothing: use guidance_scale=1.", path)
    return MDMPipeline(
        denoiser=denoiser.eval(),
        text_encoder=encoder.eval(),
        tokenizer=tokenizer,
        scheduler=_scheduler(args),
        feature_extractor=feature_extractor,
        max_text_tokens=_MAX_TEXT_TOKENS[kind],
    )


def _rename_map(arch: str, num_layers: int) -> dict[str, str]:
    """Every published name of a model and the name it gets here."""
    stack = next(stack for stack, name in _STACKS.items() if name == arch)
    pairs = list(_NAMES.items())
    fused = []
    for layer in range(num_layers):
        official, ours = f"{stack}.layers.{layer}", f"blocks.{layer}"
        pairs += [(f"{official}.{a}", f"{ours}.{b}") for a, b in {**_BLOCK_NAMES, **_ARCH_BLOCK_NAMES[arch]}.items()]
        fused.append((f"{official}.self_attn.in_proj", f"{ours}.self_attention.qkv"))
        if arch == "trans_dec":
            fused.append((f"{official}.multihead_attn.in_proj", f"{ours}.cross_attention.in_proj"))
    names = {f"{a}.{kind}": f"{b}.{kind}" for a, b in pairs for kind in ("weight", "bias")}
    return names | {f"{a}_{kind}": f"{b}.{kind}" for a, b in fused for kind in ("weight", "bias")}


def _denoiser_weights(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    found = sorted({what for prefix, what in _UNSUPPORTED_WEIGHTS.items() for name in state_dict if name.startswith(prefix)})
    if found:
        raise ValueError(f"The checkpoint's weights are those of a model with {' and '.join(found)}. {_SUPPORTED}")
    if any(name.startswith("input_process.") for name in state_dict) and not any(name.startswith("embed_text.") for name in state_dict):
        raise ValueError(f"The checkpoint has no embed_text weights: the model is unconditional. {_SUPPORTED}")
    return {name: value for name, value in state_dict.items() if not name.startswith("clip_model.") and not name.endswith(".pe")}


def _arch(state_dict: Iterable[str]) -> str:
    found = [arch for stack, arch in _STACKS.items() if any(name.startswith(f"{stack}.") for name in state_dict)]
    if len(found) != 1:
        names = sorted(state_dict)
        shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        wanted = " or ".join(f"{stack}.*" for stack in _STACKS)
        raise ValueError(f"Expected MDM weights, one stack of {wanted}, found {shown or 'none'}. {_SUPPORTED}")
    return found[0]


def _num_layers(state_dict: Iterable[str]) -> int:
    parts = (name.split(".") for name in state_dict if name.startswith(tuple(_STACKS)))
    return 1 + max((int(part[2]) for part in parts if part[1] == "layers" and part[2].isdigit()), default=-1)


def _first(state_dict: Mapping[str, Tensor], suffix: str) -> Tensor:
    for name, value in state_dict.items():
        if name.endswith(suffix):
            return value
    raise KeyError(suffix)


def _check_args(args: Mapping[str, Any]) -> None:
    found = []
    if args.get("context_len") or args.get("pred_len"):
        found.append(f"prefix completion (DiP: pred_len={args.get('pred_len', 0)}, context_len={args.get('context_len', 0)})")
    if args.get("multi_target_cond") or (args.get("lambda_target_loc") or 0) > 0:
        found.append("conditioning on target joints (multi_target_cond)")
    if args.get("unconstrained") or args.get("cond_mode") == "no_cond":
        found.append("no conditioning at all (unconstrained)")
    for name, allowed in (
        ("arch", tuple(_STACKS.values())),
        ("text_encoder_type", tuple(_TEXT_ENCODERS)),
        ("dataset", tuple(_DATASETS)),
        ("noise_schedule", ("cosine", "linear")),
    ):
        if name in args and args[name] not in allowed:
            found.append(f"{name} {args[name]!r} (must be one of {', '.join(map(repr, allowed))})")
    if found:
        raise ValueError(f"args.json describes a model with {' and '.join(found)}. {_SUPPORTED}")


def _text_encoder_type(arch: str, text_dim: int, args: Mapping[str, Any]) -> str:
    kind = args.get("text_encoder_type", "bert" if arch == "trans_dec" and text_dim == _BERT_WIDTH else "clip")
    if kind == "bert" and arch != "trans_dec":
        raise ValueError(f"text_encoder_type='bert' needs arch 'trans_dec', the weights are of arch {arch!r}.")
    return kind


def _scheduler(args: Mapping[str, Any]) -> Any:
    from ..trainers.new_pipeline import mdm_scheduler

    steps = args.get("diffusion_steps", 1000)
    options: dict[str, Any] = {} if args.get("sigma_small", True) else {"variance_type": "fixed_large"}
    if args.get("noise_schedule") == "linear":
        # Endpoints are given for 1000 steps, and grow as steps get fewer.
        options.update(beta_schedule="linear", beta_start=0.1 / steps, beta_end=20 / steps)
    return mdm_scheduler(steps, **options)


def _feature_extractor(
    num_features: int, dataset: str | None, mean: str | os.PathLike | np.ndarray, std: str | os.PathLike | np.ndarray
) -> MotionFeatureExtractor:
    for name, (skeleton, width) in _DATASETS.items():
        if width == num_features and dataset in (None, name):
            return MotionFeatureExtractor(skeleton=skeleton, mean=load_statistics("mean", mean), std=load_statistics("std", std))
    known = ", ".join(f"{width} for {name}" for name, (_, width) in _DATASETS.items())
    trained_on = f" and args.json says dataset {dataset!r}" if dataset else ""
    raise ValueError(f"The weights are for features {num_features} wide{trained_on}; known widths are {known}.")


def _load_args(checkpoint: Path, args_path: str | os.PathLike | None) -> dict[str, Any]:
    path = checkpoint.parent / "args.json" if args_path is None else existing_file(args_path)
    if not path.is_file():
        logger.warning(
            "There is no args.json beside %s: taking the options of the first published models (1000 steps, cosine, no emb_trans_dec, "
            "emb_policy 'add', no prefix). If they are others, pass args_path.",
            checkpoint,
        )
        return {}
    try:
        args = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{str(path)!r} is not JSON: {error}. Pass the checkpoint's args.json as args_path.") from error
    if not isinstance(args, dict):
        raise ValueError(f"{str(path)!r} must hold a JSON object with the training options, got {type(args).__name__}.")
    return args


def main(arguments: Sequence[str] | None = None) -> None:
    """Convert a checkpoint from the command line and save the pipeline.

    Args:
        arguments (`Sequence[str]`, *optional*): Command line, the process's own by default.
    """
    parser = argparse.ArgumentParser(prog="python -m hf_motion.conversion.mdm", description="Convert a published MDM checkpoint.")
    parser.add_argument("checkpoint", help="the published .pt file, with its args.json beside it")
    parser.add_argument("--mean", required=True, help="Mean.npy of the data set")
    parser.add_argument("--std", required=True, help="Std.npy of the data set")
    parser.add_argument("--output", required=True, help="folder to save the pipeline to")
    parser.add_argument("--text-encoder", help="name or folder of the text encoder, if not the published one")
    parser.add_argument("--args", help="args.json, if not beside the checkpoint")
    parser.add_argument("--no-ema", action="store_true", help="take the raw weights even if averaged ones are there")
    options = parser.parse_args(arguments)
    pipe = convert_mdm_checkpoint(
        options.checkpoint,
        mean=options.mean,
        std=options.std,
        text_encoder=options.text_encoder,
        args_path=options.args,
        use_ema=not options.no_ema,
    )
    pipe.save_pretrained(options.output)


if __name__ == "__main__":
    main()
