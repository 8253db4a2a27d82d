"""``bench score`` as a function: predictions that are there, whoever made them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from refseg.bench import registry
from refseg.bench.errors import InputError, unknown_name
from refseg.bench.layouts import LAYOUTS, lint, open_predictions, open_run_folder, refuse, scored_dataset
from refseg.bench.layouts.opening import is_run
from refseg.bench.progress import Progress, Silent
from refseg.bench.results import score_run
from refseg.bench.runner import open_dataset
from refseg.bench.store import SavedRun
from refseg.bench.types import Dataset, OnMissing, Predictions, Video


@dataclass(frozen=True)
class ScoreRequest:
    """What ``bench score`` was asked for.

    Attributes:
        predictions: A run folder or another program's masks, each also as a zip.
        dataset: Registered name.
        split: None: the run's own, or the dataset's default.
        root: Folder of the dataset; None: configured, or none needed.
        layout: ``"ytvos"``, ``"davis"`` or ``"run"``; None: found out.
        protocols: Names; none: all that the dataset is scored with.
        on_missing: What an expression without a prediction is: an error, or empty masks.
        jobs: How many processes score; None: as many as are worth it.
    """

    predictions: str
    dataset: str
    split: str | None = None
    root: str | None = None
    layout: str | None = None
    protocols: tuple[str, ...] = ()
    on_missing: OnMissing = "error"
    jobs: int | None = 1


@dataclass(frozen=True)
class Opened:
    """Predictions beside what they are scored against.

    Attributes:
        dataset: The split, narrowed to what the predictions are for.
        predictions: The predictions.
        videos: The videos that were to be predicted.
        method: Who made them.
        failures: ``{"video", "error"}`` of videos that the run could not finish.
    """

    dataset: Dataset
    predictions: Predictions
    videos: Sequence[Video]
    method: str
    failures: Sequence[Mapping[str, str]] = field(default_factory=tuple)


def score(request: ScoreRequest, *, progress: Progress | None = None) -> dict[str, Any]:
    """Score predictions and return the result; nothing is written.

    Raises:
        InputError: The predictions are not there, damaged, another dataset's, or incomplete under
            ``on_missing="error"``.
    """
    progress = progress or Silent()
    for name in request.protocols:
        registry.entry("protocols", name)
    if request.layout is not None and request.layout not in LAYOUTS:
        raise unknown_name("layout", request.layout, LAYOUTS)
    path = Path(request.predictions)
    if not path.exists():
        raise InputError(f"The predictions {path} do not exist; give a folder or a zip.")
    if request.layout == "run" or (request.layout is None and is_run(path)):
        opened = _open_run(request, path)
    else:
        opened = _open_masks(request, path, progress)
    result = score_run(
        opened.dataset,
        opened.videos,
        opened.predictions,
        request.protocols or tuple(opened.dataset.info.protocols),
        opened.failures,
        on_missing=request.on_missing,
        jobs=request.jobs,
        progress=progress,
    )
    partial = len(opened.videos) < len(opened.dataset.videos())
    return result | {"method": opened.method, "partial": partial, "predictions": str(path)}


def _open_run(request: ScoreRequest, path: Path) -> Opened:
    folder = open_run_folder(path)
    record = folder.read_record()
    assert record is not None, "open_run_folder sees to it"
    made_on = record["dataset"]
    options = record["key_parts"]["dataset"]["options"] if made_on["name"] == request.dataset else {}
    dataset = open_dataset(request.dataset, request.split or made_on["split"], request.root, options)
    refuse_other_dataset(record, dataset, path)
    videos = list(dataset.videos())[: record["counts"]["videos"]]
    # Videos that failed were told of when they ran; under --on-missing empty they count like any other gap.
    failures = record.get("failures", []) if request.on_missing == "error" else []
    return Opened(dataset, SavedRun(folder, record["key"]), videos, record["method"]["name"], failures)


def refuse_other_dataset(record: Mapping[str, Any], dataset: Dataset, path: Path) -> None:
    """Refuse a dataset that a run was not made on.

    Raises:
        InputError: Name, version, split or content differ.
    """
    made_on, info = record["dataset"], dataset.info
    made = (made_on["name"], made_on["version"], made_on["split"])
    here = (info.name, info.version, info.split)
    if (*made, made_on["fingerprint"]) != (*here, info.fingerprint):
        other = " with other content" if made == here else ""
        raise InputError(
            f"{path} was made on {made[0]} {made[2]}, version {made[1]}; this is {info.name} {info.split}, "
            f"version {info.version}{other}."
        )


def _open_masks(request: ScoreRequest, path: Path, progress: Progress) -> Opened:
    whole = open_dataset(request.dataset, request.split, request.root)
    predictions = open_predictions(path, whole, request.layout, on_missing=request.on_missing)
    dataset = scored_dataset(whole, predictions)
    # What is missing is told before an hour of scoring; bad files are told by their name when they are read.
    findings = lint(predictions, dataset, decode=False)
    refuse(findings, where=str(path), on_missing=request.on_missing)
    for finding in findings:
        progress.note(finding.text)
    only: Sequence[int] | None = getattr(predictions, "annotators", None)
    if only is not None and dataset is not whole:
        progress.note(f"one folder of label maps is scored as annotator {only[0]}'s")
    return Opened(dataset, predictions, dataset.videos(), path.name)
