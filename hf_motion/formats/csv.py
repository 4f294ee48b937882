"""Joint positions as a table."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

import numpy as np

from ..motion import Motion
from ..utils.files import atomic_path
from .rigs import rigged


def write_csv(motion: Motion, path: str | os.PathLike, *, rig: str | None = None) -> Path:
    """Write joint positions as a table that spreadsheets, pandas and R read.

    One row per frame: `time` in seconds, then `<joint>_x`, `<joint>_y`, `<joint>_z` of every joint in metres, Y up, to 0.001 mm.

    Args:
        motion (`Motion`): The motion, on any skeleton.
        path (`str` or `os.PathLike`): File to write; missing folders are made. It appears whole or not at all.
        rig (`str`, *optional*): Name the joints as on a rig of `hf_motion.formats.WRITTEN_RIGS`. By default they keep their names.

    Returns:
        `pathlib.Path`: The written file, UTF-8 with a header and a point as decimal separator.

    Raises:
        ValueError: If `rig` is unknown or does not fit the skeleton.
        OSError: If the file cannot be written.

    Example:
    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> from hf_motion import Motion, Skeleton
    >>> from hf_motion.formats import write_csv
    >>> stick = Skeleton("stick", ("root", "tip"), (-1, 0))
    >>> path = write_csv(Motion(np.ones((2, 2, 3)), skeleton=stick), pathlib.Path(tempfile.mkdtemp()) / "a.csv")
    >>> print(path.read_text().strip())
    time,root_x,root_y,root_z,tip_x,tip_y,tip_z
    0.000000,1.000000,1.000000,1.000000,1.000000,1.000000,1.000000
    0.050000,1.000000,1.000000,1.000000,1.000000,1.000000,1.000000
    """
    skeleton, source = rigged(motion.skeleton, rig)
    names = [name for name, joint in zip(skeleton.joint_names, source, strict=True) if joint >= 0]
    header = io.StringIO()
    csv.writer(header, lineterminator="\n").writerow(["time", *(f"{name}_{axis}" for name in names for axis in "xyz")])
    times = np.arange(len(motion)) / motion.fps
    values = np.concatenate((times[:, None], motion.joints.reshape(len(motion), -1)), axis=1, dtype=np.float64)
    row = ",".join(["%.6f"] * values.shape[1]) + "\n"
    # Adding 0.0 turns the -0.0 that rounding leaves into 0.0.
    text = row * len(values) % tuple((np.round(values, 6) + 0.0).ravel().tolist())
    with atomic_path(path) as temporary:
        temporary.write_text(header.getvalue() + text, encoding="utf-8", newline="\n")
    return Path(path)
