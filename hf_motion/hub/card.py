"""Model cards."""

from __future__ import annotations

from pathlib import Path


def write_model_card(folder: Path) -> None:
    """Write a card if there is none."""
