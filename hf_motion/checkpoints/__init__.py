"""The checkpoints that come with the package: a generator, two small models to evaluate with, a detector of poses, a retriever."""

from __future__ import annotations

import functools
import logging
from pathlib import Path

EMBEDDED = Path(__file__).parent / "mdm-small"
"""Folder of the embedded checkpoint: a repository like any other."""

EMBEDDED_EVALUATOR = Path(__file__).parent / "t2m-evaluator-small"
"""Folder of a small `T2MEvaluator`."""

EMBEDDED_TMR = Path(__file__).parent / "tmr-small"
"""Folder of a small `TMR`."""

EMBEDDED_MVR = Path(__file__).parent / "gemini-mvr-small"
"""Folder of a small `GeminiMVR`, its action level alone."""

EMBEDDED_BLAZEPOSE = Path(__file__).parent / "blazepose-lite"
"""Folder of BlazePose's networks, Google's own weights, Apache-2.0."""

logger = logging.getLogger("hf_motion")


@functools.cache
def say_licence() -> None:
    """Tell the licence of the embedded weights, once."""
    logger.warning(
        "The checkpoints inside hf_motion are licensed CC BY-NC 4.0 (not for commercial use), because a part of their training data is. "
        "See %s.",
        EMBEDDED / "README.md",
    )
