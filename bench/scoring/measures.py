"""Region similarity J and boundary measure F of the DAVIS challenge, exactly as davis2017-evaluation has them.

Edge policy, in words. J: where neither mask has a pixel that counts, J is 1. F: two masks without boundary agree
(1); where only one has a boundary, F is 0. The image's border is no boundary, so a mask of the whole frame has none.
Void pixels leave the union and the intersection; for F they become background in both masks before the boundary is
taken, as in the official code.

Source: davis2017-evaluation, ``davis2017/metrics.py`` (``db_eval_iou``, ``db_eval_boundary``).
"""

from __future__ import annotations

import functools
import math

import cv2
import numpy as np
from numpy.typing import NDArray

from refseg.bench.types import BoolArray

BOUND_TH = 0.008
"""Tolerance of F as a share of the image's diagonal."""

Scores = NDArray[np.float64]


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
    _check_shapes(prediction, truth, void)
    if void is not None:
        prediction, truth = prediction & ~void, truth & ~void
    radius = bound_pixels(prediction.shape[-2], prediction.shape[-1], bound_th)
    pairs = zip(boundary_map(prediction), boundary_map(truth), strict=True)
    return np.array([_boundary_f(p, t, radius) for p, t in pairs], np.float64)


def bound_pixels(height: int, width: int, bound_th: float = BOUND_TH) -> int:
    """Return F's tolerance in pixels."""
    return int(bound_th if bound_th >= 1 else math.ceil(bound_th * math.hypot(height, width)))


def boundary_map(masks: BoolArray) -> BoolArray:
    """Return where a (..., H, W) mask differs from its right, lower or lower-right neighbour.

    In the last row only the right neighbour counts, in the last column only the lower one.
    """
    out = np.zeros(masks.shape, bool)
    down = masks[..., :-1, :] != masks[..., 1:, :]
    right = masks[..., :, :-1] != masks[..., :, 1:]
    out[..., :-1, :] |= down
    out[..., :, :-1] |= right
    out[..., :-1, :-1] |= masks[..., :-1, :-1] != masks[..., 1:, 1:]
    return out


def _boundary_f(prediction: BoolArray, truth: BoolArray, radius: int) -> float:
    """Return F of two (H, W) boundary maps."""
    n_prediction, n_truth = np.count_nonzero(prediction), np.count_nonzero(truth)
    if not n_prediction or not n_truth:
        return 1.0 if n_prediction == n_truth else 0.0
    # Both maps lie in this box, and only their own pixels are looked up in the dilated maps.
    box = _bounding_box(prediction | truth)
    prediction, truth = prediction[box], truth[box]
    precision = np.count_nonzero(prediction & _dilated(truth, radius)) / n_prediction
    recall = np.count_nonzero(truth & _dilated(prediction, radius)) / n_truth
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _bounding_box(mask: BoolArray) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _dilated(mask: BoolArray, radius: int) -> BoolArray:
    out: BoolArray = cv2.dilate(np.ascontiguousarray(mask).view(np.uint8), _disk(radius)).view(bool)
    return out


@functools.cache
def _disk(radius: int) -> NDArray[np.uint8]:
    steps = np.arange(-radius, radius + 1)
    return (steps[:, None] ** 2 + steps[None] ** 2 <= radius**2).astype(np.uint8)


def _check_shapes(prediction: BoolArray, truth: BoolArray, void: BoolArray | None) -> None:
    if (
        prediction.ndim != 3
        or prediction.shape != truth.shape
        or (void is not None and void.shape != truth.shape)
    ):
        shapes = [a.shape for a in (prediction, truth, void) if a is not None]
        raise ValueError(f"Expected masks of one shape (T, H, W), but got {shapes}.")
