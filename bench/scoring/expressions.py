"""Counts of every expression of a video: what all measures of masks that are scored alone are made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from refseg.bench.errors import InputError
from refseg.bench.layouts.png import VOID
from refseg.bench.scoring.compiled import Ints
from refseg.bench.scoring.frames import each_frame, mask_frames
from refseg.bench.scoring.packed import (
    Count,
    Scores,
    bound_pixels,
    boundary_from,
    count_pairs,
    region_from,
    stack,
)
from refseg.bench.scoring.truth import Truth, expression_truths
from refseg.bench.types import Dataset, Expression, Predictions, Video


@dataclass(frozen=True)
class ExpressionCounts:
    """What was counted of one expression's prediction (a) and truth (b).

    Attributes:
        expression: Which.
        counts: (T, 7) by :class:`refseg.bench.scoring.packed.Count`.
    """

    expression: Expression
    counts: Ints

    @property
    def j(self) -> Scores:
        """(T,) region similarity."""
        return region_from(self.counts)

    @property
    def f(self) -> Scores:
        """(T,) boundary measure."""
        return boundary_from(self.counts)

    @property
    def intersection(self) -> Ints:
        """(T,) pixels in both masks."""
        return self.counts[:, Count.BOTH]

    @property
    def union(self) -> Ints:
        """(T,) pixels in either mask."""
        return self.predicted + self.true - self.intersection

    @property
    def predicted(self) -> Ints:
        """(T,) pixels of the prediction."""
        return self.counts[:, Count.A]

    @property
    def true(self) -> Ints:
        """(T,) pixels of the truth."""
        return self.counts[:, Count.B]


def count_expressions(
    dataset: Dataset, video: Video, predictions: Predictions, *, void: bool = True
) -> list[ExpressionCounts]:
    """Count the masks of all expressions of a video against their truth, frame by frame.

    Args:
        dataset: With public labels.
        video: Whose expressions are counted.
        predictions: Their masks.
        void: Leave void pixels out; else they are background.

    Raises:
        InputError: Labels are hidden, a prediction cannot be read, or an expression names objects that no frame
            shows: an empty answer would score 100 there.
    """
    truths = expression_truths(dataset, video)
    frames = [mask_frames(predictions, video, e) for e in video.expressions]
    # Several annotators' sentences name one object, whose masks are packed once.
    row_of: dict[Truth, int] = {}
    pairs = np.array([(k, row_of.setdefault(t, len(row_of))) for k, t in enumerate(truths)], np.int64)
    radius = bound_pixels(*video.size)

    def count(t: int) -> Ints:
        predicted = []
        for read, truth in zip(frames, truths, strict=True):
            assert read is not None, "the caller sees to missing predictions"
            labels, masks = truth.frames(t), read(t)
            predicted.append(masks.without(labels.of(VOID)) if void and VOID in labels.ids else masks)
        true = [truth.frames(t).of(*truth.ids) for truth in row_of]
        return count_pairs(stack(predicted, video.size), stack(true, video.size), pairs, radius)

    if not truths:
        return []
    counts = np.stack(list(each_frame(count, range(len(video)))), axis=1)
    for expression, mine in zip(video.expressions, counts, strict=True):
        if expression.object_ids and not mine[:, Count.B].any():
            raise InputError(
                f"The truth of {video.id}/{expression.id} is empty in every frame although it refers to object "
                f"{', '.join(expression.object_ids)}; an empty answer would score 100, so check the annotations."
            )
    return [ExpressionCounts(e, c) for e, c in zip(video.expressions, counts, strict=True)]
