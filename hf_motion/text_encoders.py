"""Pretrained text encoders of every system: loading, pooling, and adapters such as AdaCLIP."""

from __future__ import annotations

import copy
import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from huggingface_hub import snapshot_download
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import (
    AutoTokenizer,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.models.auto import AutoConfig, AutoModel, AutoModelForTextEncoding
from transformers.models.auto.modeling_auto import MODEL_FOR_TEXT_ENCODING_MAPPING_NAMES

from .hub.loading import check_config, load_part, loading
from .models.tmr.modeling_tmr import TMRTextEncoder
from .utils.faults import reading
from .utils.files import atomic_path

# PEFT takes a second to import; it is, once there is an adapter.
if TYPE_CHECKING:
    from peft import PeftConfig
    from peft.tuners.tuners_utils import BaseTunerLayer

logger = logging.getLogger("hf_motion")

LORA_FOLDER = "text_encoder_lora"
"""Where a saved pipeline keeps the adapter of its text encoder."""

ADAPTER_CONFIG = "adapter_config.json"
_ADAPTER_WEIGHTS = "adapter_model.safetensors"
_KEY_PREFIX = "base_model.model."
_CLIP_PREFIX = "text_model."

_LORA_TARGETS = {
    "clip_text_model": ("q_proj", "k_proj", "v_proj", "fc1", "fc2"),
    "bert": ("query", "key", "value", "intermediate.dense", r"layer\.\d+\.output\.dense"),
    "distilbert": ("q_lin", "k_lin", "v_lin", "lin1", "lin2"),
    "t5": ("q", "k", "v", "wi", "wi_0", "wi_1", "wo"),
}
"""By model type: queries, keys, values and both layers of the MLP, which AdaQF adapts (section 3.4)."""


def load_text_encoder(name: str | os.PathLike) -> PreTrainedModel:
    """A pretrained text encoder.

    Args:
        name (`str` or `os.PathLike`): Folder or repository of one of three kinds: a model, of which a CLIP gives only its text half (with
            its projection if it has one), a TMR too, and an encoder-decoder only its encoder; an adapter in PEFT's format, such as an
            AdaCLIP, which names its base; or a pipeline of ours, which gives its text encoder, its adapter included.

    Returns:
        `PreTrainedModel`: In float32 and evaluation mode.

    Raises:
        OSError: If there is no such model, or it has no safetensors.
        ValueError: If an adapter does not name its base.
    """
    folder = _small_files(name)
    if (folder / "model_index.json").is_file():
        base = _plain_encoder(name)
        return load_text_lora(base, name, subfolder=LORA_FOLDER) if (folder / LORA_FOLDER / ADAPTER_CONFIG).is_file() else base
    if (folder / ADAPTER_CONFIG).is_file():
        with reading(folder / ADAPTER_CONFIG, "an adapter's configuration"):
            base_name = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))["base_model_name_or_path"]
        if not base_name:
            raise ValueError(
                f"{str(name)!r} is an adapter that does not name the model it belongs to (base_model_name_or_path in {ADAPTER_CONFIG}). "
                "Load that model, then the adapter with load_text_lora or a pipeline's load_lora_weights."
            )
        return load_text_lora(_plain_encoder(base_name), name)
    return _plain_encoder(name)


def load_text_tokenizer(name: str | os.PathLike) -> PreTrainedTokenizerBase:
    """The tokenizer that goes with `load_text_encoder(name)`."""
    return load_part(AutoTokenizer, name, "tokenizer", **_inside(name, "tokenizer"))


def text_width(encoder: PreTrainedModel, pooled: bool = True) -> int:
    """Width of the vectors that a text encoder gives, one per text (`pooled`) or one per token."""
    config = encoder.config
    if pooled and isinstance(encoder, CLIPTextModelWithProjection):
        return config.projection_dim
    for name in ("hidden_size", "d_model", "dim"):
        if isinstance(getattr(config, name, None), int):
            return getattr(config, name)
    raise ValueError(f"Cannot tell the width of {type(encoder).__name__}; its config has none of hidden_size, d_model, dim.")


def pooled_text(encoder: PreTrainedModel, output: Any, attention_mask: Tensor) -> Tensor:
    """One vector per text, of what a text encoder gives.

    Args:
        encoder (`PreTrainedModel`): The text encoder.
        output (`ModelOutput`): Its output. Of a CLIP the projected vector is taken, or the pooled one where it has no projection; of a TMR
            its embedding; of any other the mean over tokens, as sentence encoders pool: what a BERT calls pooled was trained for another
            purpose, or not at all.
        attention_mask (`torch.Tensor`): (batch, tokens), 1 on real tokens.

    Returns:
        `torch.Tensor`: (batch, width).
    """
    if getattr(output, "text_embeds", None) is not None:
        return output.text_embeds
    if encoder.config.model_type.startswith("clip"):
        return output.pooler_output
    return mean_over_tokens(output.last_hidden_state, attention_mask)


def mean_over_tokens(states: Tensor, attention_mask: Tensor) -> Tensor:
    """Means of (batch, tokens, width) over the real tokens, 1 in a mask (batch, tokens): (batch, width)."""
    mask = attention_mask[..., None].to(states.dtype)
    return (states * mask).sum(1) / mask.sum(1)


def token_limit(encoder: PreTrainedModel, wanted: int | None = None) -> int | None:
    """How many tokens of a text an encoder reads: as many as are wanted, and as it has positions for; None for any number."""
    limits = wanted, getattr(encoder.config.get_text_config(), "max_position_embeddings", None)
    return min((limit for limit in limits if limit), default=None)


def warn_of_long_captions(captions: Sequence[str], tokenizer: PreTrainedTokenizerBase, limit: int | None) -> int:
    """Say once, before a training, how many captions are cut; returns their number.

    Args:
        captions (`list[str]`): All captions.
        tokenizer (`PreTrainedTokenizerBase`): The text encoder's.
        limit (`int`, *optional*): Tokens that are read, see `token_limit`.
    """
    if limit is None:
        return 0
    long = [text for text, ids in zip(captions, tokenizer(list(captions), verbose=False)["input_ids"], strict=True) if len(ids) > limit]
    if long:
        logger.warning("%d of %d captions are longer than %d tokens and are cut, such as %r.", len(long), len(captions), limit, long[0])
    return len(long)


def add_text_lora(
    encoder: PreTrainedModel,
    rank: int = 16,
    alpha: float | None = None,
    base: str | None = None,
    target_modules: Sequence[str] | None = None,
) -> None:
    """Put an untrained LoRA adapter on the queries, keys, values and MLP layers of a text encoder, and freeze the rest.

    AdaQF, section 3.4: "a uniform rank across all modules", 16. The paper gives no alpha; it is the rank by default, which leaves the
    update unscaled.

    Args:
        encoder (`PreTrainedModel`): CLIP's text model, BERT, DistilBERT or T5's encoder; changed in place.
        rank (`int`, defaults to 16): Rank.
        alpha (`float`, *optional*): The update is scaled by `alpha / rank`; the rank by default.
        base (`str`, *optional*): The encoder's name on the Hub, written into the saved adapter.
        target_modules (`list[str]`, *optional*): Names of the layers to adapt, by their last part; queries, keys, values and the MLP by
            default.

    Raises:
        ValueError: If the rank is not positive, the encoder is of another kind and no layers are named, a name matches none, or there is
            an adapter already.
    """
    if rank < 1:
        raise ValueError(f"rank must be at least 1, got {rank}.")
    kind = encoder.config.model_type
    layers = {name.rpartition(".")[2] for name, module in encoder.named_modules() if isinstance(module, torch.nn.Linear)}
    if unknown := sorted(set(target_modules or ()) - layers):
        raise ValueError(f"LoRA target modules {unknown} match nothing; the layers of this {kind!r} are {sorted(layers)}.")
    if target_modules is None and kind not in _LORA_TARGETS:
        raise ValueError(
            f"LoRA knows the layers of {', '.join(sorted(_LORA_TARGETS))}; this text encoder is a {kind!r} with {sorted(layers)}. "
            "Name target_modules among these, or tune it fully."
        )
    if has_lora(encoder):
        raise ValueError(f"The text encoder has adapters already: {list(encoder.peft_config)}. Train these, or unload them first.")
    from peft import LoraConfig

    encoder.requires_grad_(False)
    targets = list(target_modules) if target_modules else rf"(.*\.)?({'|'.join(_LORA_TARGETS[kind])})"
    encoder.add_adapter(LoraConfig(r=rank, lora_alpha=alpha or rank, target_modules=targets, lora_dropout=0.0))
    encoder.peft_config["default"].base_model_name_or_path = base


def load_text_lora(encoder: PreTrainedModel, name: str | os.PathLike, adapter_name: str | None = None, **options: Any) -> PreTrainedModel:
    """Load an adapter in PEFT's format into a text encoder.

    Args:
        encoder (`PreTrainedModel`): Changed in place.
        name (`str` or `os.PathLike`): Folder or repository with `adapter_config.json` and `adapter_model.safetensors`.
            One that was trained on CLIP's text model with its projection fits the one without, and the other way round.
        adapter_name (`str`, *optional*): What to call it, `"default"` by default.
        **options (`Any`): `subfolder`, `revision`, `token`, `cache_dir`, `local_files_only`.

    Returns:
        `PreTrainedModel`: The same encoder, in evaluation mode, nothing to be trained.

    Raises:
        OSError: If there is no such adapter, or it has no safetensors.
        ValueError: If it was made for another kind or size of text encoder, or the name is taken; the encoder stays as it was.
    """
    adapter_name = adapter_name or "default"
    if has_lora(encoder) and adapter_name in encoder.peft_config:
        raise ValueError(f"The text encoder has an adapter called {adapter_name!r} already; pass another adapter_name or unload it.")
    from peft import PeftConfig

    folder = _adapter_folder(name, **options)
    with reading(folder / ADAPTER_CONFIG, "an adapter's configuration"):
        check_config(json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8")), repr(str(folder / ADAPTER_CONFIG)))
        config = PeftConfig.from_pretrained(folder)
    with reading(folder / _ADAPTER_WEIGHTS, "a readable safetensors file"):
        state = load_file(folder / _ADAPTER_WEIGHTS)
    config.inference_mode = True
    base, own = config.base_model_name_or_path, encoder.name_or_path
    if base and own and not Path(own).exists() and base != own:
        logger.warning("The adapter %r was trained on %r, this text encoder is %r; it may not mean the same there.", str(name), base, own)
    device, dtype = encoder.device, encoder.dtype
    try:
        # First into a copy that shares the weights: an adapter that does not fit would leave half of its layers behind.
        for target in (_shared_copy(encoder), encoder):
            _inject(target, copy.deepcopy(config), state, adapter_name)
    except (ValueError, RuntimeError, TypeError, AttributeError, KeyError) as error:
        reason = " ".join(line.strip() for line in str(error).splitlines()[:2])  # of torch, which lists every weight, only the first
        raise ValueError(
            f"{str(name)!r} does not fit {type(encoder).__name__} ({encoder.config.model_type}, {text_width(encoder)} wide): {reason} "
            "An adapter works on the text encoder that it was trained with."
        ) from error
    return encoder.requires_grad_(False).eval().to(device=device, dtype=dtype)


def save_text_lora(encoder: PreTrainedModel, folder: str | os.PathLike, adapter_name: str | None = None) -> None:
    """Save an adapter of a text encoder in PEFT's format.

    Args:
        encoder (`PreTrainedModel`): A text encoder with an adapter.
        folder (`str` or `os.PathLike`): Where to.
        adapter_name (`str`, *optional*): Which one; the active one by default.

    Raises:
        ValueError: If there is no such adapter, or several are active and none is named.
    """
    names = list(encoder.peft_config) if has_lora(encoder) else []
    active = [adapter_name] if adapter_name else encoder.active_adapters() if names else []
    if len(active) != 1 or active[0] not in names:
        raise ValueError(f"Name one adapter to save; wanted {active or 'the active one'}, the text encoder has {names or 'none'}.")
    from peft import get_peft_model_state_dict

    config = copy.copy(encoder.peft_config[active[0]])
    config.inference_mode = True
    state = get_peft_model_state_dict(encoder, adapter_name=active[0], save_embedding_layers=False)
    config.save_pretrained(folder)
    state = {f"{_KEY_PREFIX}{name}": value.contiguous() for name, value in state.items()}
    with atomic_path(Path(folder) / _ADAPTER_WEIGHTS) as temporary:
        save_file(state, temporary, metadata={"format": "pt"})


def has_lora(encoder: torch.nn.Module) -> bool:
    """Whether a text encoder has an adapter."""
    return bool(getattr(encoder, "_hf_peft_config_loaded", False)) and bool(_lora_layers(encoder))


def is_fused(encoder: torch.nn.Module) -> bool:
    """Whether an adapter has been added to the weights of a text encoder."""
    return any(layer.merged for layer in _lora_layers(encoder))


def without_lora(encoder: PreTrainedModel) -> PreTrainedModel:
    """The same text encoder without its adapters; the weights are shared. What has been fused stays in."""
    if not _lora_layers(encoder):
        return encoder
    plain = _shared_copy(encoder)
    for name, module in list(plain.named_modules()):
        if _is_lora(module):
            plain.set_submodule(name, module.base_layer)
    plain._hf_peft_config_loaded = False
    plain.__dict__.pop("peft_config", None)
    return plain


def _lora_layers(encoder: torch.nn.Module) -> list[BaseTunerLayer]:
    return [module for module in encoder.modules() if _is_lora(module)]


def _is_lora(module: torch.nn.Module) -> bool:
    """Nothing is an adapter's layer before PEFT has been imported."""
    layers = sys.modules.get("peft.tuners.tuners_utils")
    return layers is not None and isinstance(module, layers.BaseTunerLayer)


def _shared_copy(encoder: PreTrainedModel) -> PreTrainedModel:
    """A copy of the modules with the same weights in them."""
    return copy.deepcopy(encoder, {id(tensor): tensor for tensor in (*encoder.parameters(), *encoder.buffers())})


def _inject(encoder: PreTrainedModel, config: PeftConfig, state: dict[str, Tensor], adapter_name: str) -> None:
    """Put an adapter's layers into an encoder and its weights into these."""
    from peft import inject_adapter_in_model, set_peft_model_state_dict

    inject_adapter_in_model(config, encoder, adapter_name)
    encoder._hf_peft_config_loaded = True
    names = [name.removeprefix(_KEY_PREFIX).removeprefix(_CLIP_PREFIX) for name in state]
    inside = _CLIP_PREFIX if isinstance(encoder, CLIPTextModelWithProjection) else ""
    weights = {f"{inside}{name}": weight for name, weight in zip(names, state.values(), strict=True)}
    report = set_peft_model_state_dict(encoder, weights, adapter_name)
    own = [name for name in report.missing_keys if ".lora_" in name and adapter_name in name.split(".")]
    if unknown := sorted({*own, *report.unexpected_keys}):
        raise ValueError(f"{len(unknown)} of its weights have no counterpart, such as {unknown[0]}.")


def _adapter_folder(name: str | os.PathLike, subfolder: str | None = None, **options: Any) -> Path:
    """Where an adapter's two files lie; of one on the Hub nothing else is fetched."""
    files = [f"{subfolder}/{file}" if subfolder else file for file in (ADAPTER_CONFIG, _ADAPTER_WEIGHTS)]
    folder = Path(name) if Path(name).is_dir() else Path(snapshot_download(str(name), allow_patterns=files, **options))
    for file in files:
        if not (folder / file).is_file():
            raise OSError(f"{str(name)!r} has no {file}. An adapter is saved with save_lora_weights.")
    return folder / (subfolder or "")


def _plain_encoder(name: str | os.PathLike) -> PreTrainedModel:
    options = _inside(name, "text_encoder")
    with loading(name, "model", options.get("subfolder", "")):
        return _loaded_encoder(name, options)


def _loaded_encoder(name: str | os.PathLike, options: dict[str, Any]) -> PreTrainedModel:
    config = AutoConfig.from_pretrained(name, **options)
    options |= {"use_safetensors": True, "dtype": torch.float32}
    if config.model_type in ("clip", "clip_text_model"):
        plain = config.architectures == [CLIPTextModel.__name__]  # has no projection; the other class would draw one
        return (CLIPTextModel if plain else CLIPTextModelWithProjection).from_pretrained(name, **options)
    if config.model_type == "tmr":
        return TMRTextEncoder.from_pretrained(name, **options)
    if config.model_type in MODEL_FOR_TEXT_ENCODING_MAPPING_NAMES:
        return AutoModelForTextEncoding.from_pretrained(name, **options)
    model = AutoModel.from_pretrained(name, **options)
    return model.get_encoder() if config.is_encoder_decoder else model


def _inside(name: str | os.PathLike, part: str) -> dict[str, Any]:
    """Where a checkpoint has that part: at its top, or in a folder if it is a pipeline."""
    return {"subfolder": part} if (_small_files(name) / "model_index.json").is_file() else {}


def _small_files(name: str | os.PathLike) -> Path:
    """The folder that tells of what kind a checkpoint is; of one on the Hub only its configurations are fetched."""
    if Path(name).is_dir():
        return Path(name)
    return Path(snapshot_download(str(name), allow_patterns=["model_index.json", f"*{ADAPTER_CONFIG}", "config.json"]))


def text_encoder_from_config(config: PreTrainedConfig) -> PreTrainedModel:
    """An untrained text encoder of that configuration, for models that hold one: CLIP's text model, BERT, DistilBERT or TMR's text half.

    Raises:
        ValueError: If it is of another kind.
    """
    if config.model_type == "clip_text_model":
        projects = "CLIPTextModelWithProjection" in (config.architectures or ())
        return CLIPTextModelWithProjection(config) if projects else CLIPTextModel(config)
    if config.model_type == "tmr":
        return TMRTextEncoder(config)
    if config.model_type not in ("bert", "distilbert"):
        raise ValueError(
            f"A token model holds a CLIP text model, a BERT, a DistilBERT or a TMR as its text encoder, got {config.model_type!r}."
        )
    return AutoModel.from_config(config)


def merged(encoder: PreTrainedModel) -> PreTrainedModel:
    """The text encoder with its adapters, if it has any, added to its weights: a plain model."""
    if not has_lora(encoder):
        return encoder
    for layer in _lora_layers(encoder):
        layer.merge()
    return without_lora(encoder)
