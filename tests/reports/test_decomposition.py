"""Every frame is of one kind, kinds add up to the score, and the words of docs/page.md hold."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pycocotools import mask as coco

from refseg.bench.scoring.measures import region_similarity
from refseg.reports.decomposition import (
    RIGHT_IOU,
    TOUCH_IOU,
    Kind,
    Overlaps,
    frame_kinds,
    losses,
    main_kind,
    overlaps,
    shares,
)

SHAPE = (4, 5, 6)
MASKS = arrays.arrays(bool, SHAPE)


def rle(masks):
    return [coco.encode(np.asfortranarray(m.astype(np.uint8))) for m in masks]


@st.composite
def found(draw):
    """Overlaps that masks can have: what is absent and unanswered agrees, and what is one of both does not."""
    n = draw(st.integers(1, 8))
    present, answered = (draw(arrays.arrays(bool, n)) for _ in range(2))
    unit = arrays.arrays(float, n, elements=st.floats(0, 1))
    target, other = draw(unit), draw(unit)
    target = np.where(present & answered, target, np.where(present | answered, 0.0, 1.0))
    return Overlaps(target, np.where(answered, other, 0), present, answered)


@given(MASKS, MASKS, st.lists(MASKS, max_size=3), st.none() | MASKS)
@settings(max_examples=60, deadline=None)
def test_overlaps_are_those_of_whole_masks(prediction, truth, others, void):
    counted = None if void is None else rle(~void)
    measured = overlaps(rle(prediction), rle(truth), [rle(o) for o in others], counted)
    assert measured.target == pytest.approx(region_similarity(prediction, truth, void))
    kept = np.ones(SHAPE, bool) if void is None else ~void
    best = np.zeros(len(truth))
    for other in others:
        union = ((prediction | other) & kept).sum((1, 2))
        inter = (prediction & other & kept).sum((1, 2))
        best = np.maximum(best, inter / np.maximum(union, 1))
    assert measured.other == pytest.approx(best)
    assert (measured.present == (truth & kept).any((1, 2))).all()
    assert (measured.answered == (prediction & kept).any((1, 2))).all()


@given(found())
def test_kinds_add_up_to_the_frames_and_losses_to_the_score(found):
    kinds = frame_kinds(found)
    assert shares(kinds).sum() == pytest.approx(1)
    lost = losses(kinds, found.target)
    assert (lost >= 0).all() and lost.sum() + found.target.mean() == pytest.approx(1)


@given(found())
def test_each_kind_is_what_the_words_say(found):
    kinds = frame_kinds(found)
    for t, kind in enumerate(kinds):
        had_before = bool((found.present[:t] & (found.target[:t] >= RIGHT_IOU)).any())
        on_another = found.other[t] > found.target[t] and found.other[t] >= TOUCH_IOU
        touched = found.target[t] >= TOUCH_IOU
        if not found.present[t]:
            expected = Kind.FALSE_PRESENCE if found.answered[t] else Kind.RIGHT
        elif found.target[t] >= RIGHT_IOU:
            expected = Kind.RIGHT
        elif touched and not on_another:
            expected = Kind.POOR_MASK
        elif had_before:
            expected = Kind.LOST_TRACK
        else:
            expected = Kind.WRONG_OBJECT if on_another else Kind.MISSED
        assert kind == expected


@given(found(), st.integers(0, 7))
def test_what_comes_later_changes_nothing_before(found, cut):
    part = Overlaps(*(getattr(found, name)[:cut] for name in ("target", "other", "present", "answered")))
    assert (frame_kinds(part) == frame_kinds(found)[:cut]).all()


@given(found())
def test_without_a_frame_that_is_right_nothing_is_lost(found):
    never = Overlaps(np.minimum(found.target, 0.49), found.other, found.present, found.answered)
    assert Kind.LOST_TRACK not in frame_kinds(never)


@given(arrays.arrays(np.int8, st.integers(1, 9), elements=st.integers(0, 5)))
def test_main_kind_is_right_or_the_commonest_error(kinds):
    share, main = shares(kinds), main_kind(shares(kinds))
    if main is Kind.RIGHT:
        assert share[0] >= 0.5
    else:
        assert share[0] < 0.5 and share[main] == share[1:].max() > 0


def test_controls_are_of_the_kinds_that_they_must_be():
    truth = np.zeros((3, 20, 20), bool)
    truth[:2, 2:6, 2:6] = True
    other = np.zeros_like(truth)
    other[:, 12:18, 12:18] = True

    def kinds(prediction):
        return [Kind(k) for k in frame_kinds(overlaps(rle(prediction), rle(truth), [rle(other)]))]

    assert kinds(truth) == [Kind.RIGHT] * 3
    assert kinds(np.zeros_like(truth)) == [Kind.MISSED, Kind.MISSED, Kind.RIGHT]
    assert kinds(other) == [Kind.WRONG_OBJECT, Kind.WRONG_OBJECT, Kind.FALSE_PRESENCE]
    switched = np.stack([truth[0], other[1], other[2]])
    assert kinds(switched) == [Kind.RIGHT, Kind.LOST_TRACK, Kind.FALSE_PRESENCE]
    thin = truth.copy()
    thin[:, 3:] = False
    assert kinds(thin) == [Kind.POOR_MASK, Kind.POOR_MASK, Kind.RIGHT]


def test_masks_of_other_lengths_are_refused():
    with pytest.raises(ValueError, match="zip"):
        overlaps(rle(np.zeros(SHAPE, bool)), rle(np.zeros((2, *SHAPE[1:]), bool)), [])
