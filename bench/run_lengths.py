"""COCO's run lengths, looked at before pycocotools decodes them.

pycocotools believes what it is given: where runs do not fill the image, its result is what lay in memory.
"""

from __future__ import annotations

from typing import Any


def run_lengths(counts: str) -> list[int]:
    """Return the runs of COCO's compressed code, background first; numbers are signed groups of five bits.

    From the third run on a number is the difference to the run two before (pycocotools' ``rleFrString``).
    """
    runs: list[int] = []
    value = shift = 0
    for sign in counts:
        bits = ord(sign) - 48
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    return runs


def fill(runs: Any, pixels: int) -> bool:
    """Return whether a list of runs, or compressed code, is of a mask of so many pixels."""
    if isinstance(runs, str):
        if not all("0" <= sign <= "o" for sign in runs):
            return False
        runs = run_lengths(runs)
    if not isinstance(runs, list) or not all(type(n) is int and n >= 0 for n in runs):
        return False
    return sum(runs) == pixels
