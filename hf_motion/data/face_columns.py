"""The columns of a data set that hold faces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..face import Face


def face_of_row(row: Mapping[str, Any]) -> Face | None:
    """The face of a row, or None if it has none.

    Raises:
        ValueError: If the numbers do not fit the names or the frames, or the names are unknown.
    """
    values, names = row.get("face"), row.get("face_names")
    if values is None or not len(values):
        return None
    if names is None or not len(names):
        raise ValueError("it has coefficients of a face and no names for them (column face_names)")
    values = np.asarray(values, np.float32)
    if values.size != row["n_frames"] * len(names):
        raise ValueError(f"its face has {values.size} numbers, not {row['n_frames']} frames x {len(names)} coefficients")
    if not np.isfinite(values).all():
        raise ValueError("its face holds NaN or infinity")
    # Of thousands of rows, `data check` tells which are out of range; each by itself would be a warning.
    pattern = Face(np.zeros((1, len(names))), tuple(names), row.get("face_kind"))
    return pattern.filled(values.reshape(row["n_frames"], len(names)))
