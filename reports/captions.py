"""Sentences as pictures: any Unicode text, wrapped to a width, in the font that Pillow brings along."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

PAPER: Colour = (255, 255, 255)
INK: Colour = (32, 33, 36)

_LONGEST = 600
_ELLIPSIS = "…"


def plain(text: str) -> str:
    """Return a text on one line: control, format and surrogate characters out, runs of white space one space."""
    shown = "".join(" " if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co") else c for c in text)
    return " ".join(shown.split())


def wrap(text: str, width: int, size: int, lines: int) -> list[str]:
    """Return a text broken into at most ``lines`` lines of ``width`` pixels; the last ends in … where it is cut.

    Args:
        text: Any text.
        width: Pixels a line.
        size: Height of the letters in pixels.
        lines: The most lines.
    """
    font = _font(size)
    # Nothing beyond a few hundred letters can fit, and measuring a megabyte would take seconds.
    left, out = plain(text[:_LONGEST]), list[str]()
    cut = len(text) > _LONGEST
    while left and len(out) < lines:
        head = _fitting(left, width, font)
        out.append(head.rstrip())
        left = left[len(head) :].lstrip()
    if out and (left or cut):
        out[-1] = _with_ellipsis(out[-1], width, font)
    return out or [""]


def text_image(
    text: str, width: int, *, size: int = 15, lines: int = 3, ink: Colour = INK, paper: Colour = PAPER
) -> Image.Image:
    """Draw a text, wrapped and left-aligned.

    Args:
        text: Any text; letters that the font lacks are boxes.
        width: Width of the picture in pixels.
        size: Height of the letters in pixels.
        lines: The most lines; what is over ends in ….
        ink: Colour of the letters.
        paper: Colour of the ground.

    Returns:
        RGB picture, ``width`` wide and as high as its lines.
    """
    pad = size // 3
    broken = wrap(text, max(width - 2 * pad, 1), size, lines)
    step = size + size // 3
    image = Image.new("RGB", (width, step * len(broken) + pad), paper)
    draw = ImageDraw.Draw(image)
    for row, line in enumerate(broken):
        draw.text((pad, pad // 2 + row * step), line, fill=ink, font=_font(size))
    return image


def _fitting(text: str, width: int, font: Font) -> str:
    """Return the longest beginning that fits, up to a space where there is one; at least one letter."""
    low, high = 1, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if font.getlength(text[:middle]) <= width:
            low = middle
        else:
            high = middle - 1
    if low == len(text) or text[low] == " ":
        return text[:low]
    space = text.rfind(" ", 0, low)
    return text[:space] if space > 0 else text[:low]


def _with_ellipsis(line: str, width: int, font: Font) -> str:
    while line and font.getlength(line + _ELLIPSIS) > width:
        line = line[:-1]
    return line.rstrip() + _ELLIPSIS


@lru_cache(maxsize=8)
def _font(size: int) -> Font:
    return ImageFont.load_default(size=size)
