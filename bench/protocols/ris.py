"""Referring image segmentation: overall IoU, mean IoU and precision at IoU thresholds, over sentences.

As in LAVT's ``test.py``: ``P@K`` counts IoU >= K, and where neither mask has a pixel the IoU is 0. ``P>K`` is the
strict count of other repositories (``metrics.py`` of MTTR).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from refseg.bench.scoring.expressions import count_expressions
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
        for counted in count_expressions(dataset, video, predictions):
            intersection, union = int(counted.intersection.sum()), int(counted.union.sum())
            iou = intersection / union if union else 0.0
            facts = {"intersection": intersection, "union": union}
            items.append(ScoredItem(video.id, counted.expression.id, {"IoU": iou}, len(video), facts))
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
