"""Motion files that other programs read."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .amass import write_amass
    from .bvh import write_bvh
    from .glb import write_glb
    from .rigs import RIGS
    from .tables import write_csv
    from .web import read_json, write_json

# Writers need torch, which takes a second to import; the names of rigs are asked for earlier.
_MODULES = {
    "RIGS": "rigs",
    "read_json": "web",
    "write_amass": "amass",
    "write_bvh": "bvh",
    "write_csv": "tables",
    "write_glb": "glb",
    "write_json": "web",
}

__all__ = ["RIGS", "read_json", "write_amass", "write_bvh", "write_csv", "write_glb", "write_json"]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)
