"""Boxes of masks, in pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from refseg.bench.types import BoolArray


def tight_box(mask: BoolArray) -> NDArray[np.int64] | None:
    """Return (4,) x0, y0, x1, y1 of an (H, W) mask's outermost pixels, both ends included; None where it is empty."""
    columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    if not len(columns):
        return None
    return np.array([columns[0], rows[0], columns[-1], rows[-1]])
