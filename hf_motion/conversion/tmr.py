"""Published TMR checkpoints to `TMR`.

Petrovich et al., *TMR: Text-to-Motion Retrieval Using Contrastive 3D Human Motion Synthesis*, ICCV 2023. From a shell:

    python -m hf_motion.conversion.tmr models/tmr_humanml3d_guoh3dfeats --mean mean.pt --std std.pt --output tmr-humanml3d

The folder is one of a published run after the authors' `extract.py`: `last_weights/` with `motion_encoder.pt`, `text_encoder.pt` and
`motion_decoder.pt`, and perhaps the run's `config.json`, which tells what weights do not. Mean and std are those in the authors' `stats`,
for both data sets of 263 features at 20 fps. The text model under the text encoder was never part of the weights: it is DistilBERT, frozen,
and becomes part of the converted checkpoint.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from ..hub.remote import forget_origin
from ..models.tmr.modeling_tmr import TMR
from ..representation import MotionFeatureExtractor
from ..utils.files import check_writable
from .published import load_statistics, load_tensors

logger = logging.getLogger(__name__)

_TEXT_MODEL = "distilbert/distilbert-base-uncased"
_NUM_FEATURES = 263
_MAX_FRAMES = 200  # Ten seconds, the longest clips of the published training.
_PARTS = {"motion_encoder": "seqTransEncoder", "text_encoder": "seqTransEncoder", "motion_decoder": "seqTransDecoder"}

# Official names, without `.weight` or `.bias`, and ours.
_NAMES = {
    "motion_encoder": {"projection": "input_projection"},
    "text_encoder": {"projection": "input_projection"},
    "motion_decoder": {"final_layer": "output_projection"},
}
_BLOCK_NAMES = {"self_attn.out_proj": "self_attention.out", "linear1": "mlp.0", "linear2": "mlp.3", "norm1": "self_attention_norm"}
_PART_BLOCK_NAMES = {
    "seqTransEncoder": {"norm2": "mlp_norm"},
    "seqTransDecoder": {"multihead_attn.out_proj": "latent_out", "norm2": "latent_norm", "norm3": "mlp_norm"},
}

Parts = Mapping[str, Mapping[str, Tensor]]


def convert_tmr_state_dict(parts: Parts) -> dict[str, Tensor]:
    """Rename published weights.

    Of the decoder's attention to its one latent only the value is kept: a softmax over one key is one whatever query and key are.

    Args:
        parts (`Mapping[str, Mapping[str, torch.Tensor]]`): Weights under their published names, of `"motion_encoder"`, `"text_encoder"` and
            `"motion_decoder"`.

    Returns:
        `dict[str, torch.Tensor]`: Weights of `TMR`, all but those of its text model.

    Raises:
        ValueError: If a part is missing, or names are unknown or missing.
    """
    _check_parts(parts)
    converted = {}
    for part, weights in parts.items():
        weights = {name: value for name, value in weights.items() if not name.endswith(".pe")}
        names = _rename_map(part, _num_layers(part, weights))
        missing, unexpected = sorted(names.keys() - weights.keys()), sorted(weights.keys() - names.keys())
        if missing or unexpected:
            found = "; ".join(f"{kind}: {', '.join(keys)}" for kind, keys in (("missing", missing), ("unexpected", unexpected)) if keys)
            raise ValueError(f"These are not the weights of a published TMR's {part}: {found}. Pass the files unchanged.")
        for official, ours in names.items():
            value = weights[official]
            if ".latent_value." in ours:
                value = value[2 * len(value) // 3 :].clone()
            converted[f"{part}.{ours}"] = value
    return converted


def tmr_config_from_official(parts: Parts, run: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The options of `TMRConfig` for published weights, but for its text model.

    Args:
        parts (`Mapping[str, Mapping[str, torch.Tensor]]`): Weights under their published names.
        run (`Mapping`, *optional*): Content of the run's `config.json`; what it does not say is as published.

    Returns:
        `dict`: Options of `TMRConfig`.

    Raises:
        ValueError: If the model is not supported, or its parts do not fit each other.
    """
    _check_parts(parts)
    model = dict((run or {}).get("model") or {})
    modules = [dict(model.get(part) or {}) for part in _PARTS]
    for name, published in (("vae", True), ("activation", "gelu")):
        found = [module[name] for module in (model, *modules) if module.get(name, published) != published]
        if found:
            raise ValueError(f"config.json says {name}={found[0]!r}; supported is {name}={published!r}, as published.")
    try:
        hidden_size, num_features = parts["motion_encoder"]["projection.weight"].shape
        sizes = {
            part: (_num_layers(part, weights), *reversed(weights[f"{_PARTS[part]}.layers.0.linear1.weight"].shape))
            for part, weights in parts.items()
        }
        tokens = {len(parts[part]["tokens"]) for part in ("motion_encoder", "text_encoder")}
    except KeyError as error:
        raise ValueError(f"The weights have no {error}. Pass the files as `extract.py` wrote them.") from error
    if tokens != {2}:
        raise ValueError("The encoders have other than two tokens, so they give no mean and variance; supported is vae=True, as published.")
    if len(set(sizes.values())) > 1:
        found = ", ".join(f"{part} {size}" for part, size in sizes.items())
        raise ValueError(f"The three parts must have equal layers, width and feed-forward width, got {found}. Are they of one run?")
    weights = {**{"recons": 1.0, "kl": 1e-5, "latent": 1e-5, "contrastive": 0.1}, **(model.get("lmd") or {})}
    return {
        "num_features": num_features,
        "hidden_size": hidden_size,
        "num_layers": sizes["motion_encoder"][0],
        "num_attention_heads": _common(modules, "num_heads", 4),
        "intermediate_size": sizes["motion_encoder"][2],
        "dropout": _common(modules, "dropout", 0.1),
        "reconstruction_weight": weights["recons"],
        "kl_weight": weights["kl"],
        "latent_weight": weights["latent"],
        "contrastive_weight": weights["contrastive"],
        "contrastive_temperature": model.get("temperature", 0.1),
    }


def convert_tmr_checkpoint(
    run_dir: str | os.PathLike,
    *,
    mean: str | os.PathLike | np.ndarray | Tensor | Sequence[float],
    std: str | os.PathLike | np.ndarray | Tensor | Sequence[float],
    text_model: str | os.PathLike = _TEXT_MODEL,
) -> tuple[TMR, PreTrainedTokenizerBase, MotionFeatureExtractor]:
    """Load a published run. The three results, each saved with `save_pretrained` into one folder, are a complete checkpoint.

    Args:
        run_dir (`str` or `os.PathLike`): Folder with `last_weights/`. Files are read as data; one that holds code is refused.
        mean (`str`, `os.PathLike` or array): Mean of the training features: numbers, or a `.pt` or `.npy` file.
        std (`str`, `os.PathLike` or array): Their standard deviation.
        text_model (`str` or `os.PathLike`, defaults to `"distilbert/distilbert-base-uncased"`): The text model under the text encoder, on
            the Hub or in a folder.

    Returns:
        `tuple[TMR, PreTrainedTokenizerBase, MotionFeatureExtractor]`: The model in evaluation mode, its tokenizer, its feature extractor.

    Raises:
        FileNotFoundError: If a file does not exist.
        ValueError: If a file is not a checkpoint, the model is not supported, or the statistics or the text model do not fit it.

    Example:
        >>> from hf_motion.conversion.tmr import convert_tmr_checkpoint
        >>> parts = convert_tmr_checkpoint("models/tmr_humanml3d", mean="mean.pt", std="std.pt")  # doctest: +SKIP
        >>> for part in parts:  # doctest: +SKIP
        ...     part.save_pretrained("tmr-humanml3d")
    """
    run_dir = Path(run_dir)
    folder = run_dir / "last_weights"
    if not folder.is_dir():
        raise FileNotFoundError(
            f"There is no folder {str(folder)!r}. Pass the folder of a run; if it has only logs/checkpoints/last.ckpt, run the authors' "
            "extract.py on it first."
        )
    parts = {part: _load_weights(folder / f"{part}.pt") for part in _PARTS}
    weights = convert_tmr_state_dict(parts)
    options = tmr_config_from_official(parts, _load_run(run_dir / "config.json"))
    if options["num_features"] != _NUM_FEATURES:
        raise ValueError(f"The weights are for features {options['num_features']} wide; known are those of {_NUM_FEATURES} (guoh3dfeats).")
    feature_extractor = MotionFeatureExtractor(mean=_statistics("mean", mean), std=_statistics("std", std), max_frames=_MAX_FRAMES)
    model = TMR.from_text_model(text_model, **options)
    text_width, wanted = model.config.text_config.hidden_size, parts["text_encoder"]["projection.weight"].shape[1]
    if text_width != wanted:
        raise ValueError(
            f"The weights expect text tokens {wanted} wide, {str(text_model)!r} gives {text_width}. Pass the text model that they were "
            f"trained with; the published one is {_TEXT_MODEL!r}."
        )
    weights |= {f"text_model.{name}": value for name, value in model.text_model.state_dict().items()}
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"The weights in {str(folder)!r} do not fit each other: {error}") from error
    return model.eval(), AutoTokenizer.from_pretrained(text_model), feature_extractor


def _check_parts(parts: Parts) -> None:
    if set(parts) != set(_PARTS):
        raise ValueError(f"Expected the weights of {', '.join(_PARTS)}, got those of {', '.join(sorted(parts)) or 'none'}.")


def _rename_map(part: str, num_layers: int) -> dict[str, str]:
    """Every published name of a part and the name it gets here."""
    stack = _PARTS[part]
    pairs = list(_NAMES[part].items())
    names = {"tokens": "distribution_tokens"} if stack == "seqTransEncoder" else {}
    for layer in range(num_layers):
        official, ours = f"{stack}.layers.{layer}", f"blocks.{layer}"
        pairs += [(f"{official}.{a}", f"{ours}.{b}") for a, b in {**_BLOCK_NAMES, **_PART_BLOCK_NAMES[stack]}.items()]
        names |= {f"{official}.self_attn.in_proj_{kind}": f"{ours}.self_attention.qkv.{kind}" for kind in ("weight", "bias")}
        if stack == "seqTransDecoder":
            names |= {f"{official}.multihead_attn.in_proj_{kind}": f"{ours}.latent_value.{kind}" for kind in ("weight", "bias")}
    return names | {f"{a}.{kind}": f"{b}.{kind}" for a, b in pairs for kind in ("weight", "bias")}


def _num_layers(part: str, weights: Mapping[str, Tensor]) -> int:
    prefix = f"{_PARTS[part]}.layers."
    layers = (name.removeprefix(prefix).split(".")[0] for name in weights if name.startswith(prefix))
    return 1 + max((int(layer) for layer in layers if layer.isdigit()), default=-1)


def _common(modules: Sequence[Mapping[str, Any]], name: str, published: Any) -> Any:
    values = {module.get(name, published) for module in modules}
    if len(values) > 1:
        raise ValueError(f"config.json gives the three parts different {name}, {sorted(values)}; supported is one for all.")
    return values.pop()


def _statistics(name: str, values: str | os.PathLike | np.ndarray | Tensor | Sequence[float]) -> list[float]:
    if not isinstance(values, (str, os.PathLike)) or Path(values).suffix != ".pt":
        return load_statistics(name, values)
    tensor = load_tensors(values)
    if not isinstance(tensor, Tensor):
        raise ValueError(
            f"{str(values)!r} holds no {name}: expected one tensor with a number per feature, found a {type(tensor).__name__}."
        )
    return load_statistics(name, tensor.double().numpy())


def _load_weights(path: Path) -> dict[str, Tensor]:
    content = load_tensors(path)
    if not isinstance(content, dict) or not content or not all(isinstance(value, Tensor) for value in content.values()):
        found = ", ".join(map(repr, list(content)[:5])) if isinstance(content, dict) else type(content).__name__
        raise ValueError(f"{str(path)!r} holds no weights: expected tensors by name, found {found or None}.")
    return content


def _load_run(path: Path) -> dict[str, Any]:
    if not path.is_file():
        logger.warning("There is no %s: taking the published options (4 heads, dropout 0.1, temperature 0.1, GELU).", path)
        return {}
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{str(path)!r} is not JSON: {error}. Pass the run's own config.json.") from error
    if not isinstance(run, dict):
        raise ValueError(f"{str(path)!r} must hold a JSON object with the run's options, got {type(run).__name__}.")
    return run


def main(arguments: Sequence[str] | None = None) -> None:
    """Convert a run from the command line and save the complete checkpoint.

    Args:
        arguments (`Sequence[str]`, *optional*): Command line, the process's own by default.
    """
    parser = argparse.ArgumentParser(prog="python -m hf_motion.conversion.tmr", description="Convert a published TMR run.")
    parser.add_argument("run_dir", help="folder of the run, with last_weights/ in it")
    parser.add_argument("--mean", required=True, help="mean.pt of the run's features")
    parser.add_argument("--std", required=True, help="std.pt of the run's features")
    parser.add_argument("--text-model", default=_TEXT_MODEL, help="name or folder of the text model, %(default)s by default")
    parser.add_argument("--output", required=True, help="folder to save the checkpoint to")
    options = parser.parse_args(arguments)
    check_writable(options.output)
    for part in convert_tmr_checkpoint(options.run_dir, mean=options.mean, std=options.std, text_model=options.text_model):
        part.save_pretrained(options.output)
    for path in Path(options.output).glob("*.json"):
        forget_origin(path)


if __name__ == "__main__":
    main()
