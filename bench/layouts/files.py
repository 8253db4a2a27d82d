"""A folder or a zip as a read-only tree of files; a stranger's zip is read in place and never unpacked."""

from __future__ import annotations

import lzma
import os
import stat
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from refseg.bench.errors import InputError

LARGEST_FILE = 64 << 20
"""Bytes of one file in a zip: a raw 8K mask is half of it."""

LARGEST_ZIP = 64 << 30
"""Bytes of all files of a zip together, unpacked."""

_MOST_RATIO, _RATIO_FROM = 200, 1 << 30
_DEEPEST = 6
_JUNK_FOLDERS, _JUNK_FILES = frozenset({"__MACOSX"}), frozenset({"Thumbs.db", "desktop.ini"})
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    OSError,
    EOFError,
    RuntimeError,
    NotImplementedError,
    ValueError,
)


class Files(Protocol):
    """Files by their path relative to the root, separated by ``/``."""

    path: Path
    names: frozenset[str]

    def read(self, name: str) -> bytes:
        """Return a file's content."""
        ...

    def shown(self, name: str) -> str:
        """Return the file's name for messages."""
        ...


def open_files(path: Path) -> Files:
    """List a folder or a zip.

    Raises:
        InputError: It is neither, cannot be read, or is a zip that is damaged or not safe.
    """
    if path.is_dir():
        return FolderFiles(path)
    if not path.exists():
        raise InputError(f"The predictions {path} do not exist; give a folder or a zip.")
    return ZipFiles(path)


class FolderFiles:
    """A folder's files; hidden ones and those that systems leave behind are passed over."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.names = frozenset(_walk(path, "", (), _DEEPEST))

    def read(self, name: str) -> bytes:
        """Return a file's content.

        Raises:
            InputError: It cannot be read.
        """
        try:
            return (self.path / name).read_bytes()
        except OSError as error:
            raise InputError(f"{self.shown(name)} cannot be read: {error.strerror}.") from None

    def shown(self, name: str) -> str:
        """Return the file's name for messages."""
        return f"{name} in {self.path}"


class ZipFiles:
    """A zip's files, checked before anything is read.

    Raises:
        InputError: It is no zip, is damaged, names files outside of itself, holds links or encrypted files,
            or would unpack to more than a set of masks can be.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._zip: zipfile.ZipFile | None = None
        self._entries = _checked(path, self._opened())
        self.names = frozenset(n for n in self._entries if not _is_junk(n))

    def read(self, name: str) -> bytes:
        """Return a file's content.

        Raises:
            InputError: It is damaged.
        """
        try:
            # Reading stops at the size that was checked, whatever the packed data would give.
            return self._opened().read(self._entries[name])
        except _ZIP_ERRORS as error:
            raise InputError(f"{self.shown(name)} is damaged ({error}); make the zip again.") from None

    def shown(self, name: str) -> str:
        """Return the file's name for messages."""
        return f"{name} in {self.path}"

    def _opened(self) -> zipfile.ZipFile:
        if self._zip is None:
            try:
                self._zip = zipfile.ZipFile(self.path)
            except _ZIP_ERRORS as error:
                raise InputError(
                    f"{self.path} is no zip or is damaged ({error}); give a folder or a whole zip."
                ) from None
        return self._zip

    def __getstate__(self) -> dict[str, Any]:
        # An open file cannot go to another process; it is opened there again.
        return self.__dict__ | {"_zip": None}


def _walk(folder: Path, prefix: str, above: tuple[tuple[int, int], ...], depth: int) -> Iterator[str]:
    """Yield the files below a folder; links to folders are followed unless they lead back up."""
    try:
        state = os.stat(folder)
        here = (state.st_dev, state.st_ino)
        if here in above:
            return
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda e: e.name)
    except OSError as error:
        raise InputError(f"{folder} cannot be read: {error.strerror}.") from None
    for entry in entries:
        name = prefix + entry.name
        if _is_junk(name):
            continue
        if entry.is_file():
            yield name
        elif entry.is_dir() and depth > 0:
            yield from _walk(folder / entry.name, f"{name}/", (*above, here), depth - 1)


def _is_junk(name: str) -> bool:
    parts = name.split("/")
    return (
        any(p.startswith(".") for p in parts)
        or not _JUNK_FOLDERS.isdisjoint(parts[:-1])
        or parts[-1] in _JUNK_FILES
    )


def _checked(path: Path, opened: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return the zip's files by name."""
    entries: dict[str, zipfile.ZipInfo] = {}
    total = 0
    for info in opened.infolist():
        fault = _fault(info)
        if fault is None and info.filename in entries:
            fault = "stands in it twice"
        if fault is not None:
            raise InputError(
                f"{path} is refused: {info.filename!r} {fault}. Make the zip of plain files only."
            )
        total += info.file_size
        if not info.is_dir():
            entries[info.filename] = info
    packed = path.stat().st_size
    if total > LARGEST_ZIP or (total > _RATIO_FROM and total > _MOST_RATIO * packed):
        raise InputError(
            f"{path} is refused: it would unpack from {packed} to {total} bytes, more than masks can be."
        )
    return entries


def _fault(info: zipfile.ZipInfo) -> str | None:
    """Return why an entry of a zip is refused, or None."""
    # zipfile cuts names at a zero byte, so the name as stored is looked at too.
    name, stored = info.filename, info.orig_filename
    if name.startswith("/") or "\\" in stored or ":" in name or "\0" in stored:
        return "is no relative path"
    if any(part in ("..", ".", "") for part in name.removesuffix("/").split("/")):
        return "leads out of its folder"
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a special file"
    if info.flag_bits & 1:
        return "is encrypted"
    if info.file_size > LARGEST_FILE:
        return f"holds {info.file_size} bytes, more than a mask can be"
    return None
