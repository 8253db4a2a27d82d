"""Compiled loops on packed masks: 64 pixels a word, bit ``x % 64`` of word ``x // 64`` is the pixel of column x.

A frame's masks ("layers") lie in one flat pool. A layer's row of ``boxes`` is ``y0, y1, w0, w1, offset``: its pixels
lie in the rows y0 to y1 and the words w0 to w1 (ends excluded), stored row by row from the offset on. An empty layer
has a box of zeros.

Nothing here checks its arguments; :mod:`refseg.bench.scoring.packed` does. Inner loops go over
slices: LLVM vectorises those.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from refseg.bench.scoring.compiled import Bytes, Int, Ints, Words, compiled, inner

_ONE, _63, _FULL = np.uint64(1), np.uint64(63), np.uint64(0xFFFFFFFFFFFFFFFF)
_GATHER = np.uint64(0x0102040810204080)
"""Times a word of eight 0s and 1s, it puts them side by side into the highest byte."""

_BYTE, _BYTES = np.uint64(0xFF), np.uint64(0x0101010101010101)
_M1, _M2, _M4 = np.uint64(0x5555555555555555), np.uint64(0x3333333333333333), np.uint64(0x0F0F0F0F0F0F0F0F)
_2, _4, _56 = np.uint64(2), np.uint64(4), np.uint64(56)

_BAND = 24
"""Rows that are dilated at once: few enough for the processor's first cache."""


@inner
def _bits(word: np.uint64) -> np.uint64:
    """Return the number of set bits; LLVM makes it one instruction."""
    word = word - ((word >> _ONE) & _M1)
    word = (word & _M2) + ((word >> _2) & _M2)
    word = (word + (word >> _4)) & _M4
    return (word * _BYTES) >> _56


@inner
def _count(words: Words) -> Int:
    total = np.uint64(0)
    for i in range(words.size):
        total += _bits(words[i])
    return np.int64(total)


@inner
def _count_both(a: Words, b: Words) -> Int:
    total = np.uint64(0)
    for i in range(a.size):
        total += _bits(a[i] & b[i])
    return np.int64(total)


@inner
def _from(bit: Int) -> np.uint64:
    """Return a word whose bits from ``bit`` (0 to 63) up are set."""
    return _FULL << np.uint64(bit)


@inner
def _grow(box: Ints, y0: Int, y1: Int, w0: Int, w1: Int) -> None:
    if box[1] == 0:
        box[0], box[1], box[2], box[3] = y0, y1, w0, w1
    else:
        box[0], box[1] = min(box[0], y0), max(box[1], y1)
        box[2], box[3] = min(box[2], w0), max(box[3], w1)


@inner
def _pool(boxes: Ints) -> Words:
    """Lay the layers one after the other and return room for them, zero."""
    total = np.int64(0)
    for n in range(boxes.shape[0]):
        boxes[n, 4] = total
        total += (boxes[n, 1] - boxes[n, 0]) * (boxes[n, 3] - boxes[n, 2])
    return np.zeros(total, np.uint64)


@inner
def _row(pool: Words, box: Ints, y: Int) -> Words:
    """Return a row of a layer, words w0 to w1."""
    across = box[3] - box[2]
    start = box[4] + (y - box[0]) * across
    return pool[start : start + across]


@compiled
def pack_runs(
    starts: NDArray[np.uint32], values: Bytes, layer_of: Ints, layers: Int, height: Int, width: Int
) -> tuple[Words, Ints]:
    """Return pool and boxes of the layers that a frame's runs give.

    Args:
        starts: Where runs start in the flat image, the first at 0, in order.
        values: Their values.
        layer_of: (256,) the layer of each value; negative: none.
        layers: How many there are.
        height: Of the image.
        width: Of the image.
    """
    boxes = np.zeros((layers, 5), np.int64)
    across = (width + 63) >> 6
    y = np.int64(0)
    for r in range(starts.size):
        layer = layer_of[values[r]]
        if layer >= 0:
            start, end = _run(starts, r, height * width)
            while start >= (y + 1) * width:
                y += 1
            if end <= (y + 1) * width:
                _grow(boxes[layer], y, y + 1, (start - y * width) >> 6, ((end - 1 - y * width) >> 6) + 1)
            else:
                _grow(boxes[layer], y, (end - 1) // width + 1, 0, across)
    pool = _pool(boxes)
    y = np.int64(0)
    for r in range(starts.size):
        layer = layer_of[values[r]]
        if layer >= 0:
            start, end = _run(starts, r, height * width)
            while start >= (y + 1) * width:
                y += 1
            while start < end:
                stop = min(end, (y + 1) * width)
                left = y * width + 64 * boxes[layer, 2]
                _fill(_row(pool, boxes[layer], y), start - left, stop - left)
                start = stop
                y += start < end
    return pool, boxes


@inner
def _run(starts: NDArray[np.uint32], r: Int, size: Int) -> tuple[Int, Int]:
    """Return where a run starts and ends."""
    last = r + 1 == starts.size
    return np.int64(starts[r]), np.int64(size) if last else np.int64(starts[r + 1])


@inner
def _fill(row: Words, start: Int, end: Int) -> None:
    """Set the bits from ``start`` to ``end`` (excluded, more than start)."""
    first, last = start >> 6, (end - 1) >> 6
    head, tail = _from(start & 63), _FULL >> np.uint64(63 - ((end - 1) & 63))
    if first == last:
        row[first] |= head & tail
    else:
        row[first] |= head
        for w in range(first + 1, last):
            row[w] = _FULL
        row[last] |= tail


@compiled
def pack_mask(pixels: Bytes, eights: Words, height: Int, width: Int) -> tuple[Words, Ints]:
    """Return pool and boxes of one mask.

    Args:
        pixels: Flat, 0 and 1.
        eights: The same, eight a word; what is left at the end is not in it.
        height: Of the mask.
        width: Of the mask.
    """
    stream, words = np.empty((pixels.size >> 6) + 3, np.uint64), eights.size >> 3
    stream[words:] = 0
    for i in range(words):
        block = eights[8 * i : 8 * i + 8]
        word = np.uint64(0)
        # Written out, since a loop of eight is neither unrolled nor vectorised well.
        if (block[0] | block[1]) | (block[2] | block[3]) | ((block[4] | block[5]) | (block[6] | block[7])):
            for j in range(8):
                word |= ((block[j] * _GATHER) >> _56) << np.uint64(8 * j)
        stream[i] = word
    for i in range(64 * words, pixels.size):
        stream[i >> 6] |= np.uint64(pixels[i]) << np.uint64(i & 63)
    across = (width + 63) >> 6
    last = _FULL >> np.uint64(63 - ((width - 1) & 63))
    filled, boxes = np.zeros(across, np.uint64), np.zeros((1, 5), np.int64)
    box = boxes[0]
    for y in range(height):
        first = (y * width) >> 6
        if _any(stream[first : first + across + 1]):
            _add_row(stream[first:], (y * width) & 63, filled)
            _grow(box, y, y + 1, 0, across)
    filled[across - 1] &= last
    while box[2] < box[3] and not filled[box[2]]:
        box[2] += 1
    while box[2] < box[3] and not filled[box[3] - 1]:
        box[3] -= 1
    pool = _pool(boxes)
    for y in range(box[0], box[1]):
        row = _row(pool, box, y)
        _add_row(stream[((y * width) >> 6) + box[2] :], (y * width) & 63, row)
        if box[3] == across:
            row[row.size - 1] &= last
    return pool, boxes


@inner
def _any(words: Words) -> bool:
    found = np.uint64(0)
    for i in range(words.size):
        found |= words[i]
    return bool(found)


@inner
def _add_row(stream: Words, shift: Int, row: Words) -> None:
    """Add as many words of a stream of bits as a row has, from bit ``shift`` (0 to 63) on."""
    by, rest = np.uint64(shift), np.uint64(63 - shift)
    here, after = stream[: row.size], stream[1 : row.size + 1]
    for w in range(row.size):
        # Moved in two steps, since to move a word by 64 bits is not to move it.
        row[w] |= (here[w] >> by) | ((after[w] << rest) << _ONE)


@compiled
def unpack(pool: Words, box: Ints, out: NDArray[np.bool_]) -> None:
    """Set the pixels of a layer in a (H, W) mask of zeros."""
    for y in range(box[0], box[1]):
        row = _row(pool, box, y)
        for x in range(64 * box[2], min(64 * box[3], out.shape[1])):
            out[y, x] = (row[(x >> 6) - box[2]] >> np.uint64(x & 63)) & _ONE


@compiled
def pack_rle(code: Bytes, height: Int, width: Int) -> tuple[bool, Words, Ints]:
    """Return pool and boxes of a mask in COCO's compressed run lengths (column by column).

    The first value returned is False where the code is not one of a mask of this size.
    """
    boxes = np.zeros((1, 5), np.int64)
    ends, count = _rle_ends(code, height * width)
    if count < 0:
        return False, np.zeros(0, np.uint64), boxes
    for r in range(1, count, 2):
        start, end = ends[r - 1], ends[r]
        if start < end:
            x, last = start // height, (end - 1) // height
            one = x == last
            y0, y1 = (start - x * height, end - x * height) if one else (np.int64(0), np.int64(height))
            _grow(boxes[0], y0, y1, x >> 6, (last >> 6) + 1)
    pool = _pool(boxes)
    box = boxes[0]
    across = box[3] - box[2]
    for r in range(1, count, 2):
        start, end = ends[r - 1], ends[r]
        for x in range(start // height, (end - 1) // height + 1 if start < end else 0):
            # Where a run begins and ends in a column is marked; a running XOR down the rows fills it.
            at = (x >> 6) - box[2]
            bit = _ONE << np.uint64(x & 63)
            pool[(max(start - x * height, 0) - box[0]) * across + at] ^= bit
            if end - x * height < box[1]:
                pool[(end - x * height - box[0]) * across + at] ^= bit
    for y in range(1, box[1] - box[0]):
        above, row = pool[(y - 1) * across : y * across], pool[y * across : (y + 1) * across]
        for w in range(across):
            row[w] ^= above[w]
    return True, pool, boxes


@inner
def _rle_ends(code: Bytes, size: Int) -> tuple[Ints, Int]:
    """Return where each run ends, and the number of runs: -1 where the code is bad."""
    ends = np.empty(code.size, np.int64)
    at, count, position = 0, 0, np.int64(0)
    before, last = np.int64(0), np.int64(0)
    while at < code.size:
        value, shift = np.int64(0), np.int64(0)
        more = True
        while more:
            if at >= code.size or code[at] < 48 or code[at] >= 112 or shift > 45:
                return ends, -1
            piece = np.int64(code[at]) - 48
            at += 1
            value |= (piece & 31) << shift
            shift += 5
            more = piece & 32 != 0
            if not more and piece & 16:
                value |= np.int64(-1) << shift
        # From the fourth on, a length is stored as its difference to the one before the last.
        if count > 2:
            value += before
        before, last = last, value
        if value < 0 or value > size - position:
            return ends, -1
        position += value
        ends[count] = position
        count += 1
    return ends, count if position == size else -1


@compiled
def clear(pool: Words, boxes: Ints, other: Words, box: Ints) -> None:
    """Take the pixels of another layer out of all layers."""
    for n in range(boxes.shape[0]):
        w0, w1 = max(boxes[n, 2], box[2]), min(boxes[n, 3], box[3])
        for y in range(max(boxes[n, 0], box[0]), min(boxes[n, 1], box[1])):
            mine, theirs = _row(pool, boxes[n], y), _row(other, box, y)
            for w in range(w0, w1):
                mine[w - boxes[n, 2]] &= ~theirs[w - box[2]]


@compiled
def join(pool: Words, boxes: Ints) -> tuple[Words, Ints]:
    """Return pool and boxes of the union of all layers."""
    out = np.zeros((1, 5), np.int64)
    for n in range(boxes.shape[0]):
        if boxes[n, 1]:
            _grow(out[0], boxes[n, 0], boxes[n, 1], boxes[n, 2], boxes[n, 3])
    joined = _pool(out)
    for n in range(boxes.shape[0]):
        for y in range(boxes[n, 0], boxes[n, 1]):
            mine, whole = _row(pool, boxes[n], y), _row(joined, out[0], y)
            for w in range(mine.size):
                whole[w + boxes[n, 2] - out[0, 2]] |= mine[w]
    return joined, out


@inner
def _copy(row: Words, out: Words) -> None:
    for i in range(row.size):
        out[i] = row[i]


@inner
def _boundary(pool: Words, box: Ints, place: Ints, height: Int, width: Int, out: Words) -> None:
    """Write a layer's boundary where ``place`` says, see :func:`outlines`; ``out`` is zero."""
    y0, y1, w0, w1 = place[0], place[1], place[2], place[3]
    across = w1 - w0
    # Two rows of the layer, and a word of zeros after each.
    here, below, nothing = (
        np.zeros(across + 1, np.uint64),
        np.zeros(across + 1, np.uint64),
        np.zeros(across + 1, np.uint64),
    )
    lead = box[2] - w0
    if y0 == box[0]:
        _copy(_row(pool, box, y0), here[lead:])
    edge = ((width - 1) >> 6) - w0
    for y in range(y0, y1):
        if y + 1 < box[1]:
            _copy(_row(pool, box, y + 1), below[lead:])
        elif y + 1 == height:
            # The last row has no lower neighbours: as if they were equal.
            _copy(here, below)
        else:
            _copy(nothing, below)
        row = out[(y - y0) * across : (y - y0 + 1) * across]
        # Words before the frame stay zero.
        for w in range(max(-w0, 0), across):
            a, b = here[w], below[w]
            right, diagonal = (a >> _ONE) | (here[w + 1] << _63), (b >> _ONE) | (below[w + 1] << _63)
            row[w] = (a ^ right) | (a ^ diagonal) | (a ^ b)
        if edge < across:
            # The last column has only a lower neighbour.
            last = _ONE << np.uint64((width - 1) & 63)
            row[edge] = (row[edge] & (last - _ONE)) | ((here[edge] ^ below[edge]) & last)
        here, below = below, here


@inner
def _wider(near: Words, by: Int, out: Words) -> None:
    """Write rows together with themselves moved by 1 to 63 pixels to both sides; flat."""
    size, by, rest = near.size, np.uint64(by), np.uint64(64 - by)
    for i in (0, size - 1):
        before = near[i - 1] if i else np.uint64(0)
        after = near[i + 1] if i + 1 < size else np.uint64(0)
        out[i] = near[i] | (near[i] << by) | (before >> rest) | (near[i] >> by) | (after << rest)
    if size > 2:
        left, here, right, inner = near[: size - 2], near[1 : size - 1], near[2:], out[1 : size - 1]
        for i in range(size - 2):
            inner[i] = here[i] | (here[i] << by) | (left[i] >> rest) | (here[i] >> by) | (right[i] << rest)


@inner
def _add(rows: Words, out: Words) -> None:
    for i in range(rows.size):
        out[i] |= rows[i]


@inner
def _dilate(thin: Words, across: Int, reach: Ints, out: Words) -> None:
    """Dilate rows by a disk.

    Args:
        thin: Flat rows of ``across`` words; no pixel is nearer than r to a row's end.
        across: Words a row.
        reach: (r + 1,) how far the disk reaches sideways in the rows 0 to r from its centre.
        out: Flat, zero; has r rows more at both ends.
    """
    radius, whole = reach.size - 1, across * _BAND
    a, b = np.empty(whole, np.uint64), np.empty(whole, np.uint64)
    for top in range(0, thin.size, whole):
        near = thin[top : min(top + whole, thin.size)]
        into, spare = a[: near.size], b[: near.size]
        width = 0
        for dy in range(radius, -1, -1):
            while width < reach[dy]:
                # A row that was widened by w is whole from -w to w, so that it can be moved by 2 w + 1 at once.
                by = min(reach[dy] - width, 2 * width + 1, 63)
                _wider(near, by, into)
                near, into, spare = into, spare, into
                width += by
            up, down = top + (radius - dy) * across, top + (radius + dy) * across
            _add(near, out[up : up + near.size])
            if dy:
                _add(near, out[down : down + near.size])


@compiled
def outlines(
    pool: Words, boxes: Ints, height: Int, width: Int, reach: Ints
) -> tuple[Words, Words, Ints, Ints]:
    """Return boundaries and dilated boundaries of all layers, where they lie, and (n, 2) areas and boundary pixels.

    A layer's place is ``y0, y1, w0, w1`` of its boundary and where its rows begin in both arrays. The words w0 to w1
    hold the dilated boundary too (those outside of the frame mean nothing), and its rows go on for the disk's
    radius above and below.

    Args:
        pool: Of the layers.
        boxes: Theirs.
        height: Of the frame.
        width: Of the frame.
        reach: The disk of F's tolerance, see ``_dilate``.
    """
    layers, radius = boxes.shape[0], reach.size - 1
    places, sizes = np.zeros((layers, 6), np.int64), np.zeros((layers, 2), np.int64)
    thin_size = thick_size = np.int64(0)
    for n in range(layers):
        if boxes[n, 1]:
            left, right = _extent(pool, boxes[n])
            places[n, 0], places[n, 1] = max(boxes[n, 0] - 1, 0), boxes[n, 1]
            # The boundary begins a pixel before the mask. Shifts round down, below zero too.
            places[n, 2], places[n, 3] = (left - 1 - radius) >> 6, ((right + radius) >> 6) + 1
            places[n, 4], places[n, 5] = thin_size, thick_size
            rows, across = places[n, 1] - places[n, 0], places[n, 3] - places[n, 2]
            thin_size += rows * across
            thick_size += (rows + 2 * radius) * across
    thin, thick = np.zeros(thin_size, np.uint64), np.zeros(thick_size, np.uint64)
    for n in range(layers):
        if boxes[n, 1]:
            rows, across = places[n, 1] - places[n, 0], places[n, 3] - places[n, 2]
            mine = thin[places[n, 4] : places[n, 4] + rows * across]
            _boundary(pool, boxes[n], places[n], height, width, mine)
            size = (boxes[n, 1] - boxes[n, 0]) * (boxes[n, 3] - boxes[n, 2])
            sizes[n, 0] = _count(pool[boxes[n, 4] : boxes[n, 4] + size])
            sizes[n, 1] = _count(mine)
            if sizes[n, 1]:
                out = thick[places[n, 5] : places[n, 5] + (rows + 2 * radius) * across]
                _dilate(mine, across, reach, out)
    return thin, thick, places, sizes


@inner
def _extent(pool: Words, box: Ints) -> tuple[Int, Int]:
    """Return the first and the last column of a layer's pixels; of its box where it has none."""
    first = last = np.uint64(0)
    for y in range(box[0], box[1]):
        row = _row(pool, box, y)
        first |= row[0]
        last |= row[row.size - 1]
    left, right = 64 * box[2], 64 * box[3] - 1
    # Where a box is wider than its pixels, its own ends do.
    if first and last:
        while not (first >> np.uint64(left & 63)) & _ONE:
            left += 1
        while not (last >> np.uint64(right & 63)) & _ONE:
            right -= 1
    return left, right


@inner
def _shared(a: Words, a_box: Ints, b: Words, b_box: Ints) -> Int:
    """Return how many pixels two layers share."""
    total = np.int64(0)
    w0, w1 = max(a_box[2], b_box[2]), min(a_box[3], b_box[3])
    if w0 < w1:
        for y in range(max(a_box[0], b_box[0]), min(a_box[1], b_box[1])):
            mine, theirs = _row(a, a_box, y), _row(b, b_box, y)
            total += _count_both(mine[w0 - a_box[2] : w1 - a_box[2]], theirs[w0 - b_box[2] : w1 - b_box[2]])
    return total


@inner
def _hits(thin: Words, of: Ints, thick: Words, by: Ints, radius: Int) -> Int:
    """Return how many boundary pixels of one layer lie in the dilated boundary of another."""
    total = np.int64(0)
    w0, w1 = max(of[2], by[2]), min(of[3], by[3])
    if w0 < w1:
        for y in range(max(of[0], by[0] - radius), min(of[1], by[1] + radius)):
            mine = of[4] + (y - of[0]) * (of[3] - of[2]) - of[2]
            theirs = by[5] + (y - by[0] + radius) * (by[3] - by[2]) - by[2]
            total += _count_both(thin[mine + w0 : mine + w1], thick[theirs + w0 : theirs + w1])
    return total


@compiled
def count_pairs(
    a: Words,
    a_boxes: Ints,
    a_thin: Words,
    a_thick: Words,
    a_places: Ints,
    a_sizes: Ints,
    b: Words,
    b_boxes: Ints,
    b_thin: Words,
    b_thick: Words,
    b_places: Ints,
    b_sizes: Ints,
    pairs: Ints,
    radius: Int,
) -> Ints:
    """Count what J and F need of pairs of layers.

    Args:
        a: Pool of a frame's layers.
        a_boxes: Their boxes.
        a_thin: What :func:`outlines` returned of them, and so on.
        a_thick: See there.
        a_places: See there.
        a_sizes: See there.
        b: Pool of other layers of the frame.
        b_boxes: Their boxes.
        b_thin: See above.
        b_thick: See above.
        b_places: See above.
        b_sizes: See above.
        pairs: (P, 2) layers of a and b; a negative one is an empty mask.
        radius: F's tolerance.

    Returns:
        (P, 7), see :class:`refseg.bench.scoring.packed.Count`.
    """
    out = np.zeros((pairs.shape[0], 7), np.int64)
    for p in range(pairs.shape[0]):
        i, j = pairs[p, 0], pairs[p, 1]
        if i >= 0:
            out[p, 1], out[p, 3] = a_sizes[i, 0], a_sizes[i, 1]
        if j >= 0:
            out[p, 2], out[p, 4] = b_sizes[j, 0], b_sizes[j, 1]
        if i >= 0 and j >= 0:
            out[p, 0] = _shared(a, a_boxes[i], b, b_boxes[j])
            if a_sizes[i, 1] and b_sizes[j, 1]:
                out[p, 5] = _hits(a_thin, a_places[i], b_thick, b_places[j], radius)
                out[p, 6] = _hits(b_thin, b_places[j], a_thick, a_places[i], radius)
    return out
