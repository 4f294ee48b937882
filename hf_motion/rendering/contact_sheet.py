"""Motions on one page: poses over time, and the way seen from above."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..motion import Motion
from ..utils.files import atomic_path
from .figure import check_motions, facing
from .frames import check_size, paint_legend
from .raster import paint_mask
from .scene import Scene
from .text import FAINT_INK, INK, paragraph, pillow, text_mask

_MARGIN, _GAP = 16, 4
_LONG = 6.0
_FINE, _ARROW = 3, 24.0
_PAGE, _MAP, _MAP_LINE, _WAY = (255, 255, 255), (247, 249, 251), (222, 228, 235), (96, 110, 130)
_START, _END = (60, 160, 96), (38, 44, 54)


def save_contact_sheet(
    motions: Motion | Sequence[Motion], path: str | os.PathLike, *, columns: int = 8, size: tuple[int, int] = (200, 250)
) -> None:
    """Write a `.png` with evenly spaced poses of every motion, to be judged at a glance.

    A row is a motion under its text: poses from the first frame to the last with their times, all seen from one direction, at
    three quarters from the front of the first pose, and kept in the middle of their cells while the floor moves. The last
    cell is a map: the way of the root seen from above, with the first pose facing up the page, so that a turn to the left
    bends to the left. Green is the start, black the end, and arrows show where the body faces. A single motion of more
    than 6 s gets two rows.

    Args:
        motions (`Motion` or a sequence of `Motion`): What to show, one below the other.
        path (`str` or `os.PathLike`): File to write; missing folders are made. It appears whole or not at all.
        columns (`int`, defaults to 8): Poses in a row.
        size (`tuple[int, int]`, defaults to `(200, 250)`): Width and height of a cell, pixels.

    Raises:
        ValueError: If there is no motion, the suffix is not `.png`, `columns` is not positive, or `size` is out of range.
        TypeError: If something in the list is not a `Motion`.
        ImportError: If Pillow is not installed.
        OSError: If the file cannot be written.
    """
    path, motions, size = Path(path), check_motions(motions), check_size(size)
    if path.suffix.lower() != ".png":
        raise ValueError(f"A contact sheet is written as .png, not as {path.suffix or path.name!r}. Use another suffix.")
    if not isinstance(columns, int) or not 1 <= columns <= 64:
        raise ValueError(f"columns must be a number of poses from 1 to 64, got {columns!r}. The default is 8.")
    lines = 2 if len(motions) == 1 and motions[0].duration > _LONG else 1
    width = 2 * _MARGIN + (columns + 1) * (size[0] + _GAP) - _GAP
    rows = [_row(motion, columns, lines, size, width) for motion in motions]
    page = np.concatenate([_blank(width, _MARGIN), *rows])
    font = _font(size)
    legend = _blank(12 * font, 2 * font)
    used = paint_legend(legend[None], (0, 2 * font), font)
    page[_MARGIN // 2 : _MARGIN // 2 + 2 * font, width - _MARGIN - used : width - _MARGIN] = legend[:, :used]
    with atomic_path(path) as temporary:
        pillow().Image.fromarray(page).save(temporary, format="PNG")


def _row(motion: Motion, columns: int, lines: int, size: tuple[int, int], width: int) -> np.ndarray:
    """One motion: title, poses and map, (height, width, 3) uint8."""
    font = _font(size)
    frames = np.unique(np.linspace(0, len(motion) - 1, min(columns * lines, len(motion))).round().astype(int))
    images = np.empty((len(frames), size[1], size[0], 3), dtype=np.uint8)
    Scene(motion, size, top=font, centred=True).paint(images, frames)
    title = paragraph(motion.text, font + 3, width - 2 * _MARGIN - 9 * font, 2)
    head = sum(mask.shape[0] for mask in title) + _GAP if title else 2 * font
    row = _blank(width, head + lines * (size[1] + _GAP) + _MARGIN)
    y = 0
    for mask in title:
        paint_mask(row[None], mask, (_MARGIN, y), INK)
        y += mask.shape[0]
    for index, (frame, image) in enumerate(zip(frames, images, strict=True)):
        line, column = divmod(index, columns)
        clock = text_mask(f"{frame / motion.fps:.2f} s", font)
        paint_mask(image[None], clock, (font // 2, size[1] - clock.shape[0] - 2), FAINT_INK)
        top, left = head + line * (size[1] + _GAP), _MARGIN + column * (size[0] + _GAP)
        row[top : top + size[1], left : left + size[0]] = image
    left = _MARGIN + columns * (size[0] + _GAP)
    row[head : head + size[1], left : left + size[0]] = _map(motion, frames, size)
    return row


def _map(motion: Motion, frames: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The way of the root from above, first pose facing up the page and its left to the left, (height, width, 3) uint8."""
    font, drawing = _font(size), pillow().ImageDraw
    picture = pillow().Image.new("RGB", (size[0] * _FINE, size[1] * _FINE), _MAP)
    draw = drawing.Draw(picture)
    looks = facing(motion)
    forward = looks[0]
    leftward = np.array([forward[1], -forward[0]])
    turn = np.stack([-leftward, -forward], axis=1)
    way = (motion.joints[:, 0][:, [0, 2]] - motion.joints[0, 0, [0, 2]]) @ turn
    room = np.maximum(np.array([size[0], size[1] - 1.5 * font]) - 2.4 * _ARROW, 16)
    scale = float((room / np.maximum(np.ptp(way, axis=0), 1.0)).min()) * _FINE
    middle = (way.min(axis=0) + way.max(axis=0)) / 2
    centre = np.array([size[0], size[1] - font]) * _FINE / 2
    spacing = 0.5 * 2.0 ** max(0, np.ceil(np.log2(34 * _FINE / (0.5 * scale))))
    _grid(draw, -middle * scale + centre, spacing * scale, picture.size)
    pixels = (way - middle) * scale + centre
    draw.line([tuple(pixel) for pixel in pixels], fill=_WAY, width=2 * _FINE, joint="curve")
    for frame in frames[1:-1]:
        _dot(draw, pixels[frame], 2.4 * _FINE, _WAY)
    for frame, colour in ((-1, _END), (0, _START)):
        _arrow(draw, pixels[frame], looks[frame] @ turn, _ARROW * _FINE, colour)
    picture = np.array(picture.reduce(_FINE))
    for text, x in (("from above", font // 2), (f"grid {spacing:g} m", None)):
        mask = text_mask(text, font)
        x = size[0] - mask.shape[1] - font // 2 if x is None else x
        paint_mask(picture[None], mask, (x, size[1] - mask.shape[0] - 2), FAINT_INK)
    return picture


def _grid(draw: Any, origin: np.ndarray, step: float, size: tuple[int, int]) -> None:
    for axis in range(2):
        for place in np.arange(origin[axis] % step, size[axis], step):
            ends = [(place, 0), (place, size[1])] if axis == 0 else [(0, place), (size[0], place)]
            draw.line(ends, fill=_MAP_LINE, width=_FINE)


def _dot(draw: Any, place: np.ndarray, radius: float, colour: tuple[int, int, int]) -> None:
    draw.ellipse([*(place - radius), *(place + radius)], fill=colour)


def _arrow(draw: Any, place: np.ndarray, direction: np.ndarray, length: float, colour: tuple[int, int, int]) -> None:
    across = np.array([-direction[1], direction[0]])
    tip, neck = place + direction * length, place + direction * length * 0.55
    draw.line([tuple(place), tuple(neck)], fill=colour, width=round(length * 0.11))
    draw.polygon([tuple(tip), tuple(neck + across * length * 0.24), tuple(neck - across * length * 0.24)], fill=colour)
    _dot(draw, place, length * 0.22, colour)


def _blank(width: int, height: int) -> np.ndarray:
    return np.broadcast_to(np.uint8(_PAGE), (height, width, 3)).copy()


def _font(size: tuple[int, int]) -> int:
    return max(10, min(size) // 15)
