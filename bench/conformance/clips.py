"""Short videos cut from a dataset's: of other sizes and lengths, with another future, repeated until they are long."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from refseg.bench.errors import InputError
from refseg.bench.types import Dataset, Expression, GroundTruth, ImageArray, Video

FRAMES = 4
"""Frames of a clip."""

EXPRESSIONS = 3
"""Sentences of a clip."""


@dataclass(frozen=True)
class Cut:
    """How a clip is made of a video.

    Attributes:
        source: Id of the dataset's video.
        frames: Indices of the video's frames, in the clip's order; may repeat.
        id: The clip's id; the video's own unless another one is given.
        crop: Rows and columns that are cut off at the bottom and on the right.
        changed_from: Frames from this one on are shown in negative colours; None: none.
        texts: Other sentences than the video's; None: its own.
    """

    source: str
    frames: tuple[int, ...]
    id: str = ""
    crop: tuple[int, int] = (0, 0)
    changed_from: int | None = None
    texts: tuple[str, ...] | None = None


class Clips:
    """A dataset of clips; truth and frames are cut alike, so that methods that look at the truth work on it."""

    def __init__(self, dataset: Dataset, cuts: Sequence[Cut]) -> None:
        self._dataset = dataset
        self._cuts = {cut.id or cut.source: cut for cut in cuts}
        sources = {v.id: v for v in dataset.videos()}
        self._videos = {name: _clip(sources[cut.source], name, cut) for name, cut in self._cuts.items()}
        # The counts and the fingerprint of the whole split do not hold for clips of it.
        self.info = replace(
            dataset.info,
            fingerprint=f"clips of {dataset.info.fingerprint}",
            expected_videos=None,
            expected_expressions=None,
            expected_objects=None,
            expected_frames=None,
        )

    def videos(self) -> Sequence[Video]:
        """Return the clips."""
        return list(self._videos.values())

    def video(self, name: str) -> Video:
        """Return one clip."""
        return self._videos[name]

    def ground_truth(self, video_id: str, expression_id: str) -> GroundTruth | None:
        """Return the truth of the clip's frames and pixels."""
        cut, (height, width) = self._cuts[video_id], self._videos[video_id].size
        truth = self._dataset.ground_truth(cut.source, expression_id)
        if truth is None:
            return None
        frames = list(cut.frames)
        void = None if truth.void is None else truth.void[frames, :height, :width]
        return GroundTruth(truth.masks[frames, :height, :width], void)


def sources_of(dataset: Dataset, count: int) -> list[Video]:
    """Return the first videos that clips can be cut from: of some length, with several sentences.

    Raises:
        InputError: The dataset has too few.
    """
    found = [v for v in dataset.videos() if len(v) >= FRAMES and len(v.expressions) >= 2][:count]
    if len(found) < count:
        info = dataset.info
        raise InputError(
            f"{info.name} {info.split} has {len(found)} videos of {FRAMES} frames and 2 sentences or more; {count} "
            "are needed to check a method on; choose another --dataset or --split."
        )
    return found


def watched(video: Video) -> tuple[Video, Callable[[], list[int]]]:
    """Return a video, and a function that says which of its frames the reader has written into."""
    handed: list[tuple[int, ImageArray, ImageArray]] = []

    def read(i: int) -> ImageArray:
        frame = video.read(i)
        handed.append((i, frame, frame.copy()))
        return frame

    return replace(video, read=read), lambda: [
        i for i, given, was in handed if not np.array_equal(given, was)
    ]


def _clip(video: Video, name: str, cut: Cut) -> Video:
    height, width = video.size[0] - cut.crop[0], video.size[1] - cut.crop[1]
    drawn = lru_cache(maxsize=len(set(cut.frames)))(video.read)

    def read(i: int) -> ImageArray:
        if not 0 <= i < len(cut.frames):
            raise IndexError(f"frame {i} was asked for; video {name} has {len(cut.frames)}")
        frame = drawn(cut.frames[i])[:height, :width].copy()
        return 255 - frame if cut.changed_from is not None and i >= cut.changed_from else frame

    return Video(
        id=name,
        frame_ids=tuple(f"{i:05d}" for i in range(len(cut.frames))),
        size=(height, width),
        expressions=_expressions(video, cut),
        read=read,
    )


def _expressions(video: Video, cut: Cut) -> tuple[Expression, ...]:
    own = video.expressions[:EXPRESSIONS]
    if cut.texts is None:
        return own
    return tuple(replace(e, text=text) for e, text in zip(own, cut.texts, strict=False))
