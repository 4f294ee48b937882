"""Text as masks, drawn with the font that Pillow carries, so that pictures of ASCII texts are the same on every machine."""

from __future__ import annotations

import sys
from contextlib import suppress
from functools import lru_cache
from types import ModuleType
from typing import Any

import numpy as np

from ..utils.extras import require

_WIDER_FONTS = (
    "NotoSansCJK-Regular.ttc", "Arial Unicode.ttf", "msyh.ttc", "NotoSans-Regular.ttf", "DejaVuSans.ttf", "Arial.ttf", "arial.ttf",
)  # fmt: skip
INK, FAINT_INK = (38, 44, 54), (112, 122, 137)


def pillow() -> ModuleType:
    """`PIL.Image` with `PIL.ImageDraw` and `PIL.ImageFont` imported beside it.

    Raises:
        ImportError: If Pillow is missing; the message names the extra to install.
    """
    for module in ("PIL.Image", "PIL.ImageDraw", "PIL.ImageFont"):
        require(module, "Drawing motions")
    return sys.modules["PIL"]


@lru_cache(maxsize=512)
def text_mask(text: str, size: int, plain: bool = True) -> np.ndarray:
    """One line of text as a read-only uint8 mask (height, width), in Pillow's own font or, not `plain`, in a wider one."""
    font = _font(size, plain)
    ascent, descent = font.getmetrics()
    image = pillow().Image.new("L", (max(1, int(np.ceil(font.getlength(text))) + 2), ascent + descent))
    pillow().ImageDraw.Draw(image).text((1, 0), text, font=font, fill=255)
    mask = np.array(image)
    mask.setflags(write=False)
    return mask


def paragraph(text: str | None, size: int, width: int, lines: int) -> list[np.ndarray]:
    """Masks of at most `lines` lines of `width` pixels; dots say that there was more."""
    text = text or ""
    words, done, plain = text.split(), [""], text.isascii()
    font = _font(size, plain)
    while words:
        word = words.pop(0)
        longer = f"{done[-1]} {word}".strip()
        if font.getlength(longer) <= width:
            done[-1] = longer
        elif done[-1] and len(done) < lines:
            done.append("")
            words.insert(0, word)
        else:
            done[-1] = _shorten(longer, font, width)
            if len(done) == lines:
                break
            done.append("")
    return [text_mask(line, size, plain) for line in done if line]


def _shorten(text: str, font: Any, width: int) -> str:
    while len(text) > 1 and font.getlength(text + "...") > width:
        text = text[:-1]
    return text.rstrip() + "..."


@lru_cache(maxsize=32)
def _font(size: int, plain: bool) -> Any:
    """Pillow's own font, which knows little beyond ASCII; for other texts the first of some common ones that is installed."""
    fonts = pillow().ImageFont
    for name in () if plain else _WIDER_FONTS:
        with suppress(OSError):
            return fonts.truetype(name, size)
    return fonts.load_default(size)
