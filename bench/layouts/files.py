"""A folder or a zip as a read-only tree of files; nothing of it is ever unpacked or written."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Protocol

from refseg.bench.errors import InputError
from refseg.bench.layouts.names import printable

LARGEST_FILE = 64 << 20
"""Bytes of one file: a raw 8K mask is half of it."""

_DEEPEST = 10
_JUNK_FOLDERS, _JUNK_FILES = frozenset({"__MACOSX"}), frozenset({"Thumbs.db", "desktop.ini"})


class Files(Protocol):
    """Files by their path relative to the root, separated by ``/``."""

    path: Path
    names: frozenset[str]

    def read(self, name: str, most: int | None = None) -> bytes:
        """Return a file's content, or only its first ``most`` bytes."""
        ...

    def shown(self, name: str) -> str:
        """Return the file's name for messages."""
        ...


def open_files(path: Path) -> Files:
    """List a folder or a zip.

    Raises:
        InputError: It is neither, cannot be read, or is a zip that is damaged or not safe.
    """
    from refseg.bench.layouts.zips import ZipFiles

    if path.is_dir():
        return FolderFiles(path)
    if not path.exists():
        raise InputError(f"The predictions {path} do not exist; give a folder or a zip.")
    if not path.is_file():
        raise InputError(f"{path} is no file and no folder; give a folder or a zip.")
    return ZipFiles(path)


class FolderFiles:
    """A folder's files; hidden ones and those that systems leave behind are passed over."""

    def __init__(self, path: Path) -> None:
        self.path = path
        found: list[str] = []
        _walk(str(path), "", (), found)
        self.names = frozenset(found)

    def read(self, name: str, most: int | None = None) -> bytes:
        """Return a file's content, or only its first ``most`` bytes.

        Raises:
            InputError: It cannot be read, or is larger than a mask can be.
        """
        try:
            # A hundred thousand files are opened for their headers: this costs half of what open() does.
            file = os.open(f"{self.path}/{name}", os.O_RDONLY)
            try:
                return _read(file, most)
            finally:
                os.close(file)
        except OSError as error:
            raise InputError(f"{self.shown(name)} cannot be read: {error.strerror}.") from None

    def shown(self, name: str) -> str:
        """Return the file's name for messages."""
        return f"{printable(name)} in {self.path}"


def _read(file: int, most: int | None) -> bytes:
    if most is not None:
        return os.read(file, most)
    size = os.fstat(file).st_size
    if size > LARGEST_FILE:
        raise OSError(errno.EFBIG, f"it holds {size} bytes, more than a mask can")
    data = os.read(file, size)
    while len(data) < size and (more := os.read(file, size - len(data))):
        data += more
    return data


def _walk(folder: str, prefix: str, above: tuple[tuple[int, int], ...], found: list[str]) -> None:
    """Add the files below a folder; links to folders are followed unless they lead back up."""
    try:
        state = os.stat(folder)
        here = (state.st_dev, state.st_ino)
        if here in above:
            return
        with os.scandir(folder) as entries:
            for entry in entries:
                name = entry.name
                if is_junk_file(name):
                    continue
                # Listing a folder tells the kind of each entry, so that no file costs a call of its own.
                if entry.is_file():
                    found.append(prefix + name)
                elif len(above) < _DEEPEST and name not in _JUNK_FOLDERS and entry.is_dir():
                    _walk(entry.path, f"{prefix}{name}/", (*above, here), found)
    except OSError as error:
        raise InputError(f"{folder} cannot be read: {error.strerror}.") from None


def is_junk(name: str) -> bool:
    """Return whether a path is hidden or one of those that systems leave behind."""
    *folders, last = name.split("/")
    return is_junk_file(last) or any(f[0:1] == "." or f in _JUNK_FOLDERS for f in folders)


def is_junk_file(name: str) -> bool:
    """Return whether a file's name without its folder is such a one."""
    return name[0:1] == "." or name in _JUNK_FILES
