"""Masks of whole videos frame by frame, so that memory does not grow with a video's length.

What scoring reads is a function from the frame's index to its packed masks (:data:`Frames`). Predictions may offer
such functions themselves (:class:`FramewisePredictions`); whole arrays of any others are kept as runs.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol, TypeAlias, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from refseg.bench.scoring.packed import Layers, pack_runs, runs_of
from refseg.bench.types import Expression, Predictions, Video

Frames: TypeAlias = Callable[[int], Layers]
"""The masks of one frame; several threads may ask at once."""

T = TypeVar("T")

_AT_ONCE = 8
_THREADS: ContextVar[int] = ContextVar("threads", default=1)


@runtime_checkable
class FramewisePredictions(Protocol):
    """Predictions that can be read frame by frame."""

    def mask_frames(self, video: Video, expression: Expression) -> Frames | None:
        """Return the masks of one expression, one a frame; None where they are missing."""
        ...

    def label_frames(self, video: Video, annotator: int) -> Frames | None:
        """Return the merged objects of one annotator by their ids; None where they are missing."""
        ...


def mask_frames(predictions: Predictions, video: Video, expression: Expression) -> Frames | None:
    """Return an expression's masks frame by frame, whatever the predictions are; None where they are missing."""
    if isinstance(predictions, FramewisePredictions):
        return predictions.mask_frames(video, expression)
    masks = predictions.masks(video, expression)
    if masks is None:
        return None
    runs = Runs.of(m.view(np.uint8) for m in masks)
    return lambda frame: runs(frame).of(1)


def label_frames(predictions: Predictions, video: Video, annotator: int) -> Frames | None:
    """Return an annotator's merged objects frame by frame; None where they are missing."""
    if isinstance(predictions, FramewisePredictions):
        return predictions.label_frames(video, annotator)
    labels = predictions.label_maps(video, annotator)
    return None if labels is None else Runs.of(labels)


class Runs:
    """Label maps of a video as runs of equal values, a few bytes a run; a frame is packed when it is asked for.

    Args:
        size: (H, W).
        offsets: (T + 1,) where each frame's runs begin.
        starts: Where each run begins in its flattened frame.
        values: The runs' values.
    """

    def __init__(
        self,
        size: tuple[int, int],
        offsets: NDArray[np.int64],
        starts: NDArray[np.uint32],
        values: NDArray[np.uint8],
    ) -> None:
        self.size, self.offsets, self.starts, self.values = size, offsets, starts, values

    @classmethod
    def of(cls, frames: Iterable[NDArray[np.uint8]]) -> Runs:
        """Return the runs of (H, W) label maps; at least one."""
        found, size = [], (0, 0)
        for labels in frames:
            size = (labels.shape[0], labels.shape[1])
            found.append(runs_of(labels))
        offsets = np.cumsum([0, *(len(starts) for starts, _ in found)])
        return cls(
            size, offsets, np.concatenate([s for s, _ in found]), np.concatenate([v for _, v in found])
        )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __call__(self, frame: int) -> Layers:
        """Return the masks of all ids above 0 in a frame."""
        part = slice(self.offsets[frame], self.offsets[frame + 1])
        return pack_runs(self.starts[part], self.values[part], self.size)


def remembered(frames: Frames) -> Frames:
    """Return frames of which the last few are kept: for masks that several expressions share."""
    return functools.lru_cache(maxsize=2 * _AT_ONCE)(frames)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let :func:`each_frame` work on so many frames at once."""
    token = _THREADS.set(count)
    try:
        yield
    finally:
        _THREADS.reset(token)


def each_frame(work: Callable[[int], T], frames: Iterable[int]) -> Iterator[T]:
    """Yield ``work(frame)`` in order, done by several threads where :func:`threads` says so."""
    count = _THREADS.get()
    if count == 1:
        yield from map(work, frames)
        return
    left = iter(frames)
    with ThreadPoolExecutor(count, thread_name_prefix="frames") as pool:
        waiting: list[Future[list[T]]] = []

        def submit() -> None:
            # Several frames a call, since handing one over costs as much as packing it.
            some = list(itertools.islice(left, _AT_ONCE))
            if some:
                waiting.append(pool.submit(lambda: [work(f) for f in some]))

        try:
            for _ in range(count + 1):
                submit()
            while waiting:
                done = waiting.pop(0).result()
                submit()
                yield from done
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
