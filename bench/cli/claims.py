"""``bench claims``: the published numbers, and what in them does not hold."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from refseg.bench.cli.common import Commands, add_json, emit, guarded_stdout, sentence

if TYPE_CHECKING:
    from refseg.reports.claims import Claim
    from refseg.reports.claims.lint import Finding

FAULTS = 2


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "claims", help="list or check the published numbers that tables set beside runs"
    )
    actions = parser.add_subparsers(metavar="ACTION", dest="action", required=True)
    text = "print published numbers with their sources"
    action = actions.add_parser("list", help=text, description=sentence(text))
    for name, what in (
        ("source", "an id of reports/claims/sources.csv, for instance refsam"),
        ("table", "as printed: I to X, fig4, text …"),
        ("method", "a part of its name"),
        ("dataset", "a registered name"),
    ):
        action.add_argument(f"--{name}", metavar=name.upper(), help=what)
    _add_file(action)
    add_json(action)
    action.set_defaults(run=list_claims)
    text = (
        "check the published numbers: sources, names, units and duplicates of the data kept here (exit 2 where one is "
        "wrong), and whether publications agree with themselves: J&F with J and F, the text with the tables, "
        "references with methods, quoted values with their authors'"
    )
    action = actions.add_parser("lint", help="check the published numbers", description=sentence(text))
    action.add_argument(
        "--format", choices=("text", "md"), default="text", help="md: the tables of docs/claims.md"
    )
    _add_file(action)
    add_json(action)
    action.set_defaults(run=lint_claims)


def _add_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--claims", metavar="FILE", help="a table of the same columns; default: the one shipped"
    )


def list_claims(args: argparse.Namespace) -> int:
    """Print the numbers that are asked for."""
    from refseg.bench.errors import InputError
    from refseg.bench.tables import text_table
    from refseg.reports.claims import load_sources

    chosen = [c for c in _load(args.claims) if _is_chosen(c, args)]
    if not chosen:
        raise InputError("No published number is of that kind; `bench claims list` prints all.")
    header = ("source", "table", "row", "dataset", "split", "metric", "value", "unit", "note")
    rows = [
        (c.source, c.table, _row(c), c.dataset, c.split, c.metric, str(c.value), c.unit, c.note)
        for c in chosen
    ]
    known = load_sources()
    used = dict.fromkeys(c.source for c in chosen)
    sources = [f"{s}: {known[s].title}, {known[s].address} ({known[s].revision})" for s in used if s in known]
    emit([_json(c) for c in chosen], args.json, "\n".join([text_table(header, rows), "", *sources]))
    return 0


def lint_claims(args: argparse.Namespace) -> int:
    """Print the findings."""
    from refseg.reports.claims.lint import OURS, lint, shipped

    with guarded_stdout(args.json):
        published = shipped(_load(args.claims))
        findings = lint(published)
    text = _markdown(findings) if args.format == "md" else _text(findings, len(published.claims))
    emit([vars(f) for f in findings], args.json, text)
    return FAULTS if any(f.kind in OURS for f in findings) else 0


def _load(path: str | None) -> list[Claim]:
    from pathlib import Path

    from refseg.reports.claims import load_claims

    return load_claims(Path(path) if path else None)


def _is_chosen(c: Claim, args: argparse.Namespace) -> bool:
    return (
        args.source in (None, c.source)
        and args.table in (None, c.table)
        and args.dataset in (None, c.dataset)
        and (args.method or "").lower() in c.method.lower()
    )


def _row(c: Claim) -> str:
    name = c.method if not c.setting else f"{c.method}: {c.setting}"
    return f"{name} ({c.backbone})" if c.backbone else name


def _json(c: Claim) -> dict[str, Any]:
    return {
        name: float(value) if name == "value" else value for name, value in vars(c).items() if name != "where"
    }


def _text(findings: Sequence[Finding], checked: int) -> str:
    lines = [f"{f.kind:13}{f.source}, {f.place}: {f.text} ({f.where})" for f in findings]
    return "\n".join([*lines, f"{checked} published numbers, {len(findings)} findings"])


def _markdown(findings: Sequence[Finding]) -> str:
    from refseg.bench.tables import markdown_table

    parts = []
    for kind in dict.fromkeys(f.kind for f in findings):
        rows = [(f"`{f.source}`, {f.place}", f.text) for f in findings if f.kind == kind]
        parts.append(markdown_table(("where", kind), rows, left=(0, 1)))
    return "\n\n".join(parts)
