"""How long work tells of itself: always on stderr, with a rate and the time left."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO

from refseg.bench.errors import told


class Task(Protocol):
    """A piece of work of known length."""

    def advance(self, steps: int = 1) -> None:
        """Say that so many more steps are done; less than none where some must be done again."""
        ...

    def note(self, text: str) -> None:
        """Say something worth a line of its own, e.g. that a video failed."""
        ...


class Progress(Protocol):
    """Where tasks are shown."""

    @contextmanager
    def task(self, title: str, total: int, unit: str) -> Iterator[Task]:
        """Show one task; ``unit`` is the plural of what a step is, e.g. ``"frames"``."""
        ...

    def note(self, text: str) -> None:
        """Say something outside of any task."""
        ...


class Silent:
    """Shows nothing; the default of library functions."""

    @contextmanager
    def task(self, title: str, total: int, unit: str) -> Iterator[Task]:
        """Show nothing."""
        yield _Nothing()

    def note(self, text: str) -> None:
        """Say nothing."""


class _Nothing:
    def advance(self, steps: int = 1) -> None:
        pass

    def note(self, text: str) -> None:
        pass


class Plain:
    """One line every few seconds, for logs and pipes."""

    def __init__(self, stream: TextIO | None = None, every: float = 10.0) -> None:
        self._stream, self._every = stream, every

    @contextmanager
    def task(self, title: str, total: int, unit: str) -> Iterator[Task]:
        """Print lines such as ``predicting: 120/768 frames, 30.1 frames/s, 22 s left``."""
        task = _Lines(title, total, unit, self._stream or sys.stderr, self._every)
        yield task
        task.close()

    def note(self, text: str) -> None:
        """Print a line."""
        print(f"bench: {told(text)}", file=self._stream or sys.stderr, flush=True)


class _Lines:
    def __init__(self, title: str, total: int, unit: str, stream: TextIO, every: float) -> None:
        self._title, self._total, self._unit, self._stream, self._every = title, total, unit, stream, every
        self._done, self._start, self._said = 0, time.monotonic(), time.monotonic()

    def advance(self, steps: int = 1) -> None:
        self._done += steps
        now = time.monotonic()
        if now - self._said >= self._every and 0 < self._done < self._total:
            rate = self._done / (now - self._start)
            left = (self._total - self._done) / rate
            self._say(
                f"{self._done}/{self._total} {self._unit}, {rate:.1f} {self._unit}/s, {_duration(left)} left"
            )
            self._said = now

    def note(self, text: str) -> None:
        print(f"bench: {told(text)}", file=self._stream, flush=True)

    def close(self) -> None:
        seconds = time.monotonic() - self._start
        rate = self._done / seconds if seconds > 0 else 0.0
        self._say(f"{self._done}/{self._total} {self._unit} in {seconds:.1f} s ({rate:.1f} {self._unit}/s)")

    def _say(self, text: str) -> None:
        print(f"{self._title}: {text}", file=self._stream, flush=True)


def _duration(seconds: float) -> str:
    """Return a time to wait as people say it."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


class Bars:
    """A live bar in a terminal, by rich."""

    @contextmanager
    def task(self, title: str, total: int, unit: str) -> Iterator[Task]:
        """Show a bar with the count, the rate and the time left."""
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress
        from rich.theme import Theme

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(unit),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("left"),
        )
        # Rich's cyan and green can hardly be read on white; text is in the terminal's own colour.
        plain = Theme({"progress.download": "none", "progress.remaining": "none"})
        with RichProgress(*columns, console=Console(stderr=True, theme=plain)) as shown:
            yield _Bar(shown, shown.add_task(title, total=total, rate=""), unit)

    def note(self, text: str) -> None:
        """Print a line."""
        print(f"bench: {told(text)}", file=sys.stderr, flush=True)


class _Bar:
    def __init__(self, shown: object, task_id: object, unit: str) -> None:
        self._shown, self._id, self._unit = shown, task_id, unit
        self._start, self._done = time.monotonic(), 0

    def advance(self, steps: int = 1) -> None:
        self._done += steps
        rate = self._done / max(time.monotonic() - self._start, 1e-6)
        self._shown.update(self._id, advance=steps, rate=f"{rate:.1f} {self._unit}/s")  # type: ignore[attr-defined]

    def note(self, text: str) -> None:
        self._shown.console.print(f"bench: {told(text)}", markup=False, highlight=False)  # type: ignore[attr-defined]


def for_terminal() -> Progress:
    """Return bars where stderr is a terminal, else plain lines."""
    return Bars() if sys.stderr.isatty() else Plain()
