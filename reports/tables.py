"""Sets published numbers beside measured ones: rows and columns of a table, before anyone renders them.

A column is one dataset, split, version, content and protocol, whole; whatever differs in one of these has a table of
its own. A claim and a measurement are two lines of a row and never one number.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from refseg.reports.claims import Claim, of_table
from refseg.reports.commands import fill
from refseg.reports.gridded import label_of
from refseg.reports.measured import Kind, Measured
from refseg.reports.paper import GRIDS, SHAPES, Spec, elsewhere
from refseg.reports.titles import dataset_title, run_label


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


Place = tuple[str, str, str, str]
"""Dataset, split, version, protocol."""


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
        columns = _columns(part)
        candidates = [m for m in of_kind if _is_candidate(spec, m, columns)]
        fitting, others = _fitting(columns, candidates)
        out.append(_main(spec, part, columns, fitting, runs))
        # The same runs would stand beside every part.
        if part[0].metric == mine[0].metric:
            out += _beside(spec, mine, others, of_kind)
    return out


def elsewhere_tables(claims: Sequence[Claim], measured: Sequence[Measured], runs: str) -> list[Table]:
    """Return the tables of what other sources publish, beside runs that are named for their rows."""
    out = []
    for spec, own in elsewhere(claims):
        columns = _columns(own)
        fitting, _ = _fitting(columns, [m for m in measured if m.kind == spec.kind])
        out.append(_main(spec, own, columns, fitting, runs))
    return out


def shapes_tables(measured: Sequence[Measured]) -> list[Table]:
    """Return the tables of RefShapes: methods in the form of Tables I and II; grids have theirs."""
    runs = [m for m in measured if m.kind == "scores" and m.dataset == SHAPES and not _grids_of(m)]
    return [_unpublished(SHAPES, "Results", ("Methods",), group) for group in _groups(runs)]


def _parts(spec: Spec, claims: Sequence[Claim]) -> list[list[Claim]]:
    if not spec.one_by_metric:
        return [list(claims)]
    return [[c for c in claims if c.metric == m] for m in dict.fromkeys(c.metric for c in claims)]


def _columns(claims: Iterable[Claim]) -> tuple[Column, ...]:
    """Return the columns that claims stand in, in their order."""
    digits: dict[Column, int] = {}
    for c in claims:
        metric = "learnable" if c.unit == "M" else c.metric
        column = Column(c.dataset, c.split, c.version, c.protocol, metric, c.unit)
        digits[column] = max(digits.get(column, 0), c.digits)
    return tuple(replace(column, digits=n) for column, n in digits.items())


def _grids_of(m: Measured) -> set[str]:
    """Return the grids below whose folders a run lies."""
    return GRIDS & {*m.run.split("/")[:-1]}


def _is_candidate(spec: Spec, m: Measured, columns: Sequence[Column]) -> bool:
    """Return whether a measurement is about a table at all: its datasets, and its grid where it has one."""
    if spec.kind != "scores":
        return True
    inside = _grids_of(m)
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
    places = {(c.dataset, c.split, c.version, c.protocol) for c in columns}
    fit = [m for m in candidates if m.kind != "scores" or (_place(m) in places and m.whole)]
    usual: dict[Place, str] = {}
    for place in {_place(m) for m in fit}:
        contents = [m.content for m in fit if _place(m) == place]
        usual[place] = min(contents, key=lambda c: (-contents.count(c), c))
    fitting = [m for m in fit if m.content == usual[_place(m)]]
    return fitting, [m for m in candidates if m not in fitting]


def _place(m: Measured) -> Place:
    return m.dataset, m.split, m.version, m.protocol


def _main(
    spec: Spec, claims: Sequence[Claim], columns: tuple[Column, ...], fitting: Sequence[Measured], runs: str
) -> Table:
    rows: list[Row] = []
    used: set[int] = set()
    for own in _claim_rows(claims).values():
        first = own[0]
        found = [m for m in fitting if _is_row(spec, first, m)]
        used |= {id(m) for m in found}
        published = {_column_of(c, columns): c for c in own}
        blocks = _blocks(found, columns, first)
        have = {(m.dataset, m.split) for m in found}
        lacking = [c for c in own if (c.dataset, c.split) not in have]
        if spec.kind != "scores":
            lacking = [] if blocks else own
        commands = fill(spec, lacking, runs)
        rows.append(Row(tuple(cell(first) for _, cell in spec.stubs), published, blocks, commands))
    if spec.kind == "scores" and not spec.by_row:
        rest = [m for m in fitting if id(m) not in used and (not spec.grid or spec.grid in _grids_of(m))]
        rows += _measured_rows(spec, rest, columns)
    notes = [*_measured_by(columns), *_intervals(rows, spec.kind), *([spec.note] if spec.note else [])]
    return Table(
        spec.name,
        f"{spec.label}: {spec.title}" + (f", {columns[0].metric}" if spec.one_by_metric else ""),
        tuple(header for header, _ in spec.stubs),
        columns,
        tuple(rows),
        tuple(notes),
    )


def _claim_rows(claims: Sequence[Claim]) -> dict[tuple[str, ...], list[Claim]]:
    rows: dict[tuple[str, ...], list[Claim]] = {}
    for c in claims:
        rows.setdefault((c.source, c.id, c.method, c.setting, c.backbone), []).append(c)
    return rows


def _column_of(claim: Claim, columns: Sequence[Column]) -> Column:
    metric = "learnable" if claim.unit == "M" else claim.metric
    return next(c for c in columns if (c.dataset, c.split, c.metric) == (claim.dataset, claim.split, metric))


def _is_row(spec: Spec, claim: Claim, m: Measured) -> bool:
    if m.uses_truth:
        return False
    if spec.grid and spec.grid in _grids_of(m):
        label = label_of(spec.grid, m)
        if label is not None:
            return _plain(label) == _plain(claim.setting)
    return m.id == spec.id_of(claim) and spec.holds(claim, m.config)


def _plain(label: str) -> str:
    return "".join(c for c in label.lower() if c.isalnum())


def _blocks(found: Sequence[Measured], columns: Sequence[Column], claim: Claim | None) -> tuple[Block, ...]:
    """Return the measurements of a row by variant; a second run of a variant on a dataset is a block of its own."""
    turns: dict[tuple[str, int], list[Measured]] = {}
    seen: dict[tuple[str, Place], int] = {}
    for m in found:
        turn = seen.get((m.variant, _place(m)), 0)
        seen[m.variant, _place(m)] = turn + 1
        turns.setdefault((m.variant, turn), []).append(m)
    return tuple(_block(runs, columns, claim) for runs in turns.values())


def _block(runs: Sequence[Measured], columns: Sequence[Column], claim: Claim | None) -> Block:
    values: dict[Column, float] = {}
    bounds: dict[Column, Sequence[float]] = {}
    for c in columns:
        # A claim of parameters says which part it counts; all stand in one column.
        metric = claim.metric if claim is not None and c.unit == "M" else c.metric
        for m in runs:
            if metric in m.metrics and (m.kind != "scores" or _place(m) == _place_of(c)):
                values[c] = m.metrics[metric]
                if metric in m.intervals:
                    bounds[c] = m.intervals[metric]
    return Block(values, bounds, tuple(runs))


def _place_of(c: Column) -> Place:
    return c.dataset, c.split, c.version, c.protocol


def _measured_rows(spec: Spec, runs: Sequence[Measured], columns: Sequence[Column]) -> list[Row]:
    """Return rows of what nothing is published about, by variant."""
    by_variant: dict[str, list[Measured]] = {}
    for m in runs:
        by_variant.setdefault(m.variant, []).append(m)
    rows = []
    for own in by_variant.values():
        label = (label_of(spec.grid, own[0]) if spec.grid else None) or run_label(own[0])
        stubs = (label, *[""] * (len(spec.stubs) - 1))
        rows.append(Row(stubs, {}, _blocks(own, columns, None)))
    return rows


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


def _beside(
    spec: Spec, claims: Sequence[Claim], others: Sequence[Measured], of_kind: Sequence[Measured]
) -> list[Table]:
    """Return tables of runs that may not stand in the columns, and of the grid on other datasets."""
    if spec.kind != "scores":
        return []
    elsewhere = [m for m in of_kind if spec.grid and spec.grid in _grids_of(m) and m not in others]
    fitting = {id(m) for m in _fitting(_columns(claims), elsewhere)[0]} if claims[0].dataset else set()
    chosen = [m for m in (*others, *elsewhere) if id(m) not in fitting and (not spec.grid or _grids_of(m))]
    tables = []
    for group in _groups(chosen):
        if spec.grid:
            tables.append(_settings_table(spec, claims, group))
        else:
            tables.append(_unpublished(spec.name, spec.title, (spec.stubs[0][0],), group))
    return [replace(t, beside=spec.label) for t in tables]


def _groups(runs: Sequence[Measured]) -> list[list[Measured]]:
    """Return the runs that may share a table: one place, content and coverage."""
    groups: dict[tuple[object, ...], list[Measured]] = {}
    for m in runs:
        groups.setdefault((*_place(m), m.content, m.marks, m.items), []).append(m)
    return [*groups.values()]


def _group_columns(group: Sequence[Measured]) -> tuple[Column, ...]:
    first = group[0]
    metrics = dict.fromkeys(metric for m in group for metric in m.metrics)
    return tuple(Column(*_place(first), metric, "%") for metric in metrics)


def _group_notes(group: Sequence[Measured]) -> tuple[str, ...]:
    first = group[0]
    known = f"version {first.version}, content {first.content[:8] or 'unknown'}"
    measured = f"Measured on {dataset_title(first.dataset)} {first.split} ({known}) by {first.protocol}"
    return (f"{'; '.join([measured, *first.marks])}.",)


def _unpublished(name: str, title: str, stubs: tuple[str, ...], group: Sequence[Measured]) -> Table:
    """Return a table of one group: a row a run, nothing published."""
    columns = _group_columns(group)
    rows = tuple(Row((run_label(m),), {}, (_block([m], columns, None),)) for m in group)
    return Table(name, _group_title(title, group), stubs, columns, rows, _group_notes(group))


def _settings_table(spec: Spec, claims: Sequence[Claim], group: Sequence[Measured]) -> Table:
    """Return a grid's settings on another dataset or protocol: the paper's rows that were run, then the others."""
    columns = _group_columns(group)
    rows, used = [], set[int]()
    for own in _claim_rows(claims).values():
        found = [m for m in group if not m.uses_truth and _is_setting(spec, own[0], m)]
        if found:
            used |= {id(m) for m in found}
            stubs = tuple(cell(own[0]) for _, cell in spec.stubs)
            rows.append(Row(stubs, {}, _blocks(found, columns, None)))
    rows += _measured_rows(spec, [m for m in group if id(m) not in used], columns)
    stubs = tuple(header for header, _ in spec.stubs)
    return Table(spec.name, _group_title(spec.title, group), stubs, columns, tuple(rows), _group_notes(group))


def _is_setting(spec: Spec, claim: Claim, m: Measured) -> bool:
    """Return whether a run below the grid's folder is a setting, whatever else its method has."""
    label = label_of(spec.grid, m)
    if label is not None:
        return _plain(label) == _plain(claim.setting)
    return bool(spec.settings) and spec.setting_of(m.config) == claim.setting


def _group_title(title: str, group: Sequence[Measured]) -> str:
    first = group[0]
    return f"{title}, {dataset_title(first.dataset)} {first.split}, {first.protocol}" + (
        "" if first.whole else f", {'; '.join(first.marks)}"
    )
