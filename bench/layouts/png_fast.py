"""Decodes the PNGs that masks come as, 8-bit palette or grey, much faster than an image library.

Nearly all time goes into inflating; zlib-ng does that, and the rows' filters are undone by compiled code. Every
chunk's checksum and the length of the data are checked. Whatever is not plain and whole is left to Pillow
(:mod:`refseg.bench.layouts.png`), which reads the rarer forms and tells what is wrong.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from zlib_ng import zlib_ng

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEADER = struct.Struct(">IIBBBBB")
_CHUNK = struct.Struct(">I4s")
_MODES: dict[int, Literal["L", "P"]] = {0: "L", 3: "P"}
_MOST_PIXELS = 1 << 26


@dataclass(frozen=True)
class PlainImage:
    """A decoded 8-bit PNG: Pillow's name of its mode, and its (H, W) values as they are stored."""

    mode: Literal["L", "P"]
    values: NDArray[np.uint8]


def decode_plain(data: bytes, size: tuple[int, int] | None) -> PlainImage | None:
    """Decode an 8-bit palette or grey PNG.

    Args:
        data: The file's content.
        size: (H, W) that it must have; None: any.

    Returns:
        None where the file is of another kind or size, damaged, or odd in any way.
    """
    chunks = _chunks(data)
    if chunks is None:
        return None
    header, packed = chunks
    width, height, depth, colour, *methods = _HEADER.unpack(header)
    if depth != 8 or colour not in _MODES or any(methods) or not 0 < width * height <= _MOST_PIXELS:
        return None
    if size is not None and size != (height, width):
        return None
    expected = height * (width + 1)
    inflate = zlib_ng.decompressobj()
    try:
        # One byte more than is expected, so that a file that would give more is seen and costs no memory.
        rows = inflate.decompress(packed, expected + 1)
    except zlib_ng.error:  # type: ignore[misc]  # its stub says an instance
        return None
    if len(rows) != expected or not inflate.eof:
        return None
    lines = np.frombuffer(rows, np.uint8).reshape(height, width + 1)
    values = _unfiltered(lines)
    return None if values is None else PlainImage(_MODES[colour], values)


def _chunks(data: bytes) -> tuple[bytes, bytes] | None:
    """Return a file's header and its packed data, every checksum checked; None where it is odd."""
    if data[:8] != _SIGNATURE:
        return None
    at, header, packed, palette = 8, b"", [], False
    while at + 12 <= len(data):
        length, kind = _CHUNK.unpack_from(data, at)
        end = at + 8 + length
        if end + 4 > len(data) or zlib.crc32(data[at + 4 : end]) != int.from_bytes(
            data[end : end + 4], "big"
        ):
            return None
        content = data[at + 8 : end]
        at = end + 4
        if kind == b"IHDR" and not header and length == _HEADER.size:
            header = content
        elif kind == b"IDAT" and header:
            packed.append(content)
        elif kind == b"PLTE" and not packed:
            palette = True
        elif kind == b"IEND":
            colour = header[9:10]
            whole = bool(header) and bool(packed) and (palette or colour != b"\x03")
            return (header, b"".join(packed)) if whole else None
        elif not kind[0] & 0x20:
            # A chunk that must be understood: out of its order, twice or unknown.
            return None
    return None


def _unfiltered(lines: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """Return the (H, W) pixels of rows that begin with their filter; None where a filter is unknown."""
    filters = lines[:, 0]
    if not filters.any():
        return np.ascontiguousarray(lines[:, 1:])
    if filters.max() > 4:
        return None
    from refseg.bench.scoring.flat import unfilter

    return unfilter(lines)
