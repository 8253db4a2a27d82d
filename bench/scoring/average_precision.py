"""COCO's average precision where an image holds one true mask (A2D-Sentences, JHMDB-Sentences): pycocotools does it.

Masks are not needed again: pycocotools is given the pixel counts that its own IoU is made of.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools.cocoeval import COCOeval

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
_NAMES: Mapping[str, Sequence[int]] = {"mAP": range(10), "AP50": (0,), "AP75": (5,)}

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """One true mask and the answers to it.

    Attributes:
        intersection: (K,) pixels that an answer shares with the truth.
        union: (K,) pixels of either.
        scores: (K,) the answers' confidence.
    """

    intersection: Sequence[int]
    union: Sequence[int]
    scores: Sequence[float]


def average_precision(samples: Sequence[Sample]) -> dict[str, float]:
    """Return COCO's mAP (IoU .50:.05:.95), AP50 and AP75 over masks of any size, in 0..1.

    Answers of equal score count in the order of the samples, which is arbitrary: scores should differ.
    """
    evaluator = _FromCounts(samples)
    # It tells its progress on stdout.
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator.evaluate()
        evaluator.accumulate()
    precision = evaluator.eval["precision"][:, :, 0, 0, -1]  # (T, recalls)
    return {name: float(precision[[*rows]].mean()) for name, rows in _NAMES.items()}


def weighted_average_precision(iou: Array, scores: Array, weights: Array) -> dict[str, Array]:
    """Return what :func:`average_precision` gives where each sample has one answer and counts several times.

    Args:
        iou: (n,) of each sample's answer.
        scores: (n,) its confidence.
        weights: (R, n) how many times a sample counts, in each of R weightings.

    Returns:
        Name -> (R,) in 0..1; NaN where nothing counts.
    """
    order = np.argsort(-scores, kind="stable")
    weights = weights[:, order]
    hits = iou[order] >= IOU_THRESHOLDS[:, None]  # (T, n)
    total = weights.sum(axis=1)
    answers = np.maximum(weights.cumsum(axis=1), np.spacing(1))
    by_threshold = np.empty((len(IOU_THRESHOLDS), len(weights)))
    for t, hit in enumerate(hits):
        found = (weights * hit).cumsum(axis=1)
        precision = np.maximum.accumulate((found / answers)[:, ::-1], axis=1)[:, ::-1]
        for r, (recalled, best, truths) in enumerate(zip(found, precision, total, strict=True)):
            by_threshold[t, r] = _interpolated(recalled / truths, best) if truths else np.nan
    return {name: by_threshold[[*rows]].mean(axis=0) for name, rows in _NAMES.items()}


def _interpolated(recall: Array, precision: Array) -> float:
    """Return the mean over the recall levels of the best precision at that recall or more."""
    at = np.searchsorted(recall, RECALLS, side="left")
    return float(np.append(precision, 0)[at].mean())


class _FromCounts(COCOeval):  # type: ignore[misc]
    """COCO's evaluation with one category and size, from pixel counts in place of masks."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        super().__init__(iouType="segm")
        self._samples = samples
        self.params.imgIds, self.params.catIds, self.params.useCats = [*range(len(samples))], [1], 0
        self.params.areaRng, self.params.areaRngLbl = [[0, 1e10]], ["all"]

    def _prepare(self) -> None:
        self._gts: dict[tuple[int, int], list[dict[str, Any]]] = {}
        self._dts: dict[tuple[int, int], list[dict[str, Any]]] = {}
        answers = 0
        for image, sample in enumerate(self._samples):
            self._gts[image, 1] = [{"id": image + 1, "iscrowd": 0, "ignore": 0, "area": 1}]
            self._dts[image, 1] = [
                {"id": answers + k, "score": s, "area": 1} for k, s in enumerate(sample.scores, 1)
            ]
            answers += len(sample.scores)

    def computeIoU(self, imgId: int, catId: int) -> Array:
        sample = self._samples[imgId]
        # pycocotools: two empty masks agree in nothing, and answers come by falling score.
        intersection, union = np.array(sample.intersection, float), np.array(sample.union, float)
        order = np.argsort([-s for s in sample.scores], kind="mergesort")[: self.params.maxDets[-1]]
        iou: Array = np.divide(intersection, union, out=np.zeros_like(union), where=intersection > 0)
        return iou[order][:, None]
