import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from refseg.bench.merge import merge_groups, won_pixels
from refseg.bench.types import Expression, FramePrediction, Video


def prediction(probabilities):
    scores = np.ones(len(probabilities), np.float32)
    return FramePrediction(0, probabilities >= 0.5, scores, probabilities)


def argmax_with_background(probabilities):
    """The published merge as ReferFormer's inference_davis.py does it, in plain numpy."""
    maps = probabilities.copy()
    maps[maps < 0.5] = 0.0
    background = np.full((1, *maps.shape[1:]), 0.1, maps.dtype)
    return np.concatenate([background, maps]).argmax(axis=0)


probabilities = hnp.arrays(
    np.float16,
    hnp.array_shapes(min_dims=3, max_dims=3, max_side=6),
    elements=st.sampled_from([0.0, 0.05, 0.1, 0.3, 0.49, 0.5, 0.6, 0.75, 1.0]),
)


@given(probabilities)
def test_merge_is_the_argmax_over_the_cut_maps_and_the_background(values):
    won = won_pixels(prediction(values), range(len(values)))
    labels = argmax_with_background(values)
    assert np.array_equal(won, np.arange(1, len(values) + 1)[:, None, None] == labels)


@given(hnp.arrays(bool, hnp.array_shapes(min_dims=3, max_dims=3, max_side=6)))
def test_masks_without_probabilities_go_to_the_first_object(masks):
    won = won_pixels(FramePrediction(0, masks, np.ones(len(masks), np.float32)), range(len(masks)))
    assert np.array_equal(won.any(axis=0), masks.any(axis=0))
    assert np.array_equal(won.argmax(axis=0), masks.argmax(axis=0)) and won.sum(axis=0).max(initial=0) <= 1


def test_rows_are_the_objects_that_are_merged_in_their_order():
    values = np.full((3, 1, 1), 0.8, np.float16)
    assert won_pixels(prediction(values), [2, 0])[:, 0, 0].tolist() == [True, False]
    values[0] = 0.9
    assert won_pixels(prediction(values), [2, 0])[:, 0, 0].tolist() == [False, True]


def clip(*said):
    expressions = tuple(
        Expression(str(i), "text", objects, annotator) for i, (objects, annotator) in enumerate(said)
    )
    return Video("v", ("0",), (2, 2), expressions, lambda i: None)


def test_groups_are_annotators_and_objects_count_as_numbers():
    groups = merge_groups(clip((("10",), 1), (("2",), 1), (("1",), 0)))
    assert [(g.annotator, [e.object_ids[0] for e in g.expressions]) for g in groups] == [
        (0, ["1"]),
        (1, ["2", "10"]),
    ]


@pytest.mark.parametrize("objects", [(), ("1", "2"), ("x",), ("0",), ("255",), ("²",)])
def test_annotator_with_a_sentence_of_no_numbered_object_is_not_merged(objects):
    assert [g.annotator for g in merge_groups(clip((("1",), 0), (("1",), 1), (objects, 1)))] == [0]


def test_sentences_without_annotator_are_not_merged():
    assert merge_groups(clip((("1",), None))) == []


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_every_type_is_merged_alike(dtype):
    # Steps of an eighth make many ties, and there are values under 0 and above 1.
    values = (np.random.default_rng(0).integers(-2, 10, (5, 30, 40)) / 8).astype(dtype)
    for rows in ([0, 1, 2, 3, 4], [3, 1], [2]):
        labels = argmax_with_background(values[rows])
        won = won_pixels(prediction(values), rows)
        assert np.array_equal(won, np.arange(1, len(rows) + 1)[:, None, None] == labels)
