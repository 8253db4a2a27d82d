"""``bench ablate``: run a grid of settings and print its table."""

from __future__ import annotations

import argparse

from refseg.bench.cli.common import (
    Commands,
    add_device,
    add_json,
    chosen_device,
    emit,
    guarded_stdout,
    positive,
)
from refseg.bench.tables import markdown_table, percent


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "ablate",
        help="run a grid of settings and print its table",
        description="Run every setting of a grid and print a Markdown table. Finished runs are reused.",
    )
    parser.add_argument("grid", metavar="GRID", help="see `bench list grids`")
    parser.add_argument("--dataset", metavar="NAME", help="default: the grid's own")
    parser.add_argument("--split", metavar="S", help="default: the grid's own")
    parser.add_argument("--root", metavar="DIR", help="the dataset's folder")
    parser.add_argument("--limit", metavar="N", type=positive, help="only the first N videos")
    parser.add_argument("--seeds", metavar="N", type=positive, default=1, help="seeds where there is one")
    parser.add_argument("--out", metavar="DIR", help="folder of the runs; default: runs/GRID")
    parser.add_argument("--fresh", action="store_true", help="run everything again")
    add_device(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the grid."""
    from refseg.bench.ablation import GridRequest, run_grid
    from refseg.bench.progress import for_terminal

    request = GridRequest(
        grid=args.grid,
        dataset=args.dataset,
        split=args.split,
        root=args.root,
        limit=args.limit,
        seeds=args.seeds,
        out=args.out,
        fresh=args.fresh,
        device=chosen_device(args.device),
    )
    with guarded_stdout(args.json):
        table = run_grid(request, progress=for_terminal())
    rows = [
        (row["label"], *(_cell(row["metrics"].get(c), row["deviations"].get(c)) for c in table["columns"]))
        for row in table["rows"]
    ]
    title = f"{table['title']} ({table['dataset']} {table['split']}, {table['protocol']})"
    text = "\n".join([title, "", markdown_table(("setting", *table["columns"]), rows)])
    emit(table, args.json, text)
    return 3 if any(row["failures"] for row in table["rows"]) else 0


def _cell(mean: object, deviation: object) -> str:
    return percent(mean) if not isinstance(deviation, float) else f"{percent(mean)} ± {percent(deviation)}"
