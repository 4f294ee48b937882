"""Motion files: one module per format, reading and writing side by side."""

from typing import TYPE_CHECKING

from ..utils.lazy import lazy_names

if TYPE_CHECKING:
    from .amass import read_amass, write_amass
    from .bvh import read_bvh, write_bvh
    from .csv import write_csv
    from .faces import FaceClip, attach_face, read_face, write_face
    from .fbx import read_fbx, write_fbx
    from .glb import write_glb
    from .gltf import read_gltf
    from .json import read_json, write_json
    from .npz import read_npz, write_npz
    from .read import inspect_motion, read_motion
    from .rigs import RIGS, WRITTEN_RIGS
    from .take import take_motion
    from .usd import write_usd
    from .vrma import write_vrma

# Readers and writers need torch, which takes a second to import; the names of rigs are asked for earlier.
_MODULES = {
    "FaceClip": "faces",
    "RIGS": "rigs",
    "WRITTEN_RIGS": "rigs",
    "attach_face": "faces",
    "inspect_motion": "read",
    "read_amass": "amass",
    "read_bvh": "bvh",
    "read_face": "faces",
    "read_fbx": "fbx",
    "read_gltf": "gltf",
    "read_json": "json",
    "read_motion": "read",
    "read_npz": "npz",
    "take_motion": "take",
    "write_amass": "amass",
    "write_bvh": "bvh",
    "write_csv": "csv",
    "write_face": "faces",
    "write_fbx": "fbx",
    "write_glb": "glb",
    "write_json": "json",
    "write_npz": "npz",
    "write_usd": "usd",
    "write_vrma": "vrma",
}

__all__ = [
    "RIGS", "WRITTEN_RIGS", "FaceClip", "attach_face", "inspect_motion", "read_amass", "read_bvh", "read_face", "read_fbx", "read_gltf",
    "read_json", "read_motion", "read_npz", "take_motion", "write_amass", "write_bvh", "write_csv", "write_face", "write_fbx", "write_glb",
    "write_json", "write_npz", "write_usd", "write_vrma",
]  # fmt: skip

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
