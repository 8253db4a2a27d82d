"""Every expression scored alone: no merge of objects, no matching; the mean over expressions.

``mevis/valid_u`` is the same mean as MeViS takes it (``tools/eval_mevis.py``): all frames, first and last included,
then all expressions pooled, and no void.
"""

from __future__ import annotations

from collections.abc import Sequence

from refseg.bench.errors import InputError
from refseg.bench.scoring.measures import Scores, boundary_measure, region_similarity
from refseg.bench.scoring.ratios import Ratios, means
from refseg.bench.types import BoolArray, Dataset, Expression, GroundTruth, Predictions, ScoredItem, Video


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
        for expression in video.expressions:
            truth = with_target(dataset.ground_truth(video.id, expression.id), video, expression)
            masks = predictions.masks(video, expression)
            assert masks is not None, "the caller sees to missing predictions"
            void = truth.void if self._void else None
            j = region_similarity(masks, truth.masks, void)
            f = boundary_measure(masks, truth.masks, void)
            scores = {"J&F": (j.mean() + f.mean()) / 2, "J": j.mean(), "F": f.mean()}
            scores |= self.more(masks, truth, j)
            floats = {name: float(value) for name, value in scores.items()}
            items.append(ScoredItem(video.id, expression.id, floats, len(video)))
        return items

    def more(self, masks: BoolArray, truth: GroundTruth, j: Scores) -> dict[str, float]:
        """Return a derived protocol's further scores of one expression.

        Args:
            masks: (T, H, W).
            truth: Of the same shape.
            j: (T,) J of each frame.
        """
        return {}

    def estimator(self, items: Sequence[ScoredItem]) -> Ratios:
        """Return the means over expressions."""
        return means(items, self.metrics)

    def aggregate(self, items: Sequence[ScoredItem]) -> dict[str, float]:
        """Return the means over expressions in percent."""
        return self.estimator(items).metrics()


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
    return PerExpression(name, void=not name.startswith("mevis/"))
