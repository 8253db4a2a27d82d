"""A table of published and measured numbers, before anyone renders it.

A column is one dataset, split, version, content and protocol, whole; whatever differs in one of these has a table of
its own. A claim and a measurement are two lines of a row and never one number.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from refseg.reports.claims import Claim
from refseg.reports.measured import Measured
from refseg.reports.paper import GRIDS
from refseg.reports.titles import dataset_title

Place = tuple[str, str, str, str]
"""Dataset, split, version, protocol."""


@dataclass(frozen=True)
class Column:
    """One column of numbers.

    Attributes:
        dataset: Registered name, or empty.
        split: Of the dataset.
        version: Of the dataset.
        protocol: How it is measured.
        metric: The harness's name.
        unit: Its unit.
        digits: Decimals of published values.
    """

    dataset: str
    split: str
    version: str
    protocol: str
    metric: str
    unit: str
    digits: int = 1

    @property
    def group(self) -> str:
        """What stands above the metric: dataset and split."""
        return f"{dataset_title(self.dataset)} {self.split}" if self.dataset else ""


@dataclass(frozen=True)
class Block:
    """What was measured for a row: one variant of a method, in one run a dataset."""

    values: Mapping[Column, float]
    bounds: Mapping[Column, Sequence[float]]
    runs: tuple[Measured, ...]


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
        stubs: What names it.
        published: Claims by column.
        blocks: Measurements.
        fill: By dataset and split, the command that fills what is not measured, or why there is none.
    """

    stubs: tuple[str, ...]
    published: Mapping[Column, Claim]
    blocks: tuple[Block, ...]
    fill: Mapping[tuple[str, str], str] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """A table: published beside measured.

    Attributes:
        name: What ``--table`` calls it.
        title: Its heading.
        stubs: Headers of the columns that name a row.
        columns: Columns of numbers.
        rows: In the paper's order; what was only measured comes last.
        notes: Sentences below it.
        beside: What it is a second table of, because its runs may not stand in that one's columns.
    """

    name: str
    title: str
    stubs: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    beside: str = ""


def columns_of(claims: Iterable[Claim]) -> tuple[Column, ...]:
    """Return the columns that claims stand in, in their order."""
    digits: dict[Column, int] = {}
    for c in claims:
        metric = "learnable" if c.unit == "M" else c.metric
        column = Column(c.dataset, c.split, c.version, c.protocol, metric, c.unit)
        digits[column] = max(digits.get(column, 0), c.digits)
    return tuple(replace(column, digits=n) for column, n in digits.items())


def column_of(claim: Claim, columns: Sequence[Column]) -> Column:
    """Return the column that a claim stands in."""
    metric = "learnable" if claim.unit == "M" else claim.metric
    return next(c for c in columns if (c.dataset, c.split, c.metric) == (claim.dataset, claim.split, metric))


def place(m: Measured) -> Place:
    """Return where a measurement was made."""
    return m.dataset, m.split, m.version, m.protocol


def grids_of(m: Measured) -> set[str]:
    """Return the grids below whose folders a run lies."""
    return {*m.run.split("/")[:-1]} & GRIDS


def claim_rows(claims: Sequence[Claim]) -> list[list[Claim]]:
    """Return the claims of each row, in their order."""
    rows: dict[tuple[str, ...], list[Claim]] = {}
    for c in claims:
        rows.setdefault((c.source, c.id, c.method, c.setting, c.backbone), []).append(c)
    return [*rows.values()]


def blocks_of(
    found: Sequence[Measured], columns: Sequence[Column], claim: Claim | None = None
) -> tuple[Block, ...]:
    """Return the measurements of a row by variant; a second run of a variant on a dataset is a block of its own.

    Args:
        found: The row's measurements.
        columns: The table's columns.
        claim: One of the row's claims, which says what it counts; None: as the columns say.
    """
    turns: dict[tuple[str, int], list[Measured]] = {}
    seen: dict[tuple[str, Place], int] = {}
    for m in found:
        turn = seen.get((m.variant, place(m)), 0)
        seen[m.variant, place(m)] = turn + 1
        turns.setdefault((m.variant, turn), []).append(m)
    return tuple(_block(runs, columns, claim) for runs in turns.values())


def _block(runs: Sequence[Measured], columns: Sequence[Column], claim: Claim | None) -> Block:
    values: dict[Column, float] = {}
    bounds: dict[Column, Sequence[float]] = {}
    for c in columns:
        # A claim of parameters says which part it counts; all stand in one column.
        metric = claim.metric if claim is not None and c.unit == "M" else c.metric
        for m in runs:
            if metric in m.metrics and (m.kind != "scores" or place(m) == column_place(c)):
                values[c] = m.metrics[metric]
                if metric in m.intervals:
                    bounds[c] = m.intervals[metric]
    return Block(values, bounds, tuple(runs))


def column_place(c: Column) -> Place:
    """Return where a column's numbers are measured."""
    return c.dataset, c.split, c.version, c.protocol
