"""Indices of large metadata files, made once and kept in the user's cache; a damaged one is made again.

An index is a zip of JSON members. Its name hashes the size, the times and the inode of every file that it was made
from, so that it cannot outlive a change of them; a zip's checksums tell a damaged one.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from refseg.bench.atomic import safe_name, write_bytes
from refseg.bench.config import cache_folder
from refseg.bench.errors import InputError

_DAMAGED = (OSError, ValueError, LookupError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)


def indexed(
    name: str,
    root: Path,
    files: Iterable[Path],
    member: str,
    make: Callable[[], Mapping[str, bytes]],
    *,
    revision: int,
) -> bytes:
    """Return one member of an index, from the cache or made now.

    Args:
        name: What is indexed, part of the index's file name.
        root: The folder of the dataset; an index replaces older ones of the same name and root.
        files: What the index depends on; one that is missing counts as such.
        member: The member that is wanted.
        make: Makes all members; what it raises passes through, and nothing is kept then.
        revision: Changes whenever ``make`` would make something else of the same files.
    """
    state = _digest([revision, *([str(f.absolute()), _state(f)] for f in files)])
    stem = f"{safe_name(name)}-{_digest(str(root.absolute()))[:16]}"
    folder = cache_folder()
    if folder is None:
        return make()[member]
    path = folder / "indices" / f"{stem}-{state}.zip"
    try:
        with zipfile.ZipFile(path) as index:
            return index.read(member)
    except _DAMAGED:
        pass
    members = make()
    # Without a cache that can be written to, opening is slow and still right.
    with contextlib.suppress(InputError, OSError):
        write_bytes(path, _zipped(members))
        for old in path.parent.glob(f"{stem}-*.zip"):
            if old != path:
                old.unlink(missing_ok=True)
    return members[member]


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode("ascii")).hexdigest()[:32]


def _state(path: Path) -> list[int]:
    try:
        found = path.stat()
    except OSError:
        return []
    # The change time cannot be set back by hand, so a file that was replaced by one of its size and date is noticed.
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


def _zipped(members: Mapping[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as index:
        for name, content in members.items():
            index.writestr(name, content)
    return file.getvalue()
