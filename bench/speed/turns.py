"""Rival ways to do one thing, taken by turns in one run, so that a busy machine wrongs none of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from refseg.bench.speed.clock import Synchronise
from refseg.bench.tables import text_table

Kind = Literal["processor", "wall"]


@dataclass
class Rounds:
    """Seconds of each round of one side: of all threads of this process, and on the clock."""

    processor: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)

    def of(self, kind: Kind) -> list[float]:
        """Return the seconds of one kind."""
        return self.processor if kind == "processor" else self.wall


def by_turns(
    sides: Mapping[str, Callable[[], object]],
    rounds: int,
    *,
    synchronise: Synchronise = lambda: None,
    warm_up: bool = True,
) -> dict[str, Rounds]:
    """Run every side once a round, after one round that does not count unless all have run before."""
    found = {name: Rounds() for name in sides}
    for turn in range(0 if warm_up else 1, rounds + 1):
        for name, side in sides.items():
            synchronise()
            wall, processor = time.perf_counter(), time.process_time()
            side()
            synchronise()
            if turn:
                found[name].processor.append(time.process_time() - processor)
                found[name].wall.append(time.perf_counter() - wall)
    return found


def ratios(
    found: Mapping[str, Rounds], baseline: str, kind: Kind = "processor"
) -> dict[str, tuple[float, float, float]]:
    """Return how many times faster than the baseline each side is: median, least and most over the rounds."""
    base = found[baseline].of(kind)
    out = {}
    for name, times in found.items():
        each = [a / b for a, b in zip(base, times.of(kind), strict=True)]
        out[name] = (statistics.median(each), min(each), max(each))
    return out


def turns_table(found: Mapping[str, Rounds], baseline: str) -> str:
    """Return each side's median seconds and ratios, by the processor's time and on the clock."""
    ratio, on_clock = ratios(found, baseline), ratios(found, baseline, "wall")
    rows = [
        (
            name,
            *(f"{statistics.median(times.of('processor')):.3g}", f"{ratio[name][0]:.2f}"),
            f"{ratio[name][1]:.2f} to {ratio[name][2]:.2f}",
            *(f"{statistics.median(times.of('wall')):.3g}", f"{on_clock[name][0]:.2f}"),
        )
        for name, times in found.items()
    ]
    return text_table(("", "processor s", "ratio", "least to most", "wall s", "ratio"), rows)
