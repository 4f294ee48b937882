"""What a checkpoint was taught, so that it can say what it was not."""

from .modeling_known_actions import KnownActions

__all__ = ["KnownActions"]
