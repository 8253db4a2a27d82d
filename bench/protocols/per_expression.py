"""Every expression scored alone: no merge of objects, no matching; the mean over expressions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from refseg.bench.errors import InputError
from refseg.bench.scoring.measures import boundary_measure, region_similarity
from refseg.bench.types import Dataset, Expression, GroundTruth, Predictions, ScoredItem, Video


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
        for expression in video.expressions:
            truth = dataset.ground_truth(video.id, expression.id)
            masks = predictions.masks(video, expression)
            assert masks is not None, "the caller sees to missing predictions"
            truth = with_target(truth, video, expression)
            j = float(region_similarity(masks, truth.masks, truth.void).mean())
            f = float(boundary_measure(masks, truth.masks, truth.void).mean())
            items.append(
                ScoredItem(video.id, expression.id, {"J&F": (j + f) / 2, "J": j, "F": f}, len(video))
            )
        return items

    def aggregate(self, items: Sequence[ScoredItem]) -> dict[str, float]:
        """Return the means over expressions in percent."""
        return {m: 100 * float(np.mean([i.scores[m] for i in items])) for m in self.metrics}


def with_target(truth: GroundTruth | None, video: Video, expression: Expression) -> GroundTruth:
    """Return the truth of an expression.

    Raises:
        InputError: It is hidden, or names objects that no frame shows: an empty answer would score 100 there.
    """
    if truth is None:
        raise InputError(
            f"The labels of {video.id}/{expression.id} are hidden; score a split with public labels."
        )
    if expression.object_ids and not truth.masks.any():
        raise InputError(
            f"The truth of {video.id}/{expression.id} is empty in every frame although it refers to object "
            f"{', '.join(expression.object_ids)}; an empty answer would score 100, so check the annotations."
        )
    return truth


def build(name: str) -> PerExpression:
    """Build the protocol under one of its names."""
    return PerExpression(name)
