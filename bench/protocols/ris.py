"""Referring image segmentation: overall IoU, mean IoU and precision at IoU thresholds, over sentences.

As in LAVT's ``test.py``: P@K counts IoU >= K (MTTR counts > K), and where neither mask has a pixel the IoU is 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from refseg.bench.scoring.expressions import count_expressions
from refseg.bench.types import Dataset, Predictions, ScoredItem, Video

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)


class PerSentence:
    """oIoU = sum of intersections over sum of unions; mIoU and P@K over sentences."""

    metrics = ("oIoU", "mIoU", *(f"P@{t}" for t in THRESHOLDS))

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

    def aggregate(self, items: Sequence[ScoredItem]) -> dict[str, float]:
        """Return the metrics in percent."""
        ious = np.array([i.scores["IoU"] for i in items])
        union = sum(i.extra["union"] for i in items)
        overall = sum(i.extra["intersection"] for i in items) / union if union else 0.0
        precisions = {f"P@{t}": 100 * float(np.mean(ious >= t)) for t in THRESHOLDS}
        return {"oIoU": 100 * overall, "mIoU": 100 * float(ious.mean()), **precisions}


def build(name: str) -> PerSentence:
    """Build the protocol."""
    return PerSentence(name)
