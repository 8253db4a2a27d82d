"""Bootstrap intervals clustered by video: sentences about one video rise and fall together, so videos are drawn.

Videos are drawn with replacement, as many as there are, and a metric is computed anew from the items of those drawn.
The interval lies between percentiles of these values, a little further out than 2.5 % and 97.5 % because few
videos understate the spread ("expanded percentile": T. Hesterberg, What Teachers Should Know About the Bootstrap,
The American Statistician 69(4), 2015, section 5.3). Seeded: the same items give the same interval.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from refseg.bench.errors import InputError
from refseg.bench.scoring.ratios import Ratios, mean, means
from refseg.bench.types import Estimator, ScoredItem, ScoringProtocol

LEVEL = 0.95
RESAMPLES = 1000
SLOW_RESAMPLES = 200
"""Draws where a protocol can only be asked for one aggregate at a time."""

SEED = 0
_PROBES = 3
_MOST_UNDEFINED = 0.2
"""A metric that more of the draws lack rests on a single video (which a draw misses with probability 0.37)."""

_CHUNK_BYTES = 1 << 20

Array = NDArray[np.float64]
Interval = tuple[float, float]


def intervals(protocol: ScoringProtocol, items: Sequence[ScoredItem]) -> dict[str, Any]:
    """Return each metric's interval, as results hold it.

    Returns:
        ``{"intervals": {metric: [low, high]}, "bootstrap": {"level", "resamples", "seed", "clusters"}}``; a metric
        is left out where it rests on one video, and with one video only ``bootstrap`` has a ``note``.
    """
    estimator, resamples = estimator_of(protocol, items)
    clusters = video_numbers([item.video for item in items])
    return described(interval_of_each(estimator, clusters, resamples), clusters, resamples)


def intervals_of_means(videos: Sequence[str], values: Mapping[str, Sequence[float]]) -> dict[str, Interval]:
    """Return the intervals of plain means.

    Args:
        videos: (n,) each value's video.
        values: Name -> (n,) percent.
    """
    estimator = Ratios({name: [mean(np.divide(v, 100))] for name, v in values.items()})
    return interval_of_each(estimator, video_numbers(videos), RESAMPLES)


def described(found: Mapping[str, Interval], clusters: NDArray[np.intp], resamples: int) -> dict[str, Any]:
    """Return intervals beside how they were made."""
    count = int(clusters.max(initial=-1)) + 1
    facts: dict[str, Any] = {"level": LEVEL, "resamples": resamples, "seed": SEED, "clusters": count}
    if count < 2:
        facts["note"] = "one video, so there is no interval"
    return {"intervals": {name: list(bounds) for name, bounds in found.items()}, "bootstrap": facts}


def interval_of_each(estimator: Estimator, clusters: NDArray[np.intp], resamples: int) -> dict[str, Interval]:
    """Return the interval of each metric that has one.

    Args:
        estimator: The metrics of weighted items.
        clusters: (n,) number of each item's video, from 0.
        resamples: How many draws.
    """
    count = int(clusters.max(initial=-1)) + 1
    if count < 2:
        return {}
    drawn = resampled(estimator, clusters, resamples)
    bounds = {name: percentile_interval(values, count) for name, values in drawn.items()}
    return {name: found for name, found in bounds.items() if found is not None}


def resampled(estimator: Estimator, clusters: NDArray[np.intp], resamples: int) -> dict[str, Array]:
    """Return each metric under draws of videos with replacement, (resamples,)."""
    generator = np.random.default_rng(SEED)
    count = int(clusters.max()) + 1
    step = max(1, _CHUNK_BYTES // (8 * len(clusters)))
    parts: list[Mapping[str, Array]] = []
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        drawn = generator.integers(count, size=(rows, count)) + count * np.arange(rows)[:, None]
        times = np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count)
        parts.append(estimator(times[:, clusters].astype(np.float64)))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def percentile_interval(values: Array, clusters: int) -> Interval | None:
    """Return the interval that draws of one metric give; None where too many of them lack the metric."""
    defined = values[~np.isnan(values)]
    if len(defined) < (1 - _MOST_UNDEFINED) * len(values):
        return None
    tail = _tail(clusters)
    low, high = np.quantile(defined, [tail, 1 - tail])
    return float(low), float(high)


def video_numbers(videos: Sequence[str]) -> NDArray[np.intp]:
    """Return (n,) the number of each item's video, in order of appearance."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(video, len(numbers)) for video in videos], np.intp)


def estimator_of(protocol: ScoringProtocol, items: Sequence[ScoredItem]) -> tuple[Estimator, int]:
    """Return a protocol's estimator and how many draws it is good for.

    A protocol without the hook ``estimator`` whose metrics are plain means of its items' scores is seen to be so on
    a few draws, and is as quick; any other is asked for ``aggregate`` draw by draw.
    """
    hook = cast("Callable[[Sequence[ScoredItem]], Estimator] | None", getattr(protocol, "estimator", None))
    if hook is not None:
        return hook(items), RESAMPLES
    slow = _repeated(protocol, items)
    names = [*protocol.aggregate(items)]
    if all(name in item.scores for name in names for item in items):
        quick = means(items, names)
        probes = np.random.default_rng(SEED).integers(3, size=(_PROBES, len(items))).astype(np.float64)
        probes[0] = 1
        expected, found = slow(probes), quick(probes)
        if all(np.allclose(found[n], expected[n], rtol=0, atol=1e-9, equal_nan=True) for n in names):
            return quick, RESAMPLES
    return slow, SLOW_RESAMPLES


def _repeated(protocol: ScoringProtocol, items: Sequence[ScoredItem]) -> Estimator:
    names = [*protocol.aggregate(items)]

    def estimate(weights: Array) -> dict[str, Array]:
        rows = []
        for row in weights:
            drawn = [items[i] for i in np.repeat(np.arange(len(items)), row.astype(np.intp)).tolist()]
            try:
                found = protocol.aggregate(drawn) if drawn else {}
            except (InputError, ArithmeticError):
                # The whole has its metrics; a draw may lack what they are divided by.
                found = {}
            rows.append([found.get(name, np.nan) for name in names])
        return dict(zip(names, np.array(rows, np.float64).T, strict=True))

    return estimate


def _tail(clusters: int) -> float:
    """Return the share of draws on either side of the interval: as if normal tails were Student's."""
    from scipy.special import stdtrit

    quantile = float(stdtrit(clusters - 1, (1 + LEVEL) / 2))
    return statistics.NormalDist().cdf(-quantile * (clusters / (clusters - 1)) ** 0.5)
