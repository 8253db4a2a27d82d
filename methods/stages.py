"""The stages that baselines are composed of, each of which stands on its own.

They are local to the methods; the harness knows :class:`refseg.bench.types.Method` only.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from refseg.bench.types import ImageArray


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
