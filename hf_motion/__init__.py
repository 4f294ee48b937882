"""Human motion, the Hugging Face way.

Importing this package registers its models, feature extractors and tasks with transformers. Everything else is imported when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from . import registration

__version__ = "0.1.0.dev0"

_PUBLIC = {
    "HumanML3DRepresentation": "representation",
    "MDMDenoiser": "models.mdm",
    "MDMPipeline": "pipelines.mdm",
    "Motion": "motion",
    "MotionFeatureExtractor": "representation",
    "MotionSystem": "models.motion_system.modeling_motion_system",
    "MotionSystemConfig": "models.motion_system.configuration_motion_system",
    "SKELETONS": "skeletons",
    "Skeleton": "skeletons",
    "TextToMotionPipeline": "pipelines.text_to_motion",
    "get_skeleton": "skeletons",
    "load_embedded_pipeline": "checkpoints",
}

__all__ = list(_PUBLIC)

if TYPE_CHECKING:
    from .checkpoints import load_embedded_pipeline
    from .models.mdm import MDMDenoiser
    from .models.motion_system.configuration_motion_system import MotionSystemConfig
    from .models.motion_system.modeling_motion_system import MotionSystem
    from .motion import Motion
    from .pipelines.mdm import MDMPipeline
    from .pipelines.text_to_motion import TextToMotionPipeline
    from .representation import HumanML3DRepresentation, MotionFeatureExtractor
    from .skeletons import SKELETONS, Skeleton, get_skeleton


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'hf_motion' has no attribute {name!r}; it has: {', '.join(__all__)}")
    value = globals()[name] = getattr(importlib.import_module(f".{_PUBLIC[name]}", __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


registration.register()
