"""Generalised referring image segmentation: sentences that may have no target.

As in ReLA's ``gres_model/evaluation/refer_evaluation.py`` (gRefCOCO). ReLA answers "no target" by a classifier beside
its mask; here the answer is a mask without a pixel. (Rules by size, as "fewer than 50 pixels", are the method's own.)

=============  =============  =====================================================================
truth          answer         what counts
=============  =============  =====================================================================
no target      no target      IoU 1; nothing to cIoU
no target      a mask         IoU 0; the mask's pixels to the union of cIoU
a target       no target      IoU 0; the truth's pixels to the union of cIoU
a target       a mask         IoU; intersection and union to cIoU
=============  =============  =====================================================================
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from refseg.bench.scoring.expressions import count_expressions
from refseg.bench.scoring.ratios import Ratio, Ratios, fact, mean
from refseg.bench.types import Dataset, Predictions, ScoredItem, Video

THRESHOLDS = (0.7, 0.8, 0.9)


class Generalised:
    """gIoU = mean IoU; cIoU = sum of intersections over sum of unions; P@K (>=) over sentences with a target.

    N-acc is the share of sentences without a target that are answered so, T-acc the share of those with one that
    get a mask. N-acc is left out where every sentence has a target (ReLA prints 0 for both there).
    """

    metrics = ("gIoU", "cIoU", "N-acc", "T-acc", *(f"P@{t}" for t in THRESHOLDS))

    def __init__(self, name: str) -> None:
        self.name = name

    def score_video(self, dataset: Dataset, video: Video, predictions: Predictions) -> list[ScoredItem]:
        """Score the sentences of one image; pixels of several frames count together."""
        items = []
        for counts in count_expressions(dataset, video, predictions):
            target, answered = bool(counts.true.any()), bool(counts.predicted.any())
            pixels = int(counts.intersection.sum()), int(counts.union.sum())
            iou, intersection, union = counted(*pixels, target=target, answered=answered)
            facts = {"intersection": intersection, "union": union, "target": target, "answered": answered}
            items.append(ScoredItem(video.id, counts.expression.id, {"IoU": iou}, len(video), facts))
        return items

    def estimator(self, items: Sequence[ScoredItem]) -> Ratios:
        """Return the metrics as ratios of pixels and of sentences."""
        intersection, union = fact(items, "intersection"), fact(items, "union")
        target, answered = fact(items, "target") > 0, fact(items, "answered") > 0
        ratio = np.divide(intersection, union, out=np.zeros_like(union), where=union > 0)
        iou = np.where(target, ratio, ~answered)
        return Ratios(
            {
                "gIoU": [mean(iou)],
                "cIoU": [Ratio(intersection, union)],
                "N-acc": [mean(~answered, ~target)],
                "T-acc": [mean(answered, target)],
            }
            | {f"P@{t}": [mean(iou >= t, target)] for t in THRESHOLDS}
        )

    def aggregate(self, items: Sequence[ScoredItem]) -> dict[str, float]:
        """Return the metrics in percent."""
        return self.estimator(items).metrics()


def counted(intersection: int, union: int, *, target: bool, answered: bool) -> tuple[float, int, int]:
    """Return what one sentence's answer counts: its IoU, and its pixels of intersection and union in cIoU.

    Args:
        intersection: Pixels that the answer's mask shares with the truth.
        union: Pixels of either.
        target: Whether the sentence has one.
        answered: False where the answer is "no target", whatever the mask.
    """
    if not answered:
        intersection = 0
    if not target:
        return float(not answered), 0, union if answered else 0
    return intersection / union if union else 0.0, intersection, union


def build(name: str) -> Generalised:
    """Build the protocol."""
    return Generalised(name)
