"""``bench view``: write a site to look through one run or several."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from refseg.bench.cli.common import Commands


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "view",
        help="write a site to look through runs: every sentence, frame and mask",
        description="Write a static site over one run or several and print its first page; open it in a browser.",
    )
    parser.add_argument(
        "folders", metavar="RUN", nargs="+", help="a run folder; several are shown side by side"
    )
    parser.add_argument("--out", metavar="DIR", help="the site's folder; default: RUN/site, of several: site")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the site."""
    from refseg.bench.errors import InputError
    from refseg.bench.layouts import open_run_folder

    paths = [Path(folder) for folder in dict.fromkeys(args.folders)]
    for path in paths:
        if path.is_file():
            raise InputError(f"{path} is a file; unpack it and give the run folder.")
        open_run_folder(path)
    default = paths[0] / "site" if len(paths) == 1 else Path("site")
    names = [path.resolve().name for path in paths]
    named = [(str(p) if names.count(n) > 1 else n, p) for n, p in zip(names, paths, strict=True)]
    return write(named, Path(args.out) if args.out else default)


def write(named: list[tuple[str, Path]], out: Path) -> int:
    """Write a site over named run folders, tell what it lacks, and print its first page."""
    from refseg.bench.progress import for_terminal
    from refseg.reports.site import write_site

    site = write_site(named, out, progress=for_terminal())
    for note in site.notes:
        print(f"bench: warning: {note}", file=sys.stderr)
    print(site.index.resolve())
    return 0
