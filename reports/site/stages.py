"""What each stage of a composed method loses: its run beside those in which a stage was given the truth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from refseg.bench.compare import compare
from refseg.bench.errors import InputError
from refseg.reports.site.board import part_of
from refseg.reports.site.runs import Run

ORACLE = "oracle"
"""The value of an option that puts the truth in a stage's place."""


@dataclass(frozen=True)
class Stage:
    """A run with the truth in some stages' place, beside the run without.

    Attributes:
        plain: The run without.
        given: The run with.
        stages: The stages that were given the truth.
        protocol: How both were scored.
        metric: Its headline.
        values: The metric without and with, percent.
        interval: Of their difference; None where there is none.
    """

    plain: Run
    given: Run
    stages: tuple[str, ...]
    protocol: str
    metric: str
    values: tuple[float, float]
    interval: tuple[float, float] | None

    @property
    def gain(self) -> float:
        """Return what the truth adds: what the stages lose without it."""
        return self.values[1] - self.values[0]


def stages(runs: Sequence[Run]) -> Iterator[Stage]:
    """Yield every pair of runs of a group that differ in oracle stages only, scored on the same videos."""
    for plain in runs:
        for given in runs:
            names = oracle_stages(plain, given)
            if names and plain.scored and given.scored and part_of(plain) == part_of(given):
                yield from _compared(plain, given, names)


def oracle_stages(plain: Run, given: Run) -> tuple[str, ...]:
    """Return the options by which ``given`` has the truth where ``plain`` has a stage; none where more differs."""
    if plain.method != given.method:
        return ()
    mine, theirs = plain.options, given.options
    names = tuple(sorted(n for n, v in theirs.items() if v == ORACLE and mine.get(n) != ORACLE))
    # A stage that is a method of its own brings options along, which go with it.
    theirs_alone = {*names, *(f"{n}_config" for n in names)}
    return names if _without(mine, theirs_alone) == _without(theirs, theirs_alone) else ()


def _without(options: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    return {n: v for n, v in options.items() if n not in names}


def _compared(plain: Run, given: Run, names: tuple[str, ...]) -> Iterator[Stage]:
    try:
        found = compare(str(plain.path), str(given.path))
    except InputError:
        # Without a protocol or an item in common there is nothing to say.
        return
    for one in found["protocols"]:
        metric, values = next(iter(one["metrics"].items()))
        bounds = values["interval"]
        yield Stage(
            plain,
            given,
            names,
            one["protocol"],
            metric,
            (values["a"], values["b"]),
            None if bounds is None else (bounds[0], bounds[1]),
        )
