"""A dataset narrowed to some of its videos: what remains to be scored after ``--limit`` or failures."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from refseg.bench.types import Dataset, GroundTruth, LabelledDataset, Video, framewise


class Subset:
    """Some videos of a dataset, in its order."""

    def __init__(self, dataset: Dataset, video_ids: Collection[str]) -> None:
        self._dataset, self._ids = dataset, frozenset(video_ids)
        self.info = dataset.info
        self.framewise = framewise(dataset)

    def videos(self) -> Sequence[Video]:
        """Return the videos that are left."""
        return [v for v in self._dataset.videos() if v.id in self._ids]

    def ground_truth(self, video_id: str, expression_id: str) -> GroundTruth | None:
        """Return the truth as the whole dataset gives it."""
        return self._dataset.ground_truth(video_id, expression_id)


class _LabelledSubset(Subset):
    def __init__(self, dataset: Dataset, labelled: LabelledDataset, video_ids: Collection[str]) -> None:
        super().__init__(dataset, video_ids)
        self._labelled = labelled

    def label_maps(self, video_id: str) -> NDArray[np.uint8]:
        return self._labelled.label_maps(video_id)


def subset(dataset: Dataset, video_ids: Collection[str]) -> Dataset:
    """Return a dataset with only these videos; it has label maps exactly where the whole one has."""
    if isinstance(dataset, LabelledDataset):
        return _LabelledSubset(dataset, dataset, video_ids)
    return Subset(dataset, video_ids)
