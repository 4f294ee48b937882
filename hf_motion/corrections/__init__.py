"""Triplets of a source motion, a target motion and a corrective instruction (CigTime)."""

from .triplet import Change as Change
from .triplet import Triplet as Triplet
