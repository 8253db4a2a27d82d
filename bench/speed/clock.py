"""Clocks: of a device, of stages, and what is told of repeated measurements."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Synchronise = Callable[[], None]
"""Waits until a device has done all that it was given."""

OTHER = "other"
"""What is done outside of every stage."""


def synchroniser(device: str) -> Synchronise:
    """Return what waits for a torch device; a CPU needs no waiting."""
    if not device.startswith("cuda"):
        return lambda: None
    import torch

    return lambda: torch.cuda.synchronize(device)


class StageClock:
    """Adds up the seconds of each stage, on the clock and of the processor (all threads of this process).

    Those of a stage inside another are the inner one's alone.

    Args:
        synchronise: Waits for the device at every border.
    """

    def __init__(self, synchronise: Synchronise) -> None:
        self._synchronise = synchronise
        self._open: list[str] = []
        self._since = self._now()
        self.seconds: dict[str, float] = {}
        self.processor_seconds: dict[str, float] = {}

    def enter(self, name: str) -> None:
        """A stage begins."""
        self._settle()
        self._open.append(name)

    def leave(self) -> None:
        """The stage that began last ends."""
        self._settle()
        self._open.pop()

    def start(self) -> None:
        """Count from now on."""
        self._synchronise()
        self._since = self._now()

    def stop(self) -> StageClock:
        """Count up to now."""
        self._settle()
        return self

    def _settle(self) -> None:
        self._synchronise()
        now = self._now()
        name = self._open[-1] if self._open else OTHER
        for sums, begun, ended in zip((self.seconds, self.processor_seconds), self._since, now, strict=True):
            sums[name] = sums.get(name, 0.0) + ended - begun
        self._since = now

    @staticmethod
    def _now() -> tuple[float, float]:
        return time.perf_counter(), time.process_time()


def told(values: Sequence[float]) -> dict[str, Any]:
    """Return median, least, largest and all of repeated measurements."""
    return {
        "median": statistics.median(values),
        "min": min(values),
        "max": max(values),
        "all": list(values),
    }


def percentiles(seconds: Sequence[float]) -> dict[str, float | None]:
    """Return p50, p90 and p99 in milliseconds; None where there is nothing."""
    if not seconds:
        return {"p50": None, "p90": None, "p99": None}
    values = np.percentile(np.asarray(seconds) * 1e3, (50, 90, 99))
    return dict(zip(("p50", "p90", "p99"), map(float, values), strict=True))
