"""What motion data sets look like on disk: one file per layout, all giving the same clips."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from ..captions import find_table
from .amass import AmassSource
from .bandai import BandaiNamcoSource
from .base import Clip, Item, MotionSource, Skip, SourceOptions
from .beat import BeatSource
from .cmu import CmuSource
from .composite import CompositeSource
from .files import FilesSource
from .grab import GrabSource
from .hands import HandsSource
from .humanml3d import HumanML3DSource
from .motion_x import MotionXSource
from .rows import ParquetSource

logger = logging.getLogger("hf_motion")

# In the order in which they are tried: a later one would take some of the folders of an earlier one.
SOURCES: dict[str, type[MotionSource]] = {
    "humanml3d": HumanML3DSource,
    "parquet": ParquetSource,
    "bandai-namco": BandaiNamcoSource,
    "cmu": CmuSource,
    "motion-x": MotionXSource,
    "beat": BeatSource,
    "grab": GrabSource,
    "hands": HandsSource,
    "amass": AmassSource,
    "files": FilesSource,
}

# These read what a captions table names.
_TABLE_READERS = ("amass", "files")
_OWN_CAPTIONS = ("bandai-namco", "cmu", "motion-x", "beat", "grab")

__all__ = ["SOURCES", "Clip", "Item", "MotionSource", "Skip", "SourceOptions", "open_source"]


def open_source(folder: Path, layout: str | None, options: SourceOptions) -> MotionSource:
    """The reader of a folder or file.

    A captions table in the folder is what its owner has to say about it, so it wins over names of files that look like those of a
    published data set.

    Args:
        folder (`pathlib.Path`): Where the data set lies.
        layout (`str`, *optional*): A key of `SOURCES`; found out by default.
        options (`SourceOptions`): What the user said about it.

    Raises:
        FileNotFoundError: If there is nothing at `folder`.
        ValueError: If the layout is unknown, none fits, or several do.
    """
    if layout is not None and layout not in SOURCES:
        raise ValueError(f"Unknown format {layout!r}. Known ones: {', '.join(SOURCES)}.")
    if not folder.exists():
        raise FileNotFoundError(f"No folder or file at {str(folder)!r}.")
    layout = layout or _find_layout(folder, options)
    if layout is not None:
        if options.hands is None:
            return SOURCES[layout](folder, options)
        # Bodies get their fingers from the hands.
        bodies = SOURCES[layout](folder, replace(options, skeleton=None, relaxed_hands=False))
        return CompositeSource(folder, options, bodies=bodies)
    looked_for = "\n".join(f"  {name}: {kind.looks_like}" for name, kind in SOURCES.items())
    raise ValueError(
        f"{str(folder)!r} is none of the layouts that can be built; say which with --format. What is looked for:\n{looked_for}"
    )


def _find_layout(folder: Path, options: SourceOptions) -> str | None:
    fitting = [name for name, kind in SOURCES.items() if kind.fits(folder, options)]
    by_table = [name for name in fitting if name in _TABLE_READERS]
    published = [name for name in fitting if name not in _TABLE_READERS]
    table = find_table(folder) if folder.is_dir() and options.captions is None else None
    if table is not None and by_table:
        if published:
            logger.warning(
                "%s has %s, which says what its files are; --format %s would read it as that data set instead.",
                folder, table.name, " or ".join(published),
            )  # fmt: skip
        return by_table[0]
    if len(published) > 1:
        raise ValueError(f"{str(folder)!r} fits several layouts: {', '.join(published)}. Say which it is with --format.")
    if published and published[0] in _OWN_CAPTIONS and options.caption is not None:
        raise ValueError(
            f"{str(folder)!r} looks like {published[0]}, which has captions of its own; leave --caption out, or give every file that "
            "caption with --format files."
        )
    return next(iter([*published, *by_table]), None)
