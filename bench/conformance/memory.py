"""How much memory a method holds, by what Python and torch say and not by the process's size, which is noisy."""

from __future__ import annotations

import contextlib
import gc
import sys
import tracemalloc
from collections.abc import Iterator

from refseg.bench.types import Method, Video


@contextlib.contextmanager
def tracing() -> Iterator[None]:
    """Trace Python's and numpy's allocations for the duration of a ``with`` block."""
    already = tracemalloc.is_tracing()
    if not already:
        tracemalloc.start()
    # Looking itself takes memory the first time.
    held()
    try:
        yield
    finally:
        if not already:
            tracemalloc.stop()


def held() -> int:
    """Return the bytes of all that is alive now: Python's and numpy's allocations, and torch's tensors."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0] + _tensor_bytes()


def most_held(method: Method, video: Video) -> int:
    """Return the most that is alive while a method answers.

    Looked at after the first frame (a method that keeps the video whole holds it then) and after the last.
    """
    most = 0
    for prediction in method.segment(video, video.expressions):
        if prediction.frame in (0, len(video) - 1):
            del prediction
            most = max(most, held())
    return most


def _tensor_bytes() -> int:
    torch = sys.modules.get("torch")
    if torch is None:
        return 0
    storages: dict[int, int] = {}
    for thing in gc.get_objects():
        # type() and not isinstance(), which would wake up lazy objects of other libraries.
        if issubclass(type(thing), torch.Tensor):
            with contextlib.suppress(RuntimeError, NotImplementedError):
                storage = thing.untyped_storage()
                storages[storage.data_ptr()] = storage.nbytes()
    return sum(storages.values())
