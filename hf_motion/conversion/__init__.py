"""Weights that other projects published, converted once to checkpoints of this library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .mdm import convert_mdm_checkpoint, convert_mdm_state_dict, mdm_config_from_official

__all__ = ["convert_mdm_checkpoint", "convert_mdm_state_dict", "mdm_config_from_official"]

_MODULES = dict.fromkeys(__all__, "mdm")


def __getattr__(name: str) -> Any:
    """Import a converter when it is first asked for, so that `python -m hf_motion.conversion.mdm` runs a module not yet imported."""
    from importlib import import_module

    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}.")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)
