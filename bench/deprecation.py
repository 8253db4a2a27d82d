"""How names and options go: they work for a while under a warning that says what to write instead.

A change has a line in :data:`CHANGES`; a test fails as soon as a version is reached in which its old form was to be
gone, so that none is forgotten.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


class RefsegDeprecationWarning(FutureWarning):
    """An old form is in use. A FutureWarning, which is shown to users and not to developers only."""


@dataclass(frozen=True)
class Change:
    """What replaces an old form.

    Attributes:
        new: What to write instead.
        since: First version in which the old form warns.
        gone: Version in which it is taken away.
    """

    new: str
    since: str
    gone: str

    def sentence(self, old: str) -> str:
        """Return what is said to who uses the old form."""
        return (
            f"{old} is deprecated since version {self.since} and will be gone in {self.gone}; use {self.new}."
        )


CHANGES: Mapping[str, Change] = {}
"""Old name in ``refseg.bench``, or old option of ``bench`` (``"--old"``) -> what replaces it; none so far."""


def moved_name(name: str, changes: Mapping[str, Change] = CHANGES) -> str:
    """Return the name that stands for a name of ``refseg.bench`` now, and warn where it is an old one."""
    change = changes.get(name)
    if change is None:
        return name
    warnings.warn(change.sentence(f"refseg.bench.{name}"), RefsegDeprecationWarning, stacklevel=3)
    return change.new


class OldOption(argparse.Action):
    """An option under its old name: hidden in the help, told on stderr, and stored as the new one.

    ``parser.add_argument("--old", action=OldOption, change=CHANGES["--old"], dest="new")``.
    """

    def __init__(self, option_strings: Sequence[str], dest: str, *, change: Change, **kwargs: Any) -> None:
        super().__init__(option_strings, dest, **{**kwargs, "help": argparse.SUPPRESS})
        self._change = change

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option: str | None = None,
    ) -> None:
        """Store the value and say what to write instead."""
        print(f"bench: warning: {self._change.sentence(str(option))}", file=sys.stderr)
        setattr(namespace, self.dest, values)
