"""``bench regress``: compare the tiny methods with a committed baseline."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from refseg.bench.cli.common import (
    Commands,
    add_jobs,
    add_json,
    add_set,
    emit,
    guarded_stdout,
    positive,
)

REGRESSION = 4


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "regress",
        help="compare the tiny methods with a committed baseline: accuracy, speed, parameters",
        description="Run the tiny methods on RefShapes and print, as Markdown, what moved since a baseline was made: "
        "scores by a bootstrap over videos that is paired, parameters exactly, speed beside a reference that is timed "
        "by turns. Exit code 4 where something moved.",
    )
    parser.add_argument(
        "--baseline", metavar="FILE", required=True, help="e.g. reports/baselines/refshapes.json"
    )
    parser.add_argument("--method", metavar="NAMES", help="only these, a comma list; default: all it holds")
    add_set(parser, "the one method that is compared")
    runs = parser.add_mutually_exclusive_group()
    runs.add_argument("--runs", metavar="DIR", help="take finished runs as they are; speed is left out")
    runs.add_argument("--out", metavar="DIR", default="runs/regress", help="folder of the runs that are made")
    parser.add_argument("--limit", metavar="N", type=positive, help="only the first N videos")
    speed = parser.add_mutually_exclusive_group()
    speed.add_argument("--no-speed", action="store_true", help="do not measure speed")
    speed.add_argument("--rounds", metavar="N", type=positive, help="timings of each stage; default: 9")
    parser.add_argument("--slower", metavar="R", type=_ratio, help="how many times slower is allowed")
    parser.add_argument("--fresh", action="store_true", help="predict everything again")
    parser.add_argument("--update", action="store_true", help="write the baseline anew; needs --reason")
    parser.add_argument("--reason", metavar="TEXT", help="why it is rewritten; stands in the file")
    parser.add_argument("--markdown", metavar="FILE", help="write what is printed to a file too")
    add_jobs(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Compare, or write the baseline."""
    from pathlib import Path

    from refseg.bench.atomic import write_bytes
    from refseg.bench.errors import InputError
    from refseg.bench.options import split_assignments
    from refseg.bench.progress import for_terminal
    from refseg.bench.regress import RegressRequest, regress, update

    request = RegressRequest(
        baseline=args.baseline,
        methods=[m.strip() for m in (args.method or "").split(",") if m.strip()],
        options=split_assignments(args.set),
        runs=args.runs,
        out=args.out,
        limit=args.limit,
        rounds=0 if args.no_speed else args.rounds or RegressRequest.rounds,
        slower=args.slower,
        fresh=args.fresh,
        jobs=args.jobs,
    )
    if args.update and (args.set or args.runs):
        raise InputError("--update runs the methods as they are; leave --set and --runs out.")
    if args.reason is not None and not args.update:
        raise InputError("--reason goes with --update, which rewrites the baseline.")
    if args.update:
        with guarded_stdout(args.json):
            made = update(request, args.reason or "", progress=for_terminal())
        text = (
            f"{args.baseline}: {len(made.methods)} methods, {made.dataset['videos']} videos ({made.reason})"
        )
        emit({"baseline": args.baseline, "reason": made.reason, "methods": [*made.methods]}, args.json, text)
        return 0
    with guarded_stdout(args.json):
        found = regress(request, progress=for_terminal())
    text = _text(found)
    if args.markdown:
        write_bytes(Path(args.markdown), f"{text}\n".encode())
    emit(found, args.json, text)
    return REGRESSION if found["regressed"] else 0


def _ratio(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 1 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 1")
    return value


def _text(found: Mapping[str, Any]) -> str:
    dataset, baseline = found["dataset"], found["baseline"]
    data = f"{dataset['name']} {dataset['split']} (version {dataset['version']}), {dataset['videos']} videos"
    figures = f"{len(found['rows'])} figures"
    head = f"{len(found['moved'])} of {figures} moved" if found["moved"] else f"None of {figures} moved"
    lines = [
        f"## {head}: {data}",
        "",
        f"Baseline: {baseline['file']}, made {baseline['made']} at {baseline['code']['revision']} "
        f"({baseline['reason']}). Here: {found['code']['revision']}.",
        *found["notes"],
    ]
    if found["moved"]:
        lines += ["", "### What moved", "", _table(found["moved"])]
    held = [row for row in found["rows"] if not row["moved"]]
    if held:
        lines += ["", "### What held", "", _table(held)]
    return "\n".join(lines)


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    from refseg.bench.tables import markdown_table

    header = ["method", "figure", "baseline", "now", "change", "95 % interval", "verdict"]
    return markdown_table(header, [_cells(row) for row in rows])


def _cells(row: Mapping[str, Any]) -> list[str]:
    show = _FORMATS.get(row["kind"], _plain)
    change, bounds = row["change"], row["interval"]
    quotient = row["kind"] == "speed"
    told = "" if change is None else f"x {change:.2f}" if quotient else f"{change:+.2f}"
    if row["kind"] == "parameters" and change is not None:
        told = f"{change:+.0f}"
    between = "" if bounds is None else f"{bounds[0]:.2f} to {bounds[1]:.2f}"
    figure = f"time: {row['what']}" if quotient else row["what"]
    return [row["label"], figure, show(row["then"]), show(row["now"]), told, between, row["verdict"]]


def _plain(value: Any) -> str:
    text = "–" if value is None else str(value)
    return text if len(text) <= 24 else f"{text[:12]}…"


def _two(value: Any) -> str:
    return "–" if value is None else f"{value:.2f}"


_FORMATS = {"accuracy": _two, "speed": _two}
