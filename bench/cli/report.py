"""``bench report``: one table over many runs."""

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
        help="print the tables of all runs in a folder",
        description="Print the scores of all runs below a folder, a table for each dataset and protocol.",
    )
    parser.add_argument("--runs", metavar="DIR", default="runs", help="where to look for runs; default: runs")
    parser.add_argument("--format", choices=FORMATS, default="md", help="md (default), csv, html or latex")
    parser.add_argument(
        "--out", metavar="DIR", help="write runs.md (.csv, .tex) there; with html a site of pages"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Report."""
    from refseg.bench.atomic import write_bytes
    from refseg.bench.cli.runs import collect, render

    if args.format == "html" and args.out is not None:
        return _site(Path(args.runs), Path(args.out))
    rows, notes = collect(Path(args.runs))
    for note in notes:
        print(f"bench: warning: {note}", file=sys.stderr)
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
