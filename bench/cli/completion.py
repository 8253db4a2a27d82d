"""``bench completion``: a script that makes a shell complete commands, options and names."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping

from refseg.bench.cli.common import Commands
from refseg.bench.errors import InputError

SHELLS = ("bash", "zsh")

_KINDS = {
    "method": "methods",
    "dataset": "datasets",
    "protocol": "protocols",
    "grid": "grids",
    "recipe": "recipes",
}
"""Arguments whose values are registered names."""

_FILES = {
    *("root", "out", "runs", "json", "csv", "markdown", "baseline", "claims", "to"),
    *("folder", "folders", "predictions", "truth", "bundle", "a", "b"),
}
"""Arguments whose values are files or folders."""


_FUNCTIONS: Mapping[str, Callable[[str], str]] = {
    "bash": lambda kind: (
        f'_bench_{kind}() {{ compgen -W "$(bench list {kind} --names 2>/dev/null)" -- "$1"; }}'
    ),
    "zsh": lambda kind: (
        f'_bench_{kind}() {{ compadd -- ${{(f)"$(bench list {kind} --names 2>/dev/null)"}} }}'
    ),
}
"""A shell's function that completes the names of a kind."""


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "completion",
        help="print a script that makes a shell complete commands, options and names",
        description="Print a script that makes a shell complete commands, options and registered names, those of "
        "installed packages too.",
    )
    parser.add_argument("shell", metavar="SHELL", choices=SHELLS, help=", ".join(SHELLS))
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the script."""
    from refseg.bench.cli.parser import build_parser

    print(script(build_parser(), args.shell))
    return 0


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """Return the completion script of a command line.

    Raises:
        InputError: shtab is not installed.
    """
    try:
        import shtab
    except ModuleNotFoundError:
        raise InputError("Completion is made by shtab, which is not installed; pip install shtab.") from None
    _mark(parser)
    text: str = shtab.complete(
        parser, shell=shell, preamble="\n".join(map(_FUNCTIONS[shell], _KINDS.values()))
    )
    return text


def _mark(parser: argparse.ArgumentParser) -> None:
    """Say of every argument where its values come from; registered names are asked for when they are needed."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                _mark(inner)
        elif action.dest in _KINDS:
            kind = _KINDS[action.dest]
            action.complete = {"bash": f"_bench_{kind}", "zsh": f"_bench_{kind}"}  # type: ignore[attr-defined]
        elif action.dest in _FILES:
            action.complete = {"bash": "_shtab_compgen_files", "zsh": "_files"}  # type: ignore[attr-defined]
