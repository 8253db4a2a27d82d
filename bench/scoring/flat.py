"""Compiled loops over the bytes of an image, whatever they stand for: runs, values, a PNG's filters."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from refseg.bench.scoring.compiled import Bytes, Int, Words, compiled, inner

_BYTE, _BYTES = np.uint64(0xFF), np.uint64(0x0101010101010101)


@compiled
def label_runs(
    labels: Bytes, eights: Words, changes: Words, starts: NDArray[np.uint32], values: Bytes
) -> Int:
    """Write where each run of equal values starts, and its value; return the number of runs.

    Args:
        labels: Flat.
        eights: The same, eight a word; what is left at the end is not in it.
        changes: (at least a bit more than eights / 8,) bytes that tell which word differs from the one before; the
            first does, and there are zeros at the end.
        starts: As long as ``labels``.
        values: As long as ``labels``.
    """
    found, last, q = 0, -1, 0
    while q < eights.size:
        start = 8 * q
        found, last = _runs_in(labels[start : start + 8], start, last, starts, values, found)
        mixed = eights[q] != np.uint64(last) * _BYTES
        q += 1
        # After a word of one value, go to the next one that differs; another may repeat itself.
        if not mixed:
            while q < eights.size:
                ahead = changes[q >> 3] >> np.uint64(8 * (q & 7))
                if ahead & _BYTE:
                    break
                q = q + 1 if ahead else (q | 7) + 1
    found, last = _runs_in(labels[8 * eights.size :], 8 * eights.size, last, starts, values, found)
    return found


@inner
def _runs_in(
    piece: Bytes, start: Int, last: Int, starts: NDArray[np.uint32], values: Bytes, found: Int
) -> tuple[Int, Int]:
    for j in range(piece.size):
        value = np.int64(piece[j])
        if value != last:
            starts[found], values[found] = start + j, value
            found += 1
            last = value
    return found, last


@compiled
def present_values(labels: Bytes, eights: Words) -> NDArray[np.bool_]:
    """Return (256,): which values occur; see :func:`label_runs` for the arguments."""
    out = np.zeros(256, np.bool_)
    before = np.uint64(0)
    for q in range(eights.size):
        here = eights[q]
        if here == before and q > 0:
            continue
        before = here
        for _ in range(8):
            out[np.int64(here & _BYTE)] = True
            here >>= np.uint64(8)
    for j in range(8 * eights.size, labels.size):
        out[labels[j]] = True
    return out


@compiled
def unfilter(lines: Bytes) -> Bytes:
    """Return the pixels of a PNG of one byte a pixel.

    Args:
        lines: (H, 1 + W) rows as they are stored, each after its filter's number, 0 to 4.
    """
    height, width = lines.shape[0], lines.shape[1] - 1
    out = np.empty((height, width), np.uint8)
    before = np.zeros(width, np.uint8)
    for y in range(height):
        kind, line, row = lines[y, 0], lines[y, 1:], out[y]
        left = corner = np.uint8(0)
        if kind == 0:
            for x in range(width):
                row[x] = line[x]
        elif kind == 1:
            for x in range(width):
                left = np.uint8(left + line[x])
                row[x] = left
        elif kind == 2:
            for x in range(width):
                row[x] = line[x] + before[x]
        elif kind == 3:
            for x in range(width):
                left = np.uint8(line[x] + ((np.int64(left) + before[x]) >> 1))
                row[x] = left
        else:
            for x in range(width):
                above = before[x]
                left = np.uint8(line[x] + _nearest(np.int64(left), np.int64(above), np.int64(corner)))
                corner = above
                row[x] = left
        before = row
    return out


@inner
def _nearest(left: Int, above: Int, corner: Int) -> Int:
    """Return Paeth's prediction: the neighbour nearest to left + above - corner, of equals the first of these."""
    if above == corner:
        return left
    to_left, to_above, to_corner = abs(above - corner), abs(left - corner), abs(left + above - 2 * corner)
    if to_left <= to_above and to_left <= to_corner:
        return left
    return above if to_above <= to_corner else corner
