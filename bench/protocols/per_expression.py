"""Every expression scored alone: no merge of objects, no matching; the mean over expressions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from refseg.bench.scoring.expressions import count_expressions
from refseg.bench.types import Dataset, Predictions, ScoredItem, Video


class PerExpression:
    """J and F of each expression's masks over all frames of its video, averaged over expressions.

    As Refer-YouTube-VOS is scored from its published labels. An expression without a target scores 1 in every
    frame that is left empty.
    """

    metrics = ("J&F", "J", "F")

    def __init__(self, name: str) -> None:
        self.name = name

    def score_video(self, dataset: Dataset, video: Video, predictions: Predictions) -> list[ScoredItem]:
        """Score the expressions of one video."""
        items = []
        for counted in count_expressions(dataset, video, predictions):
            j, f = float(counted.j.mean()), float(counted.f.mean())
            scores = {"J&F": (j + f) / 2, "J": j, "F": f}
            items.append(ScoredItem(video.id, counted.expression.id, scores, len(video)))
        return items

    def aggregate(self, items: Sequence[ScoredItem]) -> dict[str, float]:
        """Return the means over expressions in percent."""
        return {m: 100 * float(np.mean([i.scores[m] for i in items])) for m in self.metrics}


def build(name: str) -> PerExpression:
    """Build the protocol under one of its names."""
    return PerExpression(name)
