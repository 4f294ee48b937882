"""A diffusion pipeline seen as one transformers model."""
