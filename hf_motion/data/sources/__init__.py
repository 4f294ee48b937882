"""What motion data sets look like on disk: one file per layout, all giving the same clips."""

from __future__ import annotations

from pathlib import Path

from .amass import AmassSource
from .bandai import BandaiNamcoSource
from .base import Clip, Item, MotionSource, Skip, SourceOptions
from .cmu import CmuSource
from .files import FilesSource
from .humanml3d import HumanML3DSource
from .rows import ParquetSource

# In the order in which they are tried: a later one would take some of the folders of an earlier one.
SOURCES: dict[str, type[MotionSource]] = {
    "humanml3d": HumanML3DSource,
    "parquet": ParquetSource,
    "bandai-namco": BandaiNamcoSource,
    "cmu": CmuSource,
    "amass": AmassSource,
    "files": FilesSource,
}

__all__ = ["SOURCES", "Clip", "Item", "MotionSource", "Skip", "SourceOptions", "open_source"]


def open_source(folder: Path, layout: str | None, options: SourceOptions) -> MotionSource:
    """The reader of a folder or file.

    Args:
        folder (`pathlib.Path`): Where the data set lies.
        layout (`str`, *optional*): A key of `SOURCES`; found out by default.
        options (`SourceOptions`): What the user said about it.

    Raises:
        FileNotFoundError: If there is nothing at `folder`.
        ValueError: If the layout is unknown or none fits.
    """
    if layout is not None and layout not in SOURCES:
        raise ValueError(f"Unknown format {layout!r}. Known ones: {', '.join(SOURCES)}.")
    if not folder.exists():
        raise FileNotFoundError(f"No folder or file at {str(folder)!r}.")
    kinds = SOURCES if layout is None else {layout: SOURCES[layout]}
    for kind in kinds.values():
        if layout is not None or kind.fits(folder, options):
            return kind(folder, options)
    looked_for = "\n".join(f"  {name}: {kind.looks_like}" for name, kind in SOURCES.items())
    raise ValueError(
        f"{str(folder)!r} is none of the layouts that can be built; say which with --format. What is looked for:\n{looked_for}"
    )
