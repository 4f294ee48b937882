"""What a denoiser predicts, in the three ways of saying it: clean data, noise, or velocity."""

from __future__ import annotations

import torch
from torch import Tensor

PREDICTIONS = ("sample", "epsilon", "v_prediction")
"""diffusers' `prediction_type`s: clean data, the noise in it, and alpha * noise - sigma * clean (Salimans and Ho 2022)."""


def clean_and_noise(
    prediction: Tensor, noisy: Tensor, timesteps: Tensor, alphas_cumprod: Tensor, prediction_type: str
) -> tuple[Tensor, Tensor]:
    """The clean data and the noise that a prediction stands for.

    Args:
        prediction (`torch.Tensor`): What the denoiser gives, (batch, ...).
        noisy (`torch.Tensor`): What it was given, alpha * clean + sigma * noise, of the same shape.
        timesteps (`torch.Tensor`): Diffusion steps, one for all or (batch,); a step between two counts as the nearer.
        alphas_cumprod (`torch.Tensor`): (diffusion steps,), alpha squared.
        prediction_type (`str`): One of `PREDICTIONS`.

    Returns:
        `tuple[torch.Tensor, torch.Tensor]`: Clean data and noise, each of the shape of `noisy`.

    Raises:
        ValueError: If the prediction type is unknown.

    Example:
        >>> import torch
        >>> alphas, noisy = torch.tensor([0.75, 0.25]), torch.ones(1, 2)
        >>> clean, noise = clean_and_noise(torch.full((1, 2), 0.5), noisy, torch.tensor(1), alphas, "sample")
        >>> torch.allclose(0.5 * clean + 0.75**0.5 * noise, noisy)
        True
    """
    alpha, sigma = _scales(timesteps, alphas_cumprod, noisy)
    if prediction_type == "sample":
        return prediction, (noisy - alpha * prediction) / sigma
    if prediction_type == "epsilon":
        return (noisy - sigma * prediction) / alpha, prediction
    if prediction_type == "v_prediction":
        return alpha * noisy - sigma * prediction, sigma * noisy + alpha * prediction
    raise ValueError(f"prediction_type must be one of {', '.join(map(repr, PREDICTIONS))}, got {prediction_type!r}.")


def prediction_of(clean: Tensor, noisy: Tensor, timesteps: Tensor, alphas_cumprod: Tensor, prediction_type: str) -> Tensor:
    """The prediction that stands for clean data: the inverse of `clean_and_noise`, with the same arguments."""
    alpha, sigma = _scales(timesteps, alphas_cumprod, noisy)
    if prediction_type == "sample":
        return clean
    noise = (noisy - alpha * clean) / sigma
    return noise if prediction_type == "epsilon" else alpha * noise - sigma * clean


def _scales(timesteps: Tensor, alphas_cumprod: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    places = torch.as_tensor(timesteps, device=like.device).round().long().clamp(0, len(alphas_cumprod) - 1)
    squared = alphas_cumprod.to(like)[places].reshape(-1, *[1] * (like.ndim - 1))
    return squared.sqrt(), (1 - squared).sqrt()
