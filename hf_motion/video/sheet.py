"""Frames of a video on one page, with the skeleton that was found drawn into them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ..rendering.figure import LEFT, MIDDLE, RIGHT
from ..rendering.raster import paint_mask
from ..rendering.text import FAINT_INK, INK, paragraph, pillow, text_mask
from ..utils.files import atomic_path
from .keypoints import H36M_BONES, H36M_JOINTS, Keypoints

_MARGIN, _GAP, _FONT, _PAGE = 12, 4, 14, 255
_FAINT_FROM = 0.3


def save_pose_sheet(
    frames: np.ndarray, keypoints: Keypoints, path: str | os.PathLike, *, title: str = "", columns: int = 8, width: int = 200
) -> Path:
    """Write a `.png` of frames with their skeletons: left blue, right orange, joints that are hardly seen thin.

    Args:
        frames (`numpy.ndarray`): (n, height, width, 3) uint8, those that the keypoints were found in.
        keypoints (`Keypoints`): One entry for each frame.
        path (`str` or `os.PathLike`): File to write, whole or not at all.
        title (`str`, defaults to `""`): A line above the frames.
        columns (`int`, defaults to 8): Frames in a row.
        width (`int`, defaults to 200): Of a frame on the page, pixels.

    Returns:
        `pathlib.Path`: The file.

    Raises:
        ValueError: If there are not as many frames as keypoints, none at all, or the suffix is not `.png`.
        ImportError: If Pillow is not installed.
        OSError: If the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise ValueError(f"A contact sheet is written as .png, not as {path.suffix or path.name!r}. Use another suffix.")
    if len(frames) != len(keypoints) or not len(frames):
        raise ValueError(f"Pass the frames that the keypoints were found in, got {len(frames)} and {len(keypoints)}.")
    cells = [
        skeleton_cell(frame, points, f"{time:.2f} s", width)
        for frame, points, time in zip(frames, keypoints.points, keypoints.times, strict=True)
    ]
    return save_cells([(title, cells)], path, columns)


def skeleton_cell(frame: np.ndarray, points: np.ndarray, note: str, width: int) -> np.ndarray:
    """A frame made `width` pixels wide, with the skeleton of points (17, 3) in its pixels and a note below; uint8."""
    image = pillow().Image.fromarray(frame)
    scale = width / image.width
    image = image.resize((width, max(1, round(image.height * scale))))
    draw = pillow().ImageDraw.Draw(image)
    for first, second in H36M_BONES:
        side = next((name for name in (H36M_JOINTS[second], H36M_JOINTS[first]) if "_" in name), "")
        colour = LEFT if side.startswith("left") else RIGHT if side.startswith("right") else MIDDLE
        seen = min(points[first, 2], points[second, 2])
        if seen > 0:
            ends = [tuple((points[joint, :2] * scale).tolist()) for joint in (first, second)]
            draw.line(ends, fill=colour, width=3 if seen >= _FAINT_FROM else 1)
    picture = np.array(image)
    page = np.full((picture.shape[0] + _FONT + 6, width, 3), _PAGE, dtype=np.uint8)
    page[: picture.shape[0]] = picture
    paint_mask(page[None], text_mask(note, _FONT - 2), (2, picture.shape[0] + 2), FAINT_INK)
    return page


def save_cells(rows: list[tuple[str, list[np.ndarray]]], path: Path, columns: int) -> Path:
    """Rows of pictures of one width under their titles, to one `.png`."""
    width = max(cell.shape[1] for _, cells in rows for cell in cells)
    wide = 2 * _MARGIN + min(columns, max(len(cells) for _, cells in rows)) * (width + _GAP) - _GAP
    page = [np.full((_MARGIN, wide, 3), _PAGE, dtype=np.uint8)]
    for title, cells in rows:
        masks = paragraph(title, _FONT, wide - 2 * _MARGIN, 2)
        head = np.full((sum(mask.shape[0] for mask in masks) + _GAP, wide, 3), _PAGE, dtype=np.uint8)
        y = 0
        for mask in masks:
            paint_mask(head[None], mask, (_MARGIN, y), INK)
            y += mask.shape[0]
        page.append(head)
        for start in range(0, len(cells), columns):
            line = cells[start : start + columns]
            band = np.full((max(cell.shape[0] for cell in line) + _GAP, wide, 3), _PAGE, dtype=np.uint8)
            for index, cell in enumerate(line):
                left = _MARGIN + index * (width + _GAP)
                band[: cell.shape[0], left : left + cell.shape[1]] = cell
            page.append(band)
    with atomic_path(path) as temporary:
        pillow().Image.fromarray(np.concatenate(page)).save(temporary, format="PNG")
    return path
