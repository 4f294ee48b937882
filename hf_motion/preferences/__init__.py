"""Preference data (AToM's MotionPrefer): prompts, several motions of each, scores, and pairs of a better and a worse one."""

from typing import TYPE_CHECKING

from ..utils.lazy import lazy_names

if TYPE_CHECKING:
    from .agreement import Agreement as Agreement
    from .agreement import accuracy as accuracy
    from .building import BuildRequest as BuildRequest
    from .building import build as build
    from .certain import certain_pairs as certain_pairs
    from .dual_alignment import DualAlignmentRequest as DualAlignmentRequest
    from .dual_alignment import build_dual_alignment as build_dual_alignment
    from .pairs import Pair as Pair
    from .pairs import load_pairs as load_pairs
    from .prompts import Prompt as Prompt
    from .prompts import make_prompts as make_prompts

_MODULES = {
    "Agreement": "agreement", "BuildRequest": "building", "DualAlignmentRequest": "dual_alignment", "Pair": "pairs", "Prompt": "prompts",
    "accuracy": "agreement", "build": "building", "build_dual_alignment": "dual_alignment", "certain_pairs": "certain",
    "load_pairs": "pairs", "make_prompts": "prompts",
}  # fmt: skip

__all__ = [*_MODULES]

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
