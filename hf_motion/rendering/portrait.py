"""Painting the plain head into images: on the body, and larger in a corner."""

from __future__ import annotations

import numpy as np

from .head import plain_head
from .text import pillow

_FINE = 3
# What a portrait shows, in head radii, and how far the head is turned in it.
_SHOWN, _TURN = 1.35, np.radians(14)
_PAGE = (232, 238, 244)


def paint_polygons(image: np.ndarray, pixels: np.ndarray) -> None:
    """Fill the parts of the plain head in one image, antialiased, in place.

    Args:
        image (`numpy.ndarray`): (height, width, 3) uint8.
        pixels (`numpy.ndarray`): (points, 2), x and y of the head's points.
    """
    low = np.maximum(np.floor(pixels.min(axis=0)).astype(int) - 1, 0)
    high = np.minimum(np.ceil(pixels.max(axis=0)).astype(int) + 2, image.shape[1::-1])
    if (high - low < 2).any():
        return
    region = image[low[1] : high[1], low[0] : high[0]]
    drawing = pillow()
    picture = drawing.Image.fromarray(np.repeat(np.repeat(region, _FINE, axis=0), _FINE, axis=1))
    draw = drawing.ImageDraw.Draw(picture)
    fine = (pixels - low) * _FINE
    for part in plain_head().parts:
        draw.polygon([tuple(point) for point in fine[part.outline].tolist()], fill=part.colour)
    shape = (region.shape[0], _FINE, region.shape[1], _FINE, 3)
    region[:] = np.asarray(picture).reshape(shape).mean(axis=(1, 3)).round()


def paint_portrait(image: np.ndarray, points: np.ndarray, corner: tuple[int, int], size: int) -> None:
    """Paint a head from its front into one image, in place, on a disc of `size` pixels whose top left is at `corner` (x, y).

    Args:
        image (`numpy.ndarray`): (height, width, 3) uint8.
        points (`numpy.ndarray`): (points, 3), the head's points in head radii.
        corner (`tuple[int, int]`): x and y in pixels.
        size (`int`): Pixels.
    """
    region = image[corner[1] : corner[1] + size, corner[0] : corner[0] + size]
    drawing = pillow()
    mask = drawing.Image.new("L", (size * _FINE, size * _FINE))
    drawing.ImageDraw.Draw(mask).ellipse((0, 0, size * _FINE - 1, size * _FINE - 1), fill=255)
    alpha = (
        np.asarray(mask.resize((size, size), drawing.Image.Resampling.BOX), np.float32)[: region.shape[0], : region.shape[1], None] / 255
    )
    disc = np.empty((size, size, 3), np.uint8)
    disc[:] = _PAGE
    paint_polygons(disc, portrait_pixels(points, size))
    region[:] = (region * (1 - alpha) + disc[: region.shape[0], : region.shape[1]] * alpha + 0.5).astype(np.uint8)


def portrait_pixels(points: np.ndarray, size: int) -> np.ndarray:
    """Where points (..., 3) in head radii are in a portrait of so many pixels, (..., 2)."""
    x = points[..., 0] * np.cos(_TURN) + points[..., 2] * np.sin(_TURN) - np.sin(_TURN) * 0.5
    return np.stack((size / 2 + x * size / 2 / _SHOWN, size / 2 - (points[..., 1] + 0.12) * size / 2 / _SHOWN), axis=-1)
