"""PerSAM's procedure for videos (``persam_video.py``, ``persam_video_f.py``): masks of frame 0, then frame by frame.

Differences from the release, each a guard: areas are compared as they are and not modulo 256 (``area_overflow``
brings that back); an object that vanished is looked for by its points alone and keeps its number, where the
release gives the boxes of later objects to wrong ones; an empty mask between two passes ends that object's frame
and not the program.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from refseg.bench.types import BoolArray
from refseg.methods.boxes import tight_box
from refseg.methods.persam.passes import Passes, one_prompt, refined
from refseg.methods.persam.target import (
    VIDEO_LEVEL,
    Target,
    at_full_size,
    describe,
    extreme_points,
    similarity,
)
from refseg.methods.persam.weights import learn_mask_weights, weighted
from refseg.methods.sam.promptable import SamFeatures, SamPromptable
from refseg.methods.stages import Answer


@dataclass(frozen=True)
class VideoOptions:
    """The release's options.

    Attributes:
        top_points: How many of the most similar pixels are prompted with; None: 2, PerSAM-F 1.
        margin: Pixels that the box of the previous mask grows by on each side.
        area_overflow: Compare the areas of the first pass modulo 256, as the release does.
        finetune: PerSAM-F: weigh SAM's three masks by what frame 0 teaches.
        steps: PerSAM-F's training steps.
        learning_rate: PerSAM-F's, at the first step.
    """

    top_points: int | None = None
    margin: int = 10
    area_overflow: bool = False
    finetune: bool = False
    steps: int = 800
    learning_rate: float = 4e-4

    @property
    def points(self) -> int:
        """How many of the most similar pixels are prompted with."""
        return self.top_points or (1 if self.finetune else 2)


class PerSamVideo:
    """Follows one object.

    Args:
        sam: The network.
        options: See :class:`VideoOptions`.
        features: Frame 0's.
        mask: (H, W) the object in frame 0, not empty.
    """

    def __init__(
        self, sam: SamPromptable, options: VideoOptions, features: SamFeatures, mask: BoolArray
    ) -> None:
        self._sam, self._options = sam, options
        self.target: Target = describe(mask, features, level=VIDEO_LEVEL, peak=True)
        self.weights: Tensor | None = None
        if options.finetune:
            points, labels, box = self._prompts(features, mask)
            answer = sam.prompt(features, one_prompt(points, labels, box), multimask=True)
            self.weights = learn_mask_weights(
                answer.logits[0], mask, steps=options.steps, learning_rate=options.learning_rate
            )

    @torch.no_grad()
    def step(self, features: SamFeatures, previous: BoolArray) -> Passes:
        """Find the object in the next frame.

        Args:
            features: The frame's.
            previous: (H, W) what the object was in the frame before; may be empty.
        """
        points, labels, box = self._prompts(features, previous)
        first = self._sam.prompt(features, one_prompt(points, labels, box), multimask=True)
        if self.weights is None:
            prompt = first.low_res_logits[:, self._largest(first)][:, None]
            second = self._sam.prompt(features, one_prompt(points, labels, None, prompt), multimask=True)
            return refined(self._sam, features, Passes(points, labels, (first, second)))
        found = (weighted(first.logits[0], self.weights) > 0).cpu().numpy()
        if not found.any():
            # The weights' sum is 1 and each may be negative, so the release's factor can turn the order round.
            best = int((first.scores[0] * self.weights[0]).argmax())
            found = (first.logits[0, best] > 0).cpu().numpy()
        box = tight_box(found)
        if box is None:
            return Passes(points, labels, (first,))
        prompt = weighted(first.low_res_logits, self.weights)[:, None]
        second = self._sam.prompt(features, one_prompt(points, labels, box, prompt), multimask=True)
        return refined(self._sam, features, Passes(points, labels, (first, second)))

    def _prompts(
        self, features: SamFeatures, previous: BoolArray
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64] | None]:
        """Return the points, their labels, and the box of the previous mask with its margin.

        The points are the most similar pixels and, where there is a box, its centre.
        """
        similar = at_full_size(similarity(self.target, features), features.geometry)
        points = extreme_points(similar, self._options.points)
        box = enlarged_box(previous, self._options.margin)
        if box is not None:
            points = np.concatenate([points, [(box[:2] + box[2:]) // 2]])
        return points, np.ones(len(points), np.int64), box

    def _largest(self, answer: Answer) -> int:
        areas = (answer.logits[0] > 0).sum((-2, -1))
        return int((areas % 256 if self._options.area_overflow else areas).argmax())


def enlarged_box(mask: BoolArray, margin: int) -> NDArray[np.int64] | None:
    """Return x0, y0, x1, y1 of a mask grown by a margin, cut at 0 and at the width and height; None if empty."""
    box = tight_box(mask)
    if box is None:
        return None
    height, width = mask.shape
    grown = box + np.array([-margin, -margin, margin, margin])
    inside: NDArray[np.int64] = np.clip(grown, 0, [width, height, width, height])
    return inside


def compete(logits: Sequence[Tensor]) -> Tensor:
    """Return (K, H, W) bool: the pixels that each of K objects wins, the background having logit 0.

    Of equals the first wins, the background before all.
    """
    together = torch.stack([torch.zeros_like(logits[0]), *logits])
    winner = together.argmax(0)
    return torch.stack([winner == k + 1 for k in range(len(logits))])
