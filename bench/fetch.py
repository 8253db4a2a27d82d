"""Fetches a published file over HTTPS: resumable, checked against its SHA-256, and whole or absent under its name.

What is fetched is kept and never run. Proxies are taken from the environment (``HTTPS_PROXY``), certificates are
checked against the system's.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import http.client
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from refseg.bench.atomic import DiskFullError, write_error
from refseg.bench.config import cache_folder
from refseg.bench.errors import InputError
from refseg.bench.progress import Progress, Silent, Task

ATTEMPTS = 5
"""How often a transfer that broke off is taken up again before the command gives up."""

_TIMEOUT = 60.0
_PIECE = 1 << 20

Opener = Callable[[urllib.request.Request], Any]
"""Sends a request and returns the response, as urllib's ``open`` does."""


@dataclass(frozen=True)
class Download:
    """A file as it is published.

    Attributes:
        name: What `bench fetch` calls it.
        file: Its published file name.
        url: Where it is, over HTTPS.
        sha256: Of its content.
        size: In bytes.
        summary: What it is, in a line.
        checked_by: Who says that this is its SHA-256.
    """

    name: str
    file: str
    url: str
    sha256: str
    size: int
    summary: str
    checked_by: str


def checkpoint_folders() -> list[Path]:
    """Return where checkpoints are looked for, the first being where they are fetched to."""
    chosen, cache = os.environ.get("REFSEG_CHECKPOINTS"), cache_folder()
    return [*([Path(chosen)] if chosen else []), *([cache / "checkpoints"] if cache is not None else [])]


def fetch(
    download: Download,
    folder: Path,
    *,
    opener: Opener | None = None,
    progress: Progress | None = None,
    attempts: int = ATTEMPTS,
) -> Path:
    """Return a published file below a folder, fetched where it is not there yet.

    What was received of it stays in ``.<file>.part`` when the transfer ends early, and the next call goes on there.

    Args:
        download: What to fetch.
        folder: Where it goes; made where it is missing.
        opener: Sends requests; None: urllib's, over HTTPS only.
        progress: Where it is shown, in MiB.
        attempts: See :data:`ATTEMPTS`.

    Raises:
        InputError: It cannot be had or is not what is published, another fetch is at work on it, a file of its name
            and of other content is there, or it cannot be written.
    """
    if not download.url.startswith("https://"):
        raise InputError(f"{download.url} is no HTTPS address; {download.name} is not fetched from there.")
    path, part = folder / download.file, folder / f".{download.file}.part"
    if path.exists():
        _require(path, download, "move it away to fetch the published one")
        return path
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with open(part, "ab") as file, _alone(file, path):
            _refuse_full(folder, download.size - file.tell())
            with (progress or Silent()).task(f"fetching {download.file}", _mib(download.size), "MiB") as task:
                task.advance(_mib(file.tell()))
                _transfer(download, file, opener or _https(), task, attempts)
            file.flush()
            os.fsync(file.fileno())
            _require(part, download, "it was deleted; run the same command again", delete=True)
            os.replace(part, path)
    except OSError as error:
        raise write_error(path, error) from error
    return path


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _require(path: Path, download: Download, mend: str, *, delete: bool = False) -> None:
    """Refuse a file that is not the published one."""
    found = file_sha256(path) if path.stat().st_size == download.size else f"{path.stat().st_size} bytes"
    if found == download.sha256:
        return
    if delete:
        path.unlink()
    wanted = download.sha256 if len(found) == len(download.sha256) else f"{download.size} bytes"
    raise InputError(
        f"{path} is not the {download.file} that is published at {download.url}: it has {found}, and {wanted} is "
        f"expected; {mend}."
    )


def _transfer(download: Download, file: IO[bytes], opener: Opener, task: Task, attempts: int) -> None:
    """Append what is missing of a file, going on where a connection breaks off."""
    broken: Exception | None = None
    for _ in range(attempts):
        if file.tell() >= download.size:
            return
        try:
            _receive(download, file, opener, task)
            broken = broken or http.client.IncompleteRead(b"")
        except urllib.error.HTTPError as error:
            if error.code == 416 and file.tell():
                _emptied(file)
                continue
            raise InputError(
                f"{download.url} answers {error.code} {error.reason}; fetch it by other means and put it into "
                f"{Path(file.name).parent} as {download.file}."
            ) from None
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            broken = error
    if file.tell() < download.size:
        reason = getattr(broken, "reason", None) or broken
        raise InputError(
            f"{download.url} cannot be had ({type(broken).__name__}: {reason}); {file.tell()} of {download.size} bytes "
            "are there and the same command goes on from them. Behind a proxy set HTTPS_PROXY; without a network put "
            f"the file into {Path(file.name).parent} as {download.file}."
        )


def _receive(download: Download, file: IO[bytes], opener: Opener, task: Task) -> None:
    """Append what one response holds; begin anew where the server does not go on from the middle."""
    have = file.tell()
    request = urllib.request.Request(download.url, headers={"Range": f"bytes={have}-"} if have else {})
    with opener(request) as response:
        if have and not _goes_on(response, have):
            have = _emptied(file)
        while piece := response.read(min(_PIECE, download.size + 1 - have)):
            file.write(piece)
            task.advance(_mib(have + len(piece)) - _mib(have))
            have += len(piece)
            if have > download.size:
                _emptied(file)
                raise InputError(
                    f"{download.url} sends more than the {download.size} bytes that are published; nothing is kept."
                )


def _emptied(file: IO[bytes]) -> int:
    file.seek(0)
    file.truncate()
    return 0


def _goes_on(response: Any, have: int) -> bool:
    return response.status == 206 and str(response.headers["Content-Range"]).startswith(f"bytes {have}-")


class _HttpsOnly(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if not newurl.startswith("https://"):
            raise InputError(
                f"{req.full_url} leads to {newurl}, which is no HTTPS address; nothing is fetched."
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _https() -> Opener:
    director = urllib.request.build_opener(_HttpsOnly)
    return lambda request: director.open(request, timeout=_TIMEOUT)


@contextlib.contextmanager
def _alone(file: IO[bytes], path: Path) -> Iterator[None]:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise InputError(f"{path} is being fetched by another command; wait for it.") from None
    file.seek(0, os.SEEK_END)
    yield


def _refuse_full(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DiskFullError(
            f"{folder} has {free >> 20} MiB left and {needed >> 20} are needed; free some space, or give another "
            "folder by --to DIR."
        )


def _mib(size: int) -> int:
    return size >> 20
