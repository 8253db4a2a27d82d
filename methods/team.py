"""Processes on one machine that share every batch of a training and add up their gradients.

On few cores two processes of one thread each beat one of two threads: the small tensors of a tiny model leave
threads waiting for each other, and a core that something else is using stops them all.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import torch
import torch.distributed as dist
from torch import nn


class Crew(Protocol):
    """Processes that share the batches of a training; :class:`Team` is one that is forked here.

    Attributes:
        size: Number of processes.
        rank: Number of this one; 0 leads.
        cpu_seconds: Processor time of all of them since they came together, as of the last :meth:`mean`.
    """

    size: int
    rank: int
    cpu_seconds: float

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def mean(
        self, parameters: Sequence[nn.Parameter], values: dict[str, float], rows: int
    ) -> dict[str, float]:
        """Replace the gradients by those of the whole batch; see :meth:`Team.mean`."""
        ...

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """Return the sum of what all of them give; each gives a tensor of the same shape."""
        ...


class Team:
    """The leader (rank 0, this process) and its followers, forked when the context is entered.

    Args:
        size: Number of processes; 1: nothing is forked.
        follow: What a follower does, given its own team; in step with the leader, or the team waits.
    """

    def __init__(self, size: int, follow: Callable[[Team], None]) -> None:
        self.size, self.rank = size, 0
        self.cpu_seconds = 0.0
        """Processor time of the whole team since it was made, as of the last :meth:`mean`."""
        self._begin = time.process_time()
        self._follow = follow
        self._processes: list[multiprocessing.process.BaseProcess] = []
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Team:
        if self.size > 1:
            self._folder = tempfile.TemporaryDirectory(prefix="refseg-team-")
            # Forked, as the model and the closures about it cannot be sent to a fresh process.
            context = multiprocessing.get_context("fork")
            self._processes = [context.Process(target=self._run, args=(r,)) for r in range(1, self.size)]
            for process in self._processes:
                process.start()
            self._join(0)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in self._processes:
            if kind is not None:
                process.terminate()
            process.join()
        if self._processes:
            dist.destroy_process_group()
        if self._folder is not None:
            self._folder.cleanup()

    def mean(
        self, parameters: Sequence[nn.Parameter], values: dict[str, float], rows: int
    ) -> dict[str, float]:
        """Replace the gradients by those of the whole batch, and return the mean of the values over it.

        Args:
            parameters: Learnable tensors; their gradients are means over this process's rows.
            values: Figures that are means over this process's rows, by the same names in every process.
            rows: Number of this process's rows.
        """
        spent = time.process_time() - self._begin
        if self.size == 1:
            self.cpu_seconds = spent
            return values
        gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
        own = torch.tensor([1.0, *values.values()])
        # In place, as it is as large as the network.
        sums = torch.cat([torch.tensor([spent]), own, *(g.flatten() for g in gradients)])
        flat = sums[1:].mul_(rows)
        dist.all_reduce(sums)
        self.cpu_seconds = float(sums[0])
        flat.div_(float(flat[0]))
        at = len(own)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = flat[at : at + gradient.numel()].view_as(gradient)
            at += gradient.numel()
        return dict(zip(values, flat[1 : len(own)].tolist(), strict=True))

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """Return the sum of what all processes give, in place of this one's."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def _run(self, rank: int) -> None:
        self.rank = rank
        # A forked process counts its time from its own start.
        self._begin = 0.0
        self._join(rank)
        self._follow(self)
        dist.destroy_process_group()

    def _join(self, rank: int) -> None:
        torch.set_num_threads(1)
        # Everything is on this machine, whatever the name of its host resolves to.
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        assert self._folder is not None
        store = (Path(self._folder.name) / "store").as_uri()
        dist.init_process_group("gloo", init_method=store, rank=rank, world_size=self.size)
