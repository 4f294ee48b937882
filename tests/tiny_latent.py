"""Tiny latent diffusion pipelines, made on the spot."""

import copy
import functools
from typing import Any

import torch
from diffusers import DDIMScheduler
from tiny import tiny_pipeline

from hf_motion import MDMPipeline, MLDAutoencoder, MLDDenoiser, MLDPipeline, SALADAutoencoder, SALADDenoiser, SALADPipeline

SIZES = {"hidden_size": 16, "num_layers": 3, "num_attention_heads": 2, "intermediate_size": 24, "dropout": 0.0}
NOISE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "clip_sample": False}


@functools.cache
def _base() -> MDMPipeline:
    return tiny_pipeline()


def tiny_mld(tokens: int = 1, latent_dim: int = 16, steps: int = 3, **denoiser: Any) -> MLDPipeline:
    """An MLD pipeline of a few thousand weights, always the same."""
    torch.manual_seed(0)
    latent = {"latent_tokens": tokens, "latent_dim": latent_dim}
    return MLDPipeline(
        vae=MLDAutoencoder(**latent, **SIZES).eval(),
        denoiser=MLDDenoiser(**latent, **{**SIZES, "text_dim": 8, "time_dim": 16, **denoiser}).eval(),
        text_encoder=copy.deepcopy(_base().text_encoder),
        tokenizer=_base().tokenizer,
        scheduler=DDIMScheduler(num_train_timesteps=50, **NOISE, set_alpha_to_one=False, steps_offset=1),
        feature_extractor=copy.deepcopy(_base().feature_extractor),
        max_text_tokens=22,
        num_inference_steps=steps,
    )


def tiny_salad(steps: int = 3, **denoiser: Any) -> SALADPipeline:
    """A SALAD pipeline of a few thousand weights, always the same."""
    torch.manual_seed(0)
    return SALADPipeline(
        vae=SALADAutoencoder(latent_dim=4, blocks_per_stage=1, dropout=0.0).eval(),
        denoiser=SALADDenoiser(latent_dim=4, **{**SIZES, "text_dim": 8, "time_dim": 16, **denoiser}).eval(),
        text_encoder=copy.deepcopy(_base().text_encoder),
        tokenizer=_base().tokenizer,
        scheduler=DDIMScheduler(num_train_timesteps=50, **NOISE, prediction_type="v_prediction"),
        feature_extractor=copy.deepcopy(_base().feature_extractor),
        max_text_tokens=22,
        num_inference_steps=steps,
    )
