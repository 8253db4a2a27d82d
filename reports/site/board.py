"""The leaderboard: a table for each dataset, version, split and protocol, and partial runs in tables of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from refseg.bench.tables import coverage_text, interval, percent
from refseg.reports.site.runs import Group, Run


@dataclass(frozen=True)
class Cell:
    """A value as it is shown and as it is sorted by; None sorts last."""

    text: str
    value: float | None


@dataclass(frozen=True)
class Row:
    """A run in a table.

    Attributes:
        run: The run.
        cells: One a metric.
        bounds: The interval of each metric, as shown; empty where it has none.
        headline: Low, value and high of the first metric; None without an interval.
        items: How many items were scored.
        marks: What a reader must know.
    """

    run: Run
    cells: tuple[Cell, ...]
    bounds: tuple[str, ...]
    headline: tuple[float, float, float] | None
    items: int
    marks: tuple[str, ...]


@dataclass(frozen=True)
class Board:
    """One table.

    Attributes:
        protocol: How its runs were scored.
        part: What of the split they are of, in words; empty: the whole.
        metrics: Names, the headline first.
        rows: The best first.
        bootstrap: How the intervals were made, in words.
    """

    protocol: str
    part: str
    metrics: tuple[str, ...]
    rows: tuple[Row, ...]
    bootstrap: str


def boards(group: Group) -> list[Board]:
    """Return a group's tables, those of the whole split first."""
    parts: dict[tuple[str, str], list[tuple[Run, Mapping[str, Any]]]] = {}
    for run in group.runs:
        for one in run.scored:
            parts.setdefault((one["protocol"], part_of(run)), []).append((run, one))
    found = [_board(protocol, part, scored) for (protocol, part), scored in parts.items()]
    return sorted(found, key=lambda board: board.part != "")


def part_of(run: Run) -> str:
    """Return what of its split a run's score is of, in words; empty where it is of the whole."""
    if run.result is None:
        return ""
    said = []
    if run.result.get("partial"):
        said.append(coverage_text(run.result["coverage"]))
    if run.result["failures"]:
        said.append(f"{len(run.result['failures'])} of {run.result['scored']['of']} videos failed")
    return ", ".join(said)


def without_score(runs: Sequence[Run]) -> Iterator[tuple[Run, str]]:
    """Yield the runs that stand in no table, and why."""
    for run in runs:
        if run.result is None:
            yield run, "not finished"
        elif not run.scored:
            yield run, str(run.result.get("note") or "nothing is scored")


def bootstrap_text(one: Mapping[str, Any]) -> str:
    """Return how a result's intervals were made, in words; empty where nothing is said."""
    facts = one.get("bootstrap")
    if not facts:
        return ""
    if facts.get("note"):
        note = str(facts["note"])
        return f"{note[:1].upper()}{note[1:]}."
    return (
        f"Intervals: {100 * facts['level']:g} %, bootstrap over {facts['clusters']} videos, "
        f"{facts['resamples']} draws."
    )


def _board(protocol: str, part: str, scored: Sequence[tuple[Run, Mapping[str, Any]]]) -> Board:
    metrics = tuple(dict.fromkeys(m for _, one in scored for m in one["metrics"]))
    rows = [_row(run, one, metrics) for run, one in scored]
    rows.sort(key=lambda row: -(row.cells[0].value or 0.0))
    said = dict.fromkeys(bootstrap_text(one) for _, one in scored)
    return Board(protocol, part, metrics, tuple(rows), " ".join(filter(None, said)))


def _row(run: Run, one: Mapping[str, Any], metrics: Sequence[str]) -> Row:
    values, bounds = one["metrics"], one.get("intervals") or {}
    first = metrics[0]
    headline = None
    if first in bounds and first in values:
        headline = (float(bounds[first][0]), float(values[first]), float(bounds[first][1]))
    marks = ["looks at the truth"] if run.record["method"].get("uses_truth") else []
    if one.get("missing"):
        marks.append(f"{one['missing']} missing predictions scored as empty")
    return Row(
        run,
        tuple(Cell(percent(values.get(m)), values.get(m)) for m in metrics),
        tuple(interval(bounds[m]) if m in bounds else "" for m in metrics),
        headline,
        len(one["items"]),
        tuple(marks),
    )
