"""``bench export`` as a function, and the label PNGs that a run keeps for the official evaluator."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from refseg.bench.atomic import write_bytes, write_error
from refseg.bench.layouts import export, open_run_folder
from refseg.bench.merge import merge_groups
from refseg.bench.runner import open_dataset
from refseg.bench.scorer import refuse_other_dataset
from refseg.bench.store import RunFolder, SavedRun
from refseg.bench.subset import subset
from refseg.bench.types import Dataset, Video

ANNOTATIONS = "annotations"
"""Folder of the label PNGs in a run folder."""

_UNFINISHED = ".annotations"
_SOURCE = ".source"


def export_run(run: str, layout: str, out: str, *, root: str | None = None) -> tuple[Path, dict[str, int]]:
    """Write a run's masks as a server or an official tool reads them.

    Args:
        run: A run folder, or its zip.
        layout: ``"ytvos"`` or ``"davis"``.
        out: A folder that is not there or empty, or a new ``.zip``.
        root: Folder of the dataset; None: where the run found it, or configured.

    Returns:
        Where they are, and ``{"videos", "in_split"}``: how many of the split's videos the run holds.

    Raises:
        InputError: It is no run, its dataset is not there, a prediction is missing, or see
            :func:`refseg.bench.layouts.export`.
    """
    path = Path(run)
    folder = open_run_folder(path)
    record = folder.read_record()
    assert record is not None, "open_run_folder sees to it"
    dataset = _dataset_of(record, root)
    refuse_other_dataset(record, dataset, path)
    videos = list(dataset.videos())
    mine = [v.id for v in videos[: record["counts"]["videos"]]]
    predictions = SavedRun(folder, record["key"])
    written = export(predictions, subset(dataset, mine), layout, out)
    return written, {"videos": len(mine), "in_split": len(videos)}


def write_annotations(folder: RunFolder, key: str, dataset: Dataset, failed: Collection[str]) -> Path | None:
    """Write ``RUN/annotations/anno_<k>/<video>/<frame>.png``, which the official evaluator reads.

    The folder appears whole or not at all, and stays as it is where the predictions are the same as before.

    Args:
        folder: The run folder.
        key: The run's key.
        dataset: The videos of the run.
        failed: Ids of videos without predictions; they are left out.

    Returns:
        The folder; None where the dataset's sentences are not one a numbered object and annotator.

    Raises:
        InputError: The disk is full, or a label map cannot be written.
    """
    videos = [v for v in dataset.videos() if v.id not in failed]
    if not videos or not all(map(_is_merged, videos)):
        return None
    target = folder.path / ANNOTATIONS
    with folder.locked():
        source = _digest(folder, videos)
        with contextlib.suppress(OSError):
            if (target / _SOURCE).read_bytes() == source:
                return target
        with _empty_folder(folder.path / _UNFINISHED) as unfinished:
            made = export(SavedRun(folder, key), subset(dataset, {v.id for v in videos}), "davis", unfinished)
            write_bytes(made / _SOURCE, source)
            _replace(made, target)
    return target


def _dataset_of(record: dict[str, Any], root: str | None) -> Dataset:
    made_on = record["dataset"]
    options = record["key_parts"]["dataset"]["options"]
    return open_dataset(made_on["name"], made_on["split"], root or made_on["root"], options)


def _is_merged(video: Video) -> bool:
    """Return whether every sentence is an annotator's, and every annotator's sentences can be merged."""
    merged = sum(len(group.expressions) for group in merge_groups(video))
    return 0 < merged == len(video.expressions)


def _digest(folder: RunFolder, videos: Collection[Video]) -> bytes:
    """Return the hash of the stored predictions, hexadecimal."""
    digest = hashlib.sha256()
    for video in videos:
        for expression in video.expressions:
            digest.update(
                hashlib.sha256(folder.prediction_path(video.id, expression.id).read_bytes()).digest()
            )
    return digest.hexdigest().encode("ascii")


@contextlib.contextmanager
def _empty_folder(path: Path) -> Iterator[Path]:
    """Give a place in a folder of its own, which is gone at the end; a killed run may have left it."""
    shutil.rmtree(path, ignore_errors=True)
    try:
        yield path / ANNOTATIONS
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _replace(made: Path, target: Path) -> None:
    try:
        if target.is_dir():
            shutil.rmtree(target)
        os.replace(made, target)
    except OSError as error:
        raise write_error(target, error) from error
