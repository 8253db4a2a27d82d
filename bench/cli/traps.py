"""``bench traps``: how much conventions of scoring move a number."""

from __future__ import annotations

import argparse

from refseg.bench.cli.common import Commands, add_json, emit, guarded_stdout


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "traps",
        help="measure how much conventions of scoring move a number",
        description="Score the same masks by pairs of conventions and print what that changes, as Markdown. Both "
        "folders hold VIDEO/FRAME.png with object ids, as DAVIS has them.",
    )
    parser.add_argument("truth", metavar="TRUTH", help="folder of the truth's label PNGs")
    parser.add_argument(
        "predictions", metavar="PREDICTIONS", help="folder of a method's, for the same frames"
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure."""
    from refseg.bench.progress import for_terminal
    from refseg.bench.tables import markdown_table
    from refseg.bench.traps import measure_traps

    with guarded_stdout(args.json):
        found = measure_traps(args.truth, args.predictions, progress=for_terminal())
    rows = [
        [
            row["trap"],
            row["metric"],
            f"{row['one']}: {_number(row['one_score'])}",
            f"{row['other']}: {_number(row['other_score'])}",
            _number(row["difference"], "+"),
        ]
        for row in found["rows"]
    ]
    text = markdown_table(["trap", "metric", "one convention", "the other", "difference"], rows)
    head = f"{found['objects']} objects in {found['videos']} videos, {found['frames']} frames"
    emit(found, args.json, f"{head}\n\n{text}")
    return 0


def _number(value: float | None, sign: str = "") -> str:
    # Some conventions move hundredths of a point, which a paper's one decimal would hide.
    return "–" if value is None else format(value, f"{sign}.2f")
