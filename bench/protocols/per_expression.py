"""Every expression scored alone: no merge of objects, no matching; the mean over expressions.

``mevis/valid_u`` is the same mean as MeViS takes it (``tools/eval_mevis.py``): all frames, first and last included,
then all expressions pooled, and no void.
"""

from __future__ import annotations

from collections.abc import Sequence

from refseg.bench.scoring.expressions import ExpressionCounts, count_expressions
from refseg.bench.scoring.ratios import Ratios, means
from refseg.bench.types import Dataset, Predictions, ScoredItem, Video


class PerExpression:
    """J and F of each expression's masks over all frames of its video, averaged over expressions.

    As Refer-YouTube-VOS is scored from its published labels. An expression without a target scores 1 in every
    frame that is left empty.

    Args:
        name: The protocol's name.
        void: Leave out the pixels that the truth marks as void.
    """

    metrics: tuple[str, ...] = ("J&F", "J", "F")

    def __init__(self, name: str, *, void: bool = True) -> None:
        self.name, self._void = name, void

    def score_video(self, dataset: Dataset, video: Video, predictions: Predictions) -> list[ScoredItem]:
        """Score the expressions of one video."""
        items = []
        for counted in count_expressions(dataset, video, predictions, void=self._void):
            j, f = float(counted.j.mean()), float(counted.f.mean())
            scores = {"J&F": (j + f) / 2, "J": j, "F": f} | self.more(counted)
            items.append(ScoredItem(video.id, counted.expression.id, scores, len(video)))
        return items

    def more(self, counted: ExpressionCounts) -> dict[str, float]:
        """Return a derived protocol's further scores of one expression."""
        return {}

    def estimator(self, items: Sequence[ScoredItem]) -> Ratios:
        """Return the means over expressions."""
        return means(items, self.metrics)

    def aggregate(self, items: Sequence[ScoredItem]) -> dict[str, float]:
        """Return the means over expressions in percent."""
        return self.estimator(items).metrics()


def build(name: str) -> PerExpression:
    """Build the protocol under one of its names."""
    return PerExpression(name, void=not name.startswith("mevis/"))
