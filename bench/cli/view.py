"""``bench view``: write a run's page anew and say where it is."""

from __future__ import annotations

import argparse

from refseg.bench.cli.common import Commands


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "view",
        help="write a run's page anew and say where it is",
        description="Write a run's HTML page anew and print its path; open it in a browser.",
    )
    parser.add_argument("folder", metavar="RUN", help="a run folder")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the page."""
    from pathlib import Path

    from refseg.bench.errors import InputError
    from refseg.bench.layouts import open_run_folder

    path = Path(args.folder)
    if path.is_file():
        raise InputError(f"{path} is a file; unpack it and give the run folder.")
    open_run_folder(path)
    from refseg.reports.page import write_run_page

    print(write_run_page(path).resolve())
    return 0
