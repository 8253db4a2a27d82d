"""``bench data``: describe, check and draw a dataset, remember where it lies."""

from __future__ import annotations

import argparse
from typing import Any

from refseg.bench.cli.common import (
    Commands,
    add_json,
    add_set,
    emit,
    guarded_stdout,
    positive,
    sentence,
    workers,
)

INPUT_ERROR = 2


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser("data", help="describe, check or draw a dataset; remember where it lies")
    actions = parser.add_subparsers(metavar="ACTION", dest="action", required=True)
    text = "print a dataset's card and how its folder must look; with a folder, what is in it"
    action = actions.add_parser("describe", help=text, description=sentence(text))
    _add_split(action)
    add_set(action, "the dataset")
    add_json(action)
    action.set_defaults(run=describe)
    text = "verify a copy: counts, metadata, and that every frame and mask is there, whole and of its size"
    action = actions.add_parser("check", help=text, description=sentence(text))
    _add_split(action)
    add_set(action, "the dataset")
    action.add_argument(
        "--quick", action="store_true", help="look at metadata, file names and headers only; takes seconds"
    )
    action.add_argument(
        "--show", metavar="N", type=positive, default=10, help="name N faults of each kind; default: 10"
    )
    action.add_argument("--jobs", metavar="N", type=workers, help="processes; default: all cores")
    add_json(action)
    action.set_defaults(run=check)
    text = "print the cards of all datasets as Markdown (docs/datasets.md)"
    actions.add_parser("cards", help=text, description=sentence(text)).set_defaults(run=print_cards)
    text = "draw frames of a split, with their masks and sentences, into one picture"
    sheet = actions.add_parser("sheet", help=text, description=sentence(text))
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
    """Print a dataset's card, and what a split holds where it can be opened."""
    from refseg.bench.cards import card_json, card_text, find_card
    from refseg.bench.config import find_root
    from refseg.bench.datacheck import describe_dataset
    from refseg.bench.runner import open_dataset

    facts: dict[str, Any] = {}
    texts = []
    with guarded_stdout(args.json):
        card = find_card(args.dataset)
        if card is not None:
            # An unknown split is told before a card that does not have it is shown.
            split = card.split(args.split)
            facts["card"] = card_json(card)
            texts.append(card_text(card, split if args.split else None))
        if card is None or not card.tree or find_root(args.dataset, args.root) is not None:
            found = describe_dataset(open_dataset(args.dataset, args.split, args.root, _options(args)))
            facts = found | facts
            texts.append(_facts_text(found))
    emit(facts, args.json, "\n\n".join(texts))
    return 0


def check(args: argparse.Namespace) -> int:
    """Verify a copy; exit 2 where something is wrong."""
    from refseg.bench import registry
    from refseg.bench.config import find_root
    from refseg.bench.datacheck import check_dataset
    from refseg.bench.progress import for_terminal
    from refseg.bench.types import DatasetRequest

    with guarded_stdout(args.json):
        registry.entry("datasets", args.dataset)
        root = find_root(args.dataset, args.root)
        request = DatasetRequest(args.dataset, args.split, root, _options(args))
        report = check_dataset(
            request, quick=args.quick, keep=args.show, workers=args.jobs, progress=for_terminal()
        )
    emit(report, args.json, f"{_facts_text(report)}\n\n{_findings_text(report)}")
    return INPUT_ERROR if report["faults"] else 0


def print_cards(args: argparse.Namespace) -> int:
    """Print every built-in card."""
    from refseg.bench.cards import all_cards_markdown

    print(all_cards_markdown())
    return 0


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


def _options(args: argparse.Namespace) -> dict[str, str]:
    """Return the dataset's options, whether or not they are named as `bench run` wants them, dataset.KEY."""
    from refseg.bench.options import split_assignments

    return {k.removeprefix("dataset."): v for k, v in split_assignments(args.set).items()}


def _facts_text(facts: dict[str, Any]) -> str:
    lines = [f"{facts['dataset']} {facts['split']}, version {facts['version']}"]
    for name in ("videos", "objects", "expressions", "frames"):
        expected = facts.get(f"expected_{name}")
        told = "" if expected is None else f" (published: {expected})"
        lines.append(f"  {name:12}{facts[name]}{told}")
    lines.append(f"  {'protocols':12}{', '.join(facts['protocols'])}")
    lines.append(f"  {'fingerprint':12}{facts['fingerprint']}")
    for name, counts in facts["attributes"].items():
        told = ", ".join(f"{value} {n}" for value, n in counts.items())
        lines.append(f"  {name:12}{told}")
    return "\n".join(lines)


def _findings_text(report: dict[str, Any]) -> str:
    if not report["faults"]:
        looked = (
            "Names, sizes and headers were looked at, nothing was decoded"
            if report["quick"]
            else "All is read"
        )
        return f"No fault found. {looked}."
    lines = []
    for kind, count in report["faults"].items():
        shown = [p for p in report["problems"] if p["kind"] == kind]
        lines += [f"{kind}: {count}", *(f"- {p['text']}" for p in shown)]
        if count > len(shown):
            lines.append(f"- and {count - len(shown)} more (--show N names more)")
    return "\n".join([f"{sum(report['faults'].values())} faults", *lines])
