"""``bench score``: score predictions that are there."""

from __future__ import annotations

import argparse

from refseg.bench.cli.common import Commands, add_dataset, add_json, emit, guarded_stdout


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser("score", help="score predictions that are there: a run folder")
    parser.add_argument("predictions", metavar="PREDICTIONS", help="a run folder")
    add_dataset(parser, required=True)
    parser.add_argument(
        "--protocol",
        metavar="P",
        action="append",
        default=[],
        help="default: all that the dataset is scored with",
    )
    parser.add_argument(
        "--on-missing",
        choices=("error", "empty"),
        default="error",
        help="what an expression without a prediction is: an error (default), or empty masks",
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Score."""
    from refseg.bench.cli.results import result_text
    from refseg.bench.progress import for_terminal
    from refseg.bench.scorer import ScoreRequest, score

    request = ScoreRequest(
        predictions=args.predictions,
        dataset=args.dataset,
        split=args.split,
        root=args.root,
        protocols=tuple(p.strip() for text in args.protocol for p in text.split(",") if p.strip()),
        on_missing=args.on_missing,
    )
    with guarded_stdout(args.json):
        result = score(request, progress=for_terminal())
    emit(result, args.json, result_text(result))
    return 3 if result["failures"] else 0
