"""``bench check-method`` and ``bench check-dataset``: does it keep the harness's interface?"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from refseg.bench.cli.common import (
    Commands,
    add_device,
    add_json,
    add_set,
    chosen_device,
    emit,
    guarded_stdout,
    sentence,
)
from refseg.bench.errors import InputError

if TYPE_CHECKING:
    from refseg.bench.conformance import Report


def add(commands: Commands) -> None:
    """Add both subcommands."""
    text = "run a method on a few short videos and say what of the interface it breaks"
    parser = commands.add_parser("check-method", help=text, description=_description(text))
    parser.add_argument("method", metavar="NAME", help="see `bench list methods`")
    add_set(parser, "the method")
    add_device(parser)
    _add_skip(parser)
    add_json(parser)
    parser.set_defaults(run=check_method)
    text = "open a dataset, read its first videos and say what of the interface it breaks"
    parser = commands.add_parser("check-dataset", help=text, description=_description(text))
    parser.add_argument("dataset", metavar="NAME", help="see `bench list datasets`")
    parser.add_argument("--split", metavar="S", help="default: the dataset's own")
    parser.add_argument("--root", metavar="DIR", help="its folder; default: see `bench data set --help`")
    add_set(parser, "the dataset")
    _add_skip(parser)
    add_json(parser)
    parser.set_defaults(run=check_dataset)


def check_method(args: argparse.Namespace) -> int:
    """Check a method; exit 2 where it breaks the interface."""
    from refseg.bench.conformance import check_method
    from refseg.bench.options import split_assignments
    from refseg.bench.progress import for_terminal
    from refseg.bench.types import MethodRequest

    request = MethodRequest(args.method, split_assignments(args.set), chosen_device(args.device))
    with guarded_stdout(args.json):
        report = check_method(request, skip=args.skip, progress=for_terminal())
    return _told(report, args.json)


def check_dataset(args: argparse.Namespace) -> int:
    """Check a dataset; exit 2 where it breaks the interface."""
    from refseg.bench.conformance import check_dataset
    from refseg.bench.options import split_assignments
    from refseg.bench.progress import for_terminal
    from refseg.bench.types import DatasetRequest

    options = {k.removeprefix("dataset."): v for k, v in split_assignments(args.set).items()}
    request = DatasetRequest(args.dataset, args.split, args.root, options)
    with guarded_stdout(args.json):
        report = check_dataset(request, skip=args.skip, progress=for_terminal())
    return _told(report, args.json)


def _told(report: Report, json_target: str | None) -> int:
    emit(report.as_json(), json_target, str(report))
    return 0 if report.passed else InputError.exit_code


def _add_skip(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--skip", metavar="CHECK", action="append", default=[], help="leave out a question; may be repeated"
    )


def _description(text: str) -> str:
    return f"{sentence(text)} Exit code 2 where something is broken."
