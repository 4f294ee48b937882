"""Lets transformers load this checkpoint with trust_remote_code=True when hf_motion is installed but not imported."""

from hf_motion import MotionSystem, MotionSystemConfig, TextToMotionPipeline  # noqa: F401
