"""The prompts that PerSAM's procedures share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from refseg.methods.boxes import tight_box
from refseg.methods.sam.promptable import SamFeatures, SamPromptable
from refseg.methods.stages import Answer, Prompts


@dataclass(frozen=True)
class Passes:
    """A procedure's steps on one image and object.

    Attributes:
        points: (N, 2) x, y of the point prompts.
        labels: (N,) 1 on the object, 0 beside it.
        answers: SAM's answer of each pass; the last is missing where the one before found nothing.
    """

    points: NDArray[np.int64]
    labels: NDArray[np.int64]
    answers: tuple[Answer, ...]

    @property
    def result(self) -> Answer:
        """The mask of the highest score of the last pass (one prompt, one mask)."""
        return self.answers[-1].best()


def one_prompt(
    points: NDArray[np.int64],
    labels: NDArray[np.int64],
    box: NDArray[np.int64] | None = None,
    mask: Tensor | None = None,
) -> Prompts:
    """Return a batch of one prompt: (N, 2) points, (N,) labels, (4,) box, (1, 1, s, s) logits."""
    return Prompts(points[None], labels[None], None if box is None else box[None], mask)


def refined(sam: SamPromptable, features: SamFeatures, passes: Passes) -> Passes:
    """Add the last pass: the points, the tight box of the last answer's best mask, and its logits.

    Where that mask is empty there is no box, and the steps stay as they are. The release stops with an error.
    """
    best = passes.result
    box = tight_box((best.logits[0, 0] > 0).cpu().numpy())
    if box is None:
        return passes
    prompts = one_prompt(passes.points, passes.labels, box, best.low_res_logits)
    answer = sam.prompt(features, prompts, multimask=True)
    return Passes(passes.points, passes.labels, (*passes.answers, answer))
