"""Scores videos in several processes, or frames in several threads, with the results of one."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

from refseg.bench.children import end_with_parent, starts_whole
from refseg.bench.errors import InputError
from refseg.bench.scoring.frames import threads
from refseg.bench.types import ScoredItem, Video

_WORTH = 10_000
"""Masks that take one process about as long as another takes to start and pay for itself."""


@dataclass(frozen=True)
class Scored:
    """What one video gave: its items, and which predictions are missing."""

    items: list[ScoredItem]
    missing: list[str]


ScoreVideo = Callable[[int], Scored]
"""Scores a video by its index in the dataset."""


def usual_jobs(videos: Sequence[Video]) -> int:
    """Return how many processes or threads are worth their start: at most one a core."""
    masks = sum(len(v) * max(len(v.expressions), 1) for v in videos)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, 1 + masks // _WORTH)


def score_videos(score: ScoreVideo, videos: int, jobs: int) -> Iterator[Scored]:
    """Yield what each video gives, in order.

    Args:
        score: Scores one video. Where it cannot be sent to another process, threads of this one share the frames.
        videos: How many there are.
        jobs: How many processes; where there are fewer videos, each works on several frames at once.

    Raises:
        InputError: As ``score`` raises it, of the first video in order; or a process was ended from outside.
    """
    processes = min(jobs, videos)
    if processes < 2 or not _can_be_sent(score):
        with threads(jobs):
            yield from map(score, range(videos))
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, context, _start, (score, jobs // processes))
    try:
        with starts_whole():
            futures = [pool.submit(_score, video) for video in range(videos)]
        for future in futures:
            outcome = future.result()
            if isinstance(outcome, str):
                raise InputError(outcome)
            yield outcome
    except BrokenProcessPool:
        raise InputError(
            "A scoring process was ended from outside, perhaps for want of memory; give fewer --jobs."
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


@dataclass
class _Worker:
    """What a process of the pool was started with."""

    score: ScoreVideo | None = None
    threads: int = 1


_worker = _Worker()


def _start(score: ScoreVideo, count: int) -> None:
    # Ctrl-C reaches the whole group; the first process ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
    _worker.score, _worker.threads = score, count


def _score(video: int) -> Scored | str:
    """Score a video in this process; wrong input comes back as its sentence."""
    assert _worker.score is not None, "the pool starts its processes with it"
    try:
        with threads(_worker.threads):
            return _worker.score(video)
    except InputError as error:
        return str(error)


def _can_be_sent(score: ScoreVideo) -> bool:
    """Return whether dataset, predictions and protocol can go to another process; a plug-in's may hold open files."""
    try:
        pickle.dumps(score)
    except (pickle.PicklingError, TypeError, AttributeError):
        return False
    return True
