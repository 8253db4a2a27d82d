"""Applies a protocol to predictions, with one policy for what is missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from refseg.bench.errors import InputError
from refseg.bench.progress import Progress, Silent
from refseg.bench.scoring.bootstrap import intervals
from refseg.bench.scoring.frames import Frames, label_frames, mask_frames
from refseg.bench.scoring.packed import pack_mask
from refseg.bench.scoring.parallel import Scored, score_videos, usual_jobs
from refseg.bench.types import (
    BoolArray,
    Dataset,
    Expression,
    OnMissing,
    Predictions,
    ScoredItem,
    ScoringProtocol,
    Video,
)

A = TypeVar("A", BoolArray, NDArray[np.uint8])


def score_predictions(
    dataset: Dataset,
    predictions: Predictions,
    protocol: ScoringProtocol,
    *,
    on_missing: OnMissing = "error",
    jobs: int | None = 1,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Score all videos of a dataset.

    Args:
        dataset: With public labels.
        predictions: What was predicted.
        protocol: How it is scored.
        on_missing: An expression without a prediction is an error, or counts as empty masks.
        jobs: How many processes share the videos; None: as many as are worth it. The result is the same.
        progress: Where it is shown, by videos.

    Returns:
        ``{"protocol", "metrics": {name: percent}, "intervals": {name: [low, high]}, "bootstrap": how they were made,
        "items": [{"video", "expression", …, "frames"}], "on_missing", "missing": number of predictions that were
        taken as empty}``.

    Raises:
        InputError: Something is missing under ``"error"`` (how many, and the first), or a file is bad.
    """
    videos = dataset.videos()
    if jobs is None:
        jobs = usual_jobs(videos)
    scoring = _Scoring(dataset, predictions, protocol, on_missing)
    items: list[ScoredItem] = []
    missing: list[str] = []
    with (progress or Silent()).task(f"scoring {protocol.name}", len(videos), "videos") as task:
        for scored in score_videos(scoring, len(videos), jobs):
            items += scored.items
            missing += scored.missing
            task.advance()
    if on_missing == "error" and missing:
        raise InputError(
            f"{len(missing)} predictions are missing, first {missing[0]}; finish the run that makes "
            f"them, or give --on-missing empty to score them as empty masks."
        )
    if not items:
        raise InputError(
            f"{protocol.name} finds nothing to score in {dataset.info.name} {dataset.info.split}."
        )
    return {
        "protocol": protocol.name,
        "metrics": protocol.aggregate(items),
        **intervals(protocol, items),
        "items": [_as_json(i) for i in items],
        "on_missing": on_missing,
        "missing": len(missing),
    }


@dataclass(frozen=True)
class _Scoring:
    """Scores a dataset's videos one by one, here or in another process."""

    dataset: Dataset
    predictions: Predictions
    protocol: ScoringProtocol
    on_missing: OnMissing

    def __call__(self, video: int) -> Scored:
        complete = _Complete(self.predictions, self.on_missing)
        items = self.protocol.score_video(self.dataset, self.dataset.videos()[video], complete)
        return Scored(items, complete.missing)


class _Complete:
    """Predictions in which what is missing is empty, and counted."""

    def __init__(self, predictions: Predictions, on_missing: OnMissing) -> None:
        self._inner, self._refuse = predictions, on_missing == "error"
        self.missing: list[str] = []

    @property
    def annotators(self) -> tuple[int, ...] | None:
        return cast("tuple[int, ...] | None", getattr(self._inner, "annotators", None))

    def masks(self, video: Video, expression: Expression) -> BoolArray:
        what = f"{video.id}/{expression.id}"
        return self._or_empty(lambda: self._inner.masks(video, expression), what, video, np.zeros((), bool))

    def label_maps(self, video: Video, annotator: int) -> NDArray[np.uint8]:
        what = f"{video.id} by annotator {annotator}"
        return self._or_empty(
            lambda: self._inner.label_maps(video, annotator), what, video, np.zeros((), np.uint8)
        )

    def mask_frames(self, video: Video, expression: Expression) -> Frames:
        what = f"{video.id}/{expression.id}"
        return self._frames_or_empty(lambda: mask_frames(self._inner, video, expression), what, video)

    def label_frames(self, video: Video, annotator: int) -> Frames:
        what = f"{video.id} by annotator {annotator}"
        return self._frames_or_empty(lambda: label_frames(self._inner, video, annotator), what, video)

    def scores(self, video: Video, expression: Expression) -> NDArray[np.float32] | None:
        hook = getattr(self._inner, "scores", None)
        if hook is None:
            return None
        found: NDArray[np.float32] | None = hook(video, expression)
        # Empty masks come last in any order by score.
        return np.zeros(len(video), np.float32) if found is None else found

    def _lose(self, what: str) -> None:
        # A protocol may ask for the same masks in two forms.
        if what not in self.missing:
            self.missing.append(what)

    def _frames_or_empty(self, read: Callable[[], Frames | None], what: str, video: Video) -> Frames:
        found = read()
        if found is None:
            self._lose(what)
        if found is None or (self._refuse and self.missing):
            nothing = pack_mask(np.zeros(video.size, bool))
            return lambda frame: nothing
        return found

    def _or_empty(self, read: Callable[[], A | None], what: str, video: Video, zero: A) -> A:
        # Broadcast zeros cost no memory; once one is missing, the rest is only looked through to be counted.
        empty: A = np.broadcast_to(zero, (len(video), *video.size))
        found = read()
        if found is None:
            self._lose(what)
            return empty
        return empty if self._refuse and self.missing else found


def _as_json(item: ScoredItem) -> Mapping[str, Any]:
    scores = {name: 100 * value for name, value in item.scores.items()}
    return {"video": item.video, "expression": item.expression, **scores, "frames": item.frames, **item.extra}


def from_json(item: Mapping[str, Any]) -> ScoredItem:
    """Return an item of a result's JSON: scores stand before ``frames``, facts behind it."""
    names = list(item)
    at = names.index("frames")
    scores = {n: item[n] / 100 for n in names[:at] if n not in ("video", "expression")}
    facts = {n: item[n] for n in names[at + 1 :]}
    return ScoredItem(item["video"], item["expression"], scores, item["frames"], facts)
