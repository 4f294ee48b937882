"""Motion files that other programs read."""

from .amass import write_amass
from .bvh import write_bvh
from .glb import write_glb
from .rigs import RIGS
from .tables import write_csv
from .web import read_json, write_json

__all__ = ["RIGS", "read_json", "write_amass", "write_bvh", "write_csv", "write_glb", "write_json"]
