"""The generator that comes with the package."""

from __future__ import annotations

from typing import Any

from ..checkpoints import EMBEDDED
from .mdm import MDMPipeline


def load_embedded_pipeline(**kwargs: Any) -> MDMPipeline:
    """Load the checkpoint inside the package: a small MDM trained on Bandai-Namco, CMU and ReActIdle motion capture.

    Args:
        **kwargs: As for `MDMPipeline.from_pretrained`, for example `dtype`.

    Returns:
        `MDMPipeline`: Ready to use, no network needed.
    """
    return MDMPipeline.from_pretrained(EMBEDDED, **kwargs)
