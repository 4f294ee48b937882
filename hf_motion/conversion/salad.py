"""Published SALAD checkpoints to `SALADPipeline`.

Hong et al., *SALAD: Skeleton-aware Latent Diffusion for Text-driven Motion Generation and Editing*, CVPR 2025. From a shell:

    python -m hf_motion.conversion.salad t2m/DENOISER/model/net_best_fid.tar --autoencoder t2m/VAE/model/net_best_fid.tar ...

`opt.txt` must lie in the folder above each file as it was published. Mean and std are those of the evaluator (`Comp_v6_KLD005/meta` of the
text-to-motion project), which SALAD was trained with, not those of the data set.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDIMScheduler
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..models.salad import SALADAutoencoder, SALADDenoiser
from ..pipelines.salad import SALADPipeline
from ..representation import MotionFeatureExtractor
from .published import check_names, count_layers, existing_file, load_statistics, load_weights, text_encoder_pair

_TEXT_ENCODERS = {512: "openai/clip-vit-base-patch32", 768: "openai/clip-vit-large-patch14"}
_SKELETONS = {22: "humanml3d-22", 21: "kit-21"}
_NUM_HEADS, _KERNEL = 8, 3
_ATTENTIONS = {"skel": "skeletal", "temp": "temporal", "cross": "cross"}
_NORMS = {"skel_norm": "skeletal_norm", "temp_norm": "temporal_norm", "cross_src_norm": "cross_norm", "cross_tgt_norm": "text_norm",
          "ffn_norm": "mlp_norm", "ffn_linear1": "mlp.0", "ffn_linear2": "mlp.2"}  # fmt: skip
_FILMS = ("temp_film", "skel_film", "cross_film", "ffn_film")  # in the order in which a block adds
_COMPUTED = ("adj_matrix", "skeleton_pool", "skeleton_unpool")


def convert_salad_state_dict(autoencoder: Mapping[str, Tensor], denoiser: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Rename published weights.

    Skeletons and positions, which are computed, are left out.

    Args:
        autoencoder (`Mapping[str, torch.Tensor]`): Weights under `"vae"` in the autoencoder's file.
        denoiser (`Mapping[str, torch.Tensor]`): Weights under `"denoiser"` in the denoiser's.

    Returns:
        `dict[str, dict[str, torch.Tensor]]`: Weights of `SALADAutoencoder` under `"vae"` and of `SALADDenoiser` under `"denoiser"`.

    Raises:
        ValueError: If names are unknown or missing.
    """
    weights = {name: value for name, value in autoencoder.items() if not name.endswith(_COMPUTED)}
    names = _autoencoder_names(weights)
    check_names(weights, names, "a published SALAD (vae)")
    vae = {ours: weights[official] for official, ours in names.items()}
    weights = {name: value for name, value in denoiser.items() if name != "pos_emb.pe" and not name.startswith("clip_model.")}
    names, fused = _denoiser_names(weights)
    check_names(weights, {**names, **{part: "" for parts in fused.values() for part in parts}}, "a published SALAD (denoiser)")
    converted = {ours: weights[official] for official, ours in names.items()}
    converted |= {ours: torch.cat([weights[official] for official in parts]) for ours, parts in fused.items()}
    return {"vae": vae, "denoiser": converted}


def salad_config_from_official(
    autoencoder: Mapping[str, Tensor],
    denoiser: Mapping[str, Tensor],
    options: Mapping[str, str] | None = None,
    autoencoder_options: Mapping[str, str] | None = None,
) -> dict[str, dict[str, Any]]:
    """The options of `SALADAutoencoder` and `SALADDenoiser` for published weights.

    Args:
        autoencoder (`Mapping[str, torch.Tensor]`): As for `convert_salad_state_dict`.
        denoiser (`Mapping[str, torch.Tensor]`): The same.
        options (`Mapping[str, str]`, *optional*): The denoiser's `opt.txt`, by names; of heads and activations weights tell nothing.
        autoencoder_options (`Mapping[str, str]`, *optional*): The autoencoder's.

    Returns:
        `dict[str, dict]`: Options under `"vae"` and `"denoiser"`.

    Raises:
        ValueError: If the model is not supported, or a weight is missing.
    """
    options, autoencoder_options = options or {}, autoencoder_options or {}
    norm = autoencoder_options.get("norm", "none")
    if norm != "none":
        raise ValueError(f"The autoencoder has norm={norm!r}; supported is 'none', as published.")
    try:
        joints = count_layers(autoencoder, "motion_enc.layers.")
        width = len(autoencoder["motion_enc.layers.0.2.bias"])
        hidden_size, text_dim = denoiser["word_emb.weight"].shape
        stages = count_layers(autoencoder, "conv_enc.layers.")
        kernel = autoencoder["conv_enc.layers.0.0.layers.2.temp_conv.weight"].shape[-1]
        sizes = {
            "num_layers": 2 * count_layers(denoiser, "transformer.input_blocks.") + 1,
            "intermediate_size": len(denoiser["transformer.middle_block.ffn_linear1.bias"]),
            "time_dim": denoiser["timestep_emb.mlp.0.weight"].shape[1],
        }
    except KeyError as error:
        raise ValueError(f"The checkpoint has no {error}. Pass the files of autoencoder and denoiser as they were published.") from error
    if joints not in _SKELETONS or stages != 2:
        raise ValueError(f"Supported are 22 or 21 joints and two stages of pooling, these weights have {joints} and {stages}.")
    blocks = count_layers(autoencoder, "conv_enc.layers.0.")
    pools = any(name.startswith(f"conv_enc.layers.0.{blocks - 1}.skeleton_pool") for name in autoencoder)
    return {
        "vae": {
            "num_features": 12 * joints - 1,
            "skeleton": _SKELETONS[joints],
            "latent_dim": width,
            "blocks_per_stage": blocks - pools,
            "kernel_size": kernel,
            "activation": autoencoder_options.get("activation", "silu"),
        },
        "denoiser": {
            "latent_dim": width,
            "hidden_size": hidden_size,
            "num_attention_heads": int(options.get("n_heads", _NUM_HEADS)),
            "activation": "relu" if options.get("activation", "gelu") == "relu" else "gelu",
            "text_dim": text_dim,
            **sizes,
        },
    }


def convert_salad_checkpoint(
    path: str | os.PathLike,
    *,
    autoencoder: str | os.PathLike,
    mean: str | os.PathLike | np.ndarray | Sequence[float],
    std: str | os.PathLike | np.ndarray | Sequence[float],
    text_encoder: str | os.PathLike | tuple[PreTrainedModel, PreTrainedTokenizerBase] | None = None,
    max_frames: int = 196,
) -> SALADPipeline:
    """Build a pipeline from two published checkpoints.

    Args:
        path (`str` or `os.PathLike`): The denoiser's `.tar` file. Both are read as data; a file that holds code is refused.
        autoencoder (`str` or `os.PathLike`): The autoencoder's.
        mean (`str`, `os.PathLike` or array): Mean of the evaluator's features, numbers or an `.npy` file.
        std (`str`, `os.PathLike` or array): Their standard deviation.
        text_encoder (`str`, `os.PathLike` or a pair, *optional*): The text encoder that the weights were trained with; CLIP ViT-B/32 or
            ViT-L/14 by their width. An AdaCLIP takes its place.
        max_frames (`int`, defaults to 196): Longest motion that the pipeline makes.

    Returns:
        `SALADPipeline`: In evaluation mode, ready for `save_pretrained`.

    Raises:
        FileNotFoundError: If a file does not exist, `opt.txt` included: weights do not tell activations, heads and what is predicted.
        ValueError: If a file is not a checkpoint, its model is not supported, or the statistics or the text encoder do not fit it.

    Example:
        >>> from hf_motion.conversion import convert_salad_checkpoint
        >>> files = {"autoencoder": "vae/model/net_best_fid.tar", "mean": "mean.npy", "std": "std.npy"}
        >>> pipe = convert_salad_checkpoint("denoiser/model/net_best_fid.tar", **files)  # doctest: +SKIP
    """
    vae_weights = load_weights(existing_file(autoencoder), ["vae"], "SALAD's autoencoder")
    weights = load_weights(existing_file(path), ["denoiser"], "SALAD's denoiser")
    options, vae_options = _read_options(Path(path)), _read_options(Path(autoencoder))
    config = salad_config_from_official(vae_weights, weights, options, vae_options)
    converted = convert_salad_state_dict(vae_weights, weights)
    vae, denoiser = SALADAutoencoder(**config["vae"]), SALADDenoiser(**config["denoiser"])
    try:
        vae.load_state_dict(converted["vae"])
        denoiser.load_state_dict(converted["denoiser"])
    except RuntimeError as error:
        raise ValueError(f"The weights in {str(path)!r} and {str(autoencoder)!r} do not fit each other: {error}") from error
    statistics = {"mean": load_statistics("mean", mean), "std": load_statistics("std", std)}
    text_dim = config["denoiser"]["text_dim"]
    if text_encoder is None and text_dim not in _TEXT_ENCODERS:
        raise ValueError(f"No published text encoder gives vectors {text_dim} wide; pass text_encoder.")
    encoder, tokenizer = text_encoder_pair(text_encoder or _TEXT_ENCODERS[text_dim], text_dim, _TEXT_ENCODERS.values(), pooled=False)
    scheduler = DDIMScheduler(
        num_train_timesteps=int(options.get("num_train_timesteps", 1000)),
        beta_start=float(options.get("beta_start", 0.00085)),
        beta_end=float(options.get("beta_end", 0.012)),
        beta_schedule=options.get("beta_schedule", "scaled_linear"),
        prediction_type=options.get("prediction_type", "v_prediction"),
        clip_sample=False,
    )
    return SALADPipeline(
        vae=vae.eval(),
        denoiser=denoiser.eval(),
        text_encoder=encoder.eval(),
        tokenizer=tokenizer,
        scheduler=scheduler,
        feature_extractor=MotionFeatureExtractor(skeleton=config["vae"]["skeleton"], max_frames=max_frames, **statistics),
    )


def _read_options(path: Path) -> dict[str, str]:
    """`opt.txt` in the folder above that of a checkpoint: lines of `name: value`."""
    file = existing_file(path.parent.parent / "opt.txt")
    pairs = (line.partition(": ") for line in file.read_text(encoding="utf-8").splitlines() if ": " in line)
    return {name.strip(): value.strip() for name, _, value in pairs}


def _layers(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    return {f"{a}.{kind}": f"{b}.{kind}" for a, b in pairs for kind in ("weight", "bias")}


def _autoencoder_names(weights: Mapping[str, Tensor]) -> dict[str, str]:
    pairs = []
    for joint in range(count_layers(weights, "motion_enc.layers.")):
        for layer in (0, 2):
            pairs += [(f"motion_{kind}.layers.{joint}.{layer}", f"joint_{kind}oders.{joint}.{layer}") for kind in ("enc", "dec")]
    for kind, first in (("enc", 0), ("dec", 1)):  # a decoder's stage begins with its unpooling
        for stage in range(count_layers(weights, f"conv_{kind}.layers.")):
            for block in range(count_layers(weights, f"conv_{kind}.layers.{stage}.") - first):
                for number, place in enumerate((2, 5)):
                    official = f"conv_{kind}.layers.{stage}.{block + first}.layers.{place}"
                    ours = f"{kind}oder.{stage}.{block}.convolutions.{number}"
                    pairs += [(f"{official}.graph_conv.linear1", f"{ours}.own"), (f"{official}.graph_conv.linear2", f"{ours}.neighbours"),
                              (f"{official}.temp_conv", f"{ours}.time")]  # fmt: skip
    return _layers(pairs) | {"dist.weight": "latent_weight", "dist.bias": "latent_bias"}


def _denoiser_names(weights: Mapping[str, Tensor]) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Names, and those of weights that several published ones make together."""
    pairs = [("input_process.layers.0", "input_projection.0"), ("input_process.layers.2", "input_projection.2"),
             ("output_process.layers.0", "output_norm"), ("output_process.layers.1", "output_projection.0"),
             ("output_process.layers.3", "output_projection.2"), ("timestep_emb.mlp.0", "time_projection.0"),
             ("timestep_emb.mlp.2", "time_projection.2"), ("word_emb", "text_projection")]  # fmt: skip
    places, fused = [("transformer.middle_block", "blocks.middle")], {}
    for index in range(count_layers(weights, "transformer.input_blocks.")):
        places += [(f"transformer.input_blocks.{index}", f"blocks.down.{index}"),
                   (f"transformer.output_blocks.{index}", f"blocks.up.{index}")]  # fmt: skip
        pairs.append((f"transformer.skip_blocks.{index}", f"blocks.merges.{index}"))
    for official, ours in places:
        pairs += [(f"{official}.{a}", f"{ours}.{b}") for a, b in _NORMS.items()]
        pairs += [(f"{official}.{film}.linear.1", f"{ours}.films.{number}.1") for number, film in enumerate(_FILMS)]
        for a, b in _ATTENTIONS.items():
            theirs, own = f"{official}.{a}_attn", f"{ours}.{b}_attention"
            pairs += [(f"{theirs}.Wq", f"{own}.q"), (f"{theirs}.Wo", f"{own}.out")]
            fused |= {f"{own}.kv.{kind}": [f"{theirs}.Wk.{kind}", f"{theirs}.Wv.{kind}"] for kind in ("weight", "bias")}
    return _layers(pairs), fused


def main(arguments: Sequence[str] | None = None) -> None:
    """Convert two checkpoints from the command line and save the pipeline.

    Args:
        arguments (`Sequence[str]`, *optional*): Command line, the process's own by default.
    """
    parser = argparse.ArgumentParser(prog="python -m hf_motion.conversion.salad", description="Convert a published SALAD.")
    parser.add_argument("checkpoint", help="the denoiser's published .tar file, with opt.txt in the folder above")
    parser.add_argument("--autoencoder", required=True, help="the autoencoder's")
    parser.add_argument("--mean", required=True, help="mean.npy of the evaluator")
    parser.add_argument("--std", required=True, help="std.npy of the evaluator")
    parser.add_argument("--output", required=True, help="folder to save the pipeline to")
    parser.add_argument("--text-encoder", help="name or folder of the text encoder, if not the published one")
    options = parser.parse_args(arguments)
    files = {"autoencoder": options.autoencoder, "mean": options.mean, "std": options.std, "text_encoder": options.text_encoder}
    convert_salad_checkpoint(options.checkpoint, **files).save_pretrained(options.output)


if __name__ == "__main__":
    main()
