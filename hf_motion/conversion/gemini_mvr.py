"""The published action level of Gemini-MVR to `GeminiMVR`.

Xu et al., *VimoRAG*, 2025. From a shell:

    python -m hf_motion.conversion.gemini_mvr action/pytorch_model.bin --output gemini-mvr-action

The published object level is InternVideo's, which transformers does not have, so that it is not converted; with another model in its place
published router weights would mean nothing. The file holds a CLIP text tower (`verb_model`), MotionBERT's DSTformer without its head
(`action_model.encoder`), a projector, positions and the temporal transformer. Sizes are read from the weights.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor
from transformers import AutoTokenizer

from ..models.gemini_mvr.configuration_gemini_mvr import GeminiMVRConfig
from ..models.gemini_mvr.modeling_gemini_mvr import GeminiMVR
from ..utils.files import check_writable
from .published import check_names, count_layers, load_weights

_TOKENIZER = "openai/clip-vit-large-patch14"
_HEAD_WIDTH = 64  # of every attention but the keypoint encoder's
_ENCODER_HEADS = 8

# Official names without `.weight` and `.bias`, and ours.
_STREAM_NAMES = {
    "norm1_s": "over_joints.attention_norm", "attn_s.qkv": "over_joints.attention.qkv", "attn_s.proj": "over_joints.attention.out",
    "norm2_s": "over_joints.mlp_norm", "mlp_s.fc1": "over_joints.mlp.0", "mlp_s.fc2": "over_joints.mlp.2",
    "norm1_t": "over_frames.attention_norm", "attn_t.qkv": "over_frames.attention.qkv", "attn_t.proj": "over_frames.attention.out",
    "norm2_t": "over_frames.mlp_norm", "mlp_t.fc1": "over_frames.mlp.0", "mlp_t.fc2": "over_frames.mlp.2",
}  # fmt: skip
_ENCODER_NAMES = {"joints_embed": "input_projection", "norm": "norm", "pre_logits.fc": "output_projection"}
_CLIP_NAMES = {"ln_1": "attention_norm", "ln_2": "mlp_norm", "attn.out_proj": "attention.out", "mlp.c_fc": "mlp.0", "mlp.c_proj": "mlp.2"}
_TEXT_NAMES = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}


def gemini_mvr_config_from_official(weights: Mapping[str, Tensor]) -> GeminiMVRConfig:
    """Sizes of published weights.

    Args:
        weights (`Mapping[str, torch.Tensor]`): Weights of the action level under their published names.

    Raises:
        ValueError: If a weight that tells a size is missing.
    """
    try:
        vocabulary, text_width = weights["verb_model.token_embedding.weight"].shape
        positions = len(weights["verb_model.positional_embedding"])
        projected = weights["verb_model.text_projection"].shape[1]
        encoder_dim = weights["action_model.encoder.joints_embed.weight"].shape[0]
        inner = weights["action_model.encoder.blocks_st.0.mlp_s.fc1.weight"].shape[0]
        rep_dim = weights["action_model.encoder.pre_logits.fc.weight"].shape[0]
        frames = weights["action_model.encoder.temp_embed"].shape[1]
        max_frames, width = weights["frame_position_embeddings.weight"].shape
        intermediate = weights["transformerClip.resblocks.0.mlp.c_fc.weight"].shape[0]
        text_inner = weights["verb_model.transformer.resblocks.0.mlp.c_fc.weight"].shape[0]
    except KeyError as error:
        raise ValueError(f"The weights have no {error}. Pass the action level's pytorch_model.bin as it was published.") from error
    text_config = {
        "model_type": "clip_text_model", "architectures": ["CLIPTextModelWithProjection"], "vocab_size": vocabulary,
        "hidden_size": text_width, "intermediate_size": text_inner, "projection_dim": projected, "max_position_embeddings": positions,
        "num_hidden_layers": count_layers(weights, "verb_model.transformer.resblocks."),
        "num_attention_heads": max(1, text_width // _HEAD_WIDTH), "eos_token_id": vocabulary - 1, "bos_token_id": vocabulary - 2,
        "pad_token_id": vocabulary - 1,
    }  # fmt: skip
    return GeminiMVRConfig(
        text_config=text_config, encoder_dim=encoder_dim, encoder_depth=count_layers(weights, "action_model.encoder.blocks_st."),
        encoder_heads=_ENCODER_HEADS, encoder_mlp_ratio=inner // encoder_dim, encoder_rep_dim=rep_dim, encoder_frames=frames,
        hidden_size=width, num_layers=count_layers(weights, "transformerClip.resblocks."),
        num_attention_heads=max(1, width // _HEAD_WIDTH), intermediate_size=intermediate, max_frames=max_frames, pad_to_max_frames=True,
    )  # fmt: skip


def convert_gemini_mvr_state_dict(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename published weights of the action level.

    Args:
        weights (`Mapping[str, torch.Tensor]`): Weights under their published names.

    Returns:
        `dict[str, torch.Tensor]`: Weights of `GeminiMVR`.

    Raises:
        ValueError: If names are unknown or missing.
    """
    names = _names(weights)
    check_names(weights, names, "a published action level of Gemini-MVR")
    converted: dict[str, Tensor] = {}
    for official, ours in names.items():
        value = weights[official]
        if ours.endswith("{}"):  # queries, keys and values in one
            stem, kind = ours.removesuffix("{}"), "weight" if official.endswith("weight") else "bias"
            converted |= {
                f"{stem}{part}.{kind}": chunk.clone() for part, chunk in zip(("q_proj", "k_proj", "v_proj"), value.chunk(3), strict=True)
            }
        elif official in ("action_model.encoder.pos_embed", "action_model.encoder.temp_embed"):
            converted[ours] = value.reshape(-1, value.shape[-1])
        else:
            converted[ours] = value.T.contiguous() if official == "verb_model.text_projection" else value
    return converted


def convert_gemini_mvr_checkpoint(path: str | os.PathLike) -> GeminiMVR:
    """Load the published action level.

    Args:
        path (`str` or `os.PathLike`): Its `pytorch_model.bin`. It is read as data; a file that holds code is refused.

    Returns:
        `GeminiMVR`: In evaluation mode, without an object level.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no such checkpoint.

    Example:
        >>> convert_gemini_mvr_checkpoint("action/pytorch_model.bin").save_pretrained("gemini-mvr-action")  # doctest: +SKIP
    """
    weights = load_weights(path, ("state_dict", "model"), "weights of Gemini-MVR's action level")
    weights = {name.removeprefix("module."): value for name, value in weights.items()}
    model = GeminiMVR(gemini_mvr_config_from_official(weights))
    try:
        model.load_state_dict(convert_gemini_mvr_state_dict(weights))
    except RuntimeError as error:
        raise ValueError(f"The weights in {str(path)!r} do not fit each other: {error}") from error
    return model.eval()


def _names(weights: Mapping[str, Tensor]) -> dict[str, str]:
    """Every published name and the name it gets here."""
    pairs: list[tuple[str, str]] = [("action_model.projector", "projector")]
    encoder = "action_model.encoder"
    pairs += [(f"{encoder}.{a}", f"keypoint_encoder.{b}") for a, b in _ENCODER_NAMES.items()]
    for layer in range(count_layers(weights, f"{encoder}.blocks_st.")):
        pairs.append((f"{encoder}.ts_attn.{layer}", f"keypoint_encoder.mixers.{layer}"))
        for official, ours in (("blocks_st", "joints_first"), ("blocks_ts", "frames_first")):
            pairs += [(f"{encoder}.{official}.{layer}.{a}", f"keypoint_encoder.{ours}.{layer}.{b}") for a, b in _STREAM_NAMES.items()]
    names = {f"{encoder}.pos_embed": "keypoint_encoder.joint_positions", f"{encoder}.temp_embed": "keypoint_encoder.frame_positions"}
    names["frame_position_embeddings.weight"] = "positions"
    for layer in range(count_layers(weights, "transformerClip.resblocks.")):
        official, ours = f"transformerClip.resblocks.{layer}", f"temporal_blocks.{layer}"
        pairs += [(f"{official}.{a}", f"{ours}.{b}") for a, b in _CLIP_NAMES.items()]
        names |= {f"{official}.attn.in_proj_{kind}": f"{ours}.attention.qkv.{kind}" for kind in ("weight", "bias")}
    text = "text_model.text_model"
    names["verb_model.token_embedding.weight"] = f"{text}.embeddings.token_embedding.weight"
    names["verb_model.positional_embedding"] = f"{text}.embeddings.position_embedding.weight"
    names["verb_model.text_projection"] = "text_model.text_projection.weight"
    pairs.append(("verb_model.ln_final", f"{text}.final_layer_norm"))
    for layer in range(count_layers(weights, "verb_model.transformer.resblocks.")):
        official, ours = f"verb_model.transformer.resblocks.{layer}", f"{text}.encoder.layers.{layer}"
        pairs += [(f"{official}.{a}", f"{ours}.{b}") for a, b in _TEXT_NAMES.items()]
        names |= {f"{official}.attn.in_proj_{kind}": f"{ours}.self_attn.{{}}" for kind in ("weight", "bias")}
    return names | {f"{a}.{kind}": f"{b}.{kind}" for a, b in pairs for kind in ("weight", "bias")}


def main(arguments: Sequence[str] | None = None) -> None:
    """Convert from the command line and save model and tokenizer.

    Args:
        arguments (`Sequence[str]`, *optional*): Command line, the process's own by default.
    """
    parser = argparse.ArgumentParser(prog="python -m hf_motion.conversion.gemini_mvr", description="Convert Gemini-MVR's action level.")
    parser.add_argument("weights", help="pytorch_model.bin of the action level")
    parser.add_argument("--tokenizer", default=_TOKENIZER, help="folder or repository of CLIP's tokenizer, %(default)s by default")
    parser.add_argument("--output", required=True, help="folder to save the checkpoint to")
    options: Any = parser.parse_args(arguments)
    check_writable(options.output)
    model = convert_gemini_mvr_checkpoint(options.weights)
    for part in (model, AutoTokenizer.from_pretrained(options.tokenizer)):
        part.save_pretrained(options.output)


if __name__ == "__main__":
    main()
