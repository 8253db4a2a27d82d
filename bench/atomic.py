"""Files that are either whole or absent, and file names that stay inside their folder."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from refseg.bench.errors import InputError

TEMPORARY = ".tmp-"
"""How the names of unfinished files begin."""

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.+ ")
_LONGEST = 150


class DiskFullError(InputError):
    """The disk or the quota is full; what was written before stays whole."""


def safe_name(text: str) -> str:
    """Return a file name that stands for any text, one to one, and cannot leave its folder.

    Letters, digits and ``_-.+`` stay; every other byte of the UTF-8 form, and a leading dot, is
    percent-encoded. A name too long for file systems is cut and gets its hash.
    """
    raw = text.encode("utf-8", "surrogatepass")
    out = "".join(chr(b) if chr(b) in _PLAIN else f"%{b:02X}" for b in raw)
    if out[:1] in (".", " "):
        out = f"%{ord(out[0]):02X}{out[1:]}"
    if out[-1:] == " ":
        out = out[:-1] + "%20"
    if len(out) > _LONGEST:
        out = f"{out[:100]}~{hashlib.sha256(raw).hexdigest()[:32]}"
    return out or "%"


@contextlib.contextmanager
def writing(path: Path) -> Iterator[IO[bytes]]:
    """Give a file to write into; readers see the old content until the block ends, and then all of the new.

    Raises:
        DiskFullError: No space is left.
        InputError: The folder cannot be written.
    """
    temporary = path.parent / f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(4)}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
    except OSError as error:
        raise write_error(path, error) from error


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file so that readers see the old content or the new one, never a part.

    Raises:
        DiskFullError: No space is left.
        InputError: The folder cannot be written.
    """
    with writing(path) as file:
        file.write(data)


def sweep(folder: Path, pattern: str = "") -> None:
    """Remove unfinished files that a killed process left in a folder, or in those below it that match a pattern."""
    for path in folder.glob(f"{pattern}{TEMPORARY}*"):
        if not path.is_dir():
            path.unlink(missing_ok=True)


def write_json(path: Path, value: Any, *, indent: int | None = None) -> None:
    """Write strict JSON (no NaN) atomically."""
    write_bytes(path, (json.dumps(value, indent=indent, allow_nan=False) + "\n").encode("ascii"))


def write_error(path: Path, error: OSError) -> InputError:
    """Turn a failed write into one sentence."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFullError(
            f"No space is left for {path}; what was finished before stays: free some space and run the same "
            f"command again."
        )
    return InputError(f"{path} cannot be written: {error.strerror or error}.")
