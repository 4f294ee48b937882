"""Biovision hierarchies (`.bvh`): what every program of animation reads and writes."""

from .reading import BvhFile, guessed_scale, parse_bvh, read_bvh
from .writing import euler_angles, write_bvh

__all__ = ["BvhFile", "euler_angles", "guessed_scale", "parse_bvh", "read_bvh", "write_bvh"]
