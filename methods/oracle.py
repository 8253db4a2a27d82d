"""Oracle stages: what a composed method would do if one of its stages were perfect."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from refseg.bench.errors import InputError
from refseg.bench.types import BoolArray, Dataset, Expression, Video
from refseg.methods.boxes import tight_box
from refseg.methods.stages import Detection


class Truth:
    """The dataset's masks, once it is bound."""

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._dataset: Dataset | None = None

    def bind(self, dataset: Dataset) -> None:
        """Take the dataset whose truth is looked at."""
        self._dataset = dataset

    def mask(self, video: Video, frame: int, expression: Expression) -> BoolArray:
        """Return the (H, W) true mask of an expression in one frame.

        Raises:
            InputError: The split's labels are hidden.
        """
        assert self._dataset is not None, "bind comes first"
        truth = self._dataset.ground_truth(video.id, expression.id)
        if truth is None:
            raise InputError(
                f"The labels of {self._dataset.info.name} {self._dataset.info.split} are hidden, so {self._owner} "
                "has no oracle; choose another --split, or no oracle stage."
            )
        mask: BoolArray = truth.masks[frame].astype(bool)
        return mask


class OracleDetector:
    """Finds the tight box of the true mask; nothing where the object is out of sight."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth

    def detect(
        self, video: Video, frame: int, expressions: Sequence[Expression]
    ) -> Sequence[Detection | None]:
        """Return the true box per expression."""
        boxes = [tight_box(self._truth.mask(video, frame, e)) for e in expressions]
        return [None if box is None else Detection(box.astype(np.float32), 1.0) for box in boxes]
