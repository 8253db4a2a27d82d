"""A stranger's zip, checked before anything is read, and read in place: it is never unpacked."""

from __future__ import annotations

import stat
import struct
import threading
import zipfile
import zlib
from pathlib import Path
from typing import Any

from refseg.bench.errors import InputError
from refseg.bench.layouts.files import LARGEST_FILE, is_junk
from refseg.bench.layouts.names import printable

LARGEST_ZIP = 64 << 30
"""Bytes of all files of a zip together, unpacked."""

LARGEST_DIRECTORY = 256 << 20
"""Bytes of a zip's list of files: three million of them."""

_MOST_RATIO, _RATIO_FROM = 200, 1 << 30
_LOCAL_HEADER = 30
# zipfile holds no bound on what bzip2 and lzma unpack to, and no usual program writes them.
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    OSError,
    EOFError,
    RuntimeError,
    NotImplementedError,
    ValueError,
    OverflowError,
)


class ZipFiles:
    """A zip's files; several threads may read at once.

    Raises:
        InputError: It is no zip, is damaged, names files outside of itself, holds links or encrypted files,
            or would unpack to more than a set of masks can be.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._zip: zipfile.ZipFile | None = None
        self._lock = threading.Lock()
        self._entries = _checked(path, self._opened())
        self.all_names = frozenset(self._entries)
        self.names = frozenset(n for n in self._entries if not is_junk(n))

    def read(self, name: str, most: int | None = None) -> bytes:
        """Return a file's content, or only its first ``most`` bytes.

        Raises:
            InputError: It is damaged.
        """
        info = self._entries[name]
        try:
            # Opening and closing count the users of the one file without a lock of their own.
            with self._lock:
                file = self._opened().open(info)
            try:
                # Without a size, zipfile unpacks all that the packed data gives before it cuts at file_size.
                return file.read(info.file_size if most is None else min(most, info.file_size))
            finally:
                with self._lock:
                    file.close()
        except _ERRORS as error:
            raise InputError(f"{self.shown(name)} is damaged ({error}); make the zip again.") from None

    def shown(self, name: str) -> str:
        """Return the file's name for messages."""
        return f"{printable(name)} in {self.path}"

    def _opened(self) -> zipfile.ZipFile:
        if self._zip is None:
            try:
                _refuse_long_directory(self.path)
                self._zip = _open(self.path)
            except _ERRORS as error:
                raise InputError(
                    f"{self.path} is no zip or is damaged ({error}); give a folder or a whole zip."
                ) from None
        return self._zip

    def __getstate__(self) -> dict[str, Any]:
        # An open file and a lock cannot go to another process; the zip is opened there again.
        return {k: v for k, v in self.__dict__.items() if k != "_lock"} | {"_zip": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()


def _open(path: Path) -> zipfile.ZipFile:
    try:
        # Some programs write UTF-8 names without saying so.
        return zipfile.ZipFile(path, metadata_encoding="utf-8")
    except UnicodeDecodeError:
        return zipfile.ZipFile(path)


def _refuse_long_directory(path: Path) -> None:
    """Refuse a zip whose list of files alone would fill the memory, before the list is read."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - (1 << 16) - 100))
        tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    size = struct.unpack_from("<I", tail, at + 12)[0] if 0 <= at <= len(tail) - 16 else 0
    if size == 0xFFFFFFFF:
        at = tail.rfind(b"PK\x06\x06")
        size = struct.unpack_from("<Q", tail, at + 40)[0] if 0 <= at <= len(tail) - 48 else size
    if size > LARGEST_DIRECTORY:
        raise InputError(
            f"{path} is refused: its list of files alone takes {size} bytes; no set of masks is that long."
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
                f"{path} is refused: {info.filename!a} {fault}. Make the zip of plain files only."
            )
        total += info.file_size
        if not info.is_dir():
            entries[info.filename] = info
    _refuse_overlap(path, opened)
    packed = path.stat().st_size
    if total > LARGEST_ZIP or (total > _RATIO_FROM and total > _MOST_RATIO * packed):
        raise InputError(
            f"{path} is refused: it would unpack from {packed} to {total} bytes, more than masks can be."
        )
    return entries


def _refuse_overlap(path: Path, opened: zipfile.ZipFile) -> None:
    """Refuse a zip whose files share bytes: so a small one holds any number of large files."""
    entries = sorted(opened.infolist(), key=lambda info: info.header_offset)
    starts = [info.header_offset for info in entries] + [opened.start_dir]
    for info, following in zip(entries, starts[1:], strict=True):
        # The name may be stored in another encoding; zipfile compares it when the file is read.
        if info.header_offset + _LOCAL_HEADER + info.compress_size > following:
            raise InputError(
                f"{path} is refused: {info.filename!a} reaches into what follows it; make the zip again."
            )


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
    if info.compress_type not in _COMPRESSIONS:
        return "is packed in another way than deflate, the usual one"
    if info.file_size > LARGEST_FILE:
        return f"holds {info.file_size} bytes, more than a mask can be"
    return None
