"""The class names that a saved pipeline may mention: a stable file format.

A pipeline's `model_index.json` names its parts as `["hf_motion.components", "ClassName"]`, whichever file they live in today. diffusers
looks the base classes up in the same module, so they are here too.
"""

from diffusers import ConfigMixin, ModelMixin, SchedulerMixin
from transformers import FeatureExtractionMixin, PreTrainedModel, PreTrainedTokenizerBase

from .models.known_actions.modeling_known_actions import KnownActions
from .models.mdm.modeling_mdm import MDMDenoiser
from .models.mld.autoencoder_mld import MLDAutoencoder
from .models.mld.modeling_mld import MLDDenoiser
from .models.salad.autoencoder_salad import SALADAutoencoder
from .models.salad.modeling_salad import SALADDenoiser
from .models.tmr.modeling_tmr import TMRTextEncoder
from .representation.feature_extractor import MotionFeatureExtractor

__all__ = [
    "ConfigMixin",
    "FeatureExtractionMixin",
    "KnownActions",
    "MDMDenoiser",
    "MLDAutoencoder",
    "MLDDenoiser",
    "ModelMixin",
    "MotionFeatureExtractor",
    "PreTrainedModel",
    "PreTrainedTokenizerBase",
    "SALADAutoencoder",
    "SALADDenoiser",
    "SchedulerMixin",
    "TMRTextEncoder",
]
