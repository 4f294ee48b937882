"""glTF 2.0 (`.glb`, `.gltf`) and what is built on it: VRM characters (`.vrm`) and animations (`.vrma`)."""

from .reading import open_gltf, read_gltf

__all__ = ["open_gltf", "read_gltf"]
