"""A2D-Sentences and JHMDB-Sentences: precision at IoU, overall and mean IoU, and COCO's mAP, over labelled frames.

As in MTTR's ``metrics.py``, ``trainer.py`` and ``create_gt_in_coco_format.py``. A sample is a sentence in a frame where
its truth has a pixel; other frames have no label or do not show the object, and do not count. IoU has an epsilon of
1e-6 on both sides of the line and is a 32-bit number, which P@K compares strictly (>) with a 64-bit threshold: an IoU
of exactly .6 or .8 passes, one of .5, .7 or .9 does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from refseg.bench.errors import InputError
from refseg.bench.scoring.average_precision import Sample, average_precision, weighted_average_precision
from refseg.bench.scoring.expressions import count_expressions
from refseg.bench.scoring.ratios import Ratio, Ratios, fact, mean
from refseg.bench.types import Dataset, Estimator, Predictions, ScoredItem, Video

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)
_EPSILON = np.float32(1e-6)

Array = NDArray[np.float64]


class A2d:
    """P@K (strict), oIoU, mIoU and, where the predictions carry scores, mAP, AP50 and AP75.

    Without scores average precision depends on the order of the samples, so it is left out then.
    """

    metrics = (*(f"P@{t}" for t in THRESHOLDS), "oIoU", "mIoU", "mAP", "AP50", "AP75")
    needs = ("scores",)

    def __init__(self, name: str) -> None:
        self.name = name

    def score_video(self, dataset: Dataset, video: Video, predictions: Predictions) -> list[ScoredItem]:
        """Score the labelled frames of one video, for each expression."""
        items = []
        for counted in count_expressions(dataset, video, predictions, void=False):
            hook = getattr(predictions, "scores", None)
            scores = hook(video, counted.expression) if hook else None
            ious = smoothed_iou(counted.intersection, counted.union)
            for t in np.flatnonzero(counted.true):
                facts = {
                    "frame": video.frame_ids[t],
                    "intersection": int(counted.intersection[t]),
                    "union": int(counted.union[t]),
                    "score": None if scores is None else float(scores[t]),
                }
                items.append(ScoredItem(video.id, counted.expression.id, {"IoU": float(ious[t])}, 1, facts))
        return items

    def estimator(self, items: Sequence[ScoredItem]) -> Estimator:
        """Return the metrics of weighted samples."""
        ratios = _ratios(items)
        if not _scored(items):
            return ratios
        intersection, union, scores = (fact(items, n) for n in ("intersection", "union", "score"))

        def estimate(weights: Array) -> Mapping[str, Array]:
            precisions = weighted_average_precision(intersection / union, scores, weights)
            return ratios(weights) | {name: 100 * value for name, value in precisions.items()}

        return estimate

    def aggregate(self, items: Sequence[ScoredItem]) -> dict[str, float]:
        """Return the metrics in percent.

        Raises:
            InputError: The score of a prediction is not finite.
        """
        metrics = _ratios(items).metrics()
        if _scored(items):
            if not np.isfinite(fact(items, "score")).all():
                raise InputError(
                    f"{self.name}: a prediction's score is not finite; average precision needs numbers."
                )
            samples = [
                Sample([i.extra["intersection"]], [i.extra["union"]], [i.extra["score"]]) for i in items
            ]
            metrics |= {name: 100 * value for name, value in average_precision(samples).items()}
        return metrics


def smoothed_iou(intersection: NDArray[np.int64], union: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return MTTR's IoU of pixel counts, 32-bit; two empty masks agree."""
    top, bottom = intersection.astype(np.float32) + _EPSILON, union.astype(np.float32) + _EPSILON
    return top / bottom


def chosen(scores: Sequence[float]) -> int:
    """Return which of several answers to a sentence counts: the highest score, the last of equals."""
    return len(scores) - 1 - int(np.argmax(scores[::-1]))


def _ratios(items: Sequence[ScoredItem]) -> Ratios:
    intersection, union = fact(items, "intersection"), fact(items, "union")
    iou = smoothed_iou(intersection.astype(np.int64), union.astype(np.int64)).astype(np.float64)
    return Ratios(
        {f"P@{t}": [mean(iou > t)] for t in THRESHOLDS}
        | {"oIoU": [Ratio(intersection, union)], "mIoU": [mean(iou)]}
    )


def _scored(items: Sequence[ScoredItem]) -> bool:
    return all(item.extra["score"] is not None for item in items)


def build(name: str) -> A2d:
    """Build the protocol."""
    return A2d(name)
