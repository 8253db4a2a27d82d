"""Workers that are processes of this machine, one model each."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from refseg.bench.children import end_with_parent, starts_whole
from refseg.bench.engines.crew import Advanced, Answered, Event, Lost, Ready
from refseg.bench.engines.worker import Blueprint, Order, Worker
from refseg.bench.errors import InputError
from refseg.bench.predict import one_line

_THREAD_COUNTS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "OPENCV_FOR_THREADS_NUM",
)
_EVERY = 0.25
"""Seconds between two messages on how many frames are done."""


class ProcessCrew:
    """Spawned processes; each has a share of the cores, and a GPU in turn where there are some.

    Args:
        blueprint: What a worker builds.
        key: The run's key.
        jobs: How many there shall be.
    """

    def __init__(self, blueprint: Blueprint, key: str, jobs: int | None) -> None:
        self._blueprint, self._key, self._jobs = blueprint, key, jobs or 1
        self._context = multiprocessing.get_context("spawn")
        self._numbers = itertools.count()
        self._workers: dict[int, tuple[SpawnProcess, Connection]] = {}
        self._devices = _devices(blueprint.method.device)

    def keep(self, count: int) -> None:
        """Start processes until there are so many."""
        while len(self._workers) < count:
            number = next(self._numbers)
            here, there = self._context.Pipe()
            blueprint = self._blueprint.on(self._devices[number % len(self._devices)])
            process = self._context.Process(
                target=_serve, args=(blueprint, self._key, there), name=f"worker-{number}"
            )
            with starts_whole():
                with _share_of_cores(self._jobs):
                    process.start()
                # This process must not hold the other end, or it would not see the worker's end.
                there.close()
                self._workers[number] = (process, here)

    def give(self, worker: int, orders: Sequence[Order]) -> None:
        """Hand a ready worker its next videos; one that died just now is told of by the next :meth:`wait`."""
        with contextlib.suppress(OSError):
            self._workers[worker][1].send(list(orders))

    def wait(self, seconds: float | None) -> list[Event]:
        """Return what happened, one event a worker."""
        by_connection = {connection: n for n, (_, connection) in self._workers.items()}
        ready = wait([*by_connection], seconds)
        return [self._receive(by_connection[c], c) for c in ready if isinstance(c, Connection)]

    def stop(self, worker: int) -> None:
        """End a process at once."""
        process, connection = self._workers.pop(worker)
        process.kill()
        process.join()
        connection.close()

    def close(self) -> None:
        """End all processes for good."""
        self.clear()

    def clear(self) -> None:
        """End all processes."""
        for process, _ in self._workers.values():
            process.kill()
        for worker in [*self._workers]:
            self.stop(worker)

    def _receive(self, worker: int, connection: Connection) -> Event:
        try:
            kind, content = connection.recv()
        except (EOFError, OSError):
            process, _ = self._workers[worker]
            process.join()
            self.stop(worker)
            return Lost(worker, _why(process.exitcode))
        if kind == "ready":
            return Ready(worker)
        if kind == "frames":
            return Advanced(worker, content)
        if kind == "answers":
            return Answered(worker, content)
        self.stop(worker)
        return Lost(worker, content, final=kind == "refused")


def _serve(blueprint: Blueprint, key: str, connection: Connection) -> None:
    """Be a worker: build, then answer orders until the connection ends."""
    # Ctrl-C reaches the whole group; the first process ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
    try:
        worker = Worker(blueprint, key)
    except InputError as error:
        connection.send(("refused", str(error)))
        return
    except Exception as error:
        connection.send(("broken", one_line(error)))
        return
    connection.send(("ready", None))
    while True:
        try:
            orders = connection.recv()
        except EOFError:
            return
        connection.send(("answers", worker.predict(orders, _Counter(connection).advance)))


class _Counter:
    """Tells how many frames are done, a few times a second."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._frames, self._said = connection, 0, time.monotonic()

    def advance(self, frames: int) -> None:
        self._frames += frames
        now = time.monotonic()
        if now - self._said >= _EVERY:
            self._connection.send(("frames", self._frames))
            self._frames, self._said = 0, now


def _devices(device: str) -> list[str]:
    """Return the devices that workers take in turn: all GPUs where none is named."""
    if device != "cuda":
        return [device]
    import torch

    return [f"cuda:{i}" for i in range(torch.cuda.device_count())] or [device]


@contextlib.contextmanager
def _share_of_cores(jobs: int) -> Iterator[None]:
    """Let processes that start within have a share of the cores each; what the user has set stays."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    added = [name for name in _THREAD_COUNTS if name not in os.environ]
    # Who sets the one means all: MKL's own number would win over it.
    share = os.environ.get("OMP_NUM_THREADS") or str(max(1, cores // jobs))
    os.environ.update(dict.fromkeys(added, share))
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


def _why(code: int | None) -> str:
    if code is None or code >= 0:
        return f"its process ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    memory = ", perhaps for want of memory" if name == "SIGKILL" else ""
    return f"its process was ended by {name}{memory}"
