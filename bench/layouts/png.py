"""PNG masks: indices are read as they are stored, never as colours."""

from __future__ import annotations

import io
import warnings
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from refseg.bench.errors import InputError
from refseg.bench.layouts.png_fast import decode_plain
from refseg.bench.types import BoolArray

MOST_IDS = 20
"""The official evaluator's limit on proposals; an id above it in a grey image is taken for a grey value."""

VOID = 255

DECODE_ERRORS = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)
"""What Pillow raises on files that are truncated, damaged or no images."""

_COLOUR = ("RGB", "RGBA", "CMYK", "YCbCr")


def decode_labels(data: bytes, name: str, size: tuple[int, int] | None) -> NDArray[np.uint8]:
    """Return the (H, W) object ids of a palette PNG, or of a grey one that holds small ids.

    Args:
        data: The file's content.
        name: The file, for messages.
        size: (H, W) that it must have; None: any.

    Raises:
        InputError: It is damaged, of another size, coloured, or grey with values that are no ids.
    """
    plain = decode_plain(data, size)
    if plain is None:
        image = _open(data, name, size)
        if image.mode not in ("P", "L"):
            raise InputError(f"{name} is a PNG of mode {image.mode}; {_wanted(image.mode)}")
        mode, labels = image.mode, _decode(image, name)
    else:
        mode, labels = plain.mode, plain.values
    if mode == "L":
        _refuse_grey(_values(labels), name)
    return labels


def decode_mask(data: bytes, name: str, size: tuple[int, int] | None) -> BoolArray:
    """Return the (H, W) mask of a PNG with the values 0 and 255, or 0 and 1.

    Raises:
        InputError: It is damaged, of another size, coloured, or holds other values.
    """
    plain = decode_plain(data, size)
    if plain is None:
        image = _open(data, name, size)
        if image.mode not in ("L", "P", "1"):
            raise InputError(
                f"{name} is a PNG of mode {image.mode}; one 8-bit channel with 0 and 255 is expected."
            )
        values = _decode(image, name)
    else:
        values = plain.values
    found = _values(values)
    if {*found} - {0, 255} and {*found} - {0, 1}:
        told = ", ".join(map(str, found[:6])) + (", …" if len(found) > 6 else "")
        raise InputError(
            f"{name} holds the values {told}; a mask of one expression holds 0 and 255 (or 0 and 1) only."
        )
    mask: BoolArray = values != 0
    return mask


def encode_mask(mask: BoolArray) -> bytes:
    """Return an 8-bit grey PNG with 0 and 255."""
    return _encode(Image.fromarray(mask.astype(np.uint8) * np.uint8(255)))


def encode_labels(labels: NDArray[np.uint8]) -> bytes:
    """Return a palette PNG of object ids in DAVIS's colours."""
    image = Image.fromarray(np.ascontiguousarray(labels))
    image.putpalette(davis_palette())
    return _encode(image)


@cache
def davis_palette() -> bytes:
    """Return DAVIS's 256 colours (those of PASCAL VOC) as 768 bytes.

    The bits of an id are dealt out to red, green and blue in turn, the highest bit of each colour first.
    """
    colours = bytearray()
    for label in range(256):
        for channel in range(3):
            bits = (label >> (3 * k + channel) & 1 for k in range(3))
            colours.append(sum(bit << (7 - k) for k, bit in enumerate(bits)))
    return bytes(colours)


def _open(data: bytes, name: str, size: tuple[int, int] | None) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=("PNG",))
            # Decoding alone passes over a file's checksums, and a flipped bit would be a wrong mask.
            image.verify()
            image = Image.open(io.BytesIO(data), formats=("PNG",))
    except DECODE_ERRORS:
        state = "is empty" if not data else "is not a PNG, truncated or damaged"
        raise InputError(f"{name} {state} ({len(data)} bytes); a PNG is expected: copy it again.") from None
    # The header is compared before anything is decoded, so a huge image costs nothing.
    if size is not None and _size(image) != size:
        raise InputError(
            f"{name} is {_shown(_size(image))} pixels, but its video's frames are {_shown(size)} "
            "(width x height); masks must have the frames' size."
        )
    return image


def _decode(image: Image.Image, name: str) -> NDArray[np.uint8]:
    try:
        return np.asarray(image, dtype=np.uint8)
    except DECODE_ERRORS as error:
        raise InputError(f"{name} is truncated or damaged ({error}); copy it again.") from None


def _values(pixels: NDArray[np.uint8]) -> list[int]:
    # Compiled code is not needed to write masks, so it is imported where they are read.
    from refseg.bench.scoring.packed import present_values

    return present_values(pixels)


def _refuse_grey(found: list[int], name: str) -> None:
    """Refuse grey values that are no object ids: colours turned into luminance, or a 0/255 mask."""
    if VOID in found and not any(0 < v <= MOST_IDS for v in found):
        raise InputError(
            f"{name} is a grey PNG with 255 and no object id; it looks like a 0/255 mask, but object ids "
            "(1, 2, …) are expected: save a palette PNG."
        )
    strange = [v for v in found if MOST_IDS < v < VOID]
    if strange:
        raise InputError(
            f"{name} is a grey PNG with the value {strange[0]}, which is no object id; it looks like a "
            "palette PNG that was converted to grey: keep the palette (Pillow: do not call convert('L'))."
        )


def _wanted(mode: str) -> str:
    if mode in _COLOUR:
        return "colours are no object ids: save a palette PNG (mode P) whose indices are the ids."
    return "a palette PNG (mode P) whose indices are the object ids is expected."


def _size(image: Image.Image) -> tuple[int, int]:
    return (image.height, image.width)


def _shown(size: tuple[int, int]) -> str:
    return f"{size[1]}x{size[0]}"


def _encode(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
