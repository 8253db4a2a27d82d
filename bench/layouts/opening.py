"""Opens predictions of any layout."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from refseg.bench.errors import InputError, unknown_name
from refseg.bench.layouts.detect import LAYOUTS, find_place
from refseg.bench.layouts.files import Files, open_files
from refseg.bench.layouts.read import DavisPredictions, FolderPredictions, YtvosPredictions
from refseg.bench.layouts.runs import ZippedRun, open_run_folder, run_base, run_facts
from refseg.bench.store import RECORD, RunFolder, SavedRun
from refseg.bench.types import (
    Dataset,
    Expression,
    GroundTruth,
    LabelledDataset,
    OnMissing,
    Predictions,
    Video,
    framewise,
)


def open_predictions(
    path: Path | str, dataset: Dataset, layout: str | None = None, *, on_missing: OnMissing = "error"
) -> Predictions:
    """Open a folder or a zip of predictions; masks are read when they are asked for.

    Score them with the view that :func:`scored_dataset` gives of the dataset.

    Args:
        path: The folder or zip.
        dataset: What was predicted.
        layout: One of ``LAYOUTS``; None: found out.
        on_missing: What a missing frame is of an expression whose other frames are there.

    Raises:
        InputError: Nothing for the dataset is there, several sets of predictions are, or the zip is refused.
    """
    found = open_source(Path(path), layout)
    if isinstance(found, RunFolder):
        return SavedRun(found, run_facts(found).key)
    return open_masks(found, dataset, layout, on_missing=on_missing)


def open_source(path: Path, layout: str | None = None) -> RunFolder | Files:
    """Return a run, or the files of another program's predictions.

    Raises:
        InputError: It is not there, is refused, or is no run although the layout says so.
    """
    if layout is not None and layout not in LAYOUTS:
        raise unknown_name("layout", layout, LAYOUTS)
    if layout == "run" or (layout is None and (path / RECORD).is_file()):
        return open_run_folder(path)
    files = open_files(path)
    if layout is None and path.is_file() and run_base(files) is not None:
        return ZippedRun(files)
    return files


def open_masks(
    files: Files, dataset: Dataset, layout: str | None = None, *, on_missing: OnMissing = "error"
) -> FolderPredictions:
    """Return another program's predictions; see :func:`open_predictions`."""
    place = find_place(files, dataset, layout)
    if place.layout == "ytvos":
        return YtvosPredictions(files, place, on_missing)
    predictions = DavisPredictions(files, place, on_missing)
    known = {e.annotator for v in dataset.videos() for e in v.expressions} - {None}
    if known and predictions.annotators is not None and known.isdisjoint(predictions.annotators):
        raise InputError(
            f"{files.path} holds the label maps of annotator {predictions.annotators[0]}, but the annotators of "
            f"{dataset.info.name} are {', '.join(map(str, sorted(k for k in known if k is not None)))}; name the "
            "folder after one of them (anno_0)."
        )
    return predictions


def scored_dataset(dataset: Dataset, predictions: Predictions) -> Dataset:
    """Return the dataset with the expressions that the predictions are for.

    A single folder of label maps stands for one annotator: only that annotator's expressions are scored, and
    an average over annotators is over this one. Any other predictions are for all expressions.
    """
    annotators = predictions.annotators if isinstance(predictions, DavisPredictions) else None
    if annotators is None or all(e.annotator is None for v in dataset.videos() for e in v.expressions):
        return dataset
    if isinstance(dataset, LabelledDataset):
        return _LabelledView(dataset, dataset, annotators)
    return _View(dataset, annotators)


class _View:
    """A dataset with some annotators' expressions only."""

    def __init__(self, dataset: Dataset, annotators: Collection[int]) -> None:
        self._dataset = dataset
        self.info = dataset.info
        self.framewise = framewise(dataset)
        self._videos = [
            replace(v, expressions=_of_annotators(v.expressions, annotators)) for v in dataset.videos()
        ]

    def videos(self) -> Sequence[Video]:
        return self._videos

    def ground_truth(self, video_id: str, expression_id: str) -> GroundTruth | None:
        return self._dataset.ground_truth(video_id, expression_id)


class _LabelledView(_View):
    def __init__(self, dataset: Dataset, labelled: LabelledDataset, annotators: Collection[int]) -> None:
        super().__init__(dataset, annotators)
        self._labelled = labelled

    def label_maps(self, video_id: str) -> NDArray[np.uint8]:
        return self._labelled.label_maps(video_id)


def _of_annotators(expressions: Sequence[Expression], annotators: Collection[int]) -> tuple[Expression, ...]:
    return tuple(e for e in expressions if e.annotator is None or e.annotator in annotators)
