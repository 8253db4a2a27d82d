"""Checks the published numbers: whether they are well kept here, and whether the publications agree with themselves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain
from typing import Literal

from refseg.bench import registry
from refseg.bench.cards import find_card
from refseg.bench.errors import InputError
from refseg.reports.claims import (
    PAPER,
    Claim,
    Reference,
    Source,
    Statement,
    load_claims,
    load_references,
    load_sources,
    load_statements,
)

Kind = Literal["source", "name", "unit", "duplicate", "arithmetic", "statement", "citation", "disagreement"]
"""The first four are faults of the data kept here; the others are what publications get wrong."""

OURS: tuple[Kind, ...] = ("source", "name", "unit", "duplicate")

_JF = ("J&F", "J", "F")
_SLIGHTLY = Decimal("0.1")
_WORDS: Mapping[str, str] = {
    ">": "higher than",
    "<": "lower than",
    "=": "equal to",
    "slightly <": "slightly lower than",
}
_COUNTS = ("learnable", "total")
_SPEEDS = ("fps_single", "fps_amortised")


@dataclass(frozen=True)
class Finding:
    """Something that does not hold.

    Attributes:
        kind: What sort.
        source: Whose number or sentence it is.
        place: Table or section, and row.
        text: One sentence: what was found and what was expected.
        where: File and line.
    """

    kind: Kind
    source: str
    place: str
    text: str
    where: str


@dataclass(frozen=True)
class Published:
    """Everything that is checked together."""

    claims: Sequence[Claim]
    sources: Mapping[str, Source]
    references: Sequence[Reference]
    statements: Sequence[Statement]


def shipped(claims: Sequence[Claim] | None = None) -> Published:
    """Return what is shipped, with other claims in the place of those where they are given."""
    return Published(
        load_claims() if claims is None else claims, load_sources(), load_references(), load_statements()
    )


def lint(published: Published) -> list[Finding]:
    """Return every finding, faults of our own data first."""
    checks: tuple[Callable[[Published], Iterable[Finding]], ...] = (
        _sources,
        _names,
        _units,
        _duplicates,
        _arithmetic,
        _statements,
        _citations,
        _disagreements,
    )
    return list(chain.from_iterable(check(published) for check in checks))


def place(claim: Claim) -> str:
    """Return where a number stands, e.g. ``"Table II, ReferFormer"``."""
    table = f"Table {claim.table}" if claim.table.isupper() else claim.table
    name = claim.row if not claim.backbone else f"{claim.row} ({claim.backbone})"
    on = f", {claim.dataset} {claim.split}" if claim.dataset else ""
    return f"{table}, {name}{on}"


def _sources(p: Published) -> Iterator[Finding]:
    for c in p.claims:
        if c.source not in p.sources:
            text = f"the source {c.source!r} is not in sources.csv; add it with its address"
            yield Finding("source", c.source, place(c), text, c.where)
    for s in p.sources.values():
        if not s.address.startswith("https://"):
            yield Finding("source", s.id, s.id, f"the address {s.address!r} is none", s.where)


def _names(p: Published) -> Iterator[Finding]:
    """Names must be the harness's, or a claim would never meet its run."""
    metrics: dict[str, tuple[str, ...]] = {}
    splits: dict[str, tuple[str, ...]] = {}
    for c in p.claims:
        if not c.dataset:
            continue
        try:
            if c.protocol not in metrics:
                metrics[c.protocol] = tuple(registry.build_protocol(c.protocol).metrics)
            if c.dataset not in splits:
                card = find_card(c.dataset)
                splits[c.dataset] = tuple(card.splits) if card else ()
        except InputError as error:
            yield Finding("name", c.source, place(c), str(error), c.where)
            continue
        if splits[c.dataset] and c.split not in splits[c.dataset]:
            text = f"{c.dataset} has no split {c.split!r}, but {', '.join(splits[c.dataset])}"
            yield Finding("name", c.source, place(c), text, c.where)
        if c.metric not in metrics[c.protocol]:
            text = f"{c.protocol} has no metric {c.metric!r}, but {', '.join(metrics[c.protocol])}"
            yield Finding("name", c.source, place(c), text, c.where)
        if not c.version:
            yield Finding("name", c.source, place(c), "the dataset's version is not given", c.where)


def _units(p: Published) -> Iterator[Finding]:
    for c in p.claims:
        if c.unit != "rank":
            wanted = _unit(c)
            if c.unit != wanted:
                text = f"{c.metric} is given in {c.unit}; expected {wanted}"
                yield Finding("unit", c.source, place(c), text, c.where)
        fits = 0 <= c.value <= 100 if c.unit == "%" else c.value > 0
        if not fits:
            yield Finding("unit", c.source, place(c), f"{c.metric} {c.value} {c.unit} cannot be", c.where)


def _unit(c: Claim) -> str:
    if c.metric in _SPEEDS:
        return "FPS"
    return "M" if c.metric.rpartition(".")[2] in _COUNTS else "%"


def _duplicates(p: Published) -> Iterator[Finding]:
    seen: dict[tuple[str, ...], Claim] = {}
    for c in p.claims:
        key = (c.source, c.table, c.method, c.setting, c.backbone, c.dataset, c.split, c.metric)
        first = seen.setdefault(key, c)
        if first is not c:
            yield Finding("duplicate", c.source, place(c), f"{c.metric} stands in {first.where} too", c.where)


def _arithmetic(p: Published) -> Iterator[Finding]:
    """J&F is the mean of J and F, as far as rounding can tell."""
    for row in _by_row(p.claims).values():
        if not all(m in row for m in _JF):
            continue
        jf, j, f = (row[m] for m in _JF)
        mean = (j.value + f.value) / 2
        if abs(jf.value - mean) > jf.half + (j.half + f.half) / 2:
            text = f"J&F {jf.value} is not the mean of J {j.value} and F {f.value}, which is {mean}"
            yield Finding("arithmetic", jf.source, place(jf), text, jf.where)


def _by_row(claims: Sequence[Claim]) -> dict[tuple[str, ...], dict[str, Claim]]:
    rows: dict[tuple[str, ...], dict[str, Claim]] = defaultdict(dict)
    for c in claims:
        if c.dataset and c.unit == "%":
            key = (c.source, c.table, c.id, c.method, c.setting, c.backbone, c.dataset, c.version, c.split)
            rows[key].setdefault(c.metric, c)
    return rows


def _statements(p: Published) -> Iterator[Finding]:
    """What a text says of two numbers holds for the numbers that are printed."""
    for s in p.statements:
        try:
            left, right = (_selected(p.claims, s.source, chosen) for chosen in (s.left, s.right))
        except InputError as error:
            yield Finding("name", s.source, s.section, str(error), s.where)
            continue
        one, other = (f"{_named(c)} {c.value}" for c in (left, right))
        if not _holds(s, left.value, right.value):
            text = f"{s.text}: {one} is not {_WORDS[s.relation]} {other}"
            yield Finding("statement", s.source, s.section, text, s.where)
        elif s.difference is not None:
            found = abs(left.value - right.value)
            if abs(found - s.difference) > left.half + right.half:
                text = f"{s.text}: {one} and {other} differ by {found}, not by {s.difference}"
                yield Finding("statement", s.source, s.section, text, s.where)


def _holds(s: Statement, left: Decimal, right: Decimal) -> bool:
    if s.relation == "=":
        return left == right
    if s.relation == "slightly <":
        return right * (1 - _SLIGHTLY) <= left < right
    return left > right if s.relation == ">" else left < right


def _named(c: Claim) -> str:
    name = f"{c.row} ({c.backbone})" if not c.dataset else f"{c.row} on {c.dataset}"
    return f"{name}, {c.metric}" if c.metric != "J&F" else name


def _selected(claims: Sequence[Claim], source: str, chosen: str) -> Claim:
    """Return the one claim that ``TABLE/ROW/DATASET/METRIC`` names.

    Raises:
        InputError: It names none, or several.
    """
    table, row, dataset, metric = chosen.split("/")
    found = [
        c
        for c in claims
        if (c.source, c.table, c.dataset, c.metric) == (source, table, dataset, metric)
        and row in (c.row, f"{c.row} ({c.backbone})")
    ]
    if len(found) != 1:
        raise InputError(f"{chosen!r} names {len(found)} numbers; expected one")
    return found[0]


def _citations(p: Published) -> Iterator[Finding]:
    """A reference number leads to the work that introduces the method."""
    by_number = {(r.source, r.number): r for r in p.references}
    told = set()
    for c in p.claims:
        if not c.cites or (c.source, c.table, c.method, c.cites) in told:
            continue
        told.add((c.source, c.table, c.method, c.cites))
        reference = by_number.get((c.source, c.cites))
        if reference is None:
            text = f"[{c.cites}] is not in references.csv"
            yield Finding("name", c.source, place(c), text, c.where)
        elif not {c.id, c.setting.lower()} & {*reference.introduces.split()}:
            text = f"{c.method} is given as [{c.cites}], which is “{reference.title}”"
            yield Finding("citation", c.source, f"Table {c.table}, {c.method}", text, c.where)


def _disagreements(p: Published) -> Iterator[Finding]:
    """What a paper quotes of others is among what these publish, as far as that is kept here."""
    rows = _by_row(p.claims)
    own: dict[tuple[str, ...], list[dict[str, Claim]]] = defaultdict(list)
    for (source, _, ident, *_, dataset, version, split), row in rows.items():
        if source != PAPER:
            own[ident, dataset, version, split].append(row)
    for (source, _, ident, *_, dataset, version, split), row in rows.items():
        theirs = own.get((ident, dataset, version, split), []) if source == PAPER else []
        shared = [[m for m in row if m in other] for other in theirs]
        agree = [
            all(row[m].value == other[m].value for m in ms) for other, ms in zip(theirs, shared, strict=True)
        ]
        if any(shared) and not any(a and ms for a, ms in zip(agree, shared, strict=True)):
            first = next(iter(row.values()))
            text = f"{first.method} is quoted with {_values(row)}, which none of its authors' rows holds"
            yield Finding("disagreement", source, place(first), text, first.where)


def _values(row: Mapping[str, Claim]) -> str:
    return ", ".join(f"{m} {c.value}" for m, c in row.items())
