"""Scores of a method in training, by the ordinary runner and scorer."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from refseg.bench.errors import InputError
from refseg.bench.predict import predict_all
from refseg.bench.progress import Silent
from refseg.bench.results import score_run
from refseg.bench.store import RunFolder, SavedRun
from refseg.bench.types import Dataset, Method, Video

_KEY = "training"


def method_scores(
    method: Method, dataset: Dataset, videos: Sequence[Video], *, advice: str
) -> dict[str, float]:
    """Return the metrics of the dataset's default protocol, in percent, each name with ``val_`` before it.

    Args:
        method: What is scored.
        dataset: Whose truth is asked.
        videos: Those of its videos, with the expressions, that count.
        advice: How to mend a failure, for the message.

    Raises:
        InputError: A video failed, or nothing could be scored.
    """
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
            f"{advice}."
        )
    return {f"val_{name}": float(value) for name, value in result["metrics"].items()}
