"""``bench cache`` as functions: what is kept that can be made again, and how to be rid of it."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from refseg.bench.atomic import write_error
from refseg.bench.config import cache_folder
from refseg.bench.errors import unknown_name

KINDS: Mapping[str, str] = {
    "truth": "label maps as run lengths, so that scoring the same data again is quicker",
    "indices": "large metadata files, so that opening them again is quicker",
    "checks": "what `bench data check` last said of a copy, which records of runs repeat",
    "checkpoints": "what `bench fetch` fetched",
}
"""Folders of the cache -> what is in them."""

ALL = "all"
"""Every kind but checkpoints: they alone cannot be made again without a network."""


def cache_facts() -> dict[str, Any]:
    """Return what is kept: ``{"folder": …, "kinds": {name: {"files", "bytes", "summary"}}}``.

    ``folder`` is None where nothing is kept (``REFSEG_CACHE=``).
    """
    folder = cache_folder()
    kinds = {}
    for name, summary in KINDS.items():
        sizes = [] if folder is None else _sizes(folder / name)
        kinds[name] = {"files": len(sizes), "bytes": sum(sizes), "summary": summary}
    return {"folder": None if folder is None else str(folder), "kinds": kinds}


def clear_cache(names: Collection[str]) -> dict[str, Any]:
    """Delete kinds of what is kept; a run that is at work makes what it needs anew.

    Args:
        names: Keys of :data:`KINDS`, or :data:`ALL`.

    Returns:
        What was deleted, as :func:`cache_facts` has it.

    Raises:
        InputError: A name is unknown, or a folder cannot be deleted.
    """
    known = (*KINDS, ALL)
    for name in names:
        if name not in known:
            raise unknown_name("kind of cache", name, known)
    chosen = [k for k in KINDS if k in names or (ALL in names and k != "checkpoints")]
    found = cache_facts()
    if found["folder"] is not None:
        for name in chosen:
            try:
                shutil.rmtree(Path(found["folder"]) / name)
            except FileNotFoundError:
                pass
            except OSError as error:
                raise write_error(Path(found["folder"]) / name, error) from error
    return found | {"kinds": {name: found["kinds"][name] for name in chosen}}


def _sizes(folder: Path) -> list[int]:
    sizes = []
    for path in folder.rglob("*"):
        try:
            if path.is_file():
                sizes.append(path.stat().st_size)
        except OSError:
            # Another process deletes what was not used for longest.
            continue
    return sizes
