"""``bench list``: everything that has a name."""

from __future__ import annotations

import argparse

from refseg.bench import registry
from refseg.bench.cli.common import Commands, add_json, emit, sentence

KINDS: tuple[registry.Kind, ...] = ("methods", "datasets", "protocols", "grids", "tables", "recipes")


def add(commands: Commands) -> None:
    """Add the subcommand."""
    text = "list methods, datasets, protocols, grids, tables and recipes"
    parser = commands.add_parser(
        "list", help=text, description=f"{sentence(text)} Those of installed packages are among them."
    )
    parser.add_argument("kind", metavar="KIND", nargs="?", choices=KINDS, help=", ".join(KINDS))
    parser.add_argument("--names", action="store_true", help="print the names that can be used, one a line")
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """List one kind, or all."""
    tables = {kind: registry.table(kind) for kind in ([args.kind] if args.kind else KINDS)}
    value = {
        kind: [
            {"name": n, "summary": e.summary, "provider": e.provider, "error": e.error} for n, e in t.items()
        ]
        for kind, t in tables.items()
    }
    if args.names:
        names = [name for entries in tables.values() for name, entry in entries.items() if not entry.error]
        emit(value, args.json, "\n".join(names))
        return 0
    width = max(len(name) for table in tables.values() for name in table)
    blocks = []
    for kind, table in tables.items():
        lines = [f"  {name:{width}}  {entry.error or entry.summary}" for name, entry in table.items()]
        if kind == "methods":
            lines.append(
                f"  {'all_tiny':{width}}  every method whose name ends in _tiny, one after the other"
            )
        blocks.append("\n".join([kind, *lines]))
    emit(value, args.json, "\n\n".join(blocks))
    return 0
