"""Intervals: how often they hold the truth, against a plain bootstrap, and what has none."""

import numpy as np
import pytest

from refseg.bench.protocols import ris
from refseg.bench.protocols.per_expression import PerExpression
from refseg.bench.protocols.refdavis import build as label_maps
from refseg.bench.scoring.bootstrap import (
    RESAMPLES,
    SLOW_RESAMPLES,
    estimator_of,
    interval_of_each,
    intervals,
    percentile_interval,
    resampled,
    video_numbers,
)
from refseg.bench.scoring.ratios import Ratios, mean
from refseg.bench.types import ScoredItem


def expressions(generator, videos, each=5):
    """Items whose scores share most of their spread with their video."""
    level = np.repeat(generator.normal(0.5, 0.15, videos), each)
    scores = np.clip(level + generator.normal(0, 0.05, videos * each), 0, 1)
    return [
        ScoredItem(f"v{i // each}", str(i % each), {"J&F": s, "J": s, "F": s}, 1)
        for i, s in enumerate(scores)
    ]


@pytest.mark.parametrize("videos", [8, 30])
def test_95_of_100_intervals_hold_the_true_mean(videos):
    generator = np.random.default_rng(videos)
    held, naive = 0, 0
    repeats = 200
    for _ in range(repeats):
        items = expressions(generator, videos)
        clusters = video_numbers([i.video for i in items])
        estimator = Ratios({"J": [mean([i.scores["J"] for i in items])]})
        low, high = interval_of_each(estimator, clusters, 300)["J"]
        held += low <= 50 <= high
        low, high = interval_of_each(estimator, np.arange(len(items)), 300)["J"]
        naive += low <= 50 <= high
    # Three standard deviations of a binomial of 0.95; sentences drawn alone hold it much less often.
    assert held / repeats == pytest.approx(0.95, abs=3 * (0.95 * 0.05 / repeats) ** 0.5)
    assert naive / repeats < 0.75


def test_draws_are_those_of_a_plain_bootstrap():
    items = expressions(np.random.default_rng(1), 12, each=3)
    protocol = PerExpression("p")
    found = resampled(protocol.estimator(items), video_numbers([i.video for i in items]), 2000)["J"]
    names = sorted({i.video for i in items})
    generator, plain = np.random.default_rng(2), []
    for _ in range(2000):
        drawn = generator.choice(names, len(names))
        plain.append(protocol.aggregate([i for v in drawn for i in items if i.video == v])["J"])
    # Two samples of one distribution: means and spreads agree within four standard errors.
    assert found.mean() == pytest.approx(np.mean(plain), abs=4 * np.std(plain) * (2 / 2000) ** 0.5)
    assert found.std() == pytest.approx(np.std(plain), rel=4 * 2000**-0.5)


def test_sums_are_drawn_for_overall_iou():
    """One large object decides oIoU: draws are of pixels, not of IoUs."""
    items = [
        ScoredItem(f"i{k}", "0", {"IoU": i / u}, 1, {"intersection": i, "union": u})
        for k, (i, u) in enumerate([(900, 1000), (0, 10), (0, 10), (0, 10)])
    ]
    drawn = resampled(ris.build("r").estimator(items), np.arange(4), 500)
    several = {round(100 * 900 * k / (1000 * k + 10 * (4 - k)), 6) for k in range(5)}
    assert {0, 87.378641} < {round(v, 6) for v in drawn["oIoU"]} <= several
    low, high = intervals(ris.build("r"), items)["intervals"]["oIoU"]
    assert low == 0 and high > 89


def test_annotators_are_averaged_in_every_draw():
    items = [
        ScoredItem(f"v{v}", "0", {"J&F": score, "J": score, "F": score}, 1, {"annotator": a})
        for v in range(3)
        for a, score in enumerate((0.2, 1.0))
        for _ in range(1 + 5 * (v == 0) * a)
    ]
    drawn = resampled(
        label_maps("refdavis/published").estimator(items), video_numbers([i.video for i in items]), 50
    )
    assert drawn["J"] == pytest.approx(np.full(50, 60))


def test_the_same_items_have_the_same_interval_and_the_score_lies_in_it():
    items = expressions(np.random.default_rng(3), 20)
    found = intervals(PerExpression("p"), items)
    assert found == intervals(PerExpression("p"), items)
    assert found["bootstrap"] == {"level": 0.95, "resamples": RESAMPLES, "seed": 0, "clusters": 20}
    metrics = PerExpression("p").aggregate(items)
    assert all(low < metrics[m] < high for m, (low, high) in found["intervals"].items())


def test_one_video_has_no_interval_and_says_so():
    found = intervals(PerExpression("p"), expressions(np.random.default_rng(4), 1))
    assert found["intervals"] == {} and "one video" in found["bootstrap"]["note"]


def test_a_metric_that_rests_on_one_video_has_no_interval():
    scores, videos = np.linspace(0, 1, 20), np.arange(20)
    estimator = Ratios(
        {"all": [mean(scores)], "one": [mean(scores, videos == 3)], "five": [mean(scores, videos < 5)]}
    )
    assert [*interval_of_each(estimator, videos, RESAMPLES)] == ["all", "five"]
    assert percentile_interval(np.full(10, np.nan), 5) is None


class ThirdParty:
    """A protocol that knows nothing of the hook; it counts how often it is asked."""

    name = "theirs"
    metrics = ("J",)

    def __init__(self, aggregate):
        self._aggregate, self.calls = aggregate, 0

    def aggregate(self, items):
        self.calls += 1
        return {"J": 100 * float(self._aggregate([i.scores["J"] for i in items]))}


def test_third_parties_plain_means_are_as_quick_as_ours():
    items = expressions(np.random.default_rng(5), 40, each=50)
    theirs = ThirdParty(np.mean)
    assert intervals(theirs, items)["intervals"]["J"] == pytest.approx(
        intervals(PerExpression("p"), items)["intervals"]["J"], abs=1e-9
    )
    assert theirs.calls < 10


def test_any_other_third_party_is_asked_draw_by_draw():
    items = expressions(np.random.default_rng(6), 15)
    theirs = ThirdParty(np.median)
    found = intervals(theirs, items)
    low, high = found["intervals"]["J"]
    assert low <= theirs.aggregate(items)["J"] <= high and high - low > 2
    assert found["bootstrap"]["resamples"] == SLOW_RESAMPLES <= theirs.calls
    estimator, _ = estimator_of(theirs, items)
    weights = np.array([[2.0, 0, 1] + [0.0] * (len(items) - 3)])
    expected = np.median([items[0].scores["J"], items[0].scores["J"], items[2].scores["J"]])
    assert estimator(weights)["J"] == pytest.approx([100 * expected])


def test_draws_that_a_third_party_cannot_aggregate_lack_the_metric():
    """A rate among videos 0 to 4 divides by zero where a draw holds none of them."""
    items = [ScoredItem(f"v{i}", "0", {"hit": i % 2, "asked": i < 5}, 1) for i in range(20)]

    class Rate:
        name, metrics = "rate", ("rate",)

        def aggregate(self, drawn):
            asked = [i.scores["hit"] for i in drawn if i.scores["asked"]]
            return {"rate": 100 * sum(asked) / len(asked)}

    estimator, _ = estimator_of(Rate(), items)
    weights = np.zeros((2, 20))
    weights[0, 5], weights[1, :3] = 1, 1
    assert estimator(weights)["rate"] == pytest.approx([np.nan, 100 / 3], nan_ok=True)
    assert intervals(Rate(), items)["intervals"]["rate"] == [0, 100]


def test_items_that_are_equal_by_chance_do_not_pass_for_a_mean():
    """The maximum is the mean of all items only while all are equal; draws tell."""
    items = [ScoredItem(f"v{i}", "0", {"J": 0.5 + 0.1 * (i == 7)}, 1) for i in range(8)]
    estimator, draws = estimator_of(ThirdParty(max), items)
    assert draws == SLOW_RESAMPLES
    assert estimator(np.ones((1, 8)))["J"] == pytest.approx([60])
