"""Human Motion Diffusion Model (Tevet et al., ICLR 2023)."""

from .modeling_mdm import MDMCondition, MDMDenoiser

__all__ = ["MDMCondition", "MDMDenoiser"]
