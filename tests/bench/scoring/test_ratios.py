import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refseg.bench.scoring.ratios import Ratio, Ratios, mean

UNIT = st.floats(0, 1)


@st.composite
def weighted_groups(draw):
    """Values, their group (0 to 2) and how many times each counts, where something counts."""
    n = draw(st.integers(1, 12))
    values = draw(st.lists(UNIT, min_size=n, max_size=n))
    groups = draw(st.lists(st.integers(0, 2), min_size=n, max_size=n))
    times = draw(st.lists(st.integers(0, 3), min_size=n, max_size=n).filter(any))
    return values, groups, times


@given(weighted_groups())
def test_weights_count_items_several_times(case):
    values, groups, times = case
    ratios = Ratios(
        {
            "mean": [mean(values)],
            "groups": [mean(values, np.equal(groups, g)) for g in range(3)],
            "rate": [Ratio(values, np.add(values, 1))],
        }
    )
    drawn = [(v, g) for v, g, t in zip(values, groups, times, strict=True) for _ in range(t)]
    found = ratios(np.array([times], float))
    assert found["mean"][0] == pytest.approx(100 * sum(v for v, _ in drawn) / len(drawn))
    by_group = [[v for v, g in drawn if g == k] for k in range(3)]
    means = [sum(vs) / len(vs) for vs in by_group if vs]
    assert found["groups"][0] == pytest.approx(100 * sum(means) / len(means))
    rate = sum(v for v, _ in drawn) / sum(v + 1 for v, _ in drawn)
    assert found["rate"][0] == pytest.approx(100 * rate)


@given(weighted_groups())
def test_metrics_count_every_item_once(case):
    values, groups, _ = case
    ratios = Ratios({"groups": [mean(values, np.equal(groups, g)) for g in range(3)]})
    assert ratios.metrics()["groups"] == pytest.approx(ratios(np.ones((1, len(values))))["groups"][0])


def test_a_metric_without_an_item_does_not_exist():
    ratios = Ratios({"some": [mean([0.5, 1])], "none": [mean([0.5, 1], [False, False])]})
    assert ratios.metrics() == {"some": 75}
    assert np.isnan(ratios(np.ones((2, 2)))["none"]).all()
