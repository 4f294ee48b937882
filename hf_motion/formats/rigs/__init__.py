"""Rigs: which joints of a file are ours, and what ours are called in a file."""

from .fingers import has_fingers, lacking_fingers, recognise_fingers, weights_onto
from .recognise import RIGS, Rig, get_rig, left_out, load_mapping, one_body, recognise_rig
from .writing import WRITTEN_RIGS, rigged

__all__ = [
    "RIGS", "WRITTEN_RIGS", "Rig", "get_rig", "has_fingers", "lacking_fingers", "left_out", "load_mapping", "one_body", "recognise_fingers",
    "recognise_rig", "rigged", "weights_onto",
]  # fmt: skip
