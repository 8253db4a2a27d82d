"""Boxes of masks, and masks in boxes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from refseg.bench.types import BoolArray
from refseg.methods.stages import Answer, Features, Promptable, Prompts

BOXES_AT_ONCE = 16
"""Boxes that are prompted with together; bounds the memory of their masks at full size."""

BoxPrompt = Literal["single", "best", "twice"]
"""One mask a box; three, of which the highest score counts; or these, and three again with the best one's logits."""


@dataclass(frozen=True)
class BoxMasks:
    """Masks (B, H, W) in B boxes with their probabilities (B, H, W) float16 and predicted IoU (B,) float32."""

    masks: BoolArray
    probabilities: NDArray[np.float16]
    scores: NDArray[np.float32]


def tight_box(mask: BoolArray) -> NDArray[np.int64] | None:
    """Return (4,) x0, y0, x1, y1 of an (H, W) mask's outermost pixels, both ends included; None where it is empty."""
    columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    if not len(columns):
        return None
    return np.array([columns[0], rows[0], columns[-1], rows[-1]])


def masks_in_boxes(
    stage: Promptable[Features], features: Features, boxes: NDArray[np.generic], prompt: BoxPrompt
) -> BoxMasks:
    """Return the mask in each of B boxes.

    Args:
        stage: A SAM or the like.
        features: The image's.
        boxes: (B, 4) x0, y0, x1, y1 in pixels, B at least 1.
        prompt: See :data:`BoxPrompt`.
    """
    masks, probabilities, scores = [], [], []
    for i in range(0, len(boxes), BOXES_AT_ONCE):
        answer = _answered(stage, features, boxes[i : i + BOXES_AT_ONCE], prompt)
        logits = answer.logits[:, 0]
        masks.append((logits > 0).cpu().numpy())
        probabilities.append(logits.sigmoid().half().cpu().numpy())
        scores.append(answer.scores[:, 0].cpu().numpy())
    return BoxMasks(np.concatenate(masks), np.concatenate(probabilities), np.concatenate(scores))


def _answered(
    stage: Promptable[Features], features: Features, boxes: NDArray[np.generic], prompt: BoxPrompt
) -> Answer:
    if prompt == "single":
        return stage.prompt(features, Prompts(boxes=boxes), multimask=False)
    best = stage.prompt(features, Prompts(boxes=boxes), multimask=True).best()
    if prompt == "best":
        return best
    again = Prompts(boxes=boxes, masks=best.low_res_logits)
    return stage.prompt(features, again, multimask=True).best()
