"""Runs that may not stand in a published table's columns: each place, content and coverage has a table of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from refseg.reports.claims import Claim
from refseg.reports.gridded import label_of
from refseg.reports.measured import Measured
from refseg.reports.paper import Spec
from refseg.reports.tables import Column, Row, Table, blocks_of, claim_rows, grids_of, place
from refseg.reports.titles import dataset_title, run_label

Ranked = tuple[int, Row]
"""A row with its place among a table's settings."""


def beside_tables(spec: Spec, claims: Sequence[Claim], others: Sequence[Measured]) -> list[Table]:
    """Return the tables of runs that may not stand in a table's columns; of a grid, the runs below its folder.

    Args:
        spec: The table.
        claims: Its claims.
        others: The runs.
    """
    tables = []
    for group in groups([m for m in others if not spec.grid or spec.grid in grids_of(m)]):
        made = (
            _settings(spec, claims, group)
            if spec.grid
            else unpublished(spec.name, "", spec.stubs[0][0], group)
        )
        tables.append(replace(made, beside=spec.label))
    return tables


def groups(runs: Sequence[Measured]) -> list[list[Measured]]:
    """Return the runs that may share a table: one place, content and coverage."""
    found: dict[tuple[object, ...], list[Measured]] = {}
    for m in runs:
        found.setdefault((*place(m), m.content, m.marks, m.items), []).append(m)
    return [*found.values()]


def unpublished(name: str, title: str, stub: str, group: Sequence[Measured]) -> Table:
    """Return a table of one group: a row a run, nothing published."""
    columns = _columns(group)
    rows = tuple(Row((run_label(m),), {}, blocks_of([m], columns)) for m in group)
    return Table(name, _title(title, group), (stub,), columns, rows, _notes(group))


def measured_rows(spec: Spec, runs: Sequence[Measured], columns: Sequence[Column]) -> list[Ranked]:
    """Return rows of what nothing is published about, by variant."""
    by_variant: dict[str, list[Measured]] = {}
    for m in runs:
        by_variant.setdefault(m.variant, []).append(m)
    rows = []
    for own in by_variant.values():
        first = own[0]
        setting = spec.setting_of(first.config) if spec.settings and not first.uses_truth else None
        label = (label_of(spec.grid, first) if spec.grid else None) or setting or run_label(first)
        stubs = (label, *[""] * (len(spec.stubs) - 1))
        rows.append((_rank(spec, setting), Row(stubs, {}, blocks_of(own, columns))))
    return rows


def same_label(one: str, other: str) -> bool:
    """Return whether two names of a setting differ in case, blanks and punctuation at most."""
    return _letters(one) == _letters(other)


def _settings(spec: Spec, claims: Sequence[Claim], group: Sequence[Measured]) -> Table:
    """Return a grid's settings on another dataset or protocol, in the form of the paper's rows."""
    columns = _columns(group)
    rows: list[Ranked] = []
    used: set[int] = set()
    for own in claim_rows(claims):
        found = [m for m in group if not m.uses_truth and _is_setting(spec, own[0], m)]
        used |= {id(m) for m in found}
        if found:
            stubs = tuple(cell(own[0]) for _, cell in spec.stubs)
            rows.append((_rank(spec, own[0].setting), Row(stubs, {}, blocks_of(found, columns))))
    rows += measured_rows(spec, [m for m in group if id(m) not in used], columns)
    rows.sort(key=lambda ranked: ranked[0])
    stubs = tuple(header for header, _ in spec.stubs)
    made = tuple(row for _, row in rows)
    return Table(spec.name, _title(spec.title, group), stubs, columns, made, _notes(group))


def _is_setting(spec: Spec, claim: Claim, m: Measured) -> bool:
    """Return whether a run below the grid's folder is a setting, whatever else its method has."""
    label = label_of(spec.grid, m)
    if label is not None:
        return same_label(label, claim.setting)
    return bool(spec.settings) and spec.setting_of(m.config) == claim.setting


def _rank(spec: Spec, setting: str | None) -> int:
    order = [*spec.settings]
    return order.index(setting) if setting in order else len(order)


def _letters(label: str) -> str:
    return "".join(c for c in label.lower() if c.isalnum())


def _columns(group: Sequence[Measured]) -> tuple[Column, ...]:
    metrics = dict.fromkeys(metric for m in group for metric in m.metrics)
    return tuple(Column(*place(group[0]), metric, "%") for metric in metrics)


def _notes(group: Sequence[Measured]) -> tuple[str, ...]:
    first = group[0]
    known = f"version {first.version}, content {first.content[:8] or 'unknown'}"
    measured = f"Measured on {dataset_title(first.dataset)} {first.split} ({known}) by {first.protocol}"
    return (f"{'; '.join([measured, *first.marks])}.",)


def _title(title: str, group: Sequence[Measured]) -> str:
    first = group[0]
    where = f"{dataset_title(first.dataset)} {first.split}"
    return ", ".join(filter(None, (title, where, first.protocol, "; ".join(first.marks))))
