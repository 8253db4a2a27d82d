"""Joins published numbers with runs: the paper's tables, what other sources publish, and RefShapes."""

from __future__ import annotations

from collections.abc import Sequence

from refseg.reports.beside import beside_tables, groups, measured_rows, same_label, unpublished
from refseg.reports.claims import Claim, of_table
from refseg.reports.commands import fill
from refseg.reports.gridded import label_of
from refseg.reports.measured import Kind, Measured
from refseg.reports.paper import SHAPES, Spec, elsewhere
from refseg.reports.tables import (
    Column,
    Place,
    Row,
    Table,
    blocks_of,
    claim_rows,
    column_of,
    column_place,
    columns_of,
    grids_of,
    place,
)
from refseg.reports.titles import dataset_title


def paper_tables(spec: Spec, claims: Sequence[Claim], measured: Sequence[Measured], runs: str) -> list[Table]:
    """Return a table of the paper, and those of the runs that may not stand in its columns.

    Args:
        spec: Which table.
        claims: All published numbers.
        measured: All that was measured.
        runs: The folder of runs, for commands.
    """
    mine = of_table(claims, spec.table)
    of_kind = [m for m in measured if m.kind == spec.kind]
    out: list[Table] = []
    for part in _parts(spec, mine):
        columns = columns_of(part)
        candidates = [m for m in of_kind if _is_candidate(spec, m, columns)]
        fitting, others = _fitting(columns, candidates)
        ran = any(spec.grid in grids_of(m) for m in others)
        out.append(_main(spec, part, columns, fitting, runs, ran=ran and spec.kind == "scores"))
        # The same runs would stand beside every part.
        if part[0].metric == mine[0].metric and spec.kind == "scores":
            out += beside_tables(spec, mine, others)
    return out


def elsewhere_tables(claims: Sequence[Claim], measured: Sequence[Measured], runs: str) -> list[Table]:
    """Return the tables of what other sources publish, beside runs that are named for their rows."""
    out = []
    for spec, own in elsewhere(claims):
        columns = columns_of(own)
        fitting, _ = _fitting(columns, [m for m in measured if m.kind == spec.kind])
        out.append(_main(spec, own, columns, fitting, runs))
    return out


def shapes_tables(measured: Sequence[Measured]) -> list[Table]:
    """Return the tables of RefShapes: methods in the form of Tables I and II; grids have theirs."""
    runs = [m for m in measured if m.kind == "scores" and m.dataset == SHAPES and not grids_of(m)]
    if runs:
        return [unpublished(SHAPES, "Results", "Methods", group) for group in groups(runs)]
    column = Column(SHAPES, "val", "1", "refshapes/per_expression", "J&F", "%")
    row = Row(
        ("refsam_tiny",), {}, (), {(SHAPES, "val"): "bench run --method refsam_tiny --dataset refshapes"}
    )
    return [Table(SHAPES, "Results, RefShapes", ("Methods",), (column,), (row,))]


def _parts(spec: Spec, claims: Sequence[Claim]) -> list[list[Claim]]:
    if not spec.one_by_metric:
        return [list(claims)]
    return [[c for c in claims if c.metric == m] for m in dict.fromkeys(c.metric for c in claims)]


def _is_candidate(spec: Spec, m: Measured, columns: Sequence[Column]) -> bool:
    """Return whether a measurement is about a table at all: its datasets, and its grid where it has one."""
    if spec.kind != "scores":
        return True
    inside = grids_of(m)
    if spec.grid and inside:
        return spec.grid in inside
    on = (m.dataset, m.split) in {(c.dataset, c.split) for c in columns}
    return on and not inside


def _fitting(
    columns: Sequence[Column], candidates: Sequence[Measured]
) -> tuple[list[Measured], list[Measured]]:
    """Return the measurements that may stand in the columns, and those that may not.

    Where whole runs saw different content under one version, the content that most of them saw is taken.
    """
    places = {column_place(c) for c in columns}
    fit = [m for m in candidates if m.kind != "scores" or (place(m) in places and m.whole)]
    usual: dict[Place, str] = {}
    for where in {place(m) for m in fit}:
        contents = [m.content for m in fit if place(m) == where]
        usual[where] = min(contents, key=lambda c: (-contents.count(c), c))
    fitting = [m for m in fit if m.content == usual[place(m)]]
    fits = {id(m) for m in fitting}
    return fitting, [m for m in candidates if id(m) not in fits]


def _main(
    spec: Spec,
    claims: Sequence[Claim],
    columns: tuple[Column, ...],
    fitting: Sequence[Measured],
    runs: str,
    *,
    ran: bool = False,
) -> Table:
    rows: list[Row] = []
    used: set[int] = set()
    for own in claim_rows(claims):
        first = own[0]
        found = [m for m in fitting if _is_row(spec, first, m)]
        used |= {id(m) for m in found}
        published = {column_of(c, columns): c for c in own}
        blocks = blocks_of(found, columns, first)
        have = {(m.dataset, m.split) for m in found}
        lacking = [c for c in own if (c.dataset, c.split) not in have]
        if spec.kind != "scores":
            lacking = [] if blocks else own
        # What a figure shows is of no dataset that is told, so that its grid's runs on any stand beside it.
        commands = {} if ran and not first.dataset else fill(spec, lacking, runs)
        rows.append(Row(tuple(cell(first) for _, cell in spec.stubs), published, blocks, commands))
    if spec.kind == "scores" and not spec.by_row:
        rest = [m for m in fitting if id(m) not in used and (not spec.grid or spec.grid in grids_of(m))]
        rows += [row for _, row in measured_rows(spec, rest, columns)]
    notes = [*_measured_by(columns), *_intervals(rows, spec.kind), *([spec.note] if spec.note else [])]
    return Table(
        spec.name,
        f"{spec.label}: {spec.title}" + (f", {columns[0].metric}" if spec.one_by_metric else ""),
        tuple(header for header, _ in spec.stubs),
        columns,
        tuple(rows),
        tuple(notes),
    )


def _is_row(spec: Spec, claim: Claim, m: Measured) -> bool:
    if m.uses_truth:
        return False
    if spec.grid and spec.grid in grids_of(m):
        label = label_of(spec.grid, m)
        if label is not None:
            return same_label(label, claim.setting)
    return m.id == spec.id_of(claim) and spec.holds(claim, m.config)


def _measured_by(columns: Sequence[Column]) -> list[str]:
    splits: dict[tuple[str, str, str], list[str]] = {}
    for c in columns:
        if c.dataset:
            splits.setdefault((c.dataset, c.version, c.protocol), []).append(c.split)
    by = [
        f"{dataset_title(dataset)} {', '.join(dict.fromkeys(names))} (version {version}) by {protocol}"
        for (dataset, version, protocol), names in splits.items()
    ]
    return [f"Measured on whole splits: {'; '.join(by)}."] if by else []


def _intervals(rows: Sequence[Row], kind: Kind) -> list[str]:
    """Say what the intervals are, where there are some."""
    if not any(b.bounds for row in rows for b in row.blocks):
        return []
    if kind == "scores":
        return ["Intervals are those of 95 %, by a bootstrap over videos."]
    return ["The interval is what the repetitions spread over."]
