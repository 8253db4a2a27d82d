"""``bench export``: a run's masks as servers and official tools read them."""

from __future__ import annotations

import argparse
import sys

from refseg.bench.cli.common import Commands


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "export",
        help="write a run's masks as servers and official tools read them",
        description="Write a run's masks as PNGs that a server or an official tool reads.",
    )
    parser.add_argument(
        "folders", metavar="RUN", nargs="+", help="a run folder or its zip; all shards of one run"
    )
    parser.add_argument(
        "--layout",
        choices=("ytvos", "davis", "mevis"),
        required=True,
        help="ytvos: Annotations/VIDEO/EXPRESSION/FRAME.png; mevis: VIDEO/EXPRESSION/FRAME.png; "
        "davis: anno_K/VIDEO/FRAME.png",
    )
    parser.add_argument("--out", metavar="PATH", required=True, help="a new folder, or a new .zip")
    parser.add_argument("--root", metavar="DIR", help="the dataset's folder, if it moved since the run")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Export."""
    from refseg.bench.exporter import export_run

    written, counts = export_run(args.folders, args.layout, args.out, root=args.root)
    if counts["videos"] < counts["in_split"]:
        print(
            f"bench: warning: the run holds {counts['videos']} of the split's {counts['in_split']} videos; "
            "a server will want all of them",
            file=sys.stderr,
        )
    print(written)
    return 0
