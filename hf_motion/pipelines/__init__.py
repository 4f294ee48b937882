"""What users call: one file per diffusion system, and the transformers task pipelines."""
