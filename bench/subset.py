"""A dataset narrowed to some of its videos (after ``--limit`` or failures), and how much of a split that is."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

from refseg.bench.errors import unknown_name
from refseg.bench.types import Dataset, GroundTruth, LabelledDataset, Video, framewise


class Chosen(Sequence[Video]):
    """Videos at some places of others, which may be made when they are asked for."""

    def __init__(self, videos: Sequence[Video], places: Sequence[int]) -> None:
        self._videos, self._places = videos, places

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> Video: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Video]: ...

    def __getitem__(self, index: int | slice) -> Video | Sequence[Video]:
        if isinstance(index, slice):
            return Chosen(self._videos, self._places[index])
        return self._videos[self._places[index]]


class Subset:
    """Some videos of a dataset, in its order."""

    def __init__(self, dataset: Dataset, video_ids: Collection[str]) -> None:
        self._dataset, self._ids = dataset, frozenset(video_ids)
        self._places: list[int] | None = None
        self.info = dataset.info
        self.framewise = framewise(dataset)

    def videos(self) -> Sequence[Video]:
        """Return the videos that are left."""
        whole = self._dataset.videos()
        # Asked for once a video, so that looking for them anew would take the square of their number.
        if self._places is None:
            self._places = [i for i, v in enumerate(whole) if v.id in self._ids]
        return Chosen(whole, self._places)

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
