"""Runs a program with a time limit, and says what it said where it fails."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from refseg.bench.errors import InputError, RefsegError

LAST_LINES = 12
"""How many of the last lines on stderr are told where a program fails."""

_LONGEST = 2000


class ProgramError(RefsegError):
    """The program failed, or did not end in time."""


def run_program(arguments: Sequence[str], *, limit: float) -> float:
    """Run a program to its end; no shell looks at its arguments.

    Args:
        arguments: The program and its arguments.
        limit: Seconds after which it is ended, with all that it started.

    Returns:
        Seconds of wall clock from its start to its end.

    Raises:
        InputError: It is not there or cannot be run.
        ProgramError: It ends with another code than 0, or not in time; with its last lines on stderr.
    """
    with tempfile.TemporaryFile() as said:
        start = time.perf_counter()
        try:
            process = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                # What it prints must not mix with a result on our stdout.
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        except OSError as error:
            raise InputError(
                f"The program {arguments[0]} cannot be run ({error.strerror}); is its path in --set run=… right?"
            ) from None
        try:
            code = process.wait(timeout=limit)
        except subprocess.TimeoutExpired:
            _end(process)
            text = f"The program did not end within {limit:g} s (--set time_limit=SECONDS)"
            raise ProgramError(f"{text}{_last_lines(said)}") from None
        except BaseException:
            # Ctrl-C reaches this process only, since the program has a session of its own.
            _end(process)
            raise
        seconds = time.perf_counter() - start
        if code != 0:
            how = f"ended with code {code}" if code > 0 else f"was ended by {signal.Signals(-code).name}"
            raise ProgramError(f"The program {how}{_last_lines(said)}")
    return seconds


def files_of(arguments: Sequence[str]) -> list[Path]:
    """Return those of a program's arguments that are files: scripts, weights, configurations."""
    found = [Path(a.partition("=")[2] if a.startswith("-") and "=" in a else a) for a in arguments]
    return [path for path in found if path.is_file()]


def hashes_of(files: Sequence[Path]) -> dict[str, str]:
    """Return file name -> SHA-256; of files of one name, later ones get a number."""
    found: dict[str, str] = {}
    for path in files:
        name = path.name if path.name not in found else f"{path.name} ({len(found)})"
        with path.open("rb") as file:
            found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program and all that it started, which is in its process group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _last_lines(said: IO[bytes]) -> str:
    size = said.seek(0, os.SEEK_END)
    said.seek(max(0, size - 4 * _LONGEST))
    lines = [line for line in said.read().decode("utf-8", "replace").splitlines() if line.strip()]
    text = "\n".join(lines[-LAST_LINES:])[-_LONGEST:]
    return f"; it said last:\n{text}" if text else "; it said nothing."
