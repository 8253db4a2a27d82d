"""Opens predictions of any layout."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from refseg.bench.errors import unknown_name
from refseg.bench.layouts.detect import LAYOUTS, find_place
from refseg.bench.layouts.files import ZipFiles, open_files
from refseg.bench.layouts.read import DavisPredictions, YtvosPredictions
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

if TYPE_CHECKING:
    from refseg.bench.store import RunFolder


def open_predictions(
    path: Path | str, dataset: Dataset, layout: str | None = None, *, on_missing: OnMissing = "error"
) -> Predictions:
    """Open a folder or a zip of predictions; masks are read when they are asked for.

    Score them with the view that :func:`scored_dataset` gives of the dataset.

    Args:
        path: The folder or zip.
        dataset: What was predicted.
        layout: ``"ytvos"``, ``"davis"`` or ``"run"``; None: found out.
        on_missing: What a missing frame is of an expression whose other frames are there.

    Raises:
        InputError: Nothing for the dataset is there, several sets of predictions are, or the zip is refused.
    """
    path = Path(path)
    if layout is not None and layout not in LAYOUTS:
        raise unknown_name("layout", layout, LAYOUTS)
    if layout == "run" or (layout is None and is_run(path)):
        return _open_run(path)
    files = open_files(path)
    place = find_place(files, dataset, layout)
    if place.layout == "ytvos":
        return YtvosPredictions(files, place, on_missing)
    return DavisPredictions(files, place, on_missing)


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


def is_run(path: Path) -> bool:
    """Return whether a folder or zip is a run's."""
    if path.is_dir():
        return (path / "run.json").is_file()
    if not path.is_file():
        return False
    from refseg.bench.layouts.zipped_run import run_base

    return run_base(ZipFiles(path)) is not None


def open_run_folder(path: Path) -> RunFolder:
    """Return a run's folder, or its zip as one.

    Raises:
        InputError: It is no run, or the zip is refused.
    """
    from refseg.bench.layouts.zipped_run import ZippedRun, no_run
    from refseg.bench.store import RunFolder

    if path.is_file():
        return ZippedRun(path)
    folder = RunFolder(path)
    if folder.read_record() is None:
        raise no_run(path)
    return folder


def _open_run(path: Path) -> Predictions:
    from refseg.bench.store import SavedRun

    folder = open_run_folder(path)
    record = folder.read_record()
    assert record is not None
    return SavedRun(folder, record["key"])


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
