"""The fast decoder reads exactly what Pillow reads, and leaves alone what is odd."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from refseg.bench.errors import InputError
from refseg.bench.layouts.png import decode_labels, encode_labels, encode_mask
from refseg.bench.layouts.png_fast import decode_plain


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def header(width, height, depth=8, colour=0, interlace=0):
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace))


def png(*chunks):
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + chunk(b"IEND", b"")


def lines(values, filters=0):
    """Rows with their filters' numbers before them, as they are packed; the values are taken as filtered."""
    rows = np.empty((values.shape[0], values.shape[1] + 1), np.uint8)
    rows[:, 0], rows[:, 1:] = filters, values
    return rows.tobytes()


shapes = st.tuples(st.integers(1, 9), st.integers(1, 20))
images = shapes.flatmap(
    lambda s: st.tuples(arrays(np.uint8, s), arrays(np.uint8, s[0], elements=st.integers(0, 4)))
)


@settings(deadline=None, max_examples=100)
@given(images, st.integers(1, 3))
def test_every_filter_and_split_is_read_as_pillow_reads_it(image, parts):
    values, filters = image
    packed = zlib.compress(lines(values, filters))
    cuts = [packed[len(packed) * i // parts : len(packed) * (i + 1) // parts] for i in range(parts)]
    data = png(header(values.shape[1], values.shape[0]), *(chunk(b"IDAT", c) for c in cuts))
    plain = decode_plain(data, values.shape)
    assert plain.mode == "L" and (plain.values == np.asarray(Image.open(io.BytesIO(data)))).all()


def test_what_pillow_writes_is_read_here():
    mask = np.zeros((30, 100), bool)
    mask[5:20, 30:90] = True
    labels = mask.astype(np.uint8) * 3
    plain = decode_plain(encode_labels(labels), (30, 100))
    assert plain.mode == "P" and (plain.values == labels).all()
    assert (decode_plain(encode_mask(mask), None).values == mask * 255).all()


VALUES = np.arange(12, dtype=np.uint8).reshape(3, 4)
IDAT = chunk(b"IDAT", zlib.compress(lines(VALUES)))
PALETTE = chunk(b"PLTE", bytes(768))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x89PNG\r\n\x1a\n",
        png(header(4, 3)),
        png(IDAT, header(4, 3)),
        png(header(4, 3), header(4, 3), IDAT),
        png(header(4, 3), chunk(b"ABCD", b""), IDAT),
        png(header(4, 3, colour=3), IDAT),
        png(header(4, 3, colour=3), IDAT, PALETTE),
        png(header(4, 3, colour=2), IDAT),
        png(header(4, 3, depth=4), IDAT),
        png(header(4, 3, interlace=1), IDAT),
        png(header(4, 2), IDAT),
        png(header(4, 4), IDAT),
        png(header(0, 3), IDAT),
        png(header(4, 3), chunk(b"IDAT", zlib.compress(lines(VALUES, 5)))),
        png(header(4, 3), chunk(b"IDAT", zlib.compress(lines(VALUES))[:-5])),
        png(header(4, 3), chunk(b"IDAT", b"none")),
        png(header(4, 3), IDAT)[:-6],
        png(header(1 << 20, 1 << 20), IDAT),
    ],
)
def test_odd_files_are_left_to_pillow(data):
    assert decode_plain(data, None) is None


def test_chunks_that_may_be_passed_over_are():
    data = png(header(4, 3, colour=3), chunk(b"tEXt", b"a\0b"), PALETTE, chunk(b"tRNS", b"\0"), IDAT)
    assert (decode_plain(data, (3, 4)).values == VALUES).all()
    assert (decode_labels(data, "x", (3, 4)) == VALUES).all()


def test_a_bomb_costs_no_memory_and_is_refused():
    bomb = png(header(4, 3), chunk(b"IDAT", zlib.compress(bytes(1 << 24), 9)))
    assert decode_plain(bomb, (3, 4)) is None


def test_any_flipped_bit_is_noticed():
    data = encode_labels(VALUES)
    for at in range(len(data)):
        for bit in range(8):
            flipped = bytearray(data)
            flipped[at] ^= 1 << bit
            try:
                assert (decode_labels(bytes(flipped), "x", VALUES.shape) == VALUES).all()
            except InputError as error:
                assert str(error).startswith("x ")
