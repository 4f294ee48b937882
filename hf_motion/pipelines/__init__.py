"""What users call: one file per diffusion system, and the transformers task pipelines."""

PIPELINES = {"MDMPipeline": ".mdm"}
"""Class names that a `model_index.json` may carry, and the module of each."""
