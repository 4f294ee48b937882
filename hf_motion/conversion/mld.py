"""Published MLD and MotionLCM checkpoints to `MLDPipeline`.

Chen et al., *Executing your Commands via Motion Diffusion in Latent Space*, CVPR 2023; Dai et al., *MotionLCM*, ECCV 2024. From a shell:

    python -m hf_motion.conversion.mld 1222_mld_humanml3d_FID041.ckpt --mean Mean.npy --std Std.npy --output mld-humanml3d

Mean and std are those of the training features, `Mean.npy` and `Std.npy` of the HumanML3D or KIT-ML data set. A checkpoint also holds its
CLIP and the networks of its evaluation; these are left out.
"""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from diffusers import DDIMScheduler, LCMScheduler
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..models.mld import MLDAutoencoder, MLDDenoiser
from ..pipelines.few_steps import SCHEDULE, FewSteps
from ..pipelines.mld import MLDPipeline
from ..representation import MotionFeatureExtractor
from .published import check_names, count_layers, existing_file, load_statistics, load_weights, text_encoder_pair

logger = logging.getLogger(__name__)

_TEXT_ENCODER = "openai/clip-vit-large-patch14"
_DATASETS = {263: "humanml3d-22", 251: "kit-21"}
_NUM_HEADS = 4
_NOISE = {
    "num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "clip_sample": False,
    "set_alpha_to_one": False,
}  # fmt: skip
# Guidance scales of the distillation: MotionLCM writes them less 1, from 5 to 15. Later models have fewer noise levels.
_DISTILLED_GUIDANCE = (6.0, 16.0)
_DISTILLED_LEVELS = {"one token": 50, "more tokens": 10}

_BLOCK = {"self_attn.out_proj": "self_attention.out", "linear1": "mlp.0", "linear2": "mlp.3", "norm1": "self_attention_norm"}
_ENCODER_BLOCK = {**_BLOCK, "norm2": "mlp_norm"}
_DECODER_BLOCK = {**_BLOCK, "multihead_attn.out_proj": "cross_out", "norm2": "cross_attention_norm", "norm3": "mlp_norm"}
_UNSUPPORTED = {
    "vae.dist_layer.": "an autoencoder with MLP_DIST",
    "denoiser.decoder.": "a denoiser of arch 'trans_dec'",
    "denoiser.pose_embd.": "diffusion without an autoencoder",
    "denoiser.emb_proj.action_embedding": "conditioning on actions",
    "denoiser.encoder.middle_block.experts": "a mixture of experts",
}


def convert_mld_state_dict(state_dict: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Rename published weights.

    Positions that the published denoiser holds for another architecture (`mem_pos`) are left out.

    Args:
        state_dict (`Mapping[str, torch.Tensor]`): Weights under their published names, `vae.*` and `denoiser.*` and perhaps others.

    Returns:
        `dict[str, dict[str, torch.Tensor]]`: Weights of `MLDAutoencoder` under `"vae"` and of `MLDDenoiser` under `"denoiser"`.

    Raises:
        ValueError: If the weights are of a model that is not supported, or names are unknown or missing.
    """
    _check_supported(state_dict)
    converted = {}
    for part, names in (("vae", _autoencoder_names(state_dict)), ("denoiser", _denoiser_names(state_dict))):
        weights = {name.removeprefix(f"{part}."): value for name, value in state_dict.items() if name.startswith(f"{part}.")}
        weights.pop("mem_pos.pe", None)
        check_names(weights, names, f"a published MLD ({part})")
        converted[part] = _renamed(weights, names)
    return converted


def mld_config_from_official(state_dict: Mapping[str, Tensor]) -> dict[str, dict[str, Any]]:
    """The options of `MLDAutoencoder` and `MLDDenoiser` for published weights, which tell all of them but the heads.

    Args:
        state_dict (`Mapping[str, torch.Tensor]`): Weights under their published names.

    Returns:
        `dict[str, dict]`: Options under `"vae"` and `"denoiser"`.

    Raises:
        ValueError: If the model is not supported, or a weight is missing.
    """
    _check_supported(state_dict)
    try:
        hidden_size, num_features = state_dict["vae.skel_embedding.weight"].shape
        tokens = len(state_dict["vae.global_motion_token"]) // 2
        projected = "vae.latent_pre.weight" in state_dict
        shared = {
            "latent_tokens": tokens,
            "latent_dim": len(state_dict["vae.latent_pre.weight"]) if projected else hidden_size,
            "hidden_size": hidden_size,
            "num_attention_heads": _NUM_HEADS,
            "latent_projection": projected,
        }
        guidance = state_dict.get("denoiser.time_embedding.cond_proj.weight")
        vae = {
            **shared,
            "num_features": num_features,
            "num_layers": 2 * count_layers(state_dict, "vae.encoder.input_blocks.") + 1,
            "intermediate_size": len(state_dict["vae.encoder.middle_block.linear1.bias"]),
            "max_positions": len(state_dict["vae.query_pos_encoder.pe"]),
        }
        denoiser = {
            **shared,
            "num_layers": 2 * count_layers(state_dict, "denoiser.encoder.input_blocks.") + 1,
            "intermediate_size": len(state_dict["denoiser.encoder.middle_block.linear1.bias"]),
            "text_dim": state_dict["denoiser.emb_proj.1.weight"].shape[1],
            "text_activation": None if projected else "relu",
            "time_dim": state_dict["denoiser.time_embedding.linear_1.weight"].shape[1],
            "max_positions": len(state_dict["denoiser.query_pos.pe"]),
            "time_cond_proj_dim": None if guidance is None else guidance.shape[1],
        }
    except KeyError as error:
        raise ValueError(f"The checkpoint has no {error}. Pass the checkpoint of both stages as it was published.") from error
    return {"vae": vae, "denoiser": denoiser}


def convert_mld_checkpoint(
    path: str | os.PathLike,
    *,
    mean: str | os.PathLike | np.ndarray | Sequence[float],
    std: str | os.PathLike | np.ndarray | Sequence[float],
    text_encoder: str | os.PathLike | tuple[PreTrainedModel, PreTrainedTokenizerBase] = _TEXT_ENCODER,
    max_frames: int = 196,
) -> MLDPipeline:
    """Build a pipeline from a published checkpoint, of MLD or of MotionLCM, which takes few steps.

    Args:
        path (`str` or `os.PathLike`): The `.ckpt` file. It is read as data; a file that holds code is refused.
        mean (`str`, `os.PathLike` or array): Mean of the training features, numbers or an `.npy` file.
        std (`str`, `os.PathLike` or array): Their standard deviation.
        text_encoder (`str`, `os.PathLike` or a pair): The text encoder that the weights were trained with, on the Hub or in a folder, or
            as a model and its tokenizer; CLIP ViT-L/14 by default. MotionLCM-v2 reads sentence-T5 with the layer behind it, which no text
            encoder of transformers has.
        max_frames (`int`, defaults to 196): Longest motion that the pipeline makes.

    Returns:
        `MLDPipeline`: In evaluation mode, ready for `save_pretrained`.

    Raises:
        FileNotFoundError: If a file does not exist.
        ValueError: If the file is not a checkpoint, its model is not supported, or the statistics or the text encoder do not fit it.

    Example:
        >>> from hf_motion.conversion import convert_mld_checkpoint
        >>> pipe = convert_mld_checkpoint("mld_humanml3d.ckpt", mean="Mean.npy", std="Std.npy")  # doctest: +SKIP
        >>> pipe.save_pretrained("mld-humanml3d")  # doctest: +SKIP
    """
    state_dict = load_weights(existing_file(path), ["state_dict"], "MLD weights")
    config, weights = mld_config_from_official(state_dict), convert_mld_state_dict(state_dict)
    if any(name.startswith(("controlnet.", "traj_encoder.")) for name in state_dict):
        logger.warning("%s also holds MotionLCM's control encoder, which is left out; control= works without it.", path)
    num_features = config["vae"]["num_features"]
    if num_features not in _DATASETS:
        raise ValueError(f"The weights are for features {num_features} wide; known are {', '.join(map(str, _DATASETS))}.")
    vae, denoiser = MLDAutoencoder(**config["vae"]), MLDDenoiser(**config["denoiser"])
    try:
        vae.load_state_dict(weights["vae"])
        denoiser.load_state_dict(weights["denoiser"])
    except RuntimeError as error:
        raise ValueError(f"The weights in {str(path)!r} do not fit each other: {error}") from error
    statistics = {"mean": load_statistics("mean", mean), "std": load_statistics("std", std)}
    extractor = MotionFeatureExtractor(skeleton=_DATASETS[num_features], max_frames=max_frames, **statistics)
    encoder, tokenizer = text_encoder_pair(text_encoder, config["denoiser"]["text_dim"], [_TEXT_ENCODER])
    parts = {"vae": vae.eval(), "denoiser": denoiser.eval(), "text_encoder": encoder.eval(), "tokenizer": tokenizer}
    if config["denoiser"]["time_cond_proj_dim"] is None:
        return MLDPipeline(**parts, scheduler=DDIMScheduler(**_NOISE, steps_offset=1), feature_extractor=extractor)
    levels = _DISTILLED_LEVELS["more tokens" if config["vae"]["latent_tokens"] > 1 else "one token"]
    scheduler = LCMScheduler(**_NOISE, original_inference_steps=levels)
    schedule = {name: scheduler.config[name] for name in SCHEDULE}
    few = FewSteps((1, 2, 4), _DISTILLED_GUIDANCE, 8.0, True, schedule)
    return MLDPipeline(**parts, scheduler=scheduler, feature_extractor=extractor, num_inference_steps=4, few_steps=few.to_config())


def _check_supported(state_dict: Mapping[str, Tensor]) -> None:
    found = [what for prefix, what in _UNSUPPORTED.items() if any(name.startswith(prefix) for name in state_dict)]
    if "vae.decoder.middle_block.norm3.weight" not in state_dict and "vae.skel_embedding.weight" in state_dict:
        found.append("an autoencoder of arch 'all_encoder'")
    if found:
        raise ValueError(f"The checkpoint's weights are those of {' and '.join(found)}. Supported is MLD as published for text.")
    if not any(name.startswith("vae.") for name in state_dict) or not any(name.startswith("denoiser.") for name in state_dict):
        shown = ", ".join(sorted({name.split(".")[0] for name in state_dict})[:6]) or "none"
        raise ValueError(f"Expected weights named vae.* and denoiser.*, found {shown}. Pass the checkpoint of both stages as published.")


def _autoencoder_names(state_dict: Mapping[str, Tensor]) -> dict[str, str]:
    names = {
        "global_motion_token": "distribution_tokens",
        "query_pos_encoder.pe": "encoder_positions",
        "query_pos_decoder.pe": "decoder_positions",
    }
    pairs = [("skel_embedding", "input_projection"), ("final_layer", "output_projection"), ("encoder.norm", "encoder_norm"),
             ("decoder.norm", "decoder_norm")]  # fmt: skip
    if "vae.latent_pre.weight" in state_dict:
        pairs += [("latent_pre", "to_latent"), ("latent_post", "from_latent")]
    half = count_layers(state_dict, "vae.encoder.input_blocks.")
    return names | _layers(pairs) | _stack("encoder", "encoder", half, _ENCODER_BLOCK) | _stack("decoder", "decoder", half, _DECODER_BLOCK)


def _denoiser_names(state_dict: Mapping[str, Tensor]) -> dict[str, str]:
    names = {"query_pos.pe": "positions"}
    pairs = [("time_embedding.linear_1", "time_projection.0"), ("time_embedding.linear_2", "time_projection.2"),
             ("emb_proj.1", "text_projection"), ("encoder.norm", "norm")]  # fmt: skip
    if "denoiser.latent_pre.weight" in state_dict:
        pairs += [("latent_pre", "input_projection"), ("latent_post", "output_projection")]
    if "denoiser.time_embedding.cond_proj.weight" in state_dict:
        names["time_embedding.cond_proj.weight"] = "guidance_projection.weight"
    half = count_layers(state_dict, "denoiser.encoder.input_blocks.")
    return names | _layers(pairs) | _stack("encoder", "blocks", half, _ENCODER_BLOCK)


def _stack(official: str, ours: str, half: int, block: Mapping[str, str]) -> dict[str, str]:
    """Names of all weights of a stack in the shape of a U."""
    places = [("middle_block", "middle")]
    for index in range(half):
        places += [(f"input_blocks.{index}", f"down.{index}"), (f"output_blocks.{index}", f"up.{index}")]
    names = _layers([(f"{official}.linear_blocks.{index}", f"{ours}.merges.{index}") for index in range(half)])
    for theirs, own in places:
        names |= _layers([(f"{official}.{theirs}.{a}", f"{ours}.{own}.{b}") for a, b in block.items()])
        attentions = {"self_attn": "self_attention.qkv", "multihead_attn": "cross_in"}
        for a, b in attentions.items():
            if f"{a}.out_proj" in block:
                names |= {f"{official}.{theirs}.{a}.in_proj_{kind}": f"{ours}.{own}.{b}.{kind}" for kind in ("weight", "bias")}
    return names


def _layers(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    return {f"{a}.{kind}": f"{b}.{kind}" for a, b in pairs for kind in ("weight", "bias")}


def _renamed(weights: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    converted = {}
    for official, ours in names.items():
        value = weights[official]
        if ".cross_in." in ours:
            # One matrix holds query, key and value; here the query has its own layer.
            width = len(value) // 3
            converted[ours.replace("cross_in", "cross_q")] = value[:width].clone()
            converted[ours.replace("cross_in", "cross_kv")] = value[width:].clone()
        else:
            converted[ours] = value[:, 0] if official.endswith(".pe") else value
    return converted


def main(arguments: Sequence[str] | None = None) -> None:
    """Convert a checkpoint from the command line and save the pipeline.

    Args:
        arguments (`Sequence[str]`, *optional*): Command line, the process's own by default.
    """
    parser = argparse.ArgumentParser(prog="python -m hf_motion.conversion.mld", description="Convert a published MLD checkpoint.")
    parser.add_argument("checkpoint", help="the published .ckpt file")
    parser.add_argument("--mean", required=True, help="Mean.npy of the data set")
    parser.add_argument("--std", required=True, help="Std.npy of the data set")
    parser.add_argument("--output", required=True, help="folder to save the pipeline to")
    parser.add_argument("--text-encoder", default=_TEXT_ENCODER, help="name or folder of the text encoder, if not the published one")
    options = parser.parse_args(arguments)
    pipe = convert_mld_checkpoint(options.checkpoint, mean=options.mean, std=options.std, text_encoder=options.text_encoder)
    pipe.save_pretrained(Path(options.output))


if __name__ == "__main__":
    main()
