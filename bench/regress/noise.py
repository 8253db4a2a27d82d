"""What repetitions of a timing say: the median of pairwise quotients, with an interval that assumes no distribution.

Each of the times now is divided by each of the times then; the median of these quotients is how many times slower it
became (the Hodges-Lehmann estimate of a shift, on logarithms), and two of them in order are the ends of its interval
(Moses): those at which the Mann-Whitney test would no longer see a difference. M. Hollander, D. Wolfe, E. Chicken,
Nonparametric Statistical Methods, 3rd edition, sections 4.2 and 4.3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

LEVEL = 0.95


@dataclass(frozen=True)
class Quotient:
    """How many times one sample is another.

    Attributes:
        value: The median of the pairwise quotients.
        interval: Its 95 % interval; None where there are too few repetitions for one (fewer than 4 each).
    """

    value: float
    interval: tuple[float, float] | None


def quotient(now: Sequence[float], then: Sequence[float]) -> Quotient:
    """Return how many times ``now`` is ``then``.

    Args:
        now: (n,) positive repetitions.
        then: (m,) positive repetitions of the same thing before.

    Raises:
        ValueError: One of them is empty, or a repetition is not positive.
    """
    if not now or not then or min(*now, *then) <= 0:
        raise ValueError("repetitions of a timing are positive, and there is at least one")
    pairs = np.sort(np.divide.outer(np.asarray(now, np.float64), np.asarray(then, np.float64)), axis=None)
    value = float(np.exp(np.median(np.log(pairs))))
    rank = _rank(len(now), len(then))
    if rank == 0:
        return Quotient(value, None)
    return Quotient(value, (float(pairs[rank - 1]), float(pairs[-rank])))


def _rank(n: int, m: int) -> int:
    """Return which of the n*m quotients in order, from either end, bounds the interval; 0: none does."""
    ways = _ways(n, m)
    most = (1 - LEVEL) / 2 * math.comb(n + m, n)
    return next(k for k, below in enumerate(accumulate(ways)) if below > most)


def _ways(n: int, m: int) -> list[int]:
    """Return in how many orders of two samples Mann-Whitney's U is 0, 1, …: a Gaussian binomial's coefficients."""
    ways = [1] + [0] * (n * m)
    for i in range(1, n + 1):
        for u in range(n * m, m + i - 1, -1):
            ways[u] -= ways[u - m - i]
        for u in range(i, n * m + 1):
            ways[u] += ways[u - i]
    return ways
