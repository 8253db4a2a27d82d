"""Hands a run's videos to workers, the largest first, and makes good what they lose."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from refseg.bench.engines.worker import Answer, Blueprint, Order
from refseg.bench.errors import InputError
from refseg.bench.predict import Pass, Work, tell_failure
from refseg.bench.progress import Task
from refseg.bench.retries import Attempt, Retries

if TYPE_CHECKING:
    from refseg.bench.engines import Job


WRITERS = 8
"""Files of one video that are written at once."""


MISHAPS = 5
"""So many machines may leave while they are at one video before it is held to be the video's fault."""


@dataclass(frozen=True)
class Ready:
    """A worker has built its method and dataset."""

    worker: int


@dataclass(frozen=True)
class Advanced:
    """A worker has done so many more frames."""

    worker: int
    frames: int


@dataclass(frozen=True)
class Answered:
    """A worker has done what it was handed."""

    worker: int
    answers: Sequence[Answer]


@dataclass(frozen=True)
class Lost:
    """A worker is gone.

    Attributes:
        worker: Which.
        why: One line.
        blameless: What it was at has nothing to do with it (its machine left), and is handed out again as it was.
        final: Every other worker would go the same way (wrong input).
    """

    worker: int
    why: str
    blameless: bool = False
    final: bool = False


Event = Ready | Advanced | Answered | Lost


class Crew(Protocol):
    """Workers by number; a number is never used twice."""

    def keep(self, count: int) -> None:
        """Start workers until there are so many, or as many as there is room for."""
        ...

    def give(self, worker: int, orders: Sequence[Order]) -> None:
        """Hand a ready worker its next videos."""
        ...

    def wait(self, seconds: float | None) -> list[Event]:
        """Return what happened, at most one event a worker, as soon as something did; nothing after so many seconds."""
        ...

    def stop(self, worker: int) -> None:
        """End a worker at once; no event comes of it."""
        ...

    def clear(self) -> None:
        """End all workers at once, those that are still starting too; no event comes of it."""
        ...

    def close(self) -> None:
        """End all workers for good."""
        ...


CrewFactory = Callable[[Blueprint, str, int | None], Crew]
"""Makes a crew that has no worker yet, of a blueprint, the run's key and how many workers there shall be at most."""


@dataclass
class _Task:
    """What a worker is at."""

    attempts: Sequence[Attempt]
    since: float
    frames: int = 0


@dataclass
class CrewEngine:
    """An engine of workers (:class:`refseg.bench.engines.Engine`).

    Attributes:
        name: ``"local"`` or ``"ray"``.
        crew: Makes the workers.
        jobs: How many; None: as many as there is room for.
        time_limit: Seconds after which a worker that is at one video is ended; None: never.
    """

    name: str
    crew: CrewFactory
    jobs: int | None
    time_limit: float | None
    needs_method: bool = field(default=False, init=False)

    def predict(self, job: Job) -> Pass:
        """Predict and store; see :class:`refseg.bench.engines.Engine`."""
        if not job.todo:
            return Pass([], 0, 0.0)
        crew = self.crew(job.blueprint, job.key, self.jobs)
        title, count = f"{job.method.info.name} predicts", sum(len(v) for v, _ in job.todo)
        try:
            with job.progress.task(title, count, "frames") as task, ThreadPoolExecutor(WRITERS) as writers:
                return _Shift(job, crew, writers, self.jobs, self.time_limit, task).work()
        finally:
            crew.close()

    def describe(self) -> dict[str, Any]:
        """Return what a run's record says of it."""
        return {"name": self.name, "jobs": self.jobs, "time_limit": self.time_limit}


def cost(work: Work) -> int:
    """Return how much work a video is beside others: its frames times its expressions."""
    video, expressions = work
    return len(video) * max(1, len(expressions))


class _Shift:
    """One pass over the missing videos."""

    def __init__(
        self,
        job: Job,
        crew: Crew,
        writers: ThreadPoolExecutor,
        jobs: int | None,
        time_limit: float | None,
        task: Task,
    ) -> None:
        self._job, self._crew, self._writers = job, crew, writers
        self._limit, self._progress = time_limit, task
        self._wanted = jobs
        self._retries = Retries([video for video, _ in job.todo])
        self._queue = deque(_first_attempts(job))
        self._idle: set[int] = set()
        self._busy: dict[int, _Task] = {}
        self._ready: set[int] = set()
        self._alone = False
        self._frames, self._waited = 0, 0.0
        self._returned: Counter[tuple[str, int]] = Counter()

    def work(self) -> Pass:
        start = time.perf_counter()
        while self._queue or self._busy or self._retries:
            if not (self._queue or self._busy or self._alone):
                self._empty_the_floor()
            self._crew.keep(self._headcount())
            self._hand_out()
            for event in self._crew.wait(self._patience()):
                self._take(event)
            self._end_late_ones()
        seconds = time.perf_counter() - start
        return Pass(self._retries.failures, self._frames, seconds, self._waited, self._retries.tried)

    def _empty_the_floor(self) -> None:
        """What failed is tried alone: the memory of all other workers is given back first."""
        self._crew.clear()
        self._ready.clear()
        self._idle.clear()
        self._alone = True

    def _headcount(self) -> int:
        if self._alone:
            return 1
        work = len(self._queue) + len(self._busy)
        return work if self._wanted is None else min(self._wanted, work)

    def _hand_out(self) -> None:
        while self._idle:
            if self._queue:
                attempts: Sequence[Attempt] = self._queue.popleft()
            elif self._alone and not self._busy and (again := self._retries.next()) is not None:
                attempts = [again]
            else:
                return
            worker = self._idle.pop()
            self._busy[worker] = _Task(attempts, time.monotonic())
            self._crew.give(worker, [self._order(a) for a in attempts])

    def _order(self, attempt: Attempt) -> Order:
        return self._job.places[attempt.index], tuple(e.id for e in attempt.expressions)

    def _take(self, event: Event) -> None:
        if isinstance(event, Ready):
            self._ready.add(event.worker)
            self._idle.add(event.worker)
        elif isinstance(event, Advanced):
            self._busy[event.worker].frames += event.frames
            self._progress.advance(event.frames)
        elif isinstance(event, Answered):
            self._settle(event)
        else:
            self._bury(event)

    def _settle(self, event: Answered) -> None:
        task = self._busy.pop(event.worker)
        self._idle.add(event.worker)
        done = 0
        for attempt, answer in zip(task.attempts, event.answers, strict=True):
            self._waited += answer.waited
            if answer.error:
                tell_failure(attempt, answer.error, answer.final, self._retries, self._progress)
                continue
            # A disk that takes its time over each file (a network's) must not hold up many workers.
            for _ in self._writers.map(self._job.folder.write, answer.predictions):
                pass
            self._retries.succeeded(attempt)
            done += len(self._retries.video(attempt))
        self._frames += done
        self._progress.advance(done - task.frames)
        if self._alone and any(a.error for a in event.answers):
            # The next attempt shall not pay for what this one left in memory.
            self._dismiss(event.worker)

    def _bury(self, event: Lost) -> None:
        was_ready = event.worker in self._ready
        self._ready.discard(event.worker)
        self._idle.discard(event.worker)
        task = self._busy.pop(event.worker, None)
        if event.final:
            raise InputError(event.why)
        if task is None:
            if not was_ready and not event.blameless:
                self._do_without(event.why)
            return
        if event.blameless and self._may_return(task):
            self._progress.advance(-task.frames)
            self._progress.note(f"{event.why}; what it was at is handed out again")
            self._return(task)
        else:
            self._fail(task, event.why)

    def _may_return(self, task: _Task) -> bool:
        """Return whether chance is still the better explanation of what befell those that were at these videos."""
        key = (task.attempts[0].rung, task.attempts[0].index)
        self._returned[key] += 1
        return self._returned[key] <= MISHAPS

    def _return(self, task: _Task) -> None:
        if task.attempts[0].rung == "first":
            self._queue.appendleft(list(task.attempts))
        else:
            self._retries.give_back(task.attempts[0])

    def _do_without(self, why: str) -> None:
        """A worker could not start, e.g. for want of memory: go on with fewer."""
        left = len(self._ready) if self._wanted is None else self._wanted - 1
        if left < 1 or self._alone:
            raise InputError(f"No worker can start: {why}.")
        self._wanted = left
        self._progress.note(f"a worker cannot start ({why}); {left} go on")

    def _fail(self, task: _Task, why: str) -> None:
        self._progress.advance(-task.frames)
        for attempt in task.attempts:
            tell_failure(attempt, why, False, self._retries, self._progress)

    def _dismiss(self, worker: int) -> None:
        self._crew.stop(worker)
        self._ready.discard(worker)
        self._idle.discard(worker)

    def _allowed(self, task: _Task) -> float:
        return (self._limit or 0.0) * len(task.attempts)

    def _patience(self) -> float | None:
        if self._limit is None or not self._busy:
            return None
        now = time.monotonic()
        return max(0.0, min(t.since + self._allowed(t) - now for t in self._busy.values()))

    def _end_late_ones(self) -> None:
        if self._limit is None:
            return
        now = time.monotonic()
        for worker, task in [*self._busy.items()]:
            if now - task.since >= self._allowed(task):
                del self._busy[worker]
                self._dismiss(worker)
                self._fail(task, f"not done within the time limit of {self._limit:g} s")


def _first_attempts(job: Job) -> list[list[Attempt]]:
    """Return what is handed out at once: a video, or some images; the largest first, or one straggler ends the run."""
    attempts = [Attempt(i, tuple(expressions)) for i, (_, expressions) in enumerate(job.todo)]
    size = job.blueprint.images_at_once if all(len(video) == 1 for video, _ in job.todo) else 1
    pieces = [attempts[i : i + size] for i in range(0, len(attempts), size)]
    return sorted(pieces, key=lambda piece: -sum(cost(job.todo[a.index]) for a in piece))
