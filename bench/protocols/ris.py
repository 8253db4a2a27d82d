"""Referring image segmentation: overall IoU, mean IoU and precision at IoU thresholds, over sentences.

As in LAVT's ``test.py``: ``P@K`` counts IoU >= K, and where neither mask has a pixel the IoU is 0. ``P>K`` is the
strict count of other repositories (``metrics.py`` of MTTR).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from refseg.bench.protocols.per_expression import with_target
from refseg.bench.scoring.measures import intersection_and_union
from refseg.bench.scoring.ratios import Ratio, Ratios, fact, mean
from refseg.bench.types import Dataset, Predictions, ScoredItem, Video

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)


class PerSentence:
    """oIoU = sum of intersections over sum of unions; mIoU and P@K over sentences."""

    metrics = ("oIoU", "mIoU", *(f"P@{t}" for t in THRESHOLDS), *(f"P>{t}" for t in THRESHOLDS))

    def __init__(self, name: str) -> None:
        self.name = name

    def score_video(self, dataset: Dataset, video: Video, predictions: Predictions) -> list[ScoredItem]:
        """Score the sentences of one image; pixels of several frames count together."""
        items = []
        for expression in video.expressions:
            truth = with_target(dataset.ground_truth(video.id, expression.id), video, expression)
            masks = predictions.masks(video, expression)
            assert masks is not None, "the caller sees to missing predictions"
            counts = intersection_and_union(masks, truth.masks, truth.void)
            intersection, union = (int(c.sum()) for c in counts)
            iou = intersection / union if union else 0.0
            facts = {"intersection": intersection, "union": union}
            items.append(ScoredItem(video.id, expression.id, {"IoU": iou}, len(video), facts))
        return items

    def estimator(self, items: Sequence[ScoredItem]) -> Ratios:
        """Return the metrics as ratios of pixels and of sentences."""
        intersection, union = fact(items, "intersection"), fact(items, "union")
        iou = np.divide(intersection, union, out=np.zeros_like(union), where=union > 0)
        return Ratios(
            {"oIoU": [Ratio(intersection, union)], "mIoU": [mean(iou)]}
            | {f"P@{t}": [mean(iou >= t)] for t in THRESHOLDS}
            | {f"P>{t}": [mean(iou > t)] for t in THRESHOLDS}
        )

    def aggregate(self, items: Sequence[ScoredItem]) -> dict[str, float]:
        """Return the metrics in percent."""
        return self.estimator(items).metrics()


def build(name: str) -> PerSentence:
    """Build the protocol."""
    return PerSentence(name)
