"""The stages that baselines are composed of, each of which stands on its own.

They are local to the methods; the harness knows :class:`refseg.bench.types.Method` only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from refseg.bench.types import Expression, ImageArray, Video

Features = TypeVar("Features")


@dataclass(frozen=True)
class Detection:
    """The box that a sentence refers to in one frame.

    Attributes:
        box: (4,) float32 x0, y0, x1, y1 in pixels.
        score: The detector's confidence, 0..1.
        passed: False where it is only the best of boxes that all lie under the detector's threshold.
        phrase: The words that it was found by, where the detector tells them.
    """

    box: NDArray[np.float32]
    score: float
    passed: bool = True
    phrase: str = ""

    @property
    def extras(self) -> dict[str, Any]:
        """What is kept of it beside an expression's masks."""
        box = [float(v) for v in self.box]
        return {"box": box, "box_score": self.score, "box_passed": self.passed, "phrase": self.phrase}


class Detector(Protocol):
    """Finds the one box that each sentence refers to."""

    def detect(
        self, video: Video, frame: int, expressions: Sequence[Expression]
    ) -> Sequence[Detection | None]:
        """Return a detection per expression in one frame; None where there is none."""
        ...


@dataclass(frozen=True)
class Prompts:
    """B prompts of one kind for one image, in pixels of the image as it was given; None: not given.

    Attributes:
        points: (B, N, 2) x, y.
        labels: (B, N) 1 for a point on the object, 0 for one beside it.
        boxes: (B, 4) x0, y0, x1, y1.
        masks: (B, 1, s, s) low-resolution logits of an earlier answer.
    """

    points: NDArray[np.generic] | None = None
    labels: NDArray[np.generic] | None = None
    boxes: NDArray[np.generic] | None = None
    masks: Tensor | None = None


@dataclass(frozen=True)
class Answer:
    """What B prompts give: M masks each, 1 or, where several were asked for, 3.

    Attributes:
        logits: (B, M, H, W) at the image's size; a pixel is the object's where they are above 0.
        scores: (B, M) predicted IoU.
        low_res_logits: (B, M, s, s), to prompt with again.
    """

    logits: Tensor
    scores: Tensor
    low_res_logits: Tensor

    def best(self) -> Answer:
        """Return the mask of the highest score of each prompt: M = 1."""
        best = self.scores.argmax(1)
        at = (torch.arange(len(best), device=best.device), best)
        return Answer(self.logits[at][:, None], self.scores[at][:, None], self.low_res_logits[at][:, None])


class Promptable(Protocol[Features]):
    """Segments what a prompt points at; an image's features are made once and prompted as often as one likes."""

    def encode(self, image: ImageArray) -> Features:
        """Return the features of an (H, W, 3) RGB image."""
        ...

    def prompt(self, features: Features, prompts: Prompts, *, multimask: bool) -> Answer:
        """Return the masks of B prompts."""
        ...


class Tracker(Protocol):
    """Follows objects that are given in one frame through the frames after it.

    A tracker is one video's and online: after ``add_reference``, each frame is propagated, then remembered by
    ``update`` with the labels that were made of it.
    """

    def add_reference(self, frame: ImageArray, labels: NDArray[np.uint8]) -> None:
        """Take an (H, W, 3) RGB frame with (H, W) labels 1, 2, … of its objects, 0 for background."""
        ...

    def propagate(self, frame: ImageArray) -> Tensor:
        """Return float32 logits (1 + objects, H, W) of the next frame, background first; softmax over axis 0."""
        ...

    def update(self, labels: NDArray[np.uint8]) -> None:
        """Remember the frame that was propagated last, with its labels (H, W)."""
        ...
