"""``bench fetch``: published checkpoints, over HTTPS and checked."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from refseg.bench.cli.common import Commands, add_json, emit, guarded_stdout

if TYPE_CHECKING:
    from pathlib import Path

    from refseg.bench.fetch import Download


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "fetch",
        help="fetch published checkpoints, checked by their SHA-256",
        description="Fetch published checkpoints over HTTPS into $REFSEG_CHECKPOINTS, or else the cache, where methods "
        "look for them. What broke off goes on where it was; what has another SHA-256 is not kept. Without a "
        "name: list them.",
    )
    parser.add_argument("names", metavar="NAME", nargs="*", help="for instance sam_vit_h")
    parser.add_argument("--to", metavar="DIR", help="another folder")
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Fetch, or list."""
    from pathlib import Path

    from refseg.bench.errors import InputError
    from refseg.bench.fetch import checkpoint_folders, fetch
    from refseg.bench.progress import for_terminal
    from refseg.methods.downloads import DOWNLOADS, find_download

    folders = [Path(args.to)] if args.to else checkpoint_folders()
    if not args.names:
        return _list(list(DOWNLOADS.values()), folders, args.json)
    if not folders:
        raise InputError("There is no folder for checkpoints: set $REFSEG_CHECKPOINTS, or give --to DIR.")
    chosen = [find_download(name) for name in dict.fromkeys(args.names)]
    with guarded_stdout(args.json):
        paths = {d.name: str(fetch(d, folders[0], progress=for_terminal())) for d in chosen}
    emit(paths, args.json, "\n".join(paths.values()))
    return 0


def _list(downloads: Sequence[Download], folders: Sequence[Path], json_target: str | None) -> int:
    from dataclasses import asdict

    from refseg.bench.tables import text_table

    found = []
    for download in downloads:
        there = next((f / download.file for f in folders if (f / download.file).exists()), None)
        found.append(asdict(download) | {"path": None if there is None else str(there)})
    rows = [(d["name"], f"{d['size'] >> 20}", d["summary"], d["path"] or "") for d in found]
    text = text_table(("checkpoint", "MiB", "what it is", "where it is"), rows)
    emit({"checkpoints": found}, json_target, text)
    return 0
