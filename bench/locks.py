"""One writer a folder: a lock that the system frees however the process ends."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from refseg.bench.atomic import write_error
from refseg.bench.errors import InputError

_held: set[IO[str]] = set()

LOCK = ".lock"
"""Name of the lock's file in the folder; it stays there, and means nothing by itself."""


@contextlib.contextmanager
def locked(folder: Path, what: str) -> Iterator[None]:
    """Hold a folder, which is made where it is not there.

    Args:
        folder: The folder.
        what: What holds it, for the one that comes second, e.g. ``"run"``.

    Raises:
        InputError: Another process holds it, it cannot be written, or its file system has no locks.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = open(folder / LOCK, "a+")  # noqa: SIM115
    except OSError as error:
        raise write_error(folder, error) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise InputError(
                    f"{folder} cannot be locked ({error.strerror or error}), so two {what}s could mix their files "
                    "there; give an --out on a file system that has locks."
                ) from error
            lock.seek(0)
            holder = lock.read(200).strip()
            who = f" ({holder})" if holder else ""
            raise InputError(
                f"Another {what} is at work in {folder}{who}; wait for it, or give another --out."
            ) from None
        # A full disk leaves the holder unnamed; the lock holds all the same.
        with contextlib.suppress(OSError):
            lock.truncate(0)
            lock.write(f"process {os.getpid()} on {platform.node()}")
            lock.flush()
        _held.add(lock)
        try:
            yield
        finally:
            _held.discard(lock)
            with contextlib.suppress(OSError, ValueError):
                lock.truncate(0)


def _let_go() -> None:
    for lock in _held:
        lock.close()
    _held.clear()


# A forked child (a loader of training data) that outlives a killed process must not hold its lock.
os.register_at_fork(after_in_child=_let_go)
