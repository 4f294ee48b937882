"""Faces in files of their own: Live Link Face CSV, ARKit JSON, FLAME npz; and how they come to a body."""

from .arkit_json import read_arkit_json, write_arkit_json
from .clip import FaceClip, attach_face
from .files import read_face, write_face
from .flame import read_flame, write_flame
from .livelink import read_livelink, write_livelink

__all__ = [
    "FaceClip", "attach_face", "read_arkit_json", "read_face", "read_flame", "read_livelink", "write_arkit_json", "write_face",
    "write_flame", "write_livelink",
]  # fmt: skip
