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

from refseg.bench.protocols.per_expression import with_target
from refseg.bench.scoring.measures import intersection_and_union
from refseg.bench.scoring.ratios import Ratio, Ratios, fact, mean
from refseg.bench.types import BoolArray, Dataset, Predictions, ScoredItem, Video

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
        for expression in video.expressions:
            truth = with_target(dataset.ground_truth(video.id, expression.id), video, expression)
            masks = predictions.masks(video, expression)
            assert masks is not None, "the caller sees to missing predictions"
            answered = bool(masks.any())
            items.append(
                counted(masks, truth.masks, answered=answered, video=video.id, expression=expression.id)
            )
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


def counted(masks: BoolArray, truth: BoolArray, *, answered: bool, video: str, expression: str) -> ScoredItem:
    """Return one sentence's item.

    Args:
        masks: (T, H, W) the answer's mask.
        truth: (T, H, W) the truth; without a pixel where the sentence has no target.
        answered: False where the answer is "no target", whatever the mask.
        video: Id of the image.
        expression: Id of the sentence.
    """
    target = bool(truth.any())
    intersection, union = (int(c.sum()) for c in intersection_and_union(masks, truth))
    if not answered:
        intersection, union = 0, union if target else 0
    iou = float(not answered) if not target else intersection / union
    facts = {"intersection": intersection, "union": union, "target": target, "answered": answered}
    return ScoredItem(video, expression, {"IoU": iou}, len(masks), facts)


def build(name: str) -> Generalised:
    """Build the protocol."""
    return Generalised(name)
