"""The label PNGs that a run of merged objects keeps for the official evaluator (Ref-DAVIS17)."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

from refseg.bench.atomic import write_bytes, write_error
from refseg.bench.layouts import export
from refseg.bench.layouts.png import MOST_IDS
from refseg.bench.merge import merge_groups, object_number
from refseg.bench.store import RunFolder, SavedRun
from refseg.bench.types import Dataset, Video

ANNOTATIONS = "annotations"
"""Folder of the label PNGs in a run folder."""

_UNFINISHED = ".annotations"
_SOURCE = ".source"


def write_annotations(folder: RunFolder, key: str, dataset: Dataset) -> Path | None:
    """Write ``RUN/annotations/anno_<k>/<video>/<frame>.png``, which the official evaluator reads.

    The folder appears whole or not at all, and stays as it is where the predictions are the same as before.

    Args:
        folder: The run folder; the caller holds its lock.
        key: The run's key.
        dataset: The videos that were predicted.

    Returns:
        The folder; None where the dataset's sentences are not one a numbered object and annotator, or where
        there is no video.

    Raises:
        InputError: The disk is full.
    """
    videos = dataset.videos()
    if not videos or not all(map(_is_merged, videos)):
        return None
    target = folder.path / ANNOTATIONS
    source = _digest(folder, videos)
    with contextlib.suppress(OSError):
        if (target / _SOURCE).read_bytes() == source:
            return target
    with _empty_folder(folder.path / _UNFINISHED) as unfinished:
        made = export(SavedRun(folder, key), dataset, "davis", unfinished)
        write_bytes(made / _SOURCE, source)
        clear_annotations(folder)
        try:
            os.replace(made, target)
        except OSError as error:
            raise write_error(target, error) from error
    return target


def clear_annotations(folder: RunFolder) -> None:
    """Delete the label PNGs of an earlier run, and no folder that was not written by one."""
    target = folder.path / ANNOTATIONS
    if (target / _SOURCE).is_file():
        shutil.rmtree(target, ignore_errors=True)


def _is_merged(video: Video) -> bool:
    """Return whether every sentence is an annotator's, and every annotator's sentences can be merged."""
    merged = [e for group in merge_groups(video) for e in group.expressions]
    return 0 < len(merged) == len(video.expressions) and all(object_number(e) <= MOST_IDS for e in merged)


def _digest(folder: RunFolder, videos: Collection[Video]) -> bytes:
    """Return the hash of the stored predictions, hexadecimal."""
    digest = hashlib.sha256()
    for video in videos:
        for expression in video.expressions:
            path = folder.prediction_path(video.id, expression.id)
            digest.update(hashlib.sha256(folder.content(path)).digest())
    return digest.hexdigest().encode("ascii")


@contextlib.contextmanager
def _empty_folder(path: Path) -> Iterator[Path]:
    """Give a place in a folder of its own, which is gone at the end; a killed run may have left it."""
    shutil.rmtree(path, ignore_errors=True)
    try:
        yield path / ANNOTATIONS
    finally:
        shutil.rmtree(path, ignore_errors=True)
