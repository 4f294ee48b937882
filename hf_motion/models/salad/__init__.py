"""SALAD, skeleton-aware latent diffusion, Hong et al., CVPR 2025."""

from .autoencoder_salad import SALADAutoencoder
from .modeling_salad import SALADDenoiser

__all__ = ["SALADAutoencoder", "SALADDenoiser"]
