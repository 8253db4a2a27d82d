"""Frames decoded by threads while the method works: a bounded number of them, whatever the videos' length."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from threading import Lock
from types import TracebackType

from refseg.bench.types import ImageArray, Video

AHEAD = 8
"""How many frames are decoded, or being decoded, before they are asked for."""

THREADS = min(4, os.cpu_count() or 1)
"""Decoders leave Python's lock alone, so threads are enough."""


class ReadAhead(Sequence[Video]):
    """Videos whose frames are decoded early, beyond a video's end those of the next one.

    Only a reader that goes frame by frame is read ahead for; any other would pay for unused frames. A fault of a
    frame is raised where that frame is asked for. Use as a context manager.

    Args:
        videos: The videos in the order in which they will be read.
        ahead: How many frames wait at most.
    """

    def __init__(self, videos: Sequence[Video], ahead: int = AHEAD) -> None:
        self._videos, self._ahead = videos, ahead
        self._pool = ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="decode")
        self._waiting: dict[tuple[int, int], Future[ImageArray]] = {}
        self._last: dict[int, int] = {}
        self._lock = Lock()
        self.waited = 0.0
        """Seconds that readers waited for frames."""

    def __len__(self) -> int:
        return len(self._videos)

    def __getitem__(self, index: int) -> Video:  # type: ignore[override]
        return replace(self._videos[index], read=partial(self._read, index))

    def __enter__(self) -> ReadAhead:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _read(self, video: int, frame: int) -> ImageArray:
        start = time.perf_counter()
        with self._lock:
            # The same frame again (a detector's and then a tracker's) is no jump.
            in_order = frame - self._last.get(video, -1) in (0, 1)
            self._last[video] = frame
            wanted = [(video, frame), *(self._following(video, frame) if in_order else ())]
            for place in self._waiting.keys() - set(wanted):
                self._waiting.pop(place).cancel()
            for place in wanted:
                if place not in self._waiting:
                    self._waiting[place] = self._pool.submit(self._videos[place[0]].read, place[1])
            decoded = self._waiting.pop((video, frame))
        try:
            return decoded.result()
        finally:
            self.waited += time.perf_counter() - start

    def _following(self, video: int, frame: int) -> Iterator[tuple[int, int]]:
        left = self._ahead
        for v in range(video, len(self._videos)):
            first = frame + 1 if v == video else 0
            for f in range(first, min(first + left, len(self._videos[v]))):
                yield v, f
                left -= 1
            if not left:
                return
