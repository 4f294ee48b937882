"""Motion files that other programs read."""

from .amass import write_amass
from .bvh import write_bvh
from .glb import write_glb
from .rigs import RIGS
from .tables import write_csv

__all__ = ["RIGS", "write_amass", "write_bvh", "write_csv", "write_glb"]
