"""Exceptions that the command line turns into one sentence and an exit code."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class RefsegError(Exception):
    """Base of everything this package raises on purpose."""

    exit_code = 1


class InputError(RefsegError):
    """The input or the call is wrong: says what was found, where, what was expected and how to mend it."""

    exit_code = 2


def unknown_name(kind: str, name: str, known: Iterable[str], *, hint: str = "") -> InputError:
    """Return the error for a name that is not in a table: the nearest names first, then all of them.

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
    return InputError(f"Unknown {kind} {name!r}.{nearest} Known: {', '.join(names) or 'none'}{tail}.")
