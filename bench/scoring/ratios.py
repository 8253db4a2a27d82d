"""Metrics that are sums over sums: means, means of means, overall IoU, rates. One definition for score and interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from refseg.bench.types import ScoredItem

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Ratio:
    """A sum over items divided by a sum over items; it does not exist where the latter is 0.

    Attributes:
        top: (n,) what an item adds above the line.
        bottom: (n,) what it adds below, not negative.
    """

    top: ArrayLike
    bottom: ArrayLike


def mean(values: ArrayLike, among: ArrayLike | None = None) -> Ratio:
    """Return the mean of (n,) values, of those items only where (n,) ``among`` is true."""
    array = np.asarray(values, np.float64)
    chosen = np.ones(len(array)) if among is None else np.asarray(among, np.float64)
    return Ratio(array * chosen, chosen)


def score(items: Sequence[ScoredItem], name: str) -> Array:
    """Return one score of all items, (n,)."""
    return np.array([item.scores[name] for item in items], np.float64)


def fact(items: Sequence[ScoredItem], name: str) -> Array:
    """Return one number of all items' facts, (n,)."""
    return np.array([item.extra[name] for item in items], np.float64)


class Ratios:
    """An estimator (:data:`refseg.bench.types.Estimator`) of metrics that are means of ratios, in percent.

    Args:
        metrics: Name -> its ratios; the metric is the mean of those that exist.
    """

    def __init__(self, metrics: Mapping[str, Sequence[Ratio]]) -> None:
        self._slices: dict[str, slice] = {}
        ratios: list[Ratio] = []
        for name, parts in metrics.items():
            self._slices[name] = slice(len(ratios), len(ratios) + len(parts))
            ratios += parts
        # One contiguous row a ratio, so that sums over items are numpy's pairwise ones.
        self._top, self._bottom = (
            np.array(side, np.float64) for side in ([r.top for r in ratios], [r.bottom for r in ratios])
        )

    def __call__(self, weights: Array) -> dict[str, Array]:
        """Return each metric under (R, n) weights, (R,); NaN where none of its ratios exists."""
        return self._metrics(weights @ self._top.T, weights @ self._bottom.T)

    def metrics(self) -> dict[str, float]:
        """Return each metric that exists, every item counted once."""
        found = self._metrics(self._top.sum(axis=1)[None], self._bottom.sum(axis=1)[None])
        return {name: float(value) for name, (value,) in found.items() if not np.isnan(value)}

    def _metrics(self, top: Array, bottom: Array) -> dict[str, Array]:
        """Return the metrics of (R, ratios) sums."""
        exists = bottom > 0
        ratios = np.divide(top, bottom, out=np.zeros_like(top), where=exists)
        out = {}
        for name, columns in self._slices.items():
            found = exists[:, columns].sum(axis=1)
            total = ratios[:, columns].sum(axis=1)
            out[name] = 100 * np.divide(total, found, out=np.full(len(top), np.nan), where=found > 0)
        return out


def means(items: Sequence[ScoredItem], names: Sequence[str]) -> Ratios:
    """Return the estimator of plain means of scores over items."""
    return Ratios({name: [mean(score(items, name))] for name in names})
