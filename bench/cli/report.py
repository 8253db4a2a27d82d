"""``bench report``: one table over many runs, and the paper's tables beside them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from refseg.bench.cli.common import Commands
from refseg.bench.cli.runs import FORMATS, SUFFIXES


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "report",
        help="print the tables of all runs in a folder, or the paper's tables beside them",
        description="Print the scores of all runs below a folder, a table for each dataset and protocol; with "
        "--table, the paper's tables and ablation figures: what is published, what was measured, the difference, "
        "and the command that fills what was not.",
    )
    parser.add_argument("--runs", metavar="DIR", default="runs", help="where to look for runs; default: runs")
    parser.add_argument(
        "--table",
        metavar="N",
        action="append",
        default=[],
        help="a table by its number, fig4, fig5, refshapes, elsewhere or all; may be repeated; see `bench list tables`",
    )
    parser.add_argument("--claims", metavar="FILE", help="published numbers; default: those shipped")
    parser.add_argument("--format", choices=FORMATS, default="md", help="md (default), csv, html or latex")
    parser.add_argument(
        "--out",
        metavar="DIR",
        help="write runs.md (.csv, .tex; with html a site of pages), or table-1.md … there; figures as PNG and PDF",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Report."""
    if args.table or args.claims:
        return _paper(args)
    return _runs(args)


def _runs(args: argparse.Namespace) -> int:
    from refseg.bench.atomic import write_bytes
    from refseg.bench.cli.runs import collect, render

    if args.format == "html" and args.out is not None:
        return _site(Path(args.runs), Path(args.out))
    rows, notes = collect(Path(args.runs))
    _warn(notes)
    text = render(rows, args.format)
    if args.out is None:
        print(text)
        return 0
    path = Path(args.out) / f"runs.{SUFFIXES[args.format]}"
    write_bytes(path, f"{text}\n".encode())
    print(path)
    return 0


def _site(runs: Path, out: Path) -> int:
    from refseg.bench.cli.view import write
    from refseg.reports.site.runs import find_runs

    return write(find_runs(runs), out)


def _paper(args: argparse.Namespace) -> int:
    from refseg.reports.assemble import RENDERERS, tables, write_tables
    from refseg.reports.claims import load_claims
    from refseg.reports.measured import read_measured
    from refseg.reports.paper import table_names

    names = table_names(args.table or ["all"])
    claims = load_claims(Path(args.claims) if args.claims else None)
    # Nothing was run yet: the tables say what to run.
    absent = not Path(args.runs).exists() and args.runs == "runs"
    measured, notes = ([], []) if absent else read_measured(Path(args.runs))
    _warn(notes)
    if args.out is None:
        found = [t for name in names for t in tables(name, claims, measured, args.runs)]
        print(RENDERERS[args.format](found))
        return 0
    written = write_tables(
        names, claims, measured, form=args.format, out=Path(args.out), runs=Path(args.runs)
    )
    print("\n".join(map(str, written)))
    return 0


def _warn(notes: list[str]) -> None:
    for note in notes:
        print(f"bench: warning: {note}", file=sys.stderr)
