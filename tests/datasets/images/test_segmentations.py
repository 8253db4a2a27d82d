"""COCO's segmentations against masks that are known: rectangles, and run lengths of random masks."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pycocotools import mask as coco

from refseg.datasets.refcoco.masks import decode_segmentation


def test_polygon_of_a_rectangle_is_its_pixels(draw):
    mask = decode_segmentation([draw.polygon(2, 3, 12, 9)], draw.size)
    assert mask.dtype == bool and (mask == draw.box(2, 3, 12, 9)).all()


def test_polygons_are_united_also_where_they_overlap(draw):
    parts = (10, 4, 20, 12), (16, 8, 26, 20)
    mask = decode_segmentation([draw.polygon(*p) for p in parts], draw.size)
    assert (mask == (draw.box(*parts[0]) | draw.box(*parts[1]))).all()
    # What LAVT keeps of REFER's sum lacks the shared part.
    summed = coco.decode(coco.frPyObjects([draw.polygon(*p) for p in parts], *draw.size)).sum(axis=2)
    assert mask.sum() - (summed == 1).sum() == 4 * 4


def test_polygons_of_two_points_are_left_out_and_turn_no_other_into_a_box(draw):
    whole = [draw.polygon(2, 3, 12, 9), draw.polygon(20, 3, 25, 9)]
    with_one = decode_segmentation([[0, 0, 30, 20], *whole], draw.size)
    assert (with_one == decode_segmentation(whole, draw.size)).all()


@given(arrays.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))))
@settings(deadline=None, max_examples=100)
def test_run_lengths_give_their_mask_back(draw, mask):
    for segmentation in (draw.run_lengths(mask), draw.compressed(mask)):
        assert (decode_segmentation(segmentation, mask.shape) == mask).all()


@pytest.mark.parametrize(
    ("segmentation", "said"),
    [
        ([], "none of its 0 polygons"),
        ([[]], "none of its 1 polygons"),
        ([[1, 2, 3, 4], [1, 2, 3, 4, 5]], "none of its 2 polygons"),
        ([[1, 2, 3, 4, 5, float("nan")]], "none of its 1 polygons"),
        ([["1", 2, 3, 4, 5, 6]], "none of its 1 polygons"),
        ({"size": [24, 31], "counts": [24 * 31]}, r"run lengths are for \[24, 31\]"),
        ({"size": [24, 32], "counts": [24 * 32 - 1]}, "do not add up"),
        ({"size": [24, 32], "counts": [24 * 32 + 1, -1]}, "do not add up"),
        ({"size": [24, 32], "counts": ""}, "do not add up"),
        ({"size": [24, 32], "counts": "zzzz"}, "do not add up"),
        ({"size": [24, 32], "counts": ["a"]}, "do not add up"),
        ({"size": [24, 32], "counts": None}, "neither numbers nor compressed text"),
        ({"size": 3, "counts": [1]}, "run lengths are for 3"),
        ({"counts": [1]}, "neither a list of polygons nor run lengths"),
        (None, "neither a list of polygons nor run lengths"),
        ("polygon", "neither a list of polygons nor run lengths"),
    ],
)
def test_other_forms_are_told(draw, segmentation, said):
    with pytest.raises(ValueError, match=said):
        decode_segmentation(segmentation, draw.size)
