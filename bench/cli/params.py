"""``bench params``: count a method's parameters."""

from __future__ import annotations

import argparse
from typing import Any

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
    parser.add_argument(
        "--method",
        metavar="NAME",
        nargs="+",
        required=True,
        help="one or several, also as NAME,NAME; see `bench list methods`",
    )
    add_set(parser, "the method")
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Count."""
    from refseg.bench import registry
    from refseg.bench.options import split_assignments

    with guarded_stdout(args.json):
        names = registry.expand_methods(",".join(args.method))
        results = [_count(name, split_assignments(args.set)) for name in names]
    value = results[0] if len(results) == 1 else {"runs": results}
    emit(value, args.json, "\n\n".join(map(_text, results)))
    return 0


def _count(name: str, options: dict[str, str]) -> dict[str, Any]:
    """Count one method; where the paper prints the same, beside it."""
    from refseg.bench.params import count_method
    from refseg.reports.published_params import published_params

    counts = count_method(name, options)
    # With options it is another network than the printed one.
    printed = {} if options else {k: float(v) for k, v in published_params(name).items()}
    return counts | ({"published": printed} if printed else {})


def _text(counts: dict[str, Any]) -> str:
    from refseg.bench.params import flattened
    from refseg.reports.published_params import SAM_PARTS

    rows = [(name, *map(_millions, (c["learnable"], c["total"]))) for name, c in flattened(counts)]
    table = text_table((counts["method"], "learnable (M)", "total (M)"), rows)
    told = (
        f"Active in every frame: {_millions(counts['active_per_frame'])} M. "
        f"Text encoder: {_millions(counts['text_encoder'])} M."
    )
    if "published" not in counts:
        return f"{table}\n\n{told}"
    sam = sum(counts["modules"][part]["total"] for part in SAM_PARTS)
    beside = (
        ("learnable", _millions(counts["learnable"]), f"{counts['published']['learnable']:.1f}"),
        ("SAM, trained whole", _millions(sam), f"{counts['published']['sam']:.1f}"),
    )
    paper = text_table((counts["method"], "counted (M)", "paper, Table IX (M)"), beside)
    return f"{table}\n\n{paper}\n\n{told}"


def _millions(count: int) -> str:
    return f"{count / 1e6:.3f}"
