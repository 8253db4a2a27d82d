"""Small drawings in tables, as numbers for SVG: an interval, and a bar of parts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

WIDTH = 100
"""Width of a drawing in its own units, which are percent."""


@dataclass(frozen=True)
class Segment:
    """A part of a bar: which of the parts, where it begins and how wide it is, in percent."""

    part: int
    start: float
    width: float


def whisker(low: float, value: float, high: float) -> tuple[float, float, float]:
    """Return an interval's ends and its value within the drawing."""
    low, value, high = (round(min(max(v, 0.0), float(WIDTH)), 2) for v in (low, value, high))
    return low, value, high


def segments(shares: Iterable[float]) -> list[Segment]:
    """Return the parts of a bar from shares that sum to 1; those of no width are left out."""
    out, start = [], 0.0
    for part, share in enumerate(shares):
        width = WIDTH * float(share)
        if width > 0:
            out.append(Segment(part, round(start, 3), round(width, 3)))
        start += width
    return out
