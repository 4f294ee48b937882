"""Motion Latent Diffusion (MLD), Chen et al., CVPR 2023."""

from .autoencoder_mld import MLDAutoencoder
from .modeling_mld import MLDDenoiser

__all__ = ["MLDAutoencoder", "MLDDenoiser"]
