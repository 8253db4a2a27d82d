"""Puts the subcommands together."""

from __future__ import annotations

import argparse
import shlex
from importlib import metadata
from typing import Any, NoReturn

from refseg.bench.cli import (
    ablate,
    bundle,
    cache,
    claims,
    compare,
    completion,
    conform,
    data,
    doctor,
    export,
    fetch,
    figure,
    listing,
    new,
    params,
    regress,
    report,
    run,
    score,
    speed,
    train,
    traps,
    view,
)
from refseg.bench.cli.examples import add_examples
from refseg.bench.errors import InputError, unknown_name

COMMANDS = (
    run,
    score,
    compare,
    speed,
    regress,
    report,
    view,
    figure,
    export,
    bundle,
    train,
    ablate,
    params,
    claims,
    listing,
    data,
    fetch,
    cache,
    new,
    conform,
    traps,
    doctor,
    completion,
)
"""Modules with ``add(subparsers)``, in the order of ``bench --help``."""


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are our errors, with the nearest option named."""

    def __init__(self, **kwargs: Any) -> None:
        # An abbreviation that works today breaks a script when an option is added.
        kwargs.setdefault("allow_abbrev", False)
        kwargs.setdefault("fromfile_prefix_chars", "@")
        super().__init__(**kwargs)

    def convert_arg_line_to_args(self, arg_line: str) -> list[str]:
        """Split a line of an ``@FILE`` as a shell would; ``#`` begins a comment."""
        try:
            return shlex.split(arg_line, comments=True)
        except ValueError as error:
            raise InputError(
                f"The line {arg_line!r} of arguments cannot be split ({error}); mend its quotes."
            ) from None

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage and leaving."""
        raise InputError(f"{message[:1].upper()}{message[1:]}; see `{self.prog} --help`.")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse, and refuse an unknown option here, where its neighbours are known."""
        space, extra = super().parse_known_args(args, namespace)
        unknown = [a for a in extra if a.startswith("-")]
        if unknown:
            name = unknown[0].partition("=")[0]
            raise unknown_name(f"option of `{self.prog}`", name, self._option_string_actions)
        if extra:
            raise InputError(f"`{self.prog}` takes no argument {extra[0]!r}; see `{self.prog} --help`.")
        return space, extra

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            kind = "command" if isinstance(action, argparse._SubParsersAction) else f"{action.dest}"
            raise unknown_name(kind, str(value), map(str, action.choices))


def build_parser() -> Parser:
    """Return the parser of the whole command line."""
    parser = Parser(
        prog="bench",
        description="Run, score and report referring segmentation methods on any dataset.",
        epilog="Start with: bench run --method refsam_tiny --dataset refshapes. "
        "@FILE stands for the arguments in a file.",
    )
    parser.add_argument("--version", action="version", version=f"refseg-bench {_version()}")
    commands = parser.add_subparsers(metavar="COMMAND", dest="command", required=True)
    for module in COMMANDS:
        module.add(commands)
    add_examples(parser)
    return parser


def _version() -> str:
    try:
        return metadata.version("refseg-bench")
    except metadata.PackageNotFoundError:
        return "of unknown version"
