"""Human motion, the Hugging Face way."""
from .motion import Motion
from .skeletons import Skeleton
from .representation import HumanML3DRepresentation, MotionFeatureExtractor
