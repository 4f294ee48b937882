"""Painting on batches of uint8 images: antialiased capsules, soft shadows, checkered floors, text masks. NumPy only."""

from __future__ import annotations

import numpy as np

_LIGHT_SIDE, _LIGHT_UP, _LIGHT_FRONT, _LIGHT_BASE = 0.10, 0.17, 0.30, 1.03


def paint_capsules(
    images: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    radii: np.ndarray,
    colours: np.ndarray,
    opacity: np.ndarray | None = None,
    squash: float = 1.0,
) -> None:
    """Paint one capsule into every image, in place.

    Args:
        images (`numpy.ndarray`): (images, height, width, 3) uint8.
        starts (`numpy.ndarray`): (images, 2) float32, x and y in pixels.
        ends (`numpy.ndarray`): The same for the other end.
        radii (`numpy.ndarray`): (images, 2) float32, pixels, at the start and at the end.
        colours (`numpy.ndarray`): (images, 3) float32, RGB from 0 to 255.
        opacity (`numpy.ndarray`, *optional*): (images,) from 0 to 1. Without it the capsule is opaque and shaded as a tube.
        squash (`float`, defaults to 1.0): Width over height of a round capsule, for marks that lie on the floor.
    """
    top, left, height, width = _patch(images.shape[1:3], starts, ends, radii, squash)
    dx, dy, radius = _offsets(starts, ends, radii, top, left, height, width, squash)
    dx /= radius
    dy /= radius
    square = dx * dx
    square += dy * dy
    alpha = np.sqrt(square)
    np.subtract(1, alpha, out=alpha)
    alpha *= radius
    alpha += 0.5
    np.clip(alpha, 0, 1, out=alpha)
    if opacity is None:
        square *= -_LIGHT_FRONT
        dx *= -_LIGHT_SIDE
        dy *= -_LIGHT_UP
        square += dx
        square += dy
        square += _LIGHT_BASE
    else:
        alpha *= opacity[:, None, None]
    windows, index = _windows(images, top, left, height, width)
    patch = windows[index].astype(np.float32)
    for channel in range(3):
        paint = colours[:, channel, None, None] * square if opacity is None else colours[:, channel, None, None]
        mix = paint - patch[..., channel]
        mix *= alpha
        patch[..., channel] += mix
    windows[index] = patch


def add_shadows(masks: np.ndarray, starts: np.ndarray, ends: np.ndarray, radii: np.ndarray, softness: float, squash: float) -> None:
    """Raise every mask to the shadow of one capsule, in place.

    Args:
        masks (`numpy.ndarray`): (images, height, width) uint8, 255 where no light comes.
        starts (`numpy.ndarray`): As in `paint_capsules`, on the floor.
        ends (`numpy.ndarray`): As in `paint_capsules`.
        radii (`numpy.ndarray`): As in `paint_capsules`.
        softness (`float`): Width of the blurred edge as a part of the radius.
        squash (`float`): Width over height of a disc on the floor.
    """
    wide = radii * (1 + softness)
    top, left, height, width = _patch(masks.shape[1:3], starts, ends, wide, squash)
    dx, dy, radius = _offsets(starts, ends, wide, top, left, height, width, squash)
    dx *= dx
    dy *= dy
    dx += dy
    np.sqrt(dx, out=dx)
    dx /= radius
    np.subtract(1, dx, out=dx)
    dx *= 255 * (1 + softness) / (2 * softness)
    np.clip(dx, 0, 255, out=dx)
    windows, index = _windows(masks, top, left, height, width)
    windows[index] = np.maximum(windows[index], dx.astype(np.uint8))


def darken(images: np.ndarray, masks: np.ndarray, strength: float) -> None:
    """Darken images where masks say so, in place: by `strength` (0 to 1) where the uint8 mask is 255."""
    rows, columns = np.flatnonzero(masks.any(axis=(0, 2))), np.flatnonzero(masks.any(axis=(0, 1)))
    if not len(rows):
        return
    window = (slice(None), slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    keep = 256 - (masks[window].astype(np.uint16) * int(strength * 256) >> 8)
    images[window] = images[window] * keep[..., None] >> 8


def paint_mask(images: np.ndarray, mask: np.ndarray, corner: tuple[int, int], colour: tuple[int, int, int]) -> None:
    """Blend one colour through a uint8 mask (height, width), its top left at `corner` (x, y), into every image, in place."""
    x, y = max(corner[0], 0), max(corner[1], 0)
    region = images[:, y : y + mask.shape[0], x : x + mask.shape[1]]
    alpha = mask[: region.shape[1], : region.shape[2], None].astype(np.float32) / 255
    region[:] = region * (1 - alpha) + np.float32(colour) * alpha


class Floor:
    """A checkered floor seen by a camera that only slides over it; antialiased by the size of a pixel on the floor.

    Args:
        points (`numpy.ndarray`): (height, width, 2) float32, where every pixel's ray meets the floor (x, z), relative to the
            point the camera follows; NaN above the horizon.
        first_row (`int`): Rows above this one are left alone.
        reach (`float`): Distance at which the floor has faded away.
        tile (`float`): Side of a tile, in the unit of `points`.
        contrast (`float`): Half the difference between dark and light tiles, 0 to 255.
    """

    def __init__(self, points: np.ndarray, first_row: int, reach: float, tile: float, contrast: float) -> None:
        distance = np.nan_to_num(np.hypot(points[..., 0], points[..., 1]) / reach, nan=1.0, posinf=1.0)
        fade = np.clip(1 - distance**2, 0, 1) ** 2
        fade[:first_row] = 0
        rows = np.flatnonzero(fade.max(axis=1) > 0.004)
        self.rows = slice(rows[0], rows[-1] + 1) if len(rows) else slice(0, 0)
        self.shade = fade[self.rows].astype(np.float32)
        self.amplitude = self.shade.copy()
        self.axes = []
        for axis in range(2):
            place = np.nan_to_num(points[..., axis] / (2 * tile))
            pixel = sum(np.abs(slope) for slope in np.gradient(place))[self.rows] + 1e-6
            self.axes.append((place[self.rows].astype(np.float32), (1 / pixel).astype(np.float32)))
            self.amplitude *= np.clip(1.5 - 3 * pixel, 0, 1)
        self.amplitude *= contrast
        self.tile = tile

    def paint(self, image: np.ndarray, target: np.ndarray, colour: tuple[int, int, int]) -> None:
        """Paint the floor around `target` (x, z) into one image (height, width, 3) uint8, in place."""
        if self.rows.stop == self.rows.start:
            return
        waves = []
        for axis, (place, sharpness) in enumerate(self.axes):
            wave = place + np.float32(target[axis] / (2 * self.tile) % 1)
            wave -= np.floor(wave)
            wave -= 0.5
            np.abs(wave, out=wave)
            wave -= 0.25
            wave *= sharpness
            waves.append(np.clip(wave, -0.5, 0.5, out=wave))
        checker = waves[0]
        checker *= waves[1]
        checker *= 4 * self.amplitude
        region = image[self.rows]
        for channel in range(3):
            below = region[..., channel].astype(np.float32)
            below += (colour[channel] - below) * self.shade
            below += checker
            below += 0.5
            region[..., channel] = below


def _patch(
    shape: tuple[int, ...], starts: np.ndarray, ends: np.ndarray, radii: np.ndarray, squash: float
) -> tuple[np.ndarray, np.ndarray, int, int]:
    """Top and left of a window around each capsule, and the height and width that suit all of them."""
    reach = radii.max(axis=1, keepdims=True) * np.float32([1, 1 / squash]) + 1
    low = np.floor(np.minimum(starts, ends) - reach)
    size = np.ceil((np.maximum(starts, ends) + reach - low).max(axis=0))
    height, width = int(min(size[1], shape[0])), int(min(size[0], shape[1]))
    left = np.clip(low[:, 0], 0, shape[1] - width).astype(int)
    top = np.clip(low[:, 1], 0, shape[0] - height).astype(int)
    return top, left, height, width


def _offsets(
    starts: np.ndarray, ends: np.ndarray, radii: np.ndarray, top: np.ndarray, left: np.ndarray, height: int, width: int, squash: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every pixel's offset from the axis of its capsule, x and y, and the capsule's radius there, each (images, height, width)."""
    xs = (left - starts[:, 0] + 0.5).astype(np.float32)[:, None] + np.arange(width, dtype=np.float32)
    ys = ((top - starts[:, 1] + 0.5).astype(np.float32)[:, None] + np.arange(height, dtype=np.float32)) * np.float32(squash)
    axis = (ends - starts).astype(np.float32) * np.float32([1, squash])
    inverse = 1 / np.maximum((axis * axis).sum(axis=1, keepdims=True), 1e-6)
    along = (xs * axis[:, :1] * inverse)[:, None, :] + (ys * axis[:, 1:] * inverse)[:, :, None]
    np.clip(along, 0, 1, out=along)
    dx = xs[:, None, :] - along * axis[:, 0, None, None]
    dy = ys[:, :, None] - along * axis[:, 1, None, None]
    along *= (radii[:, 1] - radii[:, 0])[:, None, None]
    along += np.maximum(radii[:, 0], 0.3)[:, None, None]
    return dx, dy, np.maximum(along, np.float32(0.3), out=along)


def _windows(
    images: np.ndarray, top: np.ndarray, left: np.ndarray, height: int, width: int
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """All windows of a size, as a writable view, and the index of one window per image."""
    count, rows, columns = images.shape[:3]
    shape = (count, rows - height + 1, columns - width + 1, height, width, *images.shape[3:])
    strides = images.strides[:3] + images.strides[1:]
    view = np.lib.stride_tricks.as_strided(images, shape, strides, writeable=True)
    return view, (np.arange(count), top, left)
