"""Whether a PNG holds all of its pixels: image libraries fill what is missing with zeros and say nothing."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from zlib_ng import zlib_ng

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Adam7 (PNG specification, 8.2): first column and row of each pass, and its steps."""


def is_whole(data: bytes) -> bool:
    """Return whether a PNG's data inflate to exactly the pixels that its header promises, no fewer and no more."""
    head, packed = b"", []
    for kind, content in _chunks(data):
        if kind == b"IHDR" and len(content) == 13:
            head = content
        elif kind == b"IDAT":
            packed.append(content)
    if not head:
        return False
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", head)
    expected = _bytes(width, height, depth * _CHANNELS.get(colour, 0), bool(interlaced))
    inflate, left = zlib_ng.decompressobj(), expected
    try:
        rest = b"".join(packed)
        while left >= 0 and rest and not inflate.eof:
            # Piece by piece, so that a large promise alone costs no memory.
            left -= len(inflate.decompress(rest, min(left + 1, 1 << 24)))
            rest = inflate.unconsumed_tail
    except zlib_ng.error:  # type: ignore[misc]  # its stub says an instance
        return False
    return left == 0


def _bytes(width: int, height: int, bits: int, interlaced: bool) -> int:
    """Return how many bytes an image is unpacked, each row with its filter's."""
    if not interlaced:
        return height * _row(width, bits)
    sizes = ((-(-(width - x) // dx), -(-(height - y) // dy)) for x, y, dx, dy in _PASSES)
    return sum(h * _row(w, bits) for w, h in sizes if w > 0 and h > 0)


def _row(width: int, bits: int) -> int:
    return 1 + (width * bits + 7) // 8


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 8
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        yield kind, data[at + 8 : at + 8 + length]
        at += 12 + length
