"""How a motion is put before a vision-language model: AToM's three injection forms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..motion import Motion
from ..rendering.figure import check_motions
from ..rendering.frames import check_size
from ..rendering.raster import paint_mask
from ..rendering.scene import Scene
from ..rendering.text import INK, pillow, text_mask

FORMS = ("full", "trajectory", "frames")
_GAP = 4


def motion_images(motion: Motion, form: str = "full", *, frames: int = 12, size: tuple[int, int] = (200, 240)) -> list[Any]:
    """Pictures of a motion for a vision-language model.

    The text of the motion is not shown: a judge is to see what was made, not what it was made for.

    Args:
        motion (`Motion`): What to show.
        form (`str`, defaults to `"full"`): `"full"`: poses with their numbers, row by row, in one picture (Full-Image); `"trajectory"`: all
            poses where they are, in one picture, the earlier ones fainter (Trajectory-Image); `"frames"`: one picture per pose
            (Frame-by-Frame).
        frames (`int`, defaults to 12): Poses, evenly spaced from the first frame to the last; fewer if the motion has fewer.
        size (`tuple[int, int]`, defaults to `(200, 240)`): Width and height of a pose's picture; a trajectory's is twice as wide.

    Returns:
        `list[PIL.Image.Image]`: One picture, or one per pose for `"frames"`.

    Raises:
        ValueError: If the form is unknown, or a number is out of range.
        ImportError: If Pillow is not installed.

    Example:
    >>> import numpy as np
    >>> from hf_motion import Motion
    >>> from hf_motion.rewards import motion_images
    >>> [image.size for image in motion_images(Motion(np.zeros((9, 22, 3))), "frames", frames=2, size=(64, 80))]
    [(64, 80), (64, 80)]
    """
    (motion,), (width, height) = check_motions(motion), check_size(size)
    if form not in FORMS:
        raise ValueError(f"form must be one of {', '.join(map(repr, FORMS))}, got {form!r}.")
    if not isinstance(frames, int) or not 1 <= frames <= 64:
        raise ValueError(f"frames must be a number of poses from 1 to 64, got {frames!r}. The default is 12.")
    chosen = np.unique(np.linspace(0, len(motion) - 1, min(frames, len(motion))).round().astype(int))
    if form == "trajectory":
        page = np.empty((height, 2 * width, 3), dtype=np.uint8)
        Scene(motion, (2 * width, height), still=True).paint_together(page, chosen)
        return [pillow().Image.fromarray(page)]
    font = max(12, min(width, height) // 12)
    poses = np.empty((len(chosen), height, width, 3), dtype=np.uint8)
    Scene(motion, (width, height), top=font, centred=True).paint(poses, chosen)
    for number, pose in enumerate(poses, 1):
        paint_mask(pose[None], text_mask(str(number), font), (font // 2, font // 4), INK)
    return [pillow().Image.fromarray(picture) for picture in (poses if form == "frames" else [_tiled(list(poses))])]


def _tiled(poses: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures side by side in rows of up to six, with white between them."""
    columns = min(6, len(poses))
    height, width = poses[0].shape[:2]
    rows = -(-len(poses) // columns)
    page = np.full((rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, 3), 255, np.uint8)
    for index, pose in enumerate(poses):
        row, column = divmod(index, columns)
        top, left = row * (height + _GAP), column * (width + _GAP)
        page[top : top + height, left : left + width] = pose
    return page
