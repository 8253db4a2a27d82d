"""Writes a site: all pages, their scripts and their data, whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from refseg.bench.atomic import TEMPORARY, write_error
from refseg.bench.errors import InputError
from refseg.bench.progress import Progress, Silent
from refseg.reports.site.browse import browse
from refseg.reports.site.pages import chapter, site_pages
from refseg.reports.site.runs import grouped, read_runs

MARK = ".refseg-site"
"""The file by which a folder is known to be a site, so that it may be written anew."""


@dataclass(frozen=True)
class Site:
    """A site that was written.

    Attributes:
        index: Its first page.
        notes: A sentence on each run that was left out, and on what could not be shown.
    """

    index: Path
    notes: tuple[str, ...]


def write_site(named: Sequence[tuple[str, Path]], out: Path, *, progress: Progress | None = None) -> Site:
    """Write the site over some runs.

    Args:
        named: (name, run folder), in the order in which they are shown.
        out: A folder that is not there, empty, or an earlier site, which is replaced.
        progress: Where it is shown, by videos.

    Raises:
        InputError: No run can be read, ``out`` holds something else, or it cannot be written.
    """
    out = out.resolve()
    _refuse_taken(out)
    runs, notes = read_runs(named)
    if not runs:
        raise InputError(f"No run can be shown: {'; '.join(notes)}.")
    chapters = []
    with _replaced(out) as folder:
        for group in grouped(runs):
            browsed = browse(group, folder.write, progress or Silent())
            chapters.append(chapter(group, browsed))
            notes += browsed.troubles
            if browsed.trouble:
                notes.append(f"{group.title} has no pictures: {browsed.trouble}")
        for name, content in site_pages(chapters):
            folder.write(name, content)
    return Site(out / "index.html", tuple(notes))


class _Folder:
    """Takes a site's files."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, name: str, content: bytes) -> None:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _refuse_taken(out: Path) -> None:
    if out.is_file():
        raise InputError(f"{out} is a file; --out must name a folder.")
    if out.is_dir() and not (out / MARK).is_file() and any(out.iterdir()):
        first = min(p.name for p in out.iterdir())
        raise InputError(
            f"{out} holds files and is no site ({first} for instance); give another --out, or an empty folder."
        )


@contextlib.contextmanager
def _replaced(out: Path) -> Iterator[_Folder]:
    """Give a folder beside ``out`` that takes its place at the end, and is gone where anything fails."""
    name = f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(4)}"
    beside, earlier = out.parent / name, out.parent / f"{name}-earlier"
    try:
        beside.mkdir(parents=True)
        (beside / MARK).write_bytes(b"")
        yield _Folder(beside)
        if out.is_dir():
            os.replace(out, earlier)
        os.replace(beside, out)
    except OSError as error:
        raise write_error(out, error) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        shutil.rmtree(earlier, ignore_errors=True)
