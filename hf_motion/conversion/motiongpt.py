"""Published MotionGPT checkpoints to `MotionLanguageModel`.

Jiang et al., *MotionGPT: Human Motion as a Foreign Language*, NeurIPS 2023. From a shell:

    python -m hf_motion.conversion.motiongpt motiongpt_s3_h3d.tar --mean mean.npy --std std.npy --base google/flan-t5-base \
        --output motiongpt

The checkpoint holds the language model under `lm.language_model.` and the motion tokenizer under `vae.` (older: `motion_vae.`); what else
is in it, such as buffers of metrics, is left out, and one line says so. Mean and std are the evaluator's, see
`hf_motion.conversion.motion_vq`. The base gives what weights do not show: the text tokenizer, and sizes such as the number of heads.

The published prompts for texts and captions are kept. Those for prediction and in-betweening write motions without start or with masks,
which `MotionLanguageModel` does not; a converted model is not asked for these tasks.
"""

from __future__ import annotations

import argparse
import copy
import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoTokenizer, PreTrainedConfig, PreTrainedTokenizerBase, T5ForConditionalGeneration

from ..hub.loading import load_part
from ..models.motion_language.instructions import Instructions
from ..models.motion_language.modeling_motion_language import MotionLanguageModel
from ..utils.files import check_writable
from .motion_vq import motion_vq_from_state_dict
from .published import check_names, load_weights

logger = logging.getLogger("hf_motion")

BASE = "google/flan-t5-base"
"""The language model that the published one began with."""

INSTRUCTIONS = {
    "text_to_motion": ["Generate motion: {text}", "Generate motion with {frames} frames: {text}"],
    "motion_to_text": ["Generate text: {motion}"],
}
"""Published prompts."""

_LANGUAGE = "lm.language_model."
_TOKENIZERS = ("vae.", "motion_vae.")
_TIED = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")


def convert_motiongpt_state_dict(state_dict: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Weights of the T5, and those of the motion tokenizer under their published names.

    Args:
        state_dict (`Mapping[str, torch.Tensor]`): All weights under their published names.

    Returns:
        `tuple[dict, dict]`: For `T5ForConditionalGeneration`, and for `convert_motion_vq_state_dict`.

    Raises:
        ValueError: If one of the two is not there, or the tables of encoder and decoder are not the shared one.
    """
    language = {name.removeprefix(_LANGUAGE): value for name, value in state_dict.items() if name.startswith(_LANGUAGE)}
    prefix = next((prefix for prefix in _TOKENIZERS if any(name.startswith(prefix) for name in state_dict)), _TOKENIZERS[0])
    tokenizer = {name.removeprefix(prefix): value for name, value in state_dict.items() if name.startswith(prefix)}
    if not language or not tokenizer or "shared.weight" not in language:
        found = sorted({name.partition(".")[0] for name in state_dict})
        raise ValueError(
            f"These are not the weights of a MotionGPT on T5, which has names that begin with {_LANGUAGE!r} and {_TOKENIZERS[0]!r}; these "
            f"begin with {', '.join(found[:8])}. Pass the checkpoint as it was published."
        )
    for name in _TIED:
        if name in language and not torch.equal(language.pop(name), language["shared.weight"]):
            raise ValueError(f"{_LANGUAGE}{name} is not the shared table, as it is in published models.")
    language.setdefault("lm_head.weight", language["shared.weight"])
    rest = Counter(name.partition(".")[0] for name in state_dict if not name.startswith((_LANGUAGE, prefix)))
    if rest:
        logger.warning("Left out of the checkpoint: %s.", ", ".join(f"{count} weights of {part!r}" for part, count in sorted(rest.items())))
    return language, tokenizer


def convert_motiongpt_checkpoint(
    path: str | os.PathLike,
    *,
    mean: str | os.PathLike | np.ndarray | Sequence[float],
    std: str | os.PathLike | np.ndarray | Sequence[float],
    base: str | os.PathLike | tuple[PreTrainedConfig, PreTrainedTokenizerBase] = BASE,
) -> MotionLanguageModel:
    """Build a complete model from a published file.

    Args:
        path (`str` or `os.PathLike`): The `.tar` file. It is read as data; a file that holds code is refused.
        mean (`str`, `os.PathLike` or array): Mean of the training features, numbers or an `.npy` file.
        std (`str`, `os.PathLike` or array): Their standard deviation.
        base (`str`, `os.PathLike` or a pair, defaults to `"google/flan-t5-base"`): The T5 that it began with, on the Hub or in a folder, or
            its configuration and tokenizer; no weights of it are read.

    Returns:
        `MotionLanguageModel`: In evaluation mode, ready for `save_pretrained`.

    Raises:
        FileNotFoundError: If a file does not exist.
        ValueError: If the file is no such checkpoint, or the base does not fit it.

    Example:
        >>> from hf_motion.conversion import convert_motiongpt_checkpoint
        >>> files = {"mean": "mean.npy", "std": "std.npy"}
        >>> model = convert_motiongpt_checkpoint("motiongpt_s3_h3d.tar", **files)  # doctest: +SKIP
        >>> model.save_pretrained("motiongpt")  # doctest: +SKIP
    """
    language, tokenizer_weights = convert_motiongpt_state_dict(load_weights(path, ["state_dict"], "weights of a MotionGPT"))
    vq_model, motion_tokenizer, extractor = motion_vq_from_state_dict(tokenizer_weights, mean, std, where=repr(str(path)))
    if isinstance(base, tuple):
        config, text_tokenizer = base
    else:
        config, text_tokenizer = load_part(AutoConfig, base, "config"), load_part(AutoTokenizer, base, "tokenizer")
    first, size = len(text_tokenizer), motion_tokenizer.codebook_size + 3
    rows = len(language["shared.weight"])
    if rows < first + size:
        raise ValueError(
            f"{str(path)!r} has {rows} words; {first} of the base and {size} for motion are more. Pass as base the T5 that it began with."
        )
    model = _language_model(language, config, rows)
    kept = {name: value.clone() for name, value in model.state_dict().items()}
    instructions = Instructions(INSTRUCTIONS)
    options = {"format": "motiongpt", "chat": False, "instructions": instructions}
    made = MotionLanguageModel.from_base(model, text_tokenizer, vq_model, motion_tokenizer, extractor, **options)
    made.language_model.load_state_dict(kept)  # the rows of motion tokens are trained already
    return made


def _language_model(weights: Mapping[str, Tensor], config: PreTrainedConfig, rows: int) -> T5ForConditionalGeneration:
    config = copy.deepcopy(config)
    config.vocab_size = rows
    model = T5ForConditionalGeneration(config).eval()
    wanted = {name: value for name, value in model.state_dict().items() if name not in _TIED}
    check_names(weights, wanted, f"a {config.model_type} of this base")
    if not torch.equal(weights["lm_head.weight"], weights["shared.weight"]):
        model.lm_head.weight = nn.Parameter(model.lm_head.weight.detach().clone())
        config.tie_word_embeddings = False
    try:
        model.load_state_dict({**weights, **dict.fromkeys(_TIED, weights["shared.weight"])})
    except RuntimeError as error:
        raise ValueError(f"The base has other sizes than the weights: {error}. Pass the one that they began with.") from error
    return model


def main(arguments: Sequence[str] | None = None) -> None:
    """Convert a checkpoint from the command line and save the complete model.

    Args:
        arguments (`Sequence[str]`, *optional*): Command line, the process's own by default.
    """
    parser = argparse.ArgumentParser(prog="python -m hf_motion.conversion.motiongpt", description="Convert a published MotionGPT.")
    parser.add_argument("checkpoint", help="the published .tar file")
    parser.add_argument("--mean", required=True, help="mean.npy that it was trained with")
    parser.add_argument("--std", required=True, help="std.npy that it was trained with")
    parser.add_argument("--output", required=True, help="folder to save the model to")
    parser.add_argument("--base", default=BASE, help="name or folder of the T5 that it began with, %(default)s by default")
    options = parser.parse_args(arguments)
    check_writable(options.output)
    model = convert_motiongpt_checkpoint(options.checkpoint, mean=options.mean, std=options.std, base=options.base)
    model.save_pretrained(options.output)


if __name__ == "__main__":
    main()
