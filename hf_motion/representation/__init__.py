"""Joints to features and back."""

from .feature_extractor import MotionFeatureExtractor
from .humanml3d import HumanML3DRepresentation

__all__ = ["HumanML3DRepresentation", "MotionFeatureExtractor"]
