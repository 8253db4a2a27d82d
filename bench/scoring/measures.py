"""Region similarity J and boundary measure F of the DAVIS challenge, exactly as davis2017-evaluation has them.

Edge policy, in words. J: where neither mask has a pixel that counts, J is 1. F: two masks without boundary agree
(1); where only one has a boundary, F is 0. The image's border is no boundary, so a mask of the whole frame has none.
Void pixels leave the union and the intersection; for F they become background in both masks before the boundary is
taken, as in the official code.

Source: davis2017-evaluation, ``davis2017/metrics.py`` (``db_eval_iou``, ``db_eval_boundary``).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from refseg.bench.scoring.packed import (
    BOUND_TH,
    Count,
    Scores,
    bound_pixels,
    boundary_from,
    count_pairs,
    pack_mask,
    region_from,
)
from refseg.bench.types import BoolArray

__all__ = [
    "BOUND_TH",
    "Scores",
    "bound_pixels",
    "boundary_measure",
    "intersection_and_union",
    "region_and_boundary",
    "region_similarity",
]

_ONE_PAIR = np.zeros((1, 2), np.int64)


def region_similarity(prediction: BoolArray, truth: BoolArray, void: BoolArray | None = None) -> Scores:
    """Return J of each frame.

    Args:
        prediction: (T, H, W).
        truth: (T, H, W).
        void: (T, H, W) pixels that do not count, or None.

    Returns:
        (T,) in 0..1.
    """
    _check_shapes(prediction, truth, void)
    intersection, union = intersection_and_union(prediction, truth, void)
    return np.where(union > 0, intersection / np.maximum(union, 1), 1.0)


def intersection_and_union(
    prediction: BoolArray, truth: BoolArray, void: BoolArray | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the pixel counts of intersection and union of each frame, (T,) each."""
    both, either = prediction & truth, prediction | truth
    if void is not None:
        both, either = both & ~void, either & ~void
    return np.count_nonzero(both, axis=(-2, -1)), np.count_nonzero(either, axis=(-2, -1))


def boundary_measure(
    prediction: BoolArray, truth: BoolArray, void: BoolArray | None = None, *, bound_th: float = BOUND_TH
) -> Scores:
    """Return F of each frame.

    Args:
        prediction: (T, H, W).
        truth: (T, H, W).
        void: (T, H, W) pixels that are background in both masks, or None.
        bound_th: Tolerance: pixels from 1 up, below 1 a share of the image's diagonal.

    Returns:
        (T,) in 0..1.
    """
    return boundary_from(_counts(prediction, truth, void, bound_th))


def region_and_boundary(
    prediction: BoolArray, truth: BoolArray, void: BoolArray | None = None, *, bound_th: float = BOUND_TH
) -> tuple[Scores, Scores]:
    """Return J and F of each frame, (T,) each; see :func:`region_similarity` and :func:`boundary_measure`."""
    counts = _counts(prediction, truth, void, bound_th)
    return region_from(counts), boundary_from(counts)


def _counts(
    prediction: BoolArray, truth: BoolArray, void: BoolArray | None, bound_th: float
) -> NDArray[np.int64]:
    _check_shapes(prediction, truth, void)
    radius = bound_pixels(prediction.shape[-2], prediction.shape[-1], bound_th)
    out = np.empty((len(prediction), len(Count)), np.int64)
    for t in range(len(prediction)):
        mine, theirs = pack_mask(prediction[t]), pack_mask(truth[t])
        if void is not None:
            left_out = pack_mask(void[t])
            mine, theirs = mine.without(left_out), theirs.without(left_out)
        out[t] = count_pairs(mine, theirs, _ONE_PAIR, radius)[0]
    return out


def _check_shapes(prediction: BoolArray, truth: BoolArray, void: BoolArray | None) -> None:
    if (
        prediction.ndim != 3
        or prediction.shape != truth.shape
        or (void is not None and void.shape != truth.shape)
    ):
        shapes = [a.shape for a in (prediction, truth, void) if a is not None]
        raise ValueError(f"Expected masks of one shape (T, H, W), but got {shapes}.")
