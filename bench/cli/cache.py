"""``bench cache``: what is kept that can be made again."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from refseg.bench.cli.common import Commands, add_json, emit


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "cache",
        help="say what is kept that can be made again, or delete it",
        description="Say what is kept that can be made again, and where; with --clear, delete it. It lies in "
        "$REFSEG_CACHE, or else in $XDG_CACHE_HOME/refseg or ~/.cache/refseg. No run is there.",
    )
    parser.add_argument(
        "--clear",
        metavar="KIND",
        action="append",
        default=[],
        help="truth, indices, checks or checkpoints; all: every kind but checkpoints; may be repeated",
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Tell, or delete."""
    from refseg.bench.cache import cache_facts, clear_cache

    found = clear_cache(args.clear) if args.clear else cache_facts()
    emit(found, args.json, _text(found, deleted=bool(args.clear)))
    return 0


def _text(found: Mapping[str, Any], *, deleted: bool) -> str:
    if found["folder"] is None:
        return "Nothing is kept: REFSEG_CACHE is empty."
    kinds = found["kinds"]
    width = max(map(len, kinds))
    lines = [
        f"  {name:{width}}  {k['files']:6} files  {k['bytes'] / 2**20:9.1f} MiB  {k['summary']}"
        for name, k in kinds.items()
    ]
    return "\n".join([f"{'Deleted from' if deleted else 'Kept in'} {found['folder']}:", *lines])
