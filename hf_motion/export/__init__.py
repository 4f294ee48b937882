"""Motion files that other programs read."""

from .bvh import write_bvh

__all__ = ["write_bvh"]
