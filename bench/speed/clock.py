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
    """Adds up the seconds of each stage; those of a stage inside another are the inner one's alone.

    Args:
        synchronise: Waits for the device at every border.
    """

    def __init__(self, synchronise: Synchronise) -> None:
        self._synchronise = synchronise
        self._open: list[str] = []
        self._since = time.perf_counter()
        self.seconds: dict[str, float] = {}

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
        self._since = time.perf_counter()

    def stop(self) -> dict[str, float]:
        """Return the seconds of each stage up to now."""
        self._settle()
        return dict(self.seconds)

    def _settle(self) -> None:
        self._synchronise()
        now = time.perf_counter()
        name = self._open[-1] if self._open else OTHER
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self._since
        self._since = now


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
