"""Motions to images, fast enough on one CPU core to look at everything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ..motion import Motion, check_fps
from ..utils.limits import MAX_IMAGE_BYTES, MAX_VIDEO_FRAMES
from .figure import LEFT, RIGHT, check_motions
from .raster import paint_capsules, paint_mask
from .scene import Scene
from .text import FAINT_INK, INK, paragraph, text_mask

_BATCH = 16
_COLUMNS = 4
_TEXT_LINES = 3
_SMALLEST = 64


def render_frames(motions: Motion | Sequence[Motion], *, size: tuple[int, int] = (480, 480), fps: float | None = None) -> np.ndarray:
    """Draw motions as images, several side by side.

    Blue limbs are the character's left, orange ones its right. Every motion has its own camera, at three quarters from the
    front of its first pose; it stands still where the whole clip fits well and otherwise glides along. Where motions differ
    in length, the shorter ones hold their last pose.

    Args:
        motions (`Motion` or a sequence of `Motion`): What to draw. Texts become captions.
        size (`tuple[int, int]`, defaults to `(480, 480)`): Width and height in pixels of each motion's picture. Up to four
            stand in one row.
        fps (`float`, *optional*): Frames per second of the result; that of the first motion by default. Motions at another rate
            are resampled.

    Returns:
        `numpy.ndarray`: (frames, height, width, 3) uint8 RGB.

    Raises:
        ValueError: If there is no motion, `size` or `fps` is not usable, or there would be too many images for memory.
        TypeError: If something in the list is not a `Motion`.
        ImportError: If Pillow is not installed.

    Example:
    >>> import numpy as np
    >>> from hf_motion import Motion
    >>> from hf_motion.rendering import render_frames
    >>> render_frames(Motion(np.zeros((5, 22, 3))), size=(64, 96)).shape
    (5, 96, 64, 3)
    """
    film = Film(prepared(motions, fps), size)
    film.check_memory()
    images = np.empty((film.length, *film.shape), dtype=np.uint8)
    film.paint(images, 0)
    return images


def prepared(motions: Motion | Sequence[Motion], fps: float | None) -> list[Motion]:
    """The motions as a list at one frame rate. Raises as `render_frames` does."""
    motions = check_motions(motions)
    fps = check_fps(motions[0].fps if fps is None else fps)
    longest = max(int((len(motion) - 1) * fps / motion.fps) + 1 for motion in motions)
    if longest > MAX_VIDEO_FRAMES:
        raise ValueError(
            f"A video of {longest:,} frames is longer than the {MAX_VIDEO_FRAMES:,} that are drawn. Cut the motion, or lower `fps`."
        )
    return [motion.resample(fps) for motion in motions]


def check_size(size: tuple[int, int]) -> tuple[int, int]:
    """Width and height as integers.

    Raises:
        ValueError: If they are not two whole numbers from 64 to 4096.
    """
    try:
        width, height = (int(side) for side in size)
        usable = (width, height) == tuple(size) and all(_SMALLEST <= side <= 4096 for side in (width, height))
    except (TypeError, ValueError):
        usable = False
    if not usable:
        raise ValueError(f"size must be (width, height) in pixels, each from {_SMALLEST} to 4096, got {size!r}. Try (480, 480).")
    return width, height


class Film:
    """Motions that share a frame rate, ready to be painted frame by frame.

    Args:
        motions (sequence of `Motion`): As `prepared` gives them.
        size (`tuple[int, int]`): Width and height in pixels of each one's picture.

    Raises:
        ValueError: If `size` is not usable.
    """

    def __init__(self, motions: Sequence[Motion], size: tuple[int, int]) -> None:
        self.size = check_size(size)
        self.panels = [_Panel(motion, self.size) for motion in motions]
        self.columns = min(len(motions), _COLUMNS)
        self.length = max(len(motion) for motion in motions)
        self.shape = (-(-len(motions) // self.columns) * self.size[1], self.columns * self.size[0], 3)

    def check_memory(self) -> None:
        """Refuse to hold all images at once where they are too many.

        Raises:
            ValueError: If they take more memory than `hf_motion.utils.limits` allow.
        """
        size = self.length * self.shape[0] * self.shape[1] * self.shape[2]
        if size > MAX_IMAGE_BYTES:
            raise ValueError(
                f"{self.length:,} images of {self.shape[1]} x {self.shape[0]} pixels take {size / 2**30:.1f} GiB, and at most "
                f"{MAX_IMAGE_BYTES / 2**30:.0f} GiB are held at once. Cut the motion, lower `size` or `fps`, or write a .mp4."
            )

    def paint(self, images: np.ndarray, first: int) -> None:
        """Paint consecutive frames from `first` on into images (frames, *shape) uint8, after those before them."""
        width, height = self.size
        if len(self.panels) % self.columns:
            images[:, -height:] = 255
        for index, panel in enumerate(self.panels):
            row, column = divmod(index, self.columns)
            panel.paint(images[:, row * height : (row + 1) * height, column * width : (column + 1) * width], first)

    def batches(self) -> Iterator[np.ndarray]:
        """Yield all frames in order, (at most 16, height, width, 3) uint8 each."""
        for first in range(0, self.length, _BATCH):
            images = np.empty((min(_BATCH, self.length - first), *self.shape), dtype=np.uint8)
            self.paint(images, first)
            yield images


class _Panel:
    """One motion with caption, legend and clock."""

    def __init__(self, motion: Motion, size: tuple[int, int]) -> None:
        self.motion, self.size = motion, size
        self.font = max(10, min(size) // 30)
        self.caption = paragraph(motion.text, self.font + 2, size[0] - 2 * self.font, _TEXT_LINES)
        top = self.font // 2 + sum(mask.shape[0] for mask in self.caption)
        self.scene = Scene(motion, size, top=min(top, size[1] // 2))
        self.last: np.ndarray | None = None

    def paint(self, images: np.ndarray, first: int) -> None:
        present = min(max(len(self.motion) - first, 0), len(images))
        if present:
            self.scene.paint(images[:present], np.arange(first, first + present))
            self._label(images[:present], first)
            self.last = images[present - 1].copy()
        images[present:] = self.last

    def _label(self, images: np.ndarray, first: int) -> None:
        y = self.font // 2
        for mask in self.caption:
            paint_mask(images, mask, ((self.size[0] - mask.shape[1]) // 2, y), INK)
            y += mask.shape[0]
        bottom = self.size[1] - self.font // 2
        paint_legend(images, (self.font, bottom), self.font)
        for i in range(len(images)):
            clock = text_mask(f"{(first + i) / self.motion.fps:.2f} s", self.font)
            paint_mask(images[i : i + 1], clock, (self.size[0] - self.font - clock.shape[1], bottom - clock.shape[0]), FAINT_INK)


def paint_legend(images: np.ndarray, corner: tuple[int, int], font: int) -> int:
    """Paint what the colours mean, its bottom left at `corner`, into images (images, height, width, 3); returns its width."""
    x, count = corner[0], len(images)
    for name, colour in (("left", LEFT), ("right", RIGHT)):
        mask = text_mask(name, font)
        middle = np.full((count, 2), (x + 0.35 * font, corner[1] - mask.shape[0] / 2), dtype=np.float32)
        radii, colours = np.full((count, 2), 0.35 * font, np.float32), np.broadcast_to(np.float32(colour), (count, 3))
        paint_capsules(images, middle, middle, radii, colours)
        paint_mask(images, mask, (x + font, corner[1] - mask.shape[0]), FAINT_INK)
        x += mask.shape[1] + int(1.8 * font)
    return x - corner[0] - int(0.8 * font)
