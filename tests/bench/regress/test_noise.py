"""What repetitions of a timing say, held against scipy and against made noise."""

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from refseg.bench.regress.noise import LEVEL, quotient


def samples(n, m, seed=0, spread=0.1):
    generator = np.random.default_rng(seed)
    return np.exp(generator.normal(0, spread, n)).tolist(), np.exp(generator.normal(0, spread, m)).tolist()


@pytest.mark.parametrize(("n", "m"), [(4, 4), (5, 9), (9, 9), (9, 12)])
def test_the_interval_holds_the_shifts_that_the_exact_mann_whitney_test_admits(n, m):
    now, then = samples(n, m)
    low, high = quotient(now, then).interval
    # A hair beside the ends: at the ends themselves two values tie.
    for shift, admitted in ((low, (1, -1)), (high, (-1, 1))):
        inside, outside = (shift * (1 + 1e-9 * side) for side in admitted)
        p = [mannwhitneyu(np.divide(now, s), then, method="exact").pvalue for s in (inside, outside)]
        assert p[0] > 1 - LEVEL >= p[1]


def test_a_factor_is_found_and_the_same_is_the_same():
    now, then = samples(9, 9)
    one, three = quotient(now, then), quotient([3 * t for t in now], then)
    assert three.value == pytest.approx(3 * one.value)
    assert three.interval == pytest.approx(tuple(3 * end for end in one.interval))
    back = quotient(then, now)
    assert back.value == pytest.approx(1 / one.value) and back.interval[0] == pytest.approx(
        1 / one.interval[1]
    )


def test_one_wild_repetition_changes_little():
    now, then = samples(9, 9)
    wild = [1000.0, *now[1:]]
    assert quotient(wild, then).value == pytest.approx(quotient(now, then).value, rel=0.1)
    assert quotient(wild, then).interval[0] < 1.2


def test_noise_alone_is_inside_about_as_often_as_the_level_says():
    inside = 0
    for seed in range(300):
        low, high = quotient(*samples(9, 9, seed)).interval
        inside += low <= 1 <= high
    # 96 % is exact for 9 and 9; four standard deviations less.
    assert inside >= 0.915 * 300


def test_too_few_repetitions_have_no_interval_and_none_is_an_error():
    assert quotient([1.0, 1.1, 1.2], [1.0, 1.0, 1.0]).interval is None
    for now, then in (([], [1.0]), ([1.0], []), ([0.0], [1.0])):
        with pytest.raises(ValueError, match="positive"):
            quotient(now, then)
