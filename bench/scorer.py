"""``bench score`` as a function: predictions that are there, whoever made them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from refseg.bench import registry
from refseg.bench.errors import InputError
from refseg.bench.progress import Progress, Silent
from refseg.bench.results import score_run
from refseg.bench.runner import open_dataset
from refseg.bench.store import RunFolder, SavedRun
from refseg.bench.types import Dataset, Predictions, Video


@dataclass(frozen=True)
class ScoreRequest:
    """What ``bench score`` was asked for.

    Attributes:
        predictions: A run folder.
        dataset: Registered name.
        split: None: the dataset's default, or the run's own.
        root: Folder of the dataset; None: configured, or none needed.
        protocols: Names; none: all that the dataset is scored with.
        on_missing: What an expression without a prediction is: an error, or empty masks.
    """

    predictions: str
    dataset: str
    split: str | None = None
    root: str | None = None
    protocols: tuple[str, ...] = ()
    on_missing: Literal["error", "empty"] = "error"


def score(request: ScoreRequest, *, progress: Progress | None = None) -> dict[str, Any]:
    """Score predictions and return the result; nothing is written.

    Raises:
        InputError: The predictions are not there, incomplete under ``on_missing="error"``, or another data
        set's.
    """
    for name in request.protocols:
        registry.entry("protocols", name)
    path = Path(request.predictions)
    if not path.exists():
        raise InputError(f"The predictions {path} do not exist; give a run folder.")
    dataset, predictions, videos, failures, method = _open_run(request, path)
    result = score_run(
        dataset,
        videos,
        predictions,
        request.protocols or tuple(dataset.info.protocols),
        failures,
        on_missing=request.on_missing,
        progress=progress or Silent(),
    )
    return result | {"method": method, "partial": len(videos) < len(dataset.videos())}


def _open_run(
    request: ScoreRequest, path: Path
) -> tuple[Dataset, Predictions, Sequence[Video], list[dict[str, str]], str]:
    folder = RunFolder(path)
    record = folder.read_record() if path.is_dir() else None
    if record is None:
        raise InputError(f"{path} is no run folder: it has no run.json; give what `bench run` wrote.")
    made_on = record["dataset"]
    dataset = open_dataset(request.dataset, request.split or made_on["split"], request.root)
    info = dataset.info
    made = (made_on["name"], made_on["version"], made_on["split"], made_on["fingerprint"])
    if made != (info.name, info.version, info.split, info.fingerprint):
        raise InputError(
            f"{path} was made on {made[0]} {made[2]}, version {made[1]}; this is {info.name} {info.split}, "
            f"version {info.version}{' with other content' if made[:3] == (info.name, info.version, info.split) else ''}."
        )
    videos = list(dataset.videos())[: record["counts"]["videos"]]
    # Videos that failed were told of when they were run; under --on-missing empty they count like any other
    # gap.
    failures = record.get("failures", []) if request.on_missing == "error" else []
    return dataset, SavedRun(folder, record["key"]), videos, failures, record["method"]["name"]
