"""``bench data``: describe, check and draw a dataset, remember where it lies."""

from __future__ import annotations

import argparse
from typing import Any

from refseg.bench.cli.common import Commands, add_json, emit, guarded_stdout, positive

INPUT_ERROR = 2


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser("data", help="describe, check or draw a dataset; remember where it lies")
    actions = parser.add_subparsers(metavar="ACTION", dest="action", required=True)
    for name, text in (
        ("describe", "print a split's counts, kinds of sentences and version"),
        ("check", "read a split and compare it with its published counts"),
    ):
        action = actions.add_parser(name, help=text, description=text)
        _add_split(action)
        add_json(action)
        action.set_defaults(run=describe if name == "describe" else check)
    actions.choices["check"].add_argument(
        "--all-frames", action="store_true", help="read every frame, not the first and last of each video"
    )
    text = "draw frames of a split, with their masks and sentences, into one picture"
    sheet = actions.add_parser("sheet", help=text, description=text)
    _add_split(sheet)
    sheet.add_argument("--out", metavar="PNG", required=True, help="the picture")
    sheet.add_argument("--videos", metavar="N", type=positive, default=6, help="how many videos; default: 6")
    sheet.add_argument("--frames", metavar="N", type=positive, default=6, help="frames a video; default: 6")
    sheet.set_defaults(run=draw_sheet)
    text = "Remember a dataset's folder, so that --root may be left out. Else $REFSEG_DATA/NAME is looked at."
    remember = actions.add_parser("set", help="remember a dataset's folder", description=text)
    remember.add_argument("dataset", metavar="NAME")
    remember.add_argument("folder", metavar="DIR")
    remember.set_defaults(run=set_folder)


def _add_split(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", metavar="DATASET", help="see `bench list datasets`")
    parser.add_argument("--split", metavar="S", help="default: the dataset's own")
    parser.add_argument("--root", metavar="DIR", help="its folder")


def describe(args: argparse.Namespace) -> int:
    """Print what a split is."""
    from refseg.bench.datacheck import describe_dataset
    from refseg.bench.runner import open_dataset

    with guarded_stdout(args.json):
        facts = describe_dataset(open_dataset(args.dataset, args.split, args.root))
    emit(facts, args.json, _facts_text(facts))
    return 0


def check(args: argparse.Namespace) -> int:
    """Read a split; exit 2 where something is wrong."""
    from refseg.bench.datacheck import check_dataset
    from refseg.bench.progress import for_terminal
    from refseg.bench.runner import open_dataset

    with guarded_stdout(args.json):
        dataset = open_dataset(args.dataset, args.split, args.root)
        report = check_dataset(dataset, all_frames=args.all_frames, progress=for_terminal())
    problems = report["problems"]
    shown = [f"- {p}" for p in problems[:20]]
    if len(problems) > len(shown):
        shown.append(f"- and {len(problems) - len(shown)} more (--json lists all)")
    verdict = f"{len(problems)} problems:" if problems else "No problem found."
    emit(report, args.json, "\n".join([_facts_text(report), "", verdict, *shown]))
    return INPUT_ERROR if problems else 0


def draw_sheet(args: argparse.Namespace) -> int:
    """Draw a contact sheet."""
    from pathlib import Path

    from refseg.bench.runner import open_dataset
    from refseg.reports.sheet import write_contact_sheet

    dataset = open_dataset(args.dataset, args.split, args.root)
    write_contact_sheet(dataset, Path(args.out), videos=args.videos, frames=args.frames)
    print(args.out)
    return 0


def set_folder(args: argparse.Namespace) -> int:
    """Remember a folder."""
    from refseg.bench import registry
    from refseg.bench.config import set_root

    registry.entry("datasets", args.dataset)
    print(f"Remembered in {set_root(args.dataset, args.folder)}")
    return 0


def _facts_text(facts: dict[str, Any]) -> str:
    lines = [f"{facts['dataset']} {facts['split']}, version {facts['version']}"]
    for name in ("videos", "expressions", "frames"):
        expected = facts.get(f"expected_{name}")
        told = "" if expected is None else f" (published: {expected})"
        lines.append(f"  {name:12}{facts[name]}{told}")
    lines.append(f"  {'protocols':12}{', '.join(facts['protocols'])}")
    lines.append(f"  {'fingerprint':12}{facts['fingerprint']}")
    for name, counts in facts["attributes"].items():
        told = ", ".join(f"{value} {n}" for value, n in counts.items())
        lines.append(f"  {name:12}{told}")
    return "\n".join(lines)
