"""Language models that read latents of motions in the place of tokens."""
