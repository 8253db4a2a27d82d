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


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "ablate",
        help="train and run a grid of settings and print its table",
        description="Train and run every setting of a grid, and write a report with its table beside the paper's. "
        "What is finished is used again, what was interrupted goes on, and a setting that fails does not stop the "
        "others. On another dataset than RefShapes the grid trains the paper's model by the paper's recipe.",
    )
    parser.add_argument("grid", metavar="GRID", help="see `bench list grids`; or a TOML file of your own")
    parser.add_argument("--dataset", metavar="NAME", help="default: the grid's own")
    parser.add_argument("--split", metavar="S", help="default: the grid's own")
    parser.add_argument("--root", metavar="DIR", help="the dataset's folder")
    parser.add_argument("--limit", metavar="N", type=positive, help="only the first N videos")
    parser.add_argument(
        "--seeds", metavar="N", type=positive, default=1, help="repeat with N seeds: mean and spread"
    )
    parser.add_argument(
        "--out", metavar="DIR", help="folder of trainings, runs and report; default: runs/GRID"
    )
    parser.add_argument("--fresh", action="store_true", help="train and run everything again")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a few steps and videos, to see that the grid runs; the numbers say nothing",
    )
    add_device(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the grid."""
    from refseg.bench.ablation import GridRequest, grid_folder, run_grid
    from refseg.bench.progress import for_terminal
    from refseg.reports.ablation import write_report

    request = GridRequest(
        grid=args.grid,
        dataset=args.dataset,
        split=args.split,
        root=args.root,
        limit=args.limit,
        seeds=args.seeds,
        out=args.out,
        fresh=args.fresh,
        quick=args.quick,
        device=chosen_device(args.device),
    )
    with guarded_stdout(args.json):
        table = run_grid(request, progress=for_terminal())
    folder = grid_folder(request)
    report = write_report(table, folder)
    emit(
        table,
        args.json,
        f"{report[0].read_text('utf-8')}\nWritten to {folder}: {', '.join(p.name for p in report)}",
    )
    return 3 if any(row["failures"] or row["error"] for row in table["rows"]) else 0
