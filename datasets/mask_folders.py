"""Videos whose truth is a folder of 0/255 PNGs for each object or expression: Long-RVOS, masks of a server's form."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from refseg.bench.errors import DataError, Fault
from refseg.bench.layouts.names import safe_id
from refseg.bench.types import BoolArray, GroundTruth, Video
from refseg.datasets.images import read_mask
from refseg.datasets.metadata import Sentence
from refseg.datasets.videos import VideoDataset, empty, file_sizes, missing


class MaskFolderDataset(VideoDataset):
    """A split with masks in ``<labels>/<video>/<object or expression>/<frame>.png``.

    Args:
        labels: Folder of the truth; None where labels are hidden.
        by_object: The folder is named by the object, else by the expression.
        sparse: A frame without a file shows nothing of the object; else every frame must have its file.
    """

    def __init__(self, *args: Any, labels: str | None, by_object: bool, sparse: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._labels, self._by_object, self._sparse = labels, by_object, sparse

    def ground_truth(self, video_id: str, expression_id: str) -> GroundTruth | None:
        """Return the masks of an expression.

        Raises:
            InputError: A mask is bad or missing, or no frame shows the object.
        """
        _, sentence = self._find(video_id, expression_id)
        folder = self._folder(video_id, sentence)
        if folder is None:
            return None
        video = self._videos.by_id(video_id)
        present = file_sizes(self._root / folder)
        masks = np.zeros((len(video), *video.size), bool)
        for i, frame_id in enumerate(video.frame_ids):
            if not self._sparse or f"{frame_id}.png" in present:
                masks[i] = self._mask(folder, frame_id, video)
        if not masks.any():
            raise DataError(self._nowhere(folder, video_id, sentence))
        return GroundTruth(masks)

    def _folder(self, video_id: str, sentence: Sentence) -> str | None:
        if self._labels is None:
            return None
        if not self._by_object:
            return f"{self._labels}/{video_id}/{sentence.id}"
        if not sentence.object_ids:
            return None
        name = safe_id(
            sentence.object_ids[0], what="object id", where=f"expression {sentence.id} of {video_id}"
        )
        return f"{self._labels}/{video_id}/{name}"

    def _mask(self, folder: str, frame_id: str, video: Video) -> BoolArray:
        return read_mask(self._root, f"{folder}/{frame_id}.png", video.size)

    def _folders(self, video: Video) -> dict[str, Sentence]:
        """Return the folders of a video's truth, each with the first sentence about it."""
        out: dict[str, Sentence] = {}
        for sentence in self._entries[video.id].sentences:
            folder = self._folder(video.id, sentence)
            if folder is not None:
                out.setdefault(folder, sentence)
        return out

    def _truth_files(self, video: Video) -> str:
        return "\n".join(f"{f} {sorted(file_sizes(self._root / f).items())}" for f in self._folders(video))

    def _truth_faults(self, video: Video, *, quick: bool) -> Iterator[Fault]:
        for folder, sentence in self._folders(video).items():
            sizes = file_sizes(self._root / folder)
            if not sizes:
                yield missing(self._root, folder)
                continue
            seen = bad = False
            for frame_id in video.frame_ids:
                name, fault = f"{folder}/{frame_id}.png", None
                if f"{frame_id}.png" not in sizes:
                    fault = None if self._sparse else missing(self._root, name)
                elif sizes[f"{frame_id}.png"] == 0:
                    fault = empty(self._root, name)
                elif not quick:
                    try:
                        seen |= bool(self._mask(folder, frame_id, video).any())
                    except DataError as error:
                        fault = error.fault
                if fault is not None:
                    bad = True
                    yield fault
            if not (quick or bad or seen):
                yield self._nowhere(folder, video.id, sentence)

    def _nowhere(self, folder: str, video_id: str, sentence: Sentence) -> Fault:
        text = (
            f"No mask in {folder} in {self._root} has a pixel, although expression {sentence.id} of video "
            f"{video_id} refers to it, so an empty answer would score 100; copy the folder again."
        )
        return Fault("truth", folder, text)
