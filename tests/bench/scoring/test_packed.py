"""Packed masks against plain numpy, and their counts against the definition, pixel by pixel."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from refseg.bench.scoring import compiled
from refseg.bench.scoring.packed import (
    Count,
    boundary_from,
    count_pairs,
    merged,
    pack_labels,
    pack_mask,
    pack_rle,
    pack_runs,
    present_values,
    region_from,
    runs_of,
    stack,
)
from refseg.bench.store import encode

# Widths around one and two words, where bits are carried from word to word.
sizes = st.tuples(st.integers(1, 9), st.sampled_from([1, 2, 7, 8, 63, 64, 65, 100, 127, 128, 129, 150]))


@st.composite
def blobs(draw, size, most=3):
    """A label map of overlapping rectangles and noise: shapes as masks have them, and single pixels."""
    h, w = size
    out = np.zeros(size, np.uint8)
    for label in range(1, draw(st.integers(0, most)) + 1):
        y, x = draw(st.integers(0, h - 1)), draw(st.integers(0, w - 1))
        out[y : y + draw(st.integers(1, h)), x : x + draw(st.integers(1, w))] = label
    for _ in range(draw(st.integers(0, 6))):
        out[draw(st.integers(0, h - 1)), draw(st.integers(0, w - 1))] = draw(st.integers(0, most))
    return out


pairs = sizes.flatmap(lambda size: st.tuples(blobs(size), blobs(size)))


def unpack_all(layers):
    return {int(i): layers.unpacked(row) for row, i in enumerate(layers.ids)}


def slow_boundary(mask):
    """(N, 2) boundary pixels: those that differ from their right, lower or lower-right neighbour."""
    h, w = mask.shape
    found = []
    for y in range(h):
        for x in range(w):
            near = [(y, x + 1), (y + 1, x), (y + 1, x + 1)]
            if y == h - 1 or x == w - 1:
                near = [(y, x + 1)] if y == h - 1 else [(y + 1, x)]
            if any(a < h and b < w and mask[a, b] != mask[y, x] for a, b in near):
                found.append((y, x))
    return np.array(found, np.int64).reshape(-1, 2)


def slow_scores(a, b, radius):
    """J and F from their definitions."""
    union = int((a | b).sum())
    j = int((a & b).sum()) / union if union else 1.0
    p, t = slow_boundary(a), slow_boundary(b)
    if not len(p) or not len(t):
        return j, float(len(p) == len(t))
    near = ((p[:, None] - t[None]) ** 2).sum(-1) <= radius**2
    precision, recall = int(near.any(1).sum()) / len(p), int(near.any(0).sum()) / len(t)
    return j, 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@settings(deadline=None, max_examples=80)
@given(sizes.flatmap(blobs))
def test_label_maps_come_back_through_every_form(labels):
    expected = {int(i): labels == i for i in np.unique(labels) if i}
    starts, values = runs_of(labels)
    for layers in (pack_labels(labels), pack_runs(starts, values, labels.shape)):
        found = unpack_all(layers)
        assert [*found] == [*expected]
        assert all((found[i] == expected[i]).all() for i in expected)
    assert present_values(labels) == np.unique(labels).tolist()
    for mask in [*expected.values(), labels == 99]:
        for layer in (pack_mask(mask), pack_rle(encode(mask[None])[0].encode(), mask.shape)):
            assert (layer.unpacked(0) == mask).all()


@settings(deadline=None, max_examples=60)
@given(sizes.flatmap(lambda size: arrays(np.uint8, size, elements=st.integers(0, 255))))
def test_noise_comes_back(labels):
    found = unpack_all(pack_labels(labels))
    assert all((found[i] == (labels == i)).all() for i in found)
    assert [*found] == [i for i in present_values(labels) if i]


@settings(deadline=None, max_examples=100)
@given(pairs, st.sampled_from([0, 1, 2, 5, 8, 40, 63, 64, 65, 130]))
def test_j_and_f_are_those_of_the_definition_to_the_last_bit(pair, radius):
    a, b = (pack_labels(labels) for labels in pair)
    every = np.array([(i, j) for i in range(-1, len(a)) for j in range(-1, len(b))], np.int64)
    counts = count_pairs(a, b, every, radius)
    j, f = region_from(counts), boundary_from(counts)
    for row, (i, k) in enumerate(every):
        mine = a.unpacked(i) if i >= 0 else np.zeros(a.size, bool)
        theirs = b.unpacked(k) if k >= 0 else np.zeros(a.size, bool)
        assert (j[row], f[row]) == slow_scores(mine, theirs, radius)
        assert counts[row, Count.A] == mine.sum() and counts[row, Count.BOUNDARY_B] == len(
            slow_boundary(theirs)
        )


@settings(deadline=None, max_examples=100)
@given(pairs)
def test_unions_and_differences_are_numpy_s(pair):
    a, b = (pack_labels(labels) for labels in pair)
    for ids in ((1,), (1, 2), (2, 3), (9,)):
        assert (a.of(*ids).unpacked(0) == np.isin(pair[0], ids)).all()
    left = a.without(b)
    assert all((left.unpacked(r) == ((pair[0] == i) & (pair[1] == 0))).all() for r, i in enumerate(a.ids))
    # What was taken away from is as it was.
    assert all((a.unpacked(r) == (pair[0] == i)).all() for r, i in enumerate(a.ids))
    whole = stack([a, b], a.size)
    assert len(whole) == len(a) + len(b)
    assert all((whole.unpacked(len(a) + r) == b.unpacked(r)).all() for r in range(len(b)))


@settings(deadline=None, max_examples=60)
@given(sizes.flatmap(lambda size: st.lists(arrays(bool, size), min_size=1, max_size=4)))
def test_of_overlapping_masks_the_earlier_takes_the_pixel(masks):
    size, ids = masks[0].shape, [1, 2, 2, 7][: len(masks)]
    labels = np.zeros(size, np.uint8)
    for mask, i in reversed([*zip(masks, ids, strict=True)]):
        labels[mask] = i
    found = unpack_all(merged([pack_mask(m) for m in masks], ids, size))
    assert {*found} == {*ids} and all((found[i] == (labels == i)).all() for i in found)


@pytest.mark.parametrize("counts", [b"", b"\xff", b"9", b"04o", b"oooooooooooooooooooo", b"1" * 40])
def test_run_lengths_of_another_mask_are_refused(counts):
    with pytest.raises(ValueError, match="5x4 pixels"):
        pack_rle(counts, (4, 5))


def test_no_cut_and_no_changed_byte_of_run_lengths_leaves_the_frame():
    mask = np.random.default_rng(0).random((20, 90)) < 0.3
    code = encode(mask[None])[0].encode()
    rng = np.random.default_rng(1)
    for _ in range(300):
        broken = bytearray(code[: int(rng.integers(1, len(code) + 1))])
        broken[int(rng.integers(len(broken)))] = int(rng.integers(256))
        try:
            layer = pack_rle(bytes(broken), mask.shape)
        except ValueError:
            continue
        y0, y1, w0, w1, _ = layer.boxes[0]
        assert 0 <= y0 <= y1 <= 20 and 0 <= w0 <= w1 <= 2


def test_code_is_compiled_too_where_none_can_be_kept(monkeypatch):
    njit = compiled._njit

    def nowhere(**options):
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return njit(**options)

    monkeypatch.setattr(compiled, "_njit", nowhere)
    assert compiled.compiled(lambda x: x + 1)(2) == 3
