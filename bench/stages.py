"""The stages of a method that are timed apart: a method names them, and whoever measures listens.

Where nobody listens, a stage costs a function call. Naming stages is optional: what a method does outside of any is
told as ``other``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, Protocol, get_args

Stage = Literal[
    "decode", "preprocess", "text", "detector", "visual encoder", "decoder/tracker", "upsample", "write"
]
STAGES: tuple[Stage, ...] = get_args(Stage)


class Listener(Protocol):
    """Is told where stages begin and end; they may lie in each other."""

    def enter(self, name: str) -> None:
        """A stage begins."""
        ...

    def leave(self) -> None:
        """The stage that began last ends."""
        ...


_listeners: list[Listener] = []


@contextmanager
def stage(name: Stage) -> Iterator[None]:
    """Mark what is done inside as a stage. It must not hold a ``yield`` of the method's generator."""
    if not _listeners:
        yield
        return
    listener = _listeners[-1]
    listener.enter(name)
    try:
        yield
    finally:
        listener.leave()


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Tell a listener of every stage inside; for one thread, the one that runs the method."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)
