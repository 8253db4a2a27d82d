"""Times stages by turns with a reference workload; what is kept is their quotient, which hardly depends on the machine.

One timing is a stage's time divided by the geometric mean of the reference's just before and just after it, so that a
clock that drifts, or other work that comes and goes, meets both. Time in which this thread could run and others had
the processor is left out where the system tells it (Linux); time in which it waits, for a lock or a file, counts.
Nothing is shared with a scoring pass: frames are read before, and nothing is stored.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from refseg.bench import registry
from refseg.bench.progress import Progress
from refseg.bench.scoring.bootstrap import intervals
from refseg.bench.store import Recorder
from refseg.bench.types import (
    BoolArray,
    Dataset,
    Expression,
    FramePrediction,
    Method,
    Video,
)

ROUNDS = 9
"""Timings of a stage: enough that its interval does not rest on the two outermost."""

FRAMES = 4
"""Frames of the video that a method is timed on; its sentences are encoded with them."""

_LEAST_SECONDS = 0.05
_MOST_REPEATS = 1000
_VIDEOS = 48

Work = Callable[[], object]


@dataclass(frozen=True)
class Stage:
    """Something that is timed.

    Attributes:
        name: What the table calls it.
        work: What is done.
        reference: What it is timed beside.
    """

    name: str
    work: Work
    reference: Work


def timings(stage: Stage, rounds: int, progress: Progress) -> list[float]:
    """Return a stage's time in units of its reference, (rounds,)."""
    with quiet(), progress.task(f"timing {stage.name}", rounds, "rounds") as task:
        # What is compiled, cached or allocated once is not timed.
        stage.work()
        stage.reference()
        repeats = _repeats(stage.work), _repeats(stage.reference)
        before, found = _seconds(stage.reference, repeats[1]), []
        for _ in range(rounds):
            mine = _seconds(stage.work, repeats[0])
            after = _seconds(stage.reference, repeats[1])
            found.append(mine / math.sqrt(before * after))
            before = after
            task.advance()
    return found


def method_stage(name: str, method: Method, dataset: Dataset, reference: Work) -> Stage:
    """Return the stage of a method that answers all sentences of one video's first frames."""
    video = _busiest(dataset)
    count = min(FRAMES, len(video))
    frames = [video.read(i) for i in range(count)]
    short = replace(video, frame_ids=video.frame_ids[:count], read=frames.__getitem__)
    bind = getattr(method, "bind", None)
    if bind is not None:
        bind(dataset)

    def work() -> None:
        for _ in method.segment(short, short.expressions):
            pass

    return Stage(name, work, reference)


def harness_stages(dataset: Dataset, protocols: Sequence[str], reference: Work) -> list[Stage]:
    """Return the stages that every method shares: reading frames, storing masks, scoring, intervals."""
    video = _busiest(dataset)
    masks = _late_truth(dataset, video)
    stages = [
        Stage("read", lambda: [video.read(i) for i in range(len(video))], reference),
        Stage("store", partial(_stored, video, masks), reference),
    ]
    for name in protocols:
        protocol = registry.build_protocol(name)
        score = partial(protocol.score_video, dataset, video, _Held(masks))
        many = [replace(item, video=str(i)) for i in range(_VIDEOS) for item in score()]
        stages += [
            Stage(f"score {name}", score, reference),
            Stage(f"intervals {name}", partial(intervals, protocol, many), reference),
        ]
    return stages


@contextmanager
def quiet() -> Iterator[None]:
    """Keep to one thread and let no garbage be collected meanwhile."""
    import cv2
    import torch

    threads, cv_threads, collecting = torch.get_num_threads(), cv2.getNumThreads(), gc.isenabled()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        cv2.setNumThreads(cv_threads)
        if collecting:
            gc.enable()


class _Held:
    """Masks in memory as predictions."""

    def __init__(self, masks: dict[str, BoolArray]) -> None:
        self._masks = masks

    def masks(self, video: Video, expression: Expression) -> BoolArray:
        return self._masks[expression.id]

    def label_maps(self, video: Video, annotator: int) -> None:
        """Return nothing: RefShapes has no annotators whose objects are merged."""


def _busiest(dataset: Dataset) -> Video:
    return max(dataset.videos(), key=lambda v: len(v.expressions))


def _late_truth(dataset: Dataset, video: Video) -> dict[str, BoolArray]:
    """Return the truth of the frame before: masks of a method's kind that need none."""
    shown = np.maximum(np.arange(len(video)) - 1, 0)
    truths = {e.id: dataset.ground_truth(video.id, e.id) for e in video.expressions}
    return {name: truth.masks[shown] for name, truth in truths.items() if truth is not None}


def _stored(video: Video, masks: dict[str, BoolArray]) -> list[Any]:
    recorder = Recorder(video, video.expressions, "timing")
    scores = np.ones(len(masks), np.float32)
    for frame in range(len(video)):
        recorder.add(FramePrediction(frame, np.stack([m[frame] for m in masks.values()]), scores))
    return list(recorder.finished())


def _repeats(work: Work) -> int:
    """Return how often work is done to be long enough for a clock."""
    return min(_MOST_REPEATS, max(1, math.ceil(_LEAST_SECONDS / max(_seconds(work, 1), 1e-7))))


def _seconds(work: Work, repeats: int) -> float:
    start = _clock()
    for _ in range(repeats):
        work()
    return max((_clock() - start) / repeats, 1e-9)


def _clock() -> float:
    """Return the time in seconds, less what this thread queued for a processor."""
    while True:
        before = _queued()
        now = time.perf_counter()
        # Between the two readings the thread may have queued once more.
        if _queued() == before:
            return now - before


def _queued() -> float:
    """Return how many seconds this thread queued for a processor so far; 0 where the system does not tell."""
    try:
        # Time on a processor and in the queue, ns (Linux, Documentation/scheduler/sched-stats.rst).
        return int(Path("/proc/thread-self/schedstat").read_bytes().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0
