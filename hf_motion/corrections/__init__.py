"""Corrections (CigTime): a motion, what it should have been, and the sentence that leads from one to the other."""

from typing import TYPE_CHECKING

from ..utils.lazy import lazy_names

if TYPE_CHECKING:
    from .building import BuildRequest as BuildRequest
    from .building import build as build
    from .dataset import load_triplets as load_triplets
    from .editing import Editor as Editor
    from .editing import GenerateEditor as GenerateEditor
    from .editing import InpaintEditor as InpaintEditor
    from .editing import KinematicEditor as KinematicEditor
    from .editing import apply_instruction as apply_instruction
    from .instructions import Instruction as Instruction
    from .instructions import load_instructions as load_instructions
    from .kinematic import KinematicEdit as KinematicEdit
    from .kinematic import edit_motion as edit_motion
    from .limbs import NotApplicable as NotApplicable
    from .measure import measure_change as measure_change
    from .reading import Reading as Reading
    from .reading import read_instruction as read_instruction
    from .triplet import CHANGE_KINDS as CHANGE_KINDS
    from .triplet import PARTS as PARTS
    from .triplet import Change as Change
    from .triplet import Triplet as Triplet
    from .triplet import mirror_change as mirror_change

_MODULES = {
    "CHANGE_KINDS": "triplet", "PARTS": "triplet", "Change": "triplet", "Triplet": "triplet", "mirror_change": "triplet",
    "Instruction": "instructions", "load_instructions": "instructions", "Reading": "reading", "read_instruction": "reading",
    "KinematicEdit": "kinematic", "NotApplicable": "limbs", "edit_motion": "kinematic", "measure_change": "measure",
    "Editor": "editing", "GenerateEditor": "editing", "InpaintEditor": "editing", "KinematicEditor": "editing",
    "apply_instruction": "editing", "BuildRequest": "building", "build": "building", "load_triplets": "dataset",
}  # fmt: skip

__all__ = [*_MODULES]

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
