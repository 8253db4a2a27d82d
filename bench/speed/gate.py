"""The accuracy gate: a speed counts only where the masks are still those of the float32 reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from refseg.bench.scoring.measures import region_and_boundary, region_similarity
from refseg.bench.speed.passes import Work
from refseg.bench.types import BoolArray, Dataset

LEAST = 0.999
"""Of the reference's J&F, or of its masks as IoU where there is no truth."""

Masks = Sequence[Sequence[BoolArray]]
"""(K, H, W) of every frame of every video."""


def gate(dataset: Dataset, work: Work, found: Masks, reference: Masks) -> dict[str, Any]:
    """Compare masks with the reference's, on the frames that were measured.

    Returns:
        ``passed`` with what it rests on (``by``): ``J&F`` in percent of both sides where all truth is there, and
        always ``iou_to_reference``, the mean over masks (two empty ones agree).
    """
    ious, mine, theirs = [], [], []
    for (video, expressions), a, b in zip(work, found, reference, strict=True):
        for k, expression in enumerate(expressions):
            own, other = (np.stack([frame[k] for frame in masks]) for masks in (a, b))
            ious += list(region_similarity(own, other))
            truth = dataset.ground_truth(video.id, expression.id)
            if truth is not None:
                labels = truth.masks[: len(own)]
                void = None if truth.void is None else truth.void[: len(own)]
                mine.append(_j_and_f(own, labels, void))
                theirs.append(_j_and_f(other, labels, void))
    iou = float(np.mean(ious))
    result: dict[str, Any] = {"least": LEAST, "iou_to_reference": iou, "by": "mask IoU to the reference"}
    kept = iou
    if len(mine) == sum(len(expressions) for _, expressions in work):
        score, wanted = float(np.mean(mine)), float(np.mean(theirs))
        kept = 1.0 if wanted == 0 else score / wanted
        result |= {"by": "J&F", "J&F": 100 * score, "J&F_reference": 100 * wanted}
    return result | {"kept": kept, "passed": bool(kept >= LEAST)}


def _j_and_f(masks: BoolArray, truth: BoolArray, void: BoolArray | None) -> float:
    j, f = region_and_boundary(masks, truth, void)
    return float((np.mean(j) + np.mean(f)) / 2)
