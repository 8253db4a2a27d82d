"""ReVOS: J, F, accuracy A and robustness R, averaged over referring and reasoning sentences apart.

As in VISA's ``tools/eval_revos.py`` and ``tools/metrics.py``, with what published numbers hold:

- A and R compare the stored values of PNG files. Where masks are 0 and 255, as most tools write them, a foreground
  pixel never equals the truth's 1, and a false pixel counts 255 times. ``A`` and ``R`` take masks as 0 and 1, which is
  what the definitions mean; ``A-255`` and ``R-255`` are the official tool's numbers for files of 0 and 255.
- The truth is a sum of annotations in 8 bits: where two overlap it is 2, which no mask equals (A), and ``1 - 2`` is 255
  (R).
- Each sentence's scores are rounded to two decimals of a percent before they are averaged.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from refseg.bench.errors import InputError
from refseg.bench.scoring.expressions import count_expressions
from refseg.bench.scoring.ratios import Ratio, Ratios, mean, score
from refseg.bench.types import BoolArray, Dataset, Expression, Predictions, ScoredItem, Video

KINDS = ("referring", "reasoning")
"""Sentences that count, by their attribute ``type``; any other is scored and left out of the averages."""

_PARTS = ("J", "F", "A", "R", "A-255", "R-255")


class ReVos:
    """The plain mean of the two kinds' means, whatever their numbers of sentences; of one where the other is absent."""

    metrics = ("J&F", *_PARTS)

    def __init__(self, name: str) -> None:
        self.name = name

    def score_video(self, dataset: Dataset, video: Video, predictions: Predictions) -> list[ScoredItem]:
        """Score the expressions of one video.

        Raises:
            InputError: The dataset does not give the foreground of the video or the type of a sentence.
        """
        items = []
        for counted in count_expressions(dataset, video, predictions, void=False):
            expression = counted.expression
            kind, truth = _kind(video, expression), dataset.ground_truth(video.id, expression.id)
            if truth is None or truth.foreground is None:
                raise InputError(
                    f"{self.name} needs the mask of all annotated objects of {video.id} (GroundTruth.foreground), "
                    f"which {dataset.info.name} does not give; choose another --protocol."
                )
            masks = predictions.masks(video, expression)
            assert masks is not None, "the caller sees to missing predictions"
            layers = truth.masks.view(np.uint8) if truth.layers is None else truth.layers
            scores = {
                "J": counted.j,
                "F": counted.f,
                "A": accuracy(masks, layers, 1),
                "R": robustness(masks, layers, truth.foreground, 1),
                "A-255": accuracy(masks, layers, 255),
                "R-255": robustness(masks, layers, truth.foreground, 255),
            }
            rounded = {name: round(100 * float(values.mean()), 2) / 100 for name, values in scores.items()}
            both = (float(scores["J"].mean()) + float(scores["F"].mean())) / 2
            rounded = {"J&F": round(100 * both, 2) / 100} | rounded
            items.append(ScoredItem(video.id, expression.id, rounded, len(video), {"type": kind}))
        return items

    def estimator(self, items: Sequence[ScoredItem]) -> Ratios:
        """Return the means of the two kinds' means; J&F is that of J and of F."""
        of_kind = [np.array([item.extra["type"] == kind for item in items]) for kind in KINDS]
        parts: dict[str, list[Ratio]] = {
            name: [mean(score(items, name), among) for among in of_kind] for name in _PARTS
        }
        return Ratios({"J&F": [*parts["J"], *parts["F"]]} | parts)

    def aggregate(self, items: Sequence[ScoredItem]) -> dict[str, float]:
        """Return the metrics in percent.

        Raises:
            InputError: No sentence is of a kind that counts.
        """
        metrics = self.estimator(items).metrics()
        if not metrics:
            raise InputError(
                f"{self.name} averages {' and '.join(KINDS)} sentences, and there is none of either."
            )
        return metrics


def accuracy(masks: BoolArray, layers: NDArray[np.uint8], value: int) -> NDArray[np.float64]:
    """Return the share of pixels in each frame whose stored values are equal, (T,).

    Args:
        masks: (T, H, W).
        layers: (T, H, W) how many annotations hold a pixel.
        value: What a mask's pixel is in the file, 1 or 255.
    """
    shares: NDArray[np.float64] = np.mean(layers == _stored(masks, value), axis=(1, 2))
    return shares


def robustness(
    masks: BoolArray, layers: NDArray[np.uint8], foreground: NDArray[np.uint8], value: int
) -> NDArray[np.float64]:
    """Return 1 - false pixels / pixels of all annotated objects in each frame, not below 0, (T,).

    The products are 8-bit, as officially. Arguments are those of :func:`accuracy`, and (T, H, W) how many of the
    video's annotated objects hold a pixel.
    """
    # Each product wraps by itself: (1 - 2) * 255 is 1.
    false = ((np.uint8(1) - layers) * _stored(masks, value)).sum(axis=(1, 2), dtype=np.int64)
    shares: NDArray[np.float64] = np.maximum(
        1 - false / (foreground.sum(axis=(1, 2), dtype=np.int64) + 1e-6), 0
    )
    return shares


def _stored(masks: BoolArray, value: int) -> NDArray[np.uint8]:
    return masks.view(np.uint8) * np.uint8(value)


def _kind(video: Video, expression: Expression) -> str:
    kind = expression.attributes.get("type")
    if not isinstance(kind, str):
        raise InputError(
            f'Expression {expression.id} of {video.id} has no attribute "type"; ReVOS averages '
            f"{' and '.join(KINDS)} sentences apart, so choose another --protocol."
        )
    return kind


def build(name: str) -> ReVos:
    """Build the protocol."""
    return ReVos(name)
