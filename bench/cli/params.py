"""``bench params``: count a method's parameters."""

from __future__ import annotations

import argparse

from refseg.bench.cli.common import Commands, add_json, add_set, emit, guarded_stdout, sentence
from refseg.bench.tables import text_table


def add(commands: Commands) -> None:
    """Add the subcommand."""
    text = "count a method's learnable and total parameters"
    parser = commands.add_parser(
        "params",
        help=text,
        description=f"{sentence(text)} By part, and what every frame needs; checkpoints need not be there.",
    )
    parser.add_argument("--method", metavar="NAME", required=True, help="see `bench list methods`")
    add_set(parser, "the method")
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Count."""
    from refseg.bench.options import split_assignments
    from refseg.bench.params import count_method, flattened

    with guarded_stdout(args.json):
        counts = count_method(args.method, split_assignments(args.set))
    rows = [(name, *map(_millions, (c["learnable"], c["total"]))) for name, c in flattened(counts)]
    table = text_table((counts["method"], "learnable (M)", "total (M)"), rows)
    told = (
        f"Active in every frame: {_millions(counts['active_per_frame'])} M. "
        f"Text encoder: {_millions(counts['text_encoder'])} M."
    )
    emit(counts, args.json, f"{table}\n\n{told}")
    return 0


def _millions(count: int) -> str:
    return f"{count / 1e6:.3f}"
