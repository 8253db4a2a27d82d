"""PNG masks: indices are read as they are stored, never as colours."""

from __future__ import annotations

import io
import struct
import warnings
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from refseg.bench.errors import InputError
from refseg.bench.layouts.png_fast import decode_plain
from refseg.bench.layouts.png_whole import is_whole
from refseg.bench.types import BoolArray

MOST_IDS = 20
"""The official evaluator's limit on proposals; an id above it in a grey image is taken for a grey value."""

VOID = 255

DECODE_ERRORS = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)
"""What Pillow raises on files that are truncated, damaged or no images."""

_COLOUR = ("RGB", "RGBA", "CMYK", "YCbCr")
_MASK_MODES, _LABEL_MODES = ("L", "P", "1"), ("P", "L")
_MODES = {0: "L", 2: "RGB", 3: "P", 4: "LA", 6: "RGBA"}
HEADER = 26
"""Bytes of a PNG's beginning that tell its size and kind."""

FaultKind = Literal["damaged", "size", "colour", "values", "grey_palette", "mask_as_labels", "object_id"]
"""What can be wrong with a PNG of masks or label maps."""


class MaskFault(InputError):
    """A PNG is no mask or no label map of its video."""

    def __init__(self, text: str, kind: FaultKind = "damaged") -> None:
        super().__init__(text)
        self.kind: FaultKind = kind


def decode_labels(data: bytes, name: str, size: tuple[int, int] | None) -> NDArray[np.uint8]:
    """Return the (H, W) object ids of a palette PNG, or of a grey one that holds small ids.

    Args:
        data: The file's content.
        name: The file, for messages.
        size: (H, W) that it must have; None: any.

    Raises:
        MaskFault: It is damaged, of another size, coloured, or grey with values that are no ids.
    """
    plain = decode_plain(data, size)
    if plain is None:
        image = _open(data, name, size)
        _refuse_mode(image.mode, name, labels=True)
        mode, labels = image.mode, _decode(image, name)
    else:
        mode, labels = plain.mode, plain.values
    if mode == "L":
        _refuse_grey(_values(labels), name)
    return labels


def decode_mask(data: bytes, name: str, size: tuple[int, int] | None) -> BoolArray:
    """Return the (H, W) mask of a PNG with the values 0 and 255, or 0 and 1.

    Raises:
        MaskFault: It is damaged, of another size, coloured, or holds other values.
    """
    mask: BoolArray = decode_values(data, name, size) != 0
    return mask


def decode_values(data: bytes, name: str, size: tuple[int, int] | None) -> NDArray[np.uint8]:
    """Return the (H, W) values of a mask as they are stored, 0 and 255 or 0 and 1; see :func:`decode_mask`."""
    plain = decode_plain(data, size)
    if plain is None:
        image = _open(data, name, size)
        _refuse_mode(image.mode, name, labels=False)
        values = _decode(image, name)
    else:
        values = plain.values
    found = _values(values)
    if {*found} - {0, 255} and {*found} - {0, 1}:
        told = ", ".join(map(str, found[:6])) + (", …" if len(found) > 6 else "")
        raise MaskFault(
            f"{name} holds the values {told}; a mask of one expression holds 0 and 255 (or 0 and 1) only.",
            "values",
        )
    return values


def check_header(head: bytes, name: str, size: tuple[int, int], *, labels: bool) -> None:
    """Check size and kind of a PNG by its first ``HEADER`` bytes; nothing is decoded.

    Raises:
        MaskFault: It is no PNG, of another size, or of a kind that no mask (``labels``: no label map) has.
    """
    if len(head) < HEADER or head[:8] != b"\x89PNG\r\n\x1a\n" or head[12:16] != b"IHDR":
        raise _no_png(name, len(head) if len(head) < HEADER else None)
    width, height, depth, colour = struct.unpack_from(">IIBB", head, 16)
    _refuse_size((height, width), size, name)
    mode = _MODES.get(colour)
    if mode is None:
        raise _no_png(name)
    if mode == "L" and depth in (1, 16):
        mode = "1" if depth == 1 else "I;16"
    _refuse_mode(mode, name, labels=labels)


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
        raise _no_png(name, len(data)) from None
    # The header is compared before anything is decoded, so a huge image costs nothing.
    if size is not None:
        _refuse_size((image.height, image.width), size, name)
    if not is_whole(data):
        raise MaskFault(
            f"{name} is damaged: its data are not those of its {image.width}x{image.height} pixels; copy it again."
        )
    return image


def _decode(image: Image.Image, name: str) -> NDArray[np.uint8]:
    try:
        return np.asarray(image, dtype=np.uint8)
    except DECODE_ERRORS as error:
        raise MaskFault(f"{name} is truncated or damaged ({error}); copy it again.") from None


def _values(pixels: NDArray[np.uint8]) -> list[int]:
    # Compiled code is not needed to write masks, so it is imported where they are read.
    from refseg.bench.scoring.packed import present_values

    return present_values(pixels)


def _refuse_grey(found: list[int], name: str) -> None:
    """Refuse grey values that are no object ids: colours turned into luminance, or a 0/255 mask."""
    if VOID in found and not any(0 < v <= MOST_IDS for v in found):
        raise MaskFault(
            f"{name} is a grey PNG with 255 and no object id; it looks like a 0/255 mask, but object ids "
            "(1, 2, …) are expected: save a palette PNG.",
            "mask_as_labels",
        )
    strange = [v for v in found if MOST_IDS < v < VOID]
    if strange:
        raise MaskFault(
            f"{name} is a grey PNG with the value {strange[0]}, which is no object id; it looks like a "
            "palette PNG that was converted to grey: keep the palette (Pillow: do not call convert('L')).",
            "grey_palette",
        )


def _refuse_size(found: tuple[int, int], size: tuple[int, int], name: str) -> None:
    if found != size:
        raise MaskFault(
            f"{name} is {_shown(found)} pixels, but its video's frames are {_shown(size)} "
            "(width x height); masks must have the frames' size.",
            "size",
        )


def _refuse_mode(mode: str, name: str, *, labels: bool) -> None:
    if mode not in (_LABEL_MODES if labels else _MASK_MODES):
        wanted = _wanted(mode) if labels else "one 8-bit channel with 0 and 255 is expected."
        raise MaskFault(f"{name} is a PNG of mode {mode}; {wanted}", "colour")


def _no_png(name: str, length: int | None = None) -> MaskFault:
    state = "is empty" if length == 0 else "is not a PNG, truncated or damaged"
    told = "" if length is None else f" ({length} bytes)"
    return MaskFault(f"{name} {state}{told}; a PNG is expected: copy it again.")


def _wanted(mode: str) -> str:
    if mode in _COLOUR:
        return "colours are no object ids: save a palette PNG (mode P) whose indices are the ids."
    return "a palette PNG (mode P) whose indices are the object ids is expected."


def _shown(size: tuple[int, int]) -> str:
    return f"{size[1]}x{size[0]}"


def _encode(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
