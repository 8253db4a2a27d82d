"""``bench score``: score predictions that are there."""

from __future__ import annotations

import argparse

from refseg.bench.cli.common import (
    Commands,
    add_csv,
    add_dataset,
    add_jobs,
    add_json,
    add_protocol,
    comma_list,
    emit,
    guarded_stdout,
)
from refseg.bench.errors import InputError


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "score",
        help="score predictions that are there: a run, or another program's masks",
        description="Score a run folder or another program's masks, each also as a zip.",
    )
    parser.add_argument(
        "predictions", metavar="PREDICTIONS", nargs="+", help="a folder or a zip; all shards of one run"
    )
    add_dataset(parser)
    parser.add_argument(
        "--layout",
        metavar="L",
        help="ytvos, mevis: VIDEO/EXPRESSION/FRAME.png; davis: anno_0..3/VIDEO/FRAME.png or one such folder; "
        "run: of `bench run`; default: found out",
    )
    add_protocol(parser)
    parser.add_argument(
        "--on-missing",
        choices=("error", "empty"),
        default="error",
        help="what an expression without a prediction is: an error (default), or empty masks",
    )
    parser.add_argument(
        "--lint-only",
        action="store_true",
        help="read every file and say all that is wrong with them; score nothing; exit 2 where they cannot be scored",
    )
    add_jobs(parser)
    add_json(parser)
    add_csv(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Score, or only look."""
    from refseg.bench.cli.results import lint_text, result_text
    from refseg.bench.progress import for_terminal
    from refseg.bench.scorer import ScoreRequest, look_at, score

    request = ScoreRequest(
        predictions=args.predictions[0],
        shards=tuple(args.predictions[1:]),
        dataset=args.dataset,
        split=args.split,
        root=args.root,
        layout=args.layout,
        protocols=comma_list(args.protocol),
        on_missing=args.on_missing,
        jobs=args.jobs,
    )
    with guarded_stdout(args.json):
        result = (look_at if args.lint_only else score)(request, progress=for_terminal())
    if args.lint_only:
        emit(result, args.json, lint_text(result))
        return 0 if result["can_be_scored"] else InputError.exit_code
    if args.csv:
        from pathlib import Path

        from refseg.bench.items import write_items

        write_items([result], Path(args.csv))
    emit(result, args.json, result_text(result))
    return 3 if result["failures"] else 0
