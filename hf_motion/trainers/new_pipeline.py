"""An untrained pipeline from plain settings, as a YAML file holds them."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import torch
from diffusers import DDIMScheduler, DDPMScheduler
from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from ..models.mdm import MDMDenoiser
from ..models.mld import MLDAutoencoder, MLDDenoiser
from ..models.motion_autoencoder import MotionAutoencoder
from ..models.salad import SALADAutoencoder, SALADDenoiser
from ..pipelines.latent_diffusion import LatentDiffusionPipeline
from ..pipelines.mdm import MDMPipeline
from ..pipelines.mld import MLDPipeline
from ..pipelines.salad import SALADPipeline
from ..representation import MotionFeatureExtractor
from ..text_encoders import load_text_encoder, load_text_tokenizer, text_width
from ..utils.options import check_options
from ..utils.text import tidy_text

_WORD_END = "</w>"
_LATENT_NOISE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "clip_sample": False}
_LATENT_PARTS: dict[type[MotionAutoencoder], tuple[type, type[LatentDiffusionPipeline], dict[str, Any]]] = {
    MLDAutoencoder: (MLDDenoiser, MLDPipeline, {"set_alpha_to_one": False, "steps_offset": 1}),
    SALADAutoencoder: (SALADDenoiser, SALADPipeline, {"prediction_type": "v_prediction"}),
}
"""For each autoencoder its denoiser, its pipeline, and what is published of its scheduler besides `_LATENT_NOISE`."""


def new_mdm_pipeline(
    captions: Iterable[str],
    feature_extractor: MotionFeatureExtractor,
    denoiser: dict[str, Any] | None = None,
    text_encoder: str | dict[str, Any] | None = None,
    scheduler: dict[str, Any] | None = None,
    max_text_tokens: int | None = 22,
    pipeline_class: type[MDMPipeline] = MDMPipeline,
) -> MDMPipeline:
    """Build a pipeline to train.

    Args:
        captions (`Iterable[str]`): Training captions; a new tokenizer learns its vocabulary from them.
        feature_extractor (`MotionFeatureExtractor`): With the training set's statistics.
        denoiser (`dict`, *optional*): `MDMDenoiser` options; `text_dim` and `num_features` are filled in.
        text_encoder (`str` or `dict`, *optional*): A pretrained text encoder on the Hub or in a folder, such as
            `"openai/clip-vit-base-patch32"` or an AdaCLIP (see `load_text_encoder`), or the options of a small `CLIPTextConfig` to train
            from scratch (`vocab_size` included).
        scheduler (`dict`, *optional*): `DDPMScheduler` options over the published ones (50 steps, cosine, predicting x0).
        max_text_tokens (`int`, *optional*, defaults to 22): Longer captions are cut.
        pipeline_class (`type`, defaults to `MDMPipeline`): `AdaQFPipeline` takes the same parts.

    Returns:
        `MDMPipeline`: Of that class, with random weights where nothing pretrained is named.
    """
    options = dict(denoiser or {})
    check_options(options, MDMDenoiser, "denoiser")
    scheduler = scheduler or {}
    check_options(scheduler, DDPMScheduler, "scheduler")
    encoder, tokenizer = _text_parts(captions, text_encoder, max_text_tokens)
    pooled = options.get("text_conditioning", "pooled") == "pooled"
    options.update(text_dim=text_width(encoder, pooled), num_features=feature_extractor.dim)
    return pipeline_class(
        denoiser=MDMDenoiser(**options),
        text_encoder=encoder,
        tokenizer=tokenizer,
        scheduler=mdm_scheduler(**scheduler),
        feature_extractor=feature_extractor,
        max_text_tokens=max_text_tokens,
    )


def new_latent_pipeline(
    captions: Iterable[str],
    vae: MotionAutoencoder,
    feature_extractor: MotionFeatureExtractor,
    denoiser: dict[str, Any] | None = None,
    text_encoder: str | dict[str, Any] | None = None,
    scheduler: dict[str, Any] | None = None,
    max_text_tokens: int | None = None,
) -> LatentDiffusionPipeline:
    """Build a latent diffusion pipeline to train, on an autoencoder that is trained already.

    Args:
        captions (`Iterable[str]`): Training captions; a new tokenizer learns its vocabulary from them.
        vae (`MotionAutoencoder`): The autoencoder; it decides which denoiser and pipeline go with it.
        feature_extractor (`MotionFeatureExtractor`): The one that it was trained with.
        denoiser (`dict`, *optional*): Options of the denoiser; the sizes of latents and texts are filled in.
        text_encoder (`str` or `dict`, *optional*): As for `new_mdm_pipeline`.
        scheduler (`dict`, *optional*): `DDIMScheduler` options over the published ones.
        max_text_tokens (`int`, *optional*): Longer captions are cut.

    Returns:
        `LatentDiffusionPipeline`: With a denoiser of random weights.
    """
    denoiser_class, kind, published = _LATENT_PARTS[type(vae)]
    options = dict(denoiser or {})
    check_options(options, denoiser_class, "denoiser")
    check_options(scheduler or {}, DDIMScheduler, "scheduler")
    encoder, tokenizer = _text_parts(captions, text_encoder, max_text_tokens)
    conditioning = options.get("text_conditioning", inspect.signature(denoiser_class).parameters["text_conditioning"].default)
    options.update(text_dim=text_width(encoder, conditioning == "pooled"), **vae.latent_options)
    return kind(
        vae=vae,
        denoiser=denoiser_class(**options),
        text_encoder=encoder,
        tokenizer=tokenizer,
        scheduler=DDIMScheduler(**{**_LATENT_NOISE, **published, **(scheduler or {})}),
        feature_extractor=feature_extractor,
        max_text_tokens=max_text_tokens,
    )


def _text_parts(
    captions: Iterable[str], text_encoder: str | dict[str, Any] | None, max_text_tokens: int | None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A pretrained text encoder and its tokenizer, or new ones."""
    if isinstance(text_encoder, str):
        return load_text_encoder(text_encoder), load_text_tokenizer(text_encoder)
    settings = {"hidden_size": 512, "num_hidden_layers": 2, "num_attention_heads": 4, **(text_encoder or {})}
    tokenizer = train_clip_tokenizer(captions, settings.pop("vocab_size", 1200))
    check_options(settings, CLIPTextConfig, "text_encoder")
    settings = {"intermediate_size": 4 * settings["hidden_size"], "projection_dim": settings["hidden_size"], **settings}
    config = CLIPTextConfig(
        vocab_size=len(tokenizer), max_position_embeddings=max_text_tokens or 77, bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, **settings,
    )  # fmt: skip
    return CLIPTextModel(config), tokenizer


def mdm_scheduler(num_train_timesteps: int = 50, **options: Any) -> DDPMScheduler:
    """The published noise schedule: cosine, x0 prediction, posterior variance, nothing clipped.

    Fewer steps than trained with are spaced from the noisiest on. With diffusers' default spacing, 20 of 50 would begin at
    step 38, on noise that is too strong for it.
    """
    published = {
        "beta_schedule": "squaredcos_cap_v2", "prediction_type": "sample", "variance_type": "fixed_small", "clip_sample": False,
        "timestep_spacing": "trailing",
    }  # fmt: skip
    return DDPMScheduler(num_train_timesteps=num_train_timesteps, **{**published, **options})


def refine_noise(pipeline: MDMPipeline, noise_levels: int, noise_spacing: float = 2.0) -> None:
    """Give a trained pipeline more noise levels: its own, and others between each two of them.

    From pure noise, the first of 50 levels already holds enough of a motion to tell it from any other; taken in one step, what is rare and
    quick is averaged away. More levels there cost nothing: as many steps are taken as before, closer together at the noisy end.

    Args:
        pipeline (`MDMPipeline`): Changed in place; its weights stay as they are.
        noise_levels (`int`): How many; a multiple of what the scheduler was trained with.
        noise_spacing (`float`, defaults to 2.0): See `MDMPipeline`.

    Raises:
        ValueError: If the number is no such multiple.
    """
    old = pipeline.scheduler.config.num_train_timesteps
    if noise_levels <= old or noise_levels % old:
        raise ValueError(f"noise_levels must be a multiple of the {old} that the pipeline was trained with, got {noise_levels}.")
    steps = pipeline.default_steps
    pipeline.denoiser.register_to_config(timestep_scale=pipeline.denoiser.config.timestep_scale * old / noise_levels)
    pipeline.scheduler = type(pipeline.scheduler).from_config(pipeline.scheduler.config, num_train_timesteps=noise_levels)
    pipeline.register_to_config(num_inference_steps=steps, noise_spacing=noise_spacing)


def patch_frames(pipeline: MDMPipeline, patch_size: int) -> None:
    """Let several frames share a token in a trained pipeline, which makes its denoiser that many times cheaper.

    Each token begins with the mean of its frames and gives all of them what one frame was given; a training of some hundred steps must
    follow, in which frames of a token learn to differ.

    Args:
        pipeline (`MDMPipeline`): Gets a new denoiser, in float32; all weights between its first and last layer stay.
        patch_size (`int`): Frames per token, 2 or more.

    Raises:
        ValueError: If the number is too small, or frames share tokens already.
    """
    old = pipeline.denoiser
    if patch_size < 2:
        raise ValueError(f"patch_size must be 2 frames or more to change a trained pipeline, got {patch_size}.")
    if old.config.patch_size != 1:
        raise ValueError(f"{old.config.patch_size} frames share a token in this pipeline already; go on from it without patch_size.")
    options = {name: value for name, value in old.config.items() if not name.startswith("_")}
    new = MDMDenoiser(**(options | {"patch_size": patch_size}))
    weights = old.state_dict()
    weights["input_projection.weight"] = weights["input_projection.weight"].repeat(1, patch_size) / patch_size
    for name in ("output_projection.weight", "output_projection.bias"):
        weights[name] = torch.cat([weights[name]] * patch_size)
    new.load_state_dict(weights)
    pipeline.register_modules(denoiser=new.to(old.device).train(old.training))


def train_clip_tokenizer(captions: Iterable[str], vocab_size: int) -> CLIPTokenizer:
    """A CLIP tokenizer whose word pieces are learned from captions; any other word is spelled out.

    The same captions always give the same tokenizer. The trainer of the `tokenizers` library breaks ties by the order of a hash map, so
    its ids differ from run to run, and a training that is resumed would read other words.

    Args:
        captions (`Iterable[str]`): Texts.
        vocab_size (`int`): Number of tokens: two special ones, 512 for bytes (inside and at the end of a word), the rest word pieces.

    Returns:
        `CLIPTokenizer`: Lower-casing, byte-level, as CLIP's own.

    Raises:
        ValueError: If `vocab_size` leaves no room for the bytes.
    """
    alphabet = sorted(ByteLevel.alphabet())
    vocab = ["<|startoftext|>", "<|endoftext|>", *alphabet, *(symbol + _WORD_END for symbol in alphabet)]
    if vocab_size < len(vocab):
        raise ValueError(f"vocab_size must be at least {len(vocab)} to spell any text, got {vocab_size}.")
    backend = CLIPTokenizer().backend_tokenizer
    words = Counter(
        word
        for caption in map(tidy_text, captions)
        for word, _ in backend.pre_tokenizer.pre_tokenize_str(backend.normalizer.normalize_str(caption))
    )
    merges = _learn_merges(words, vocab_size - len(vocab))
    vocab += ["".join(pair) for pair in merges]
    tokenizer = CLIPTokenizer(vocab={token: index for index, token in enumerate(vocab)}, merges=merges)
    tokenizer.model_max_length = 77
    return tokenizer


def _learn_merges(words: Counter[str], count: int) -> list[tuple[str, str]]:
    """Byte-pair merges, most frequent pair first, equal ones in alphabetical order (Sennrich et al. 2016)."""
    spelled = {word: (*word[:-1], word[-1] + _WORD_END) for word in words}
    merges: list[tuple[str, str]] = []
    while len(merges) < count:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, symbols in spelled.items():
            for pair in pairwise(symbols):
                pairs[pair] += words[word]
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        spelled = {word: _merge(symbols, best) for word, symbols in spelled.items()}
    return merges


def _merge(symbols: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    merged: list[str] = []
    for symbol in symbols:
        if merged and (merged[-1], symbol) == pair:
            merged[-1] += symbol
        else:
            merged.append(symbol)
    return tuple(merged)
