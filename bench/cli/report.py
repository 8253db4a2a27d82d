"""``bench report``: one table over many runs."""

from __future__ import annotations

import argparse
import sys

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
    parser.add_argument("--out", metavar="DIR", help="write runs.md (.csv, .html, .tex) there")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Report."""
    from pathlib import Path

    from refseg.bench.atomic import write_bytes
    from refseg.bench.cli.runs import collect, render

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
