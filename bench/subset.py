"""A dataset narrowed to some of its videos (after ``--limit`` or failures), and how much of a split that is."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from refseg.bench.errors import unknown_name
from refseg.bench.types import Dataset, GroundTruth, LabelledDataset, Video, framewise


class Subset:
    """Some videos of a dataset, or parts of them."""

    def __init__(self, dataset: Dataset, videos: Sequence[Video]) -> None:
        self._dataset, self._videos = dataset, videos
        self.info = dataset.info
        self.framewise = framewise(dataset)

    def videos(self) -> Sequence[Video]:
        """Return the videos that are left."""
        return self._videos

    def ground_truth(self, video_id: str, expression_id: str) -> GroundTruth | None:
        """Return the truth as the whole dataset gives it."""
        return self._dataset.ground_truth(video_id, expression_id)


class _LabelledSubset(Subset):
    def __init__(self, dataset: Dataset, labelled: LabelledDataset, videos: Sequence[Video]) -> None:
        super().__init__(dataset, videos)
        self._labelled = labelled

    def label_maps(self, video_id: str) -> NDArray[np.uint8]:
        return self._labelled.label_maps(video_id)


def subset(dataset: Dataset, videos: Sequence[Video]) -> Dataset:
    """Return a dataset of these of its videos alone; it has label maps exactly where the whole one has.

    Args:
        dataset: The whole.
        videos: Its videos, in its order; one may have lost some of its expressions.
    """
    if isinstance(dataset, LabelledDataset):
        return _LabelledSubset(dataset, dataset, videos)
    return Subset(dataset, videos)


def places_of_ids(dataset: Dataset, video_ids: Collection[str]) -> list[int]:
    """Return where named videos stand in a dataset, in its order.

    Raises:
        InputError: It has no such video.
    """
    of_id = {video.id: place for place, video in enumerate(dataset.videos())}
    for ident in video_ids:
        if ident not in of_id:
            raise unknown_name(f"video of {dataset.info.name} {dataset.info.split}", ident, of_id)
    return sorted(of_id[ident] for ident in video_ids)


def coverage(dataset: Dataset, videos: Sequence[Video]) -> dict[str, list[int]]:
    """Return what some videos are short of the published split: ``{"videos": [2, 30], "frames": [5, 1999]}``.

    Empty where nothing is missing. Where no count is published, the videos of the copy at hand count as the split.
    """
    info = dataset.info
    counts = {
        "videos": (len(videos), max(info.expected_videos or 0, len(dataset.videos()))),
        "expressions": (sum(len(v.expressions) for v in videos), info.expected_expressions or 0),
        "frames": (sum(len(v) for v in videos), info.expected_frames or 0),
    }
    return {name: [found, whole] for name, (found, whole) in counts.items() if found < whole}
