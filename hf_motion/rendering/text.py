"""Text as masks, drawn with the font that Pillow carries, so that pictures are the same on every machine."""

from __future__ import annotations

from functools import lru_cache
from types import ModuleType
from typing import Any

import numpy as np

INK, FAINT_INK = (38, 44, 54), (112, 122, 137)


def pillow() -> ModuleType:
    """`PIL.Image` with `PIL.ImageDraw` and `PIL.ImageFont` imported beside it.

    Raises:
        ImportError: If Pillow is missing; the message names the extra to install.
    """
    try:
        import PIL.Image
        import PIL.ImageDraw
        import PIL.ImageFont
    except ImportError as error:
        raise ImportError("Drawing motions needs Pillow. Install it with `pip install hf-motion[render]`.") from error
    return PIL


@lru_cache(maxsize=512)
def text_mask(text: str, size: int) -> np.ndarray:
    """One line of text as a uint8 mask (height, width); all lines of a font size are equally high."""
    font = _font(size)
    ascent, descent = font.getmetrics()
    image = pillow().Image.new("L", (max(1, int(np.ceil(font.getlength(text))) + 2), ascent + descent))
    pillow().ImageDraw.Draw(image).text((1, 0), text, font=font, fill=255)
    mask = np.array(image)
    mask.setflags(write=False)
    return mask


def wrap(text: str | None, size: int, width: int, lines: int) -> list[str]:
    """Break a text into at most `lines` lines of `width` pixels; an ellipsis says that there was more."""
    words, done, font = (text or "").split(), [""], _font(size)
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
    return [line for line in done if line]


def _shorten(text: str, font: Any, width: int) -> str:
    while len(text) > 1 and font.getlength(text + "…") > width:
        text = text[:-1]
    return text.rstrip() + "…"


@lru_cache(maxsize=16)
def _font(size: int) -> Any:
    return pillow().ImageFont.load_default(size)
