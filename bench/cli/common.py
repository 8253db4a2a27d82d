"""What subcommands share: common options, JSON on stdout and nothing beside it, small tables."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from refseg.bench.errors import InputError

MOST_WORKERS = 1024
_LONGEST = 18
# Generic only to type checkers.
Commands: TypeAlias = "argparse._SubParsersAction[Any]"


def sentence(text: str) -> str:
    """Return the line that a list of commands has of one as the description in its own help."""
    return f"{text[:1].upper()}{text[1:]}."


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add ``--json FILE|-``."""
    parser.add_argument(
        "--json", metavar="FILE", help="write the result as JSON to a file; - for stdout, alone there"
    )


def add_set(parser: argparse.ArgumentParser, of: str) -> None:
    """Add the repeatable ``--set KEY=VALUE``."""
    parser.add_argument(
        "--set", metavar="KEY=VALUE", action="append", default=[], help=f"an option of {of}; may be repeated"
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add ``--device``."""
    parser.add_argument(
        "--device", metavar="D", default="auto", help="cpu, cuda, cuda:1 …; default: cuda where there is one"
    )


def add_dataset(parser: argparse.ArgumentParser, *, several: bool = False) -> None:
    """Add ``--dataset``, ``--split`` and ``--root``; ``several`` says that comma lists are read."""
    name, split = ("a name or a comma list; ", "a split or a comma list; ") if several else ("", "")
    parser.add_argument("--dataset", metavar="NAME", required=True, help=f"{name}see `bench list datasets`")
    parser.add_argument("--split", metavar="S", help=f"{split}default: the dataset's own")
    parser.add_argument("--root", metavar="DIR", help="its folder; default: see `bench data set --help`")


def add_protocol(parser: argparse.ArgumentParser) -> None:
    """Add the repeatable ``--protocol P[,P…]``; read it with :func:`comma_list`."""
    parser.add_argument(
        "--protocol",
        metavar="P",
        action="append",
        default=[],
        help="see `bench list protocols`; default: all that the dataset is scored with",
    )


def add_video(parser: argparse.ArgumentParser, note: str = "") -> None:
    """Add the repeatable ``--video ID[,ID…]``; read it with :func:`comma_list`."""
    parser.add_argument(
        "--video",
        metavar="ID",
        action="append",
        default=[],
        help=f"only this video, or several by commas{note}; may be repeated",
    )


def add_csv(parser: argparse.ArgumentParser) -> None:
    """Add ``--csv FILE``; :func:`refseg.bench.items.write_items` writes it."""
    parser.add_argument(
        "--csv", metavar="FILE", help="write a row for every item of each protocol: a sentence and its scores"
    )


def add_jobs(parser: argparse.ArgumentParser) -> None:
    """Add ``--jobs N``."""
    parser.add_argument(
        "--jobs",
        metavar="N",
        type=workers,
        help="processes that score; default: as many as are worth it, at most one a core; 1: this one only",
    )


def comma_list(given: Sequence[str]) -> tuple[str, ...]:
    """Return what a repeatable option names, by commas or one by one: each once."""
    names = (p.strip() for text in given for p in text.split(","))
    return tuple(dict.fromkeys(n for n in names if n))


def positive(text: str) -> int:
    """Parse a whole number of at least 1, for argparse."""
    if not text.isascii() or not text.isdecimal() or len(text) > _LONGEST or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a whole number of at least 1")
    return int(text)


def workers(text: str) -> int:
    """Parse a number of processes, for argparse: a slip of the hand must not start a million of them."""
    count = positive(text)
    if count > MOST_WORKERS:
        raise argparse.ArgumentTypeError(f"{count} is more than {MOST_WORKERS} processes")
    return count


def chosen_device(name: str) -> str:
    """Return a torch device string; torch is imported only where a GPU may be.

    Raises:
        InputError: A CUDA device is asked for that is not there, or the name is none of torch's.
    """
    if name == "auto":
        if not any(os.path.exists(p) for p in ("/dev/nvidiactl", "/dev/dxg")):
            return "cpu"
        import torch

        return "cuda" if torch.cuda.is_available() else "cpu"
    if name != "cpu":
        import torch

        try:
            kind = torch.device(name)
        except RuntimeError:
            raise InputError(f"--device {name} is no device; give cpu, cuda or cuda:N.") from None
        if kind.type == "cuda" and (kind.index or 0) >= torch.cuda.device_count():
            raise InputError(f"--device {name}: this computer has {torch.cuda.device_count()} CUDA devices.")
    return name


@contextlib.contextmanager
def guarded_stdout(json_target: str | None) -> Iterator[None]:
    """Where JSON goes to stdout, send all else that is printed to stderr, also from C code and children."""
    if json_target != "-":
        yield
        return
    sys.stdout.flush()
    saved = os.dup(1)
    os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(saved, 1)
        os.close(saved)


def emit(value: Any, json_target: str | None, text: str) -> None:
    """Print what people read, and write the JSON where it was asked for."""
    if json_target == "-":
        print(text, file=sys.stderr)
        print(json.dumps(value, indent=2, allow_nan=False))
        return
    if json_target:
        from refseg.bench.atomic import write_json

        write_json(Path(json_target), value, indent=2)
    print(text)
