import io
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from refseg.bench.errors import InputError
from refseg.bench.layouts.png import (
    HEADER,
    MaskFault,
    check_header,
    davis_palette,
    decode_labels,
    decode_mask,
    encode_labels,
    encode_mask,
)

SHAPE = (7, 11)


def png(values, mode=None):
    buffer = io.BytesIO()
    image = Image.fromarray(values)
    if mode == "P":
        image.putpalette(davis_palette())
    elif mode:
        image = image.convert(mode)
    image.save(buffer, "PNG")
    return buffer.getvalue()


@settings(max_examples=30, deadline=None)
@given(arrays(bool, SHAPE))
def test_masks_come_back(mask):
    assert (decode_mask(encode_mask(mask), "x", SHAPE) == mask).all()


@settings(max_examples=30, deadline=None)
@given(arrays(np.uint8, SHAPE, elements=st.integers(0, 255)))
def test_label_maps_come_back(labels):
    assert (decode_labels(encode_labels(labels), "x", SHAPE) == labels).all()


def test_masks_are_written_as_8_bit_grey_0_and_255():
    image = Image.open(io.BytesIO(encode_mask(np.eye(4, dtype=bool))))
    assert image.mode == "L"
    assert np.unique(np.asarray(image)).tolist() == [0, 255]


def test_palette_has_davis_s_colours():
    colours = np.frombuffer(davis_palette(), np.uint8).reshape(256, 3).tolist()
    assert colours[:5] == [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 0, 128]]
    assert colours[8] == [64, 0, 0] and colours[22] == [0, 192, 128] and colours[255] == [224, 224, 192]


@pytest.mark.parametrize("high", [1, 255])
@pytest.mark.parametrize("mode", [None, "P"])
def test_0_1_and_0_255_are_the_same_mask(high, mode):
    mask = np.zeros(SHAPE, np.uint8)
    mask[2:4, 3:9] = high
    assert (decode_mask(png(mask, mode), "x", SHAPE) == (mask > 0)).all()
    assert decode_mask(png(mask, mode), "x", SHAPE).dtype == bool


def test_bilevel_masks_are_read():
    mask = np.eye(5, dtype=bool)
    assert (decode_mask(png(mask), "x", (5, 5)) == mask).all()


@pytest.mark.parametrize("high", [0, 1, 255])
def test_constant_masks_are_read(high):
    mask = decode_mask(png(np.full(SHAPE, high, np.uint8)), "x", SHAPE)
    assert mask.all() if high else not mask.any()


@pytest.mark.parametrize("values", [(0, 38), (0, 1, 255), (0, 2), (128,), tuple(range(9))])
def test_other_values_in_a_mask_are_named(values):
    data = png(np.resize(np.array(values, np.uint8), SHAPE))
    with pytest.raises(InputError, match=rf"a/b.png holds the values {values[0]}.*0 and 255"):
        decode_mask(data, "a/b.png", SHAPE)


@pytest.mark.parametrize("decode", [decode_mask, decode_labels])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "I;16"])
def test_colour_and_16_bit_are_refused(decode, mode):
    data = png(np.full(SHAPE, 300, np.uint16)) if mode == "I;16" else png(np.ones(SHAPE, np.uint8), mode)
    with pytest.raises(InputError, match=r"a\.png is a PNG of mode"):
        decode(data, "a.png", SHAPE)


@pytest.mark.parametrize("decode", [decode_mask, decode_labels])
def test_another_size_names_both(decode):
    with pytest.raises(InputError, match=r"853x480 pixels.*854x480"):
        decode(png(np.zeros((480, 853), np.uint8)), "a.png", (480, 854))


def test_a_huge_image_is_refused_by_its_header():
    data = bytearray(png(np.zeros(SHAPE, np.uint8)))
    data[16:24] = (60000).to_bytes(4, "big") * 2
    with pytest.raises(InputError, match=r"a\.png"):
        decode_mask(bytes(data), "a.png", SHAPE)


def test_no_cut_and_no_flipped_bit_gives_another_mask():
    mask = np.random.default_rng(1).random((20, 30)) > 0.5
    data = encode_mask(mask)
    rng = np.random.default_rng(0)
    for _ in range(200):
        at = int(rng.integers(len(data)))
        flipped = bytearray(data)
        flipped[at] ^= 1 << int(rng.integers(8))
        for broken in (bytes(flipped), data[:at]):
            try:
                assert (decode_mask(broken, "x", mask.shape) == mask).all()
            except InputError as error:
                assert str(error).startswith("x ")


HEADERS = {
    "L": (8, 0),
    "I;16": (16, 0),
    "RGB": (8, 2),
    "P": (8, 3),
    "LA": (8, 4),
    "RGBA": (8, 6),
    "1": (1, 0),
}


@pytest.mark.parametrize("labels", [False, True])
@pytest.mark.parametrize("mode", HEADERS)
def test_a_header_is_judged_as_the_whole_file_is(mode, labels):
    values = np.ones(SHAPE, np.uint16) if mode == "I;16" else np.zeros(SHAPE, np.uint8)
    data = png(values, mode if mode != "I;16" else None)
    assert (data[24], data[25]) == HEADERS[mode]

    def told(check):
        try:
            check()
        except MaskFault as error:
            return error.kind, str(error)
        return None

    decode = decode_labels if labels else decode_mask
    for size in (SHAPE, (3, 3)):
        whole = told(lambda size=size: decode(data, "x", size))
        assert told(lambda size=size: check_header(data[:HEADER], "x", size, labels=labels)) == whole
    assert told(lambda: check_header(data[:20], "x", SHAPE, labels=labels))[1].startswith("x is not a PNG")
    assert told(lambda: check_header(b"", "x", SHAPE, labels=labels))[1].startswith("x is empty")


def test_faults_go_to_another_process():
    with pytest.raises(MaskFault) as caught:
        decode_mask(png(np.zeros(SHAPE, np.uint8)), "x", (1, 1))
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.kind, str(again)) == ("size", str(caught.value))
