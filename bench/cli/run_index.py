"""Where the runs below a folder are, and an index of what was read from them.

A thousand results of thousands of sentences take many seconds to parse, so what a table needs of each is kept in
``.index.sqlite`` beside them. An entry counts only for files of the same sizes, times and inodes; the index may be
deleted at any time, and where it is damaged or cannot be written everything is read.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

NAME = ".index.sqlite"
REVISION = 1
"""Changes with the form of what is kept."""

_RECORD = "run.json"
_FILES = (_RECORD, "result.json")
_PATIENCE = 2.0


def run_folders(top: Path) -> list[Path]:
    """Return the run folders at or below a folder, by path; the thousands of files inside of runs are not listed."""
    return [Path(folder) for folder in sorted(_walk(str(top)))]


def _walk(folder: str) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            inside = list(entries)
    except OSError:
        return
    if any(e.name == _RECORD for e in inside):
        yield folder
        return
    for entry in inside:
        # Links are not followed, as they could lead back up.
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path)


def state_of(folder: Path) -> str:
    """Return what changes whenever a run's record or result does."""
    return json.dumps([_state(folder / name) for name in _FILES])


def _state(path: Path) -> list[int]:
    try:
        found = path.stat()
    except OSError:
        return []
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


class RunIndex:
    """What is kept of the runs below a folder, by the run's path; a context manager."""

    def __init__(self, top: Path) -> None:
        self._path = top / NAME
        self._known: dict[str, tuple[str, str]] = {}
        self._new: dict[str, tuple[str, str]] = {}
        self._gone: set[str] = set()

    def __enter__(self) -> RunIndex:
        if self._path.is_file():
            with contextlib.suppress(sqlite3.Error), contextlib.closing(self._opened("ro")) as index:
                if index.execute("PRAGMA user_version").fetchone() == (REVISION,):
                    self._known = {
                        r: (s, v) for r, s, v in index.execute("SELECT run, state, value FROM runs")
                    }
        return self

    def get(self, run: str, state: str) -> Any | None:
        """Return what is kept of a run in this state, or None."""
        kept = self._known.get(run)
        if kept is None or kept[0] != state:
            return None
        try:
            return json.loads(kept[1])
        except (ValueError, TypeError, RecursionError):
            return None

    def put(self, run: str, state: str, value: Any) -> None:
        """Keep what was read of a run."""
        self._new[run] = (state, json.dumps(value))

    def keep_only(self, runs: Sequence[str]) -> None:
        """Forget the runs that are gone."""
        self._gone = self._known.keys() - set(runs)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None or not (self._new or self._gone):
            return
        with contextlib.suppress(sqlite3.Error, OSError):
            try:
                self._write()
            except sqlite3.DatabaseError as fault:
                if isinstance(fault, sqlite3.OperationalError):
                    # Locked or not writable: what was read is right all the same.
                    return
                self._path.unlink()
                self._write()

    def _write(self) -> None:
        with contextlib.closing(self._opened("rwc")) as index, index:
            if index.execute("PRAGMA user_version").fetchone() != (REVISION,):
                index.execute("DROP TABLE IF EXISTS runs")
                index.execute(
                    "CREATE TABLE runs (run TEXT PRIMARY KEY, state TEXT, value TEXT) WITHOUT ROWID"
                )
                index.execute(f"PRAGMA user_version = {REVISION}")
            index.executemany("DELETE FROM runs WHERE run = ?", [(run,) for run in self._gone])
            rows = [(run, *kept) for run, kept in self._new.items()]
            index.executemany("INSERT OR REPLACE INTO runs VALUES (?, ?, ?)", rows)

    def _opened(self, mode: str) -> sqlite3.Connection:
        return sqlite3.connect(f"{self._path.resolve().as_uri()}?mode={mode}", uri=True, timeout=_PATIENCE)
