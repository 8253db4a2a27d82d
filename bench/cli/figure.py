"""``bench figure``: runs side by side on the same frames, for a paper."""

from __future__ import annotations

import argparse

from refseg.bench.cli.common import Commands, comma_list, positive


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "figure",
        help="draw runs side by side on the same frames, as PNG and PDF",
        description="Draw what several runs of one dataset segment, side by side on the same frames of the videos "
        "that are named: a colour an expression, the sentences below.",
        epilog="For instance: bench figure runs/refsam_tiny-refshapes-val runs/full-refshapes-val --video val-0003 "
        "--out figure",
    )
    parser.add_argument("runs", metavar="RUN", nargs="+", help="run folders; a column each")
    parser.add_argument(
        "--video",
        metavar="ID",
        action="append",
        required=True,
        help="a video, or several by commas; may be repeated",
    )
    parser.add_argument(
        "--expression",
        metavar="ID",
        action="append",
        default=[],
        help="expressions to draw, likewise; default: up to four of each video, of different objects",
    )
    parser.add_argument("--names", metavar="A,B", help="headings of the columns; default: the methods' names")
    parser.add_argument("--frames", metavar="N", type=positive, default=3, help="frames a video; default: 3")
    parser.add_argument("--no-truth", action="store_true", help="leave the column of the truth out")
    parser.add_argument(
        "--root", metavar="DIR", help="the dataset's folder; default: as the first run had it"
    )
    parser.add_argument(
        "--out", metavar="NAME", default="figure", help="writes NAME.png and NAME.pdf; default: figure"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Draw."""
    from pathlib import Path

    from refseg.bench.atomic import write_bytes
    from refseg.reports.qualitative import figure

    drawn = figure(
        [Path(r) for r in args.runs],
        list(comma_list(args.video)),
        expressions=list(comma_list(args.expression)),
        names=[n.strip() for n in args.names.split(",")] if args.names else (),
        frames=args.frames,
        truth=not args.no_truth,
        root=args.root,
    )
    for suffix, content in drawn.items():
        path = Path(f"{args.out}.{suffix}")
        write_bytes(path, content)
        print(path)
    return 0
