"""Scores of a network in training, by the ordinary runner and scorer."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from refseg.bench.errors import InputError
from refseg.bench.predict import predict_all
from refseg.bench.progress import Silent
from refseg.bench.results import score_run
from refseg.bench.store import RunFolder, SavedRun
from refseg.bench.types import Dataset, Video
from refseg.methods.refsam.method import RefSamMethod, RefSamOptions
from refseg.methods.refsam.model import RefSam

_KEY = "training"


def validation_scores(
    model: RefSam, dataset: Dataset, videos: Sequence[Video], *, device: torch.device
) -> dict[str, float]:
    """Return the metrics of the dataset's default protocol, in percent, each name with ``val_`` before it.

    Raises:
        InputError: A video failed, or nothing could be scored.
    """
    method = RefSamMethod("refsam", model, RefSamOptions(), device=device)
    with tempfile.TemporaryDirectory(prefix="refseg-validation-") as name:
        folder = RunFolder(Path(name) / "run")
        with folder.locked():
            todo = [(video, video.expressions) for video in videos]
            passed = predict_all(method, todo, folder, _KEY, progress=Silent())
            result = score_run(
                dataset,
                videos,
                SavedRun(folder, _KEY),
                dataset.info.protocols[:1],
                passed.failures,
                progress=Silent(),
            )
    if passed.failures or not result["metrics"]:
        told = passed.failures[0] if passed.failures else {"video": "none", "error": result.get("note", "")}
        raise InputError(
            f"Validation on {dataset.info.name} {dataset.info.split} failed (video {told['video']}: {told['error']}); "
            "mend the copy, or give another --set validate=NAME:SPLIT."
        )
    return {f"val_{name}": float(value) for name, value in result["metrics"].items()}
