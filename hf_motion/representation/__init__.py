"""Joints to features and back."""

from .feature_extractor import MotionFeatureExtractor
from .humanml3d import HumanML3DRepresentation
from .humantomato import HumanTomatoRepresentation

__all__ = ["HumanML3DRepresentation", "HumanTomatoRepresentation", "MotionFeatureExtractor"]
