"""placeholder"""
from .motion import Motion
from .skeletons import Skeleton
