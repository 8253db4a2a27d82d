"""``bench compare``: what two runs differ by, and whether that is more than noise."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from refseg.bench.cli.common import Commands, add_json, emit, guarded_stdout

_FEW = 5


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "compare",
        help="compare two runs, and say what is within noise",
        description="Compare two runs on the same sentences: the difference of each metric with its 95 % interval, "
        "by a bootstrap over videos that is paired. Nothing is predicted or scored anew.",
    )
    parser.add_argument("a", metavar="RUN_A", help="a run folder, or a result that --json wrote")
    parser.add_argument("b", metavar="RUN_B", help="the other; differences are B less A")
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Compare."""
    from refseg.bench.compare import compare

    with guarded_stdout(args.json):
        found = compare(args.a, args.b)
    emit(found, args.json, _text(found))
    return 0


def _text(found: Mapping[str, Any]) -> str:
    lines = [f"{found['dataset']} {found['split']} (version {found['version']})"]
    for letter in "ab":
        one = found[letter]
        failed = f", {one['failures']} videos failed" if one["failures"] else ""
        missing = f", {one['missing']} missing predictions taken as empty" if one["missing"] else ""
        lines.append(f"{letter.upper()}: {one['method']} ({one['path']}{failed}{missing})")
    for one in found["protocols"]:
        lines += ["", _protocol_text(one)]
    for letter in "ab":
        if found[f"only_{letter}"]:
            lines += ["", f"Scored in {letter.upper()} only: {', '.join(found[f'only_{letter}'])}"]
    return "\n".join(lines)


def _protocol_text(one: Mapping[str, Any]) -> str:
    from refseg.bench.tables import interval, percent, signed, text_table

    header = [one["protocol"], "A", "B", "B - A", "95 % interval", ""]
    rows = [
        [
            name,
            percent(m["a"]),
            percent(m["b"]),
            signed(m["difference"]),
            "–" if m["interval"] is None else interval(m["interval"]),
            _verdict(m["verdict"]),
        ]
        for name, m in one["metrics"].items()
    ]
    bootstrap = one["bootstrap"]
    lines = [text_table(header, rows), f"In both: {one['items']} items, {bootstrap['clusters']} videos"]
    if "note" in bootstrap:
        lines.append(f"{bootstrap['note'][:1].upper()}{bootstrap['note'][1:]}.")
    for letter in "ab":
        only = one[f"only_{letter}"]
        if only:
            more = f" and {len(only) - _FEW} more" if len(only) > _FEW else ""
            lines.append(f"Left out, in {letter.upper()} only: {', '.join(only[:_FEW])}{more}")
    return "\n".join(lines)


def _verdict(verdict: str) -> str:
    return f"B is {verdict}" if verdict in ("higher", "lower") else verdict
