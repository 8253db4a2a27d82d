"""Exceptions that the command line turns into one sentence and an exit code."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal, get_args

FaultKind = Literal["missing", "damaged", "size", "encoding", "schema", "id", "duplicate", "truth", "count"]
"""Sorts of faults of a dataset's copy: a file that is listed and absent; that cannot be decoded; of another size than
its video or frame; of another colour mode or text encoding; of another form; an id that cannot be or that nothing
has; something twice; truth that says nothing or the wrong thing; another number than the published one."""

_MANY, _FEW = 100, 20

_ENDLESS = re.compile(r"\S{1000,}")

FAULT_KINDS: tuple[FaultKind, ...] = get_args(FaultKind)


class RefsegError(Exception):
    """Base of everything this package raises on purpose."""

    exit_code = 1


class InputError(RefsegError):
    """The input or the call is wrong: says what was found, where, what was expected and how to mend it."""

    exit_code = 2


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a copy of a dataset.

    Attributes:
        kind: What sort of fault.
        file: The file, relative to the dataset's root; empty where it is the whole copy.
        text: One sentence: what was found, what was expected, how to mend it.
    """

    kind: FaultKind
    file: str
    text: str


class DataError(InputError):
    """A file of a dataset is wrong; ``fault`` says how."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.text)
        self.fault = fault

    def __reduce__(self) -> tuple[type[DataError], tuple[Fault]]:
        # It crosses processes with its fault, not with its text.
        return DataError, (self.fault,)


def told(text: str) -> str:
    """Return a text as one line in which nothing can steer a terminal or fill it, whatever it quotes."""
    return printable(_ENDLESS.sub(lambda word: f"{word[0][:200]}…{word[0][-50:]}", " ".join(text.split())))


def printable(line: str) -> str:
    """Return a line in which nothing can steer a terminal, its spaces as they are."""
    return line if line.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)


def unknown_name(kind: str, name: str, known: Iterable[str], *, hint: str = "") -> InputError:
    """Return the error for a name that is not in a table: the nearest names first, then all, or the first of many.

    Args:
        kind: What the name stands for, e.g. ``"method"``.
        name: What the user gave.
        known: Every accepted name.
        hint: How to see more, e.g. ``"see `bench list methods`"``.
    """
    names = sorted(known)
    near = get_close_matches(name, names, n=3, cutoff=0.5)
    nearest = f" Did you mean {' or '.join(repr(n) for n in near)}?" if near else ""
    tail = f" ({hint})" if hint else ""
    more = f" and {len(names) - _FEW} more" if len(names) > _MANY else ""
    listed = ", ".join(names[:_FEW] if more else names) or "none"
    return InputError(f"Unknown {kind} {name!r}.{nearest} Known: {listed}{more}{tail}.")
